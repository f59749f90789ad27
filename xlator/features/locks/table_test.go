package locks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/holdfast/holdfast/xlator"
	"golang.org/x/sys/unix"
)

var (
	fileA = xlator.GFID{15: 1}
	fileB = xlator.GFID{15: 2}
)

// user is a Table with short words for what the tests do to it.
type user struct {
	t testing.TB
	*Table
}

func record(t testing.TB, f xlator.GFID, s string) (spaceKey, claim) {
	t.Helper()
	return spaceKey{file: f, kind: recordLocks}, scan(t.(*testing.T), s)
}

// try takes a record lock at once and says how that ended.
func (u user) try(f xlator.GFID, s string) syscall.Errno {
	u.t.Helper()
	k, c := record(u.t, f, s)
	if c.mode == unlocked {
		_, err := u.unlock(k, c)
		return xlator.Errno(err)
	}
	return errnoOf(u.t, u.set(context.Background(), k, c, patience{}))
}

// errnoOf is xlator.Errno, and 1<<20 for ErrDetached.
func errnoOf(t testing.TB, err error) syscall.Errno {
	if errors.Is(err, xlator.ErrDetached) {
		return detachedErrno
	}
	return xlator.Errno(err)
}

const detachedErrno = syscall.Errno(1 << 20)

func (u user) must(f xlator.GFID, s string) {
	u.t.Helper()
	if e := u.try(f, s); e != 0 {
		u.t.Fatalf("%s: %v", s, e)
	}
}

func (u user) refused(f xlator.GFID, s string, want syscall.Errno) {
	u.t.Helper()
	if e := u.try(f, s); e != want {
		u.t.Fatalf("%s: %v, want %v", s, e, want)
	}
}

func (u user) counts(held, waiting int) {
	u.t.Helper()
	if h, w := u.Counts(); h != held || w != waiting {
		u.t.Fatalf("%d held and %d waiting, want %d and %d", h, w, held, waiting)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.m.check(); err != nil {
		u.t.Fatal(err)
	}
	if held+waiting == 0 && len(u.m.spaces)+len(u.m.tickets)+len(u.m.waits) != 0 {
		u.t.Fatalf("something is left: %+v", *u.m)
	}
}

// call is one waiting request.
type call struct {
	*xlator.Call
	t      testing.TB
	detach chan struct{}
	done   chan struct{}
	err    error
}

// wait starts a request that may wait. It has come as far as it comes when
// synctest.Wait returns.
func (u user) wait(f xlator.GFID, s string, ticket uint64) *call {
	u.t.Helper()
	k, c := record(u.t, f, s)
	return u.start(k, c, ticket)
}

func (u user) start(k spaceKey, c claim, ticket uint64) *call {
	w := &call{Call: &xlator.Call{}, t: u.t, detach: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.err = u.set(w, k, c, patience{block: true, ticket: ticket, detach: w.detach})
	}()
	return w
}

// ends waits for the request's end and compares the outcome.
func (w *call) ends(want syscall.Errno) {
	w.t.Helper()
	<-w.done
	if got := errnoOf(w.t, w.err); got != want || (got == 0) != (w.err == nil) {
		w.t.Fatalf("the wait ended with %v (%v), want %v", got, w.err, want)
	}
}

// pending checks that the request still waits.
func (w *call) pending() {
	w.t.Helper()
	synctest.Wait()
	select {
	case <-w.done:
		w.t.Fatalf("the wait ended with %v", w.err)
	default:
	}
}

// bubble runs f where synctest.Wait works; a goroutine left behind fails it.
func bubble(t *testing.T, f func(*testing.T, user)) {
	synctest.Test(t, func(t *testing.T) { f(t, user{t, NewTable()}) })
}

func TestWaitersAreGrantedInOrderOfArrival(t *testing.T) {
	bubble(t, func(t *testing.T, u user) {
		u.must(fileA, "1:w 0-9")
		b := u.wait(fileA, "2:w 0-9", 0)
		b.pending()
		c := u.wait(fileA, "3:w 0-9", 0)
		c.pending()
		d := u.wait(fileA, "4:r 5-5", 0)
		d.pending()
		u.counts(1, 3)
		u.must(fileA, "1:u 0-$")
		b.ends(0)
		c.pending()
		d.pending()
		u.refused(fileA, "5:r 0-0", syscall.EAGAIN)
		u.must(fileA, "2:u 0-$")
		c.ends(0)
		d.pending()
		u.must(fileA, "3:u 5-5")
		d.ends(0)
		u.must(fileA, "3:u 0-$")
		u.must(fileA, "4:u 0-$")
		u.counts(0, 0)
	})
}

func TestAllReadersAreGrantedAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, u user) {
		u.must(fileA, "1:w 0-$")
		var readers []*call
		for o := range 50 {
			readers = append(readers, u.wait(fileA, fmt.Sprintf("%d:r 0-$", o+2), 0))
		}
		synctest.Wait()
		u.must(fileA, "1:r 0-$") // a downgrade makes room too
		for _, r := range readers {
			r.ends(0)
		}
		u.counts(51, 0)
	})
}

