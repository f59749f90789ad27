package locks

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/holdfast/holdfast/xlator"
	"golang.org/x/sys/unix"
)

func ticket(f xlator.GFID, owner uint64, typ int16, start, end int64, number uint64) Ticket {
	return Ticket{File: f, Lock: xlator.Lock{Type: typ, Start: start, End: end, Owner: owner}, Number: number}
}

func TestDetachedWaiterKeepsItsPlace(t *testing.T) {
	bubble(t, func(t *testing.T, u user) {
		u.must(fileA, "1:w 0-9")
		b := u.wait(fileA, "2:w 0-9", 1)
		b.pending()
		c := u.wait(fileA, "3:w 0-9", 2)
		c.pending()
		for range 10 { // as many switches
			close(b.detach)
			b.ends(detachedErrno)
			close(c.detach)
			c.ends(detachedErrno)
			u.counts(1, 2)
			c = u.wait(fileA, "3:w 0-9", 2) // back in the other order
			c.pending()
			b = u.wait(fileA, "2:w 0-9", 1)
			b.pending()
		}
		u.must(fileA, "1:u 0-$")
		b.ends(0)
		c.pending()
		u.must(fileA, "2:u 0-$")
		c.ends(0)
		u.must(fileA, "3:u 0-$")
		u.counts(0, 0)
	})
}

func TestGrantToADetachedWaiterIsALock(t *testing.T) {
	bubble(t, func(t *testing.T, u user) {
		u.must(fileA, "1:w 0-9")
		b := u.wait(fileA, "2:w 0-9", 1)
		synctest.Wait()
		close(b.detach)
		b.ends(detachedErrno)
		u.must(fileA, "1:u 0-$")
		u.counts(1, 0)
		u.refused(fileA, "3:r 0-0", syscall.EAGAIN)
		u.must(fileA, "2:r 5-5") // its owner goes on in another thread
		u.wait(fileA, "2:w 0-9", 1).ends(0)
		u.must(fileA, "3:r 5-5") // what was told later had happened before
		u.must(fileA, "2:u 0-$")
		u.must(fileA, "3:u 0-$")
		u.counts(0, 0)
	})
}

func TestTwoCallsMayWaitWithOneTicket(t *testing.T) {
	bubble(t, func(t *testing.T, u user) {
		u.must(fileA, "1:w 0-9")
		old, young := u.wait(fileA, "2:w 0-9", 1), u.wait(fileA, "2:w 0-9", 1)
		synctest.Wait()
		u.counts(1, 1)
		close(old.detach)
		old.ends(detachedErrno)
		young.pending()
		again := u.wait(fileA, "2:w 0-9", 1)
		again.pending()
		again.Interrupt() // the request is one: both calls end
		again.ends(syscall.EINTR)
		young.ends(syscall.EINTR)
		u.must(fileA, "1:u 0-$")
		u.counts(0, 0)
	})
}

func TestInterruptAfterDetachIsSeenWhenAskedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, u user) {
		u.must(fileA, "1:w 0-9")
		b := u.wait(fileA, "2:w 0-9", 1)
		synctest.Wait()
		b.Interrupt()
		close(b.detach)
		<-b.done
		k, c := record(t, fileA, "2:w 0-9")
		if err := u.set(b, k, c, patience{block: true, ticket: 1}); xlator.Errno(err) != syscall.EINTR {
			t.Fatal(err)
		}
		u.must(fileA, "1:u 0-$")
		u.counts(0, 0)
	})
}

func TestDetachComesBeforeInterrupt(t *testing.T) {
	u := user{t, NewTable()}
	u.must(fileA, "1:w 0-9")
	k, c := record(t, fileA, "2:w 0-9")
	call, detach := &xlator.Call{}, make(chan struct{})
	call.Interrupt()
	close(detach)
	p := patience{block: true, ticket: 1, detach: detach}
	for range 50 {
		if err := u.set(call, k, c, p); err != xlator.ErrDetached {
			t.Fatal(err)
		}
		u.counts(1, 1)
	}
	c.pid = 5 // another thread may speak for the owner
	p.detach = nil
	if err := u.set(call, k, c, p); xlator.Errno(err) != syscall.EINTR {
		t.Fatal(err)
	}
	u.counts(1, 0)
}

