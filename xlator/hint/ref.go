package hint

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Result is something that was opened, and the key it is fresh for. It is
// immutable.
type Result[T any] struct {
	Key   uint64
	Value T
}

// Owner runs attempts in goroutines that it can be asked to wait for.
type Owner interface{ Go(func()) }

// Here is the Owner for a goroutine that may make the attempt itself: nothing
// interrupts it, and whoever started it waits for it.
type Here struct{}

// Go implements Owner.
func (Here) Go(f func()) { f() }

// ErrGone marks an attempt's error as final: what is named can never come back.
type ErrGone struct{ Err error }

func (e *ErrGone) Error() string { return e.Err.Error() }
func (e *ErrGone) Unwrap() error { return e.Err }

// Back-off after a failed attempt: doubles from MinPause to MaxPause.
const (
	MinPause = 50 * time.Millisecond
	MaxPause = 5 * time.Second
)

// Ref is a handle and the last result of opening it. The zero Ref is CLOSED.
type Ref[T any] struct {
	cur atomic.Pointer[Result[T]] // written under mu

	mu    sync.Mutex
	state State         // guarded by mu
	done  chan struct{} // guarded by mu; closed at the end of the attempt in flight, if somebody waits for it
	fails *failures     // guarded by mu; nil while none has failed since the last result
}

// failures is what is known of the attempts that have failed in a row, or why a
// Ref is LOST.
type failures struct {
	err   error         // of the last
	pause time.Duration // after the last
	until time.Time     // end of the pause
	since time.Time     // when the first of them began
	over  chan struct{} // nil: nobody waits; closed at the end of the pause, and when a result was made elsewhere
}

// Current is the published result, fresh or not, or nil. It takes no lock.
func (r *Ref[T]) Current() *Result[T] { return r.cur.Load() }

// State is where the Ref stands, for people to look at.
func (r *Ref[T]) State() (State, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails == nil {
		return r.state, nil
	}
	return r.state, r.fails.err
}

// Attempt opens the handle. It returns the key that its result is fresh for,
// which may be newer than the one that was asked for, or Published. It runs to
// its end whoever still waits.
type Attempt[T any] func() (key uint64, v T, err error)

// Patience is how long a user waits.
type Patience struct {
	// Wait returns nil when done is closed, or an error as soon as this user
	// does not want to wait any longer.
	Wait func(done <-chan struct{}) error
	// For is how long attempts are repeated that fail while there is no older
	// result to use, counted from the first of them; 0: not at all.
	For time.Duration
}

// Use returns a result that is fresh for want. If there is none it makes one
// attempt, together with all others who ask meanwhile; after a failure, and
// until the pause is over, it returns the older result if there is one, else
// the attempt's error. The old result is handed to release after the new one
// is published. ctx ends only this caller's wait.
func (r *Ref[T]) Use(ctx context.Context, own Owner, want uint64, open Attempt[T], release func(*Result[T])) (*Result[T], error) {
	if c := r.cur.Load(); c != nil && c.Key >= want {
		return c, nil
	}
	return r.UsePatiently(Patience{Wait: func(done <-chan struct{}) error {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}, own, want, open, release)
}

// UsePatiently is Use for a caller who would rather wait than get an error that
// may pass: where there is no result at all, attempts are repeated with pauses
// between them, one for all who wait, until one succeeds or the patience ends.
func (r *Ref[T]) UsePatiently(p Patience, own Owner, want uint64, open Attempt[T], release func(*Result[T])) (*Result[T], error) {
	for {
		if c := r.cur.Load(); c != nil && c.Key >= want {
			return c, nil
		}
		r.mu.Lock()
		now := time.Now()
		if r.state.Backoff && !now.Before(r.fails.until) {
			r.state, _ = Step(r.state, Event{Kind: PauseOver})
		}
		kind := Use
		if p.For > 0 && (r.fails == nil || now.Sub(r.fails.since) < p.For) {
			kind = UsePatiently
		}
		var act Action
		r.state, act = Step(r.state, Event{Kind: kind, Key: want})
		switch act {
		case Hit, UseOld:
			c := r.cur.Load()
			r.mu.Unlock()
			return c, nil
		case Refuse:
			err := r.fails.err
			r.mu.Unlock()
			return nil, err
		case Start:
			r.mu.Unlock()
			own.Go(func() { r.attempt(open, release) })
			continue
		}
		done := r.done
		if act == Pause {
			done = r.pauseOver(now, p.For)
		} else if done == nil {
			done = make(chan struct{})
			r.done = done
		}
		r.mu.Unlock()
		if err := p.Wait(done); err != nil {
			return nil, err
		}
	}
}

// pauseOver returns what is closed at the end of the pause, or of the patience.
// Called with mu held, in a pause.
func (r *Ref[T]) pauseOver(now time.Time, patience time.Duration) chan struct{} {
	f := r.fails
	if f.over == nil {
		over := make(chan struct{})
		f.over = over
		time.AfterFunc(min(f.until.Sub(now), f.since.Add(patience).Sub(now)), func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			if f.over == over {
				f.wake()
			}
		})
	}
	return f.over
}

// wake ends the waits for the end of the pause. Called with the Ref's mu held.
func (f *failures) wake() {
	if f != nil && f.over != nil {
		close(f.over)
		f.over = nil
	}
}

func (r *Ref[T]) attempt(open Attempt[T], release func(*Result[T])) {
	began := time.Now()
	key, v, err := open()
	ev := Event{Kind: Opened, Key: key}
	if gone := (*ErrGone)(nil); errors.As(err, &gone) {
		ev.Kind = Gone
	} else if err != nil {
		ev.Kind = Failed
	}
	r.mu.Lock()
	if err != nil && r.fails == nil {
		r.fails = &failures{since: began}
	}
	let := r.apply(ev, v, err)
	if r.done != nil {
		close(r.done)
		r.done = nil
	}
	r.mu.Unlock()
	if let != nil {
		release(let)
	}
}

// apply steps the state and returns the result to let go, if any. Called with
// mu held.
func (r *Ref[T]) apply(ev Event, v T, err error) *Result[T] {
	var act Action
	r.state, act = Step(r.state, ev)
	switch ev.Kind {
	case Failed:
		f := r.fails
		f.err = err
		f.pause = min(max(2*f.pause, MinPause), MaxPause)
		f.until = time.Now().Add(f.pause)
	case Gone:
		r.fails.wake()
		r.fails = &failures{err: err}
	}
	switch act {
	case Publish:
		r.fails.wake()
		r.fails = nil
		return r.cur.Swap(&Result[T]{ev.Key, v})
	case Discard:
		if ev.Key == Published {
			return nil
		}
		return &Result[T]{ev.Key, v}
	case Release:
		return r.cur.Swap(nil)
	}
	return nil
}

// Put publishes a result that was made elsewhere and returns the one to let
// go: the old one, or the new one when it came too late; or nil.
func (r *Ref[T]) Put(key uint64, v T) *Result[T] {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.apply(Event{Kind: Put, Key: key}, v, nil)
}

// Drop gives the result up and returns it to be let go; the next Use opens
// again.
func (r *Ref[T]) Drop() *Result[T] {
	r.mu.Lock()
	defer r.mu.Unlock()
	var zero T
	return r.apply(Event{Kind: Drop}, zero, nil)
}

// Lose makes the Ref LOST for that reason and returns what to let go.
func (r *Ref[T]) Lose(err error) *Result[T] {
	r.mu.Lock()
	defer r.mu.Unlock()
	var zero T
	return r.apply(Event{Kind: Gone}, zero, err)
}