func TestOnlyHeldLocksAreInTheWay(t *testing.T) {
	bubble(t, func(t *testing.T, u user) {
		u.must(fileA, "1:r 0-9")
		w := u.wait(fileA, "2:w 0-9", 0)
		w.pending()
		u.must(fileA, "3:r 0-9") // as Linux does: the waiting writer is no obstacle
		u.must(fileA, "1:u 0-$")
		w.pending()
		u.must(fileA, "3:u 0-$")
		w.ends(0)
	})
}

func TestInterruptedWaiterLeavesNoGhost(t *testing.T) {
	bubble(t, func(t *testing.T, u user) {
		u.must(fileA, "1:w 0-9")
		b := u.wait(fileA, "2:w 0-9", 7)
		c := u.wait(fileA, "3:w 0-9", 8)
		synctest.Wait()
		b.Interrupt()
		b.ends(syscall.EINTR)
		c.pending()
		u.must(fileA, "1:u 0-$")
		c.ends(0)
		u.must(fileA, "3:u 0-$")
		u.counts(0, 0)
	})
}

func TestInterruptBeforeTheCallStillTakesAFreeLock(t *testing.T) {
	bubble(t, func(t *testing.T, u user) {
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		k, c := record(t, fileA, "1:w 0-9")
		if err := u.set(gone, k, c, patience{block: true}); err != nil {
			t.Fatal(err)
		}
		k, c = record(t, fileA, "2:w 0-9")
		if err := u.set(gone, k, c, patience{block: true, ticket: 3}); xlator.Errno(err) != syscall.EINTR {
			t.Fatal(err)
		}
		u.counts(1, 0)
	})
}

func TestClosedTableEndsWaits(t *testing.T) {
	bubble(t, func(t *testing.T, u user) {
		u.must(fileA, "1:w 0-9")
		a, b := u.wait(fileA, "2:w 0-9", 0), u.wait(fileA, "3:w 0-9", 4)
		synctest.Wait()
		u.Close()
		a.ends(syscall.ENOTCONN)
		b.ends(syscall.ENOTCONN)
		u.refused(fileA, "1:u 0-$", syscall.ENOTCONN)
	})
}

func TestCircleOfWaitersIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, u user) {
		u.must(fileA, "1:w 0-0")
		u.must(fileA, "2:w 1-1")
		u.must(fileB, "3:w 0-0")
		a := u.wait(fileA, "1:w 1-1", 0) // 1 waits for 2
		a.pending()
		b := u.wait(fileB, "2:r 0-$", 5) // 2 waits for 3, in another file
		b.pending()
		close(b.detach) // and goes on waiting without a call
		b.ends(detachedErrno)
		c := u.wait(fileA, "3:r 0-0", 0) // 3 would wait for 1
		c.ends(syscall.EDEADLK)
		u.refused(fileA, "3:r 0-0", syscall.EAGAIN) // who does not wait is no part of a circle
		u.must(fileB, "3:u 0-$")
		u.wait(fileB, "2:r 0-$", 5).ends(0)
		u.must(fileA, "2:u 0-$")
		a.ends(0)
	})
}

func TestCircleThroughTheSecondOfTwoHoldersIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, u user) {
		u.must(fileA, "1:r 0-0")
		u.must(fileA, "2:r 0-0")
		u.must(fileA, "3:w 5-5")
		a := u.wait(fileA, "2:w 5-5", 0)
		a.pending()
		u.wait(fileA, "3:w 0-0", 0).ends(syscall.EDEADLK)
		u.must(fileA, "3:u 0-$")
		a.ends(0)
	})
}

func TestTwoReadersThatBothUpgradeAreACircle(t *testing.T) {
	bubble(t, func(t *testing.T, u user) {
		u.must(fileA, "1:r 0-0")
		u.must(fileA, "2:r 0-0")
		a := u.wait(fileA, "1:w 0-0", 0)
		a.pending()
		u.wait(fileA, "2:w 0-0", 0).ends(syscall.EDEADLK)
		u.must(fileA, "2:u 0-0")
		a.ends(0)
	})
}

