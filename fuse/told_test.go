package fuse

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/holdfast/holdfast/xlator"
)

// notified receives n notifications, and returns them in the order of their text.
func (k *kernel) notified(n int) (all []string) {
	k.Helper()
	for range n {
		h, body := k.reply()
		switch h.Status {
		case notifyInvalInode:
			m := as[gofuse.NotifyInvalInodeOut](k, body)
			all = append(all, fmt.Sprintf("node %d from %d", m.Ino, m.Off))
		case notifyInvalEntry:
			m := as[gofuse.NotifyInvalEntryOut](k, body)
			all = append(all, fmt.Sprintf("node %d name %s flags %d", m.Parent, strings.TrimSuffix(string(body[unsafe.Sizeof(*m):]), "\x00"), m.Flags))
		default:
			k.Fatalf("%+v is no notification", h)
		}
	}
	slices.Sort(all)
	return all
}

func (k *kernel) wantNotified(want ...string) {
	k.Helper()
	slices.Sort(want)
	if got := k.notified(len(want)); !slices.Equal(got, want) {
		k.Errorf("notified of %q, want %q", got, want)
	}
}

func TestKernelForgetsWhatOthersHaveChanged(t *testing.T) {
	k := play(t, Options{EntryTimeout: time.Minute, AttrTimeout: time.Minute}, nil)
	a, _ := k.create("a")
	file := k.table.Node(a).GFID()
	out := as[gofuse.EntryOut](k, k.want(send(k, opLookup, 1, &gofuse.InHeader{}, cstr("a")), 0))
	if out.EntryTimeout() != time.Minute {
		t.Errorf("%+v", out)
	}
	nodeA := fmt.Sprintf("node %d from ", a)

	k.s.Changed(xlator.GFID{1, 2, 3}, xlator.StaleAttr) // nobody knows it
	k.s.Changed(file, xlator.StaleAttr)
	k.wantNotified(nodeA + "-1") // not its pages
	k.s.Changed(file, xlator.StaleData)
	k.wantNotified(nodeA + "0")
	k.s.Changed(xlator.RootGFID, xlator.StaleAttr|xlator.StaleEntries)
	k.wantNotified("node 1 from 0", "node 1 name a flags 1")
	k.s.Changed(xlator.RootGFID, xlator.StaleEntries) // the kernel asks before it uses one of them
	k.wantNotified("node 1 from 0")

	k.create("b")
	k.create("c")
	k.want(send(k, opUnlink, 1, &gofuse.InHeader{}, cstr("c")), 0)
	k.want(send(k, opRename2, 1, &gofuse.RenameIn{Newdir: 1}, cstr("b"), cstr("d")), 0)
	k.s.Changed(xlator.RootGFID, xlator.StaleEntries)
	k.wantNotified("node 1 from 0", "node 1 name d flags 1")

	k.want(send(k, opLookup, 1, &gofuse.InHeader{}, cstr("a")), 0)
	k.s.ChangedAll()
	all := k.notified(1 + k.table.Status().Nodes)
	if !slices.Contains(all, "node 1 name a flags 1") || !slices.Contains(all, nodeA+"0") || !slices.Contains(all, "node 1 from 0") {
		t.Errorf("notified of %q", all)
	}
}

func TestNothingIsRememberedOfNamesThatAreKeptForAMoment(t *testing.T) {
	k := play(t, Options{EntryTimeout: time.Second, AttrTimeout: time.Second}, nil)
	k.create("a")
	if k.s.bridge.told != nil {
		t.Error("names are remembered")
	}
	k.s.ChangedAll() // says nothing: it is soon asked for again
	k.s.Changed(xlator.RootGFID, xlator.StaleEntries)
	k.wantNotified("node 1 from 0")
}

// TestTooManyNamesAreKeptForAMoment: what is not remembered cannot be taken back.
func TestTooManyNamesAreKeptForAMoment(t *testing.T) {
	d := newTold(&Options{EntryTimeout: time.Minute})
	for i := range maxTold {
		if !d.tell(7, fmt.Sprint(i)) {
			t.Fatalf("name %d is not remembered", i)
		}
	}
	if d.tell(7, "more") || !d.tell(7, "0") || !d.tell(8, "more") {
		t.Error("the wrong names are remembered")
	}
	d.untell(7, "0")
	seen := d.seen()
	if !d.tellSince(7, "more", seen) {
		t.Error("there is room again")
	}
	if names := d.take(7); len(names) != maxTold {
		t.Errorf("%d names are taken back", len(names))
	}
	if d.tellSince(7, "late", seen) {
		t.Error("names were taken back while the brick was asked")
	}
	d.drop(7)
	if dirs := d.all(); !slices.Equal(dirs, []uint64{8}) || len(d.take(7)) != 0 {
		t.Errorf("directories %v", dirs)
	}
	if names := slices.Collect(maps.Keys(d.take(8))); !slices.Equal(names, []string{"more"}) {
		t.Errorf("%q", names)
	}
}