func TestUnlockCancelsDetachedWaitsWithinItsRange(t *testing.T) {
	bubble(t, func(t *testing.T, u user) {
		u.must(fileA, "1:w 0-99")
		var calls []*call
		for i, s := range []string{"2:w 0-9", "2:r 5-14", "2:w 50-59", "3:w 0-9"} {
			calls = append(calls, u.wait(fileA, s, uint64(i+1)))
		}
		attended := u.wait(fileA, "2:w 1-1", 0)
		synctest.Wait()
		for _, c := range calls {
			close(c.detach)
			c.ends(detachedErrno)
		}
		u.counts(1, 5)
		u.must(fileA, "2:u 0-9") // 0-9 goes, 5-14 is not within
		u.counts(1, 4)
		u.must(fileA, "2:u 0-$")
		u.counts(1, 2)
		attended.pending()
		u.must(fileA, "1:u 0-$")
		u.counts(1, 1) // owner 3 came before the one who stayed
		u.must(fileA, "3:u 0-$")
		attended.ends(0)
		u.must(fileA, "2:u 0-$")
		u.counts(0, 0)
	})
}

func TestUnlockEndsAGrantNobodyFetched(t *testing.T) {
	bubble(t, func(t *testing.T, u user) {
		u.must(fileA, "1:w 0-9")
		b := u.wait(fileA, "2:w 0-9", 1)
		synctest.Wait()
		close(b.detach)
		b.ends(detachedErrno)
		u.must(fileA, "1:u 0-$")
		u.must(fileA, "2:u 0-4")
		u.counts(1, 0)
		u.must(fileA, "2:u 5-9")
		u.counts(0, 0)
	})
}

func TestWaiterWithoutTicketGoesWithItsCall(t *testing.T) {
	bubble(t, func(t *testing.T, u user) {
		u.must(fileA, "1:w 0-9")
		b := u.wait(fileA, "2:w 0-9", 0)
		synctest.Wait()
		close(b.detach)
		b.ends(detachedErrno)
		u.counts(1, 0)
	})
}

func TestAbandonedWaitLeavesTheQueue(t *testing.T) {
	bubble(t, func(t *testing.T, u user) {
		u.must(fileA, "1:w 0-9")
		b := u.wait(fileA, "2:w 0-9", 1)
		synctest.Wait()
		tk := ticket(fileA, 2, unix.F_WRLCK, 0, 9, 1)
		if err := u.Abandon(tk, nil); xlator.Errno(err) != syscall.EBUSY {
			t.Fatal(err)
		}
		close(b.detach)
		b.ends(detachedErrno)
		if err := u.Abandon(ticket(fileA, 2, unix.F_RDLCK, 0, 9, 1), nil); err != nil {
			t.Fatal(err)
		}
		u.counts(1, 1) // that was no ticket of anybody
		if err := u.Abandon(tk, nil); err != nil {
			t.Fatal(err)
		}
		u.counts(1, 0)
		u.must(fileA, "1:u 0-$")
		u.counts(0, 0)
	})
}

// abandoned brings about a grant that nobody fetched (owner 2, bytes 0 to 9)
// on top of what owner 2 held before, and abandons it with a record.
func abandoned(t *testing.T, u user, before, want string, between func(), held ...xlator.Lock) error {
	t.Helper()
	if before != "" {
		u.must(fileA, before)
	}
	u.must(fileA, "1:w 0-0")
	b := u.wait(fileA, want, 1)
	b.pending()
	close(b.detach)
	b.ends(detachedErrno)
	u.must(fileA, "1:u 0-$")
	between()
	_, c := record(t, fileA, want)
	typ := [...]int16{unix.F_UNLCK, unix.F_RDLCK, unix.F_WRLCK}[c.mode]
	return u.Abandon(ticket(fileA, c.owner, typ, c.start, c.end, 1), held)
}

