package hint

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

type group struct{ sync.WaitGroup }

func (g *group) Go(f func()) { g.WaitGroup.Go(f) }

func ignore[T any](*Result[T]) {}

// opener is an attempt that waits for the test.
type opener struct {
	calls atomic.Int32
	reply chan func() (uint64, string, error)
}

func newOpener() *opener { return &opener{reply: make(chan func() (uint64, string, error))} }

func (o *opener) open() (uint64, string, error) {
	o.calls.Add(1)
	return (<-o.reply)()
}

func TestManyUsersMakeOneAttempt(t *testing.T) {
	var r Ref[string]
	var own group
	o := newOpener()
	const users = 64
	var wg sync.WaitGroup
	for range users {
		wg.Go(func() {
			got, err := r.Use(context.Background(), &own, 1, o.open, ignore[string])
			if err != nil || got.Value != "one" || got.Key != 1 {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	o.reply <- func() (uint64, string, error) { return 1, "one", nil }
	wg.Wait()
	own.Wait()
	if n := o.calls.Load(); n != 1 {
		t.Fatalf("%d attempts for one result", n)
	}
}

func TestOldResultIsReleasedAfterTheNewOneIsPublished(t *testing.T) {
	var r Ref[string]
	var own group
	r.Put(1, "old")
	released := make(chan string, 1)
	got, err := r.Use(context.Background(), &own, 2, func() (uint64, string, error) { return 2, "new", nil }, func(old *Result[string]) {
		if c := r.Current(); c.Value != "new" {
			t.Errorf("%q is published while %q is released", c.Value, old.Value)
		}
		released <- old.Value
	})
	if err != nil || got.Value != "new" {
		t.Fatal(got, err)
	}
	if s := <-released; s != "old" {
		t.Fatalf("released %q", s)
	}
}

func TestFailedAttemptLeavesTheOldResultInUseAndIsRepeatedAfterAPause(t *testing.T) {
	var r Ref[string]
	var own group
	r.Put(1, "old")
	calls := 0
	fail := func() (uint64, string, error) { calls++; return 0, "", syscall.EMFILE }
	for range 3 {
		got, err := r.Use(context.Background(), &own, 2, fail, ignore[string])
		if err != nil || got.Value != "old" {
			t.Fatal(got, err)
		}
	}
	if calls != 1 {
		t.Fatalf("%d attempts without a pause", calls)
	}
	r.mu.Lock()
	r.fails.until = time.Now() // the pause is over
	r.mu.Unlock()
	got, err := r.Use(context.Background(), &own, 2, func() (uint64, string, error) { return 2, "new", nil }, ignore[string])
	if err != nil || got.Value != "new" {
		t.Fatal(got, err)
	}
}

func TestFailureWithoutAnOldResultIsReportedAndNotSticky(t *testing.T) {
	var r Ref[string]
	var own group
	_, err := r.Use(context.Background(), &own, 1, func() (uint64, string, error) { return 0, "", syscall.EMFILE }, ignore[string])
	if !errors.Is(err, syscall.EMFILE) {
		t.Fatal(err)
	}
	if s, _ := r.State(); s.Phase != Closed {
		t.Fatalf("state %v after a failure", s.Phase)
	}
	r.mu.Lock()
	r.fails.until = time.Now()
	r.mu.Unlock()
	if got, err := r.Use(context.Background(), &own, 1, func() (uint64, string, error) { return 1, "one", nil }, ignore[string]); err != nil || got.Value != "one" {
		t.Fatal(got, err)
	}
}

// patient waits for as long as it takes.
func patient(d time.Duration) Patience {
	return Patience{Wait: func(done <-chan struct{}) error { <-done; return nil }, For: d}
}

func TestPatientUsersWaitThroughFailuresTogether(t *testing.T) {
	var r Ref[string]
	var own group
	var calls atomic.Int64
	open := func() (uint64, string, error) {
		if calls.Add(1) < 4 {
			return 0, "", syscall.EMFILE
		}
		return 1, "one", nil
	}
	var wg sync.WaitGroup
	began := time.Now()
	for range 64 {
		wg.Go(func() {
			if got, err := r.UsePatiently(patient(time.Minute), &own, 1, open, ignore[string]); err != nil || got.Value != "one" {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	wg.Wait()
	own.Wait()
	if n := calls.Load(); n != 4 {
		t.Errorf("%d attempts", n)
	}
	if d := time.Since(began); d < 7*MinPause {
		t.Errorf("the pauses were %s in all", d)
	}
}

func TestPatienceEndsWithTheErrorWhichIsNotSticky(t *testing.T) {
	var r Ref[string]
	var own group
	fail := func() (uint64, string, error) { return 0, "", syscall.EMFILE }
	began := time.Now()
	_, err := r.UsePatiently(patient(time.Second), &own, 1, fail, ignore[string])
	if d := time.Since(began); !errors.Is(err, syscall.EMFILE) || d < time.Second || d > 10*time.Second {
		t.Fatalf("%v after %s", err, d)
	}
	began = time.Now()
	for range 3 { // the patience is the handle's: who comes later does not begin anew
		if _, err = r.UsePatiently(patient(time.Second), &own, 1, fail, ignore[string]); !errors.Is(err, syscall.EMFILE) {
			t.Fatal(err)
		}
	}
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("later users waited %s", d)
	}
	r.mu.Lock()
	r.fails.until = time.Now()
	r.mu.Unlock()
	if got, err := r.Use(context.Background(), &own, 1, func() (uint64, string, error) { return 1, "one", nil }, ignore[string]); err != nil || got.Value != "one" {
		t.Fatal(got, err)
	}
}

func TestResultMadeElsewhereEndsThePause(t *testing.T) {
	for name, end := range map[string]func(r *Ref[string]){
		"put":  func(r *Ref[string]) { r.Put(1, "one") },
		"lost": func(r *Ref[string]) { r.Lose(syscall.ESTALE) },
	} {
		t.Run(name, func(t *testing.T) {
			var r Ref[string]
			var own group
			r.mu.Lock() // an hour's pause after a failure
			r.state = State{Backoff: true}
			r.fails = &failures{err: syscall.EMFILE, until: time.Now().Add(time.Hour), since: time.Now()}
			r.mu.Unlock()
			waits := make(chan struct{}, 1)
			p := patient(time.Hour)
			wait := p.Wait
			p.Wait = func(done <-chan struct{}) error { waits <- struct{}{}; return wait(done) }
			ended := make(chan error)
			go func() {
				_, err := r.UsePatiently(p, &own, 1, nil, ignore[string])
				ended <- err
			}()
			<-waits
			end(&r)
			if err := <-ended; (err == nil) != (name == "put") {
				t.Fatal(err)
			}
		})
	}
}

func TestLostIsForEver(t *testing.T) {
	var r Ref[string]
	var own group
	gone := &ErrGone{syscall.ESTALE}
	for range 2 {
		_, err := r.Use(context.Background(), &own, 1, func() (uint64, string, error) { return 0, "", gone }, ignore[string])
		if !errors.Is(err, syscall.ESTALE) {
			t.Fatal(err)
		}
	}
	if old := r.Put(5, "x"); old == nil || old.Value != "x" {
		t.Fatal("a LOST handle took a result")
	}
	if r.Current() != nil {
		t.Fatal("a LOST handle has a result")
	}
}

func TestInterruptEndsTheWaitNotTheAttempt(t *testing.T) {
	var r Ref[string]
	var own group
	o := newOpener()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		_, err := r.Use(ctx, &own, 1, o.open, ignore[string])
		ended <- err
	}()
	for o.calls.Load() == 0 {
		s, _ := r.State()
		_ = s
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	o.reply <- func() (uint64, string, error) { return 1, "one", nil }
	own.Wait()
	if c := r.Current(); c == nil || c.Value != "one" {
		t.Fatal("the attempt's result is lost")
	}
}

func TestANewerResultMadeElsewhereWinsOverTheAttempt(t *testing.T) {
	var r Ref[string]
	var own group
	o := newOpener()
	released := make(chan string, 1)
	done := make(chan string)
	go func() {
		got, _ := r.Use(context.Background(), &own, 1, o.open, func(x *Result[string]) { released <- x.Value })
		done <- got.Value
	}()
	for o.calls.Load() == 0 {
		_, _ = r.State()
	}
	r.Put(3, "three")
	o.reply <- func() (uint64, string, error) { return 1, "one", nil }
	if s := <-released; s != "one" {
		t.Fatalf("released %q", s)
	}
	if s := <-done; s != "three" {
		t.Fatalf("used %q", s)
	}
}

func TestAttemptMayPublishItsResultItself(t *testing.T) {
	var r Ref[string]
	var own group
	r.Put(1, "old")
	release := func(r *Result[string]) { t.Errorf("released %q", r.Value) }
	got, err := r.Use(context.Background(), &own, 2, func() (uint64, string, error) {
		if old := r.Put(2, "new"); old.Value != "old" {
			t.Errorf("replaced %q", old.Value)
		}
		return Published, "", nil
	}, release)
	if err != nil || got.Value != "new" {
		t.Fatal(got, err)
	}
	own.Wait()
	if s, _ := r.State(); s != (State{Phase: Open, Have: 2}) {
		t.Fatalf("%+v", s)
	}
	// Given up before the attempt has ended: it is opened again.
	calls := 0
	got, err = r.Use(context.Background(), &own, 3, func() (uint64, string, error) {
		r.Put(3, "newer")
		if calls++; calls == 1 {
			r.Drop()
		}
		return Published, "", nil
	}, release)
	if err != nil || got.Value != "newer" || calls != 2 {
		t.Fatal(got, err, calls)
	}
}

func TestHitTakesNoLockAndAllocatesNothing(t *testing.T) {
	var r Ref[string]
	r.Put(7, "x")
	r.mu.Lock() // a HIT must not need it
	defer r.mu.Unlock()
	if n := testing.AllocsPerRun(100, func() {
		if c, err := r.Use(context.Background(), nil, 7, nil, nil); err != nil || c.Value != "x" {
			t.Fatal(c, err)
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

// lock is a mutex that can be looked at.
type lock chan struct{}

func (l lock) lock()   { l <- struct{}{} }
func (l lock) unlock() { <-l }

func (l lock) free() bool { return len(l) == 0 }

// TestOldDesignsRaceDoesNotExistHere keeps the schedule that hung the first
// design of fd migration: a request locks the inode through the fd, the switch
// puts another inode into the fd, and the request unlocks through the fd again.
func TestOldDesignsRaceDoesNotExistHere(t *testing.T) {
	type inode struct{ lock lock }
	newInode := func() *inode { return &inode{make(lock, 1)} }

	t.Run("swap the inode in the fd", func(t *testing.T) {
		type fd struct {
			mu    sync.Mutex
			inode *inode
		}
		older, newer := newInode(), newInode()
		newer.lock.lock() // another request has the new inode
		f := &fd{inode: older}
		get := func() *inode { f.mu.Lock(); defer f.mu.Unlock(); return f.inode }

		get().lock.lock()   // the request
		f.mu.Lock()         // the switch
		f.inode = newer     //
		f.mu.Unlock()       //
		get().lock.unlock() // the request ends, and unlocks what is not its own
		if older.lock.free() || !newer.lock.free() {
			t.Fatal("the schedule no longer shows the race")
		}
	})
	t.Run("publish a new result", func(t *testing.T) {
		var r Ref[*inode]
		older, newer := newInode(), newInode()
		newer.lock.lock()
		r.Put(1, older)

		mine := r.Current().Value
		mine.lock.lock()
		r.Put(2, newer)
		mine.lock.unlock()
		if !older.lock.free() || newer.lock.free() {
			t.Fatal("a lock changed under its holder")
		}
	})
}

// TestStepIsTotal walks every state with every event: no panic, and the
// invariants hold in what comes out.
func TestStepIsTotal(t *testing.T) {
	seen := map[State]bool{}
	var walk func(s State)
	walk = func(s State) {
		if seen[s] {
			return
		}
		seen[s] = true
		if s.Phase == Open && s.Have == 0 || s.Phase == Closed && s.Have != 0 || s.Phase == Lost && s.Have != 0 {
			t.Fatalf("inconsistent state %+v", s)
		}
		for k := Use; k <= UsePatiently; k++ {
			for key := uint64(0); key <= 3; key++ {
				if key == Published && k != Opened {
					continue
				}
				if (k == Opened || k == Failed) && s.Phase != Reopening {
					continue // there is no attempt
				}
				n, a := Step(s, Event{k, key})
				if a == Hit && s.Have < key {
					t.Fatalf("HIT for %d in %+v", key, s)
				}
				if k == UsePatiently && a == Refuse && s.Phase != Lost {
					t.Fatalf("refused in %+v", s)
				}
				if a == Pause && (k != UsePatiently || s.Have != 0 || !s.Backoff) {
					t.Fatalf("told to wait for event %d in %+v", k, s)
				}
				if a == Start && s.Phase == Reopening {
					t.Fatalf("two attempts in %+v", s)
				}
				walk(n)
			}
		}
	}
	walk(State{})
	t.Logf("%d states", len(seen))
}

func BenchmarkHit(b *testing.B) {
	var r Ref[string]
	r.Put(7, "x")
	ctx := context.Background()
	for b.Loop() {
		if _, err := r.Use(ctx, nil, 7, nil, nil); err != nil {
			b.Fatal(err)
		}
	}
}
