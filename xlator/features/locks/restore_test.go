package locks_test

import (
	"context"
	"math"
	"syscall"
	"testing"

	"github.com/holdfast/holdfast/xlator"
	"golang.org/x/sys/unix"
)

// TestLocksOfAnEarlierProcessAreRestoredAndWaitsQueueUpInOrder plays what a
// worker does that comes after one that died: it is told what is held, then
// carries the waiting requests out again, each once the one before has its
// place.
func TestLocksOfAnEarlierProcessAreRestoredAndWaitsQueueUpInOrder(t *testing.T) {
	w, top := graphOf(t, nil, t.TempDir())
	made, err := top.Create(xlator.Internal(), &xlator.CreateReq{
		MakeReq: xlator.MakeReq{Parent: w.Root(top), Name: "f", GFID: xlator.NewGFID(), Mode: 0o600}, Flags: unix.O_RDWR | unix.O_CREAT, Base: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer top.Release(made.FD)
	file := made.FD.Inode().GFID()
	record := func(owner uint64, typ int16, start, end int64) xlator.Lock {
		return xlator.Lock{Type: typ, Start: start, End: end, Owner: owner, PID: uint32(owner)}
	}
	r := top.(xlator.LockRestorer)
	if err := r.RestoreLocks(file, []xlator.Lock{
		record(1, unix.F_WRLCK, 0, 9), record(1, unix.F_RDLCK, 5, 9), record(2, unix.F_RDLCK, 5, 20),
		{Type: unix.F_WRLCK, End: math.MaxInt64, Owner: 9, Flock: true},
	}); err != nil {
		t.Fatal(err)
	}
	lk := func(ctx context.Context, cmd xlator.LkCmd, l xlator.Lock) error {
		_, err := top.Lk(ctx, &xlator.LkReq{FD: made.FD, Cmd: cmd, Lock: l, Ticket: l.Owner})
		return err
	}
	refused := func(l xlator.Lock) {
		t.Helper()
		if err := lk(xlator.Internal(), xlator.LkSet, l); xlator.Errno(err) != syscall.EAGAIN {
			t.Fatalf("%+v: %v", l, err)
		}
	}
	refused(record(3, unix.F_RDLCK, 4, 4))
	refused(record(3, unix.F_WRLCK, 20, 20))
	refused(xlator.Lock{Type: unix.F_RDLCK, Owner: 3, Flock: true})
	if err := lk(xlator.Internal(), xlator.LkSet, record(3, unix.F_RDLCK, 5, 20)); err != nil {
		t.Fatal("what was restored is read locked there: ", err)
	}
	if err := lk(xlator.Internal(), xlator.LkSet, record(3, unix.F_UNLCK, 0, math.MaxInt64)); err != nil {
		t.Fatal(err)
	}

	// A record that cannot be true is named, and does no harm to the others.
	err = r.RestoreLocks(file, []xlator.Lock{record(4, unix.F_WRLCK, 0, 0), record(4, unix.F_WRLCK, 100, 100)})
	if xlator.Errno(err) != syscall.EAGAIN {
		t.Fatal(err)
	}
	refused(record(5, unix.F_RDLCK, 100, 100))

	const waiters = 20
	granted := make(chan uint64, waiters)
	failed := make(chan error, waiters)
	for o := uint64(100); o < 100+waiters; o++ {
		parked := make(chan struct{})
		c := xlator.Internal()
		c.OnPark = func() { close(parked) }
		go func() {
			if err := lk(c, xlator.LkWait, record(o, unix.F_WRLCK, 0, 0)); err != nil {
				failed <- err
			}
			granted <- o
			failed <- lk(xlator.Internal(), xlator.LkSet, record(o, unix.F_UNLCK, 0, 0))
		}()
		<-parked
	}
	if err := lk(xlator.Internal(), xlator.LkSet, record(1, unix.F_UNLCK, 0, math.MaxInt64)); err != nil {
		t.Fatal(err)
	}
	for o := uint64(100); o < 100+waiters; o++ {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
		if got := <-granted; got != o {
			t.Fatalf("owner %d was granted the lock in place of %d", got, o)
		}
	}
}