func TestFlockWaitsInCirclesAsLinuxDoes(t *testing.T) {
	bubble(t, func(t *testing.T, u user) {
		key := func(f xlator.GFID) spaceKey { return spaceKey{file: f, kind: flocks} }
		lock := func(o uint64) claim { return claim{owner: o, end: endOfFile, mode: exclusive} }
		u.start(key(fileA), lock(1), 0).ends(0)
		u.start(key(fileB), lock(2), 0).ends(0)
		a := u.start(key(fileB), lock(1), 0)
		a.pending()
		b := u.start(key(fileA), lock(2), 0)
		b.pending()
		b.Interrupt()
		b.ends(syscall.EINTR)
		u.unlock(key(fileB), lock(2))
		a.ends(0)
		// A record lock waited for closes no circle either: that owner is another
		// number by chance.
		u.must(fileA, "7:w 0-0")
		r := u.wait(fileA, "1:w 0-0", 0)
		r.pending()
		b = u.start(key(fileA), lock(7), 0)
		b.pending()
		u.must(fileA, "7:u 0-$")
		r.ends(0)
		u.unlock(key(fileA), lock(1))
		b.ends(0)
	})
}

func TestConvertedFlockGivesUpTheOldOneFirst(t *testing.T) {
	bubble(t, func(t *testing.T, u user) {
		k := spaceKey{file: fileA, kind: flocks}
		lock := func(o uint64, m mode) claim { return claim{owner: o, end: endOfFile, mode: m} }
		try := func(c claim) syscall.Errno { return xlator.Errno(u.set(t.Context(), k, c, patience{})) }
		try(lock(1, shared))
		try(lock(2, shared))
		if e := try(lock(1, exclusive)); e != syscall.EAGAIN {
			t.Fatal(e)
		}
		u.counts(1, 0) // 1 has nothing any more
		if e := try(lock(2, exclusive)); e != 0 {
			t.Fatal(e)
		}
		w := u.start(k, lock(3, shared), 0)
		w.pending()
		if e := try(lock(2, shared)); e != 0 {
			t.Fatal(e)
		}
		w.ends(0)
		// 2 converts while 3 reads: 2's lock goes, and 4, who came first, is next.
		first := u.start(k, lock(4, exclusive), 0)
		first.pending()
		second := u.start(k, lock(2, exclusive), 0)
		second.pending()
		u.unlock(k, lock(3, shared))
		first.ends(0)
		second.pending()
		u.unlock(k, lock(4, shared))
		second.ends(0)
	})
}

func TestLockedCounterIsNeverLost(t *testing.T) {
	tb := NewTable()
	k := spaceKey{file: fileA, kind: recordLocks}
	const owners, rounds = 40, 50
	counter := 0 // guarded by the lock under test alone
	var wg sync.WaitGroup
	for o := range uint64(owners) {
		wg.Go(func() {
			c := claim{owner: o, start: int64(o % 3), end: 10, mode: exclusive}
			for range rounds {
				if err := tb.set(context.Background(), k, c, patience{block: true}); err != nil {
					t.Error(err)
					return
				}
				counter++
				tb.unlock(k, claim{owner: o, end: endOfFile})
			}
		})
	}
	wg.Wait()
	if counter != owners*rounds {
		t.Fatalf("counter is %d", counter)
	}
	user{t, tb}.counts(0, 0)
}

func TestGrantOrInterruptNeverBothNorNeither(t *testing.T) {
	grants, interrupts := 0, 0
	for i := range 4000 {
		u := user{t, NewTable()}
		u.must(fileA, "1:w 0-9")
		k, c := record(t, fileA, "2:w 0-9")
		o := u.m.request(k, c, true, uint64(i%2))
		call := &xlator.Call{}
		var wg sync.WaitGroup
		racers := []func(){func() { u.must(fileA, "1:u 0-$") }, call.Interrupt}
		wg.Go(racers[i/2%2])
		wg.Go(racers[1-i/2%2])
		err := u.await(call, o.wait, patience{block: true})
		wg.Wait()
		switch {
		case err == nil:
			grants++
			u.counts(1, 0)
			u.must(fileA, "2:u 0-$")
		case xlator.Errno(err) == syscall.EINTR:
			interrupts++
		default:
			t.Fatal(err)
		}
		u.counts(0, 0)
	}
	t.Logf("%d grants, %d interrupts", grants, interrupts)
}

func TestErrorsSayWhatIsInTheWay(t *testing.T) {
	u := user{t, NewTable()}
	k, c := record(t, fileA, "1:w 0-9")
	c.pid = 4711
	if err := u.set(t.Context(), k, c, patience{}); err != nil {
		t.Fatal(err)
	}
	_, c = record(t, fileA, "2:r 3-$")
	const want = "posix lock on gfid 00000000-0000-0000-0000-000000000001, read 3-eof: " +
		"owner 1 (pid 4711) has write 0-9: resource temporarily unavailable"
	if err := u.set(t.Context(), k, c, patience{}); err == nil || err.Error() != want {
		t.Fatalf("got  %v\nwant %s", err, want)
	}
	if _, _, err := lockClaim(fileA, xlator.Lock{Type: unix.F_RDLCK, Start: 5, End: 4}); xlator.Errno(err) != syscall.EINVAL {
		t.Fatal(err)
	}
}