func (u user) holds(f xlator.GFID, want string) {
	u.t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	got := ""
	if sp := u.m.spaces[spaceKey{file: f, kind: recordLocks}]; sp != nil {
		got = show(sp.held)
	}
	if got != want {
		u.t.Fatalf("held: %q, want %q", got, want)
	}
}

func TestAbandonedGrantIsTrimmedToTheRecord(t *testing.T) {
	read := func(owner uint64, start, end int64) xlator.Lock {
		return xlator.Lock{Type: unix.F_RDLCK, Owner: owner, Start: start, End: end}
	}
	bubble(t, func(t *testing.T, u user) {
		if err := abandoned(t, u, "", "2:w 0-9", func() {}); err != nil {
			t.Fatal(err)
		}
		u.holds(fileA, "")
		u.counts(0, 0)
	})
	bubble(t, func(t *testing.T, u user) {
		w := (*call)(nil)
		err := abandoned(t, u, "2:r 4-20", "2:w 0-9", func() {
			w = u.wait(fileA, "3:r 0-9", 0)
			w.pending()
		}, read(2, 4, 20), read(7, 0, 9), xlator.Lock{Type: unix.F_WRLCK, Owner: 2, Flock: true})
		if err != nil {
			t.Fatal(err)
		}
		w.ends(0)
		u.holds(fileA, "2:r 4-20, 3:r 0-9")
	})
	bubble(t, func(t *testing.T, u user) {
		// A read lock granted over a write lock let another reader in: the
		// write lock cannot be had back.
		err := abandoned(t, u, "2:w 4-5", "2:r 0-9", func() { u.must(fileA, "3:r 5-5") },
			xlator.Lock{Type: unix.F_WRLCK, Owner: 2, Start: 4, End: 5})
		if xlator.Errno(err) != syscall.EAGAIN {
			t.Fatal(err)
		}
		u.holds(fileA, "3:r 5-5")
	})
}

// TestEveryWaiterIsServedThroughEndlessSwitches has owners take one lock again
// and again while their calls are detached and interrupted at random.
func TestEveryWaiterIsServedThroughEndlessSwitches(t *testing.T) {
	tb := NewTable()
	k := spaceKey{file: fileA, kind: recordLocks}
	const owners, rounds = 12, 60
	counter, inside := 0, atomic.Int32{} // counter is guarded by the lock under test
	var interrupted atomic.Int32
	var wg sync.WaitGroup
	for o := range uint64(owners) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, o))
			for number := uint64(1); number <= rounds; number++ {
				c := claim{owner: o, end: 9, mode: exclusive}
				err := askThroughSwitches(tb, k, c, number, rnd)
				if xlator.Errno(err) == syscall.EINTR {
					interrupted.Add(1)
					continue
				}
				if err != nil || inside.Add(1) != 1 {
					t.Errorf("owner %d: %v, or not alone", o, err)
				}
				counter++
				inside.Add(-1)
				tb.unlock(k, claim{owner: o, end: endOfFile})
			}
		})
	}
	wg.Wait()
	if counter != owners*rounds-int(interrupted.Load()) {
		t.Fatalf("%d times inside, %d interrupted", counter, interrupted.Load())
	}
	t.Logf("%d times inside, %d interrupted", counter, interrupted.Load())
	user{t, tb}.counts(0, 0)
}

// askThroughSwitches asks until the answer is not ErrDetached.
func askThroughSwitches(tb *Table, k spaceKey, c claim, number uint64, rnd *rand.Rand) error {
	call := &xlator.Call{}
	var wg sync.WaitGroup
	defer wg.Wait()
	if rnd.IntN(3) == 0 {
		wg.Go(call.Interrupt)
	}
	for again := rnd.IntN(4); ; again-- {
		detach := make(chan struct{})
		if again > 0 {
			wg.Go(func() { close(detach) })
		}
		if err := tb.set(call, k, c, patience{block: true, ticket: number, detach: detach}); err != xlator.ErrDetached {
			return err
		}
	}
}
