package fdtable_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// opendir opens the root.
func (m *mount) opendir() {
	m.t.Helper()
	call := m.call()
	u, err := m.table.UseNode(call, m.table.Root())
	if err != nil {
		m.t.Fatal(err)
	}
	defer u.Done()
	b := m.table.Reserve(unix.O_RDONLY)
	rep, err := u.G.Top.Opendir(call, &xlator.OpenReq{Inode: u.Inode, Base: b.FH()})
	if err != nil {
		m.t.Fatal(err)
	}
	m.table.Publish(&u, b, m.table.Root(), rep.FD)
}

// eventually waits for something that has no other sign.
func (m *mount) eventually(what string, is func() bool) {
	m.t.Helper()
	end := time.Now().Add(30 * time.Second)
	for !is() {
		if time.Now().After(end) {
			m.t.Fatalf("never: %s: %+v", what, m.table.Status())
		}
		time.Sleep(time.Millisecond)
	}
}

// Directories are what hangs: their opens are told from those of files.
func TestFileThatHangsInItsMoveDoesNotKeepTheOthers(t *testing.T) {
	m := newMount(t, "")
	const dirs, files = 5, 300
	for range dirs {
		m.opendir() // all of one node, which is the first
	}
	for i := range files {
		m.create(fmt.Sprint("f", i))
	}
	gate := filepath.Join(t.TempDir(), "gate")
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(gate)
	m.reload(fmt.Sprintf("volume slow\n type debug/delay-gen\n option delay-percentage 0\n option gate %s\n option enable opendir\n subvolumes b\nend-volume\n", gate))
	m.eventually("all files have moved", func() bool { return m.table.Status().Pending == 1 })
	if m.table.Settled() {
		t.Error("settled, with a directory on the old graph")
	}
	if err := os.Remove(gate); err != nil {
		t.Fatal(err)
	}
	m.eventually("the directory has moved", func() bool { return m.table.Status().Pending == 0 })
	m.eventually("one graph is left", func() bool { return m.mgr.Status().Live == 1 })
}

func TestFileOpenedOnAGraphThatWasReplacedMeanwhileFollows(t *testing.T) {
	m := newMount(t, "")
	call := m.call()
	u, err := m.table.UseNode(call, m.table.Root())
	if err != nil {
		t.Fatal(err)
	}
	m.reload(layers("debug/io-stats"))
	m.eventually("the sweep is over", m.table.Settled)
	b := m.table.Reserve(unix.O_RDWR)
	rep, err := u.G.Top.Create(call, &xlator.CreateReq{
		MakeReq: xlator.MakeReq{Parent: u.Inode, Name: "late", GFID: xlator.NewGFID(), Mode: 0o644}, Flags: unix.O_RDWR, Base: b.FH()})
	if err != nil {
		t.Fatal(err)
	}
	n := m.table.Found(rep.FD.Inode().GFID(), xlator.TypeRegular)
	m.table.Publish(&u, b, n, rep.FD)
	u.Done()
	m.eventually("it has moved, unused", func() bool { return m.table.Status().Pending == 0 && m.table.Settled() })
	m.eventually("one graph is left", func() bool { return m.mgr.Status().Live == 1 })
}
