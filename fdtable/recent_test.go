package fdtable_test

import (
	"runtime"
	"testing"

	"github.com/holdfast/holdfast/xlator"
)

func TestWhatTheKernelLookedUpStaysKnownToTheGraph(t *testing.T) {
	m := newMount(t, "")
	g := m.mgr.Current()
	gfid := xlator.NewGFID()
	n := m.table.Seen(g, g.Inodes.Get(gfid, xlator.TypeRegular))
	runtime.GC()
	if g.Inodes.Find(gfid) == nil {
		t.Error("the Inode of a file that the kernel knows was collected")
	}
	m.table.Forget(n.ID(), 1)
}

func TestOnlySoManyFilesThatAreNotOpenKeepTheirInode(t *testing.T) {
	m := newMount(t, "")
	g := m.mgr.Current()
	m.create("open")
	const files = 1<<16 + 1000
	for range files {
		m.table.Seen(g, g.Inodes.Get(xlator.NewGFID(), xlator.TypeRegular))
	}
	kept := 0
	for _, n := range m.table.Dump() {
		if n.Graph != 0 {
			kept++
		}
		if len(n.FDs) > 0 && n.Graph == 0 {
			t.Error("an open file lost its place")
		}
	}
	if kept > 1<<16+2 { // and the root, and what is open
		t.Errorf("%d of %d files have an Inode", kept, files)
	}
}
