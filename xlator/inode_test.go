package xlator_test

import (
	"runtime"
	"testing"

	"github.com/holdfast/holdfast/xlator"
)

func TestInodesThatAreGoneLeaveTheTable(t *testing.T) {
	tab := xlator.NewInodeTable(&xlator.Slots{})
	var used []*xlator.Inode
	for range 1000 {
		used = append(used, tab.Get(xlator.NewGFID(), xlator.TypeRegular))
	}
	for range 50 {
		for range 10000 {
			tab.Get(xlator.NewGFID(), xlator.TypeRegular)
		}
		runtime.GC()
	}
	// What was made since the last collection but one, and as much again.
	if n := tab.Len(); n > 45000 {
		t.Errorf("%d of 501000 Inodes are in the table, 1000 of them in use", n)
	}
	for _, i := range used {
		if tab.Get(i.GFID(), i.Type()) != i {
			t.Fatal("a second Inode of one gfid")
		}
	}
	runtime.KeepAlive(used)
}
