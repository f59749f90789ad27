package fdtable_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// TestRefusedConversionIsRecordedAsTheBrickHasIt: a flock that cannot be
// converted is gone, as flock(2) says; a record lock stays as it was.
func TestRefusedConversionIsRecordedAsTheBrickHasIt(t *testing.T) {
	k, dir := newKeeper(t), t.TempDir()
	m := k.worker(dir, variants[0])
	f := m.create("f")
	set := func(l xlator.Lock) unix.Errno {
		return xlator.Errno(f.m.table.Setlk(f.m.call(), f.b, l, false))
	}
	flock := func(owner uint64, typ int16) xlator.Lock {
		return xlator.Lock{Type: typ, Owner: owner, End: 1<<63 - 1, PID: uint32(owner), Flock: true}
	}
	for _, c := range []struct {
		l    xlator.Lock
		want unix.Errno
	}{
		{flock(1, unix.F_RDLCK), 0}, {flock(2, unix.F_RDLCK), 0}, {flock(1, unix.F_WRLCK), unix.EAGAIN},
		{flock(2, unix.F_WRLCK), 0}, {flock(2, unix.F_RDLCK), 0},
		{lockOf(3, unix.F_WRLCK, 0, 9), 0}, {lockOf(4, unix.F_WRLCK, 20, 29), 0}, {lockOf(3, unix.F_RDLCK, 0, 29), unix.EAGAIN},
		{lockOf(4, unix.F_RDLCK, 25, 29), 0},
	} {
		if got := set(c.l); got != c.want {
			t.Fatalf("%v: %v, want %v", c.l, got, c.want)
		}
	}
	want := m.table.View()
	m = k.worker(dir, variants[0])
	if got := m.table.View(); got != want {
		t.Fatalf("before:\n%s\nafter:\n%s", want, got)
	}
	f = f.again(m)
	for _, c := range []struct {
		l    xlator.Lock
		want unix.Errno
	}{
		{flock(5, unix.F_RDLCK), 0}, {flock(5, unix.F_WRLCK), unix.EAGAIN}, // owner 2 reads, owner 1 has nothing
		{lockOf(6, unix.F_RDLCK, 0, 9), unix.EAGAIN}, {lockOf(6, unix.F_RDLCK, 20, 24), unix.EAGAIN}, {lockOf(6, unix.F_RDLCK, 25, 29), 0},
	} {
		if got := set(c.l); got != c.want {
			t.Errorf("after the restart, %v: %v, want %v", c.l, got, c.want)
		}
	}
	if held := f.n.HeldLocks(); len(held) != 5 {
		t.Errorf("held: %v", held)
	}
}
