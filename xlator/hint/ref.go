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
	err   error         // guarded by mu; of the last attempt, or why it is LOST
	pause time.Duration // guarded by mu
	until time.Time     // guarded by mu; end of the pause
}

// Current is the published result, fresh or not, or nil. It takes no lock.
func (r *Ref[T]) Current() *Result[T] { return r.cur.Load() }

// State is where the Ref stands, for people to look at.
func (r *Ref[T]) State() (State, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state, r.err
}

// Attempt opens the handle. It returns the key that its result is fresh for,
// which may be newer than the one that was asked for. It runs to its end
// whoever still waits.
type Attempt[T any] func() (key uint64, v T, err error)

// Use returns a result that is fresh for want. If there is none it makes one
// attempt, together with all others who ask meanwhile; after a failure, and
// until the pause is over, it returns the older result if there is one, else
// the attempt's error. The old result is handed to release after the new one
// is published. ctx ends only this caller's wait.
func (r *Ref[T]) Use(ctx context.Context, own Owner, want uint64, open Attempt[T], release func(*Result[T])) (*Result[T], error) {
	for {
		if c := r.cur.Load(); c != nil && c.Key >= want {
			return c, nil
		}
		r.mu.Lock()
		if r.state.Backoff && !time.Now().Before(r.until) {
			r.state, _ = Step(r.state, Event{Kind: PauseOver})
		}
		var act Action
		r.state, act = Step(r.state, Event{Kind: Use, Key: want})
		switch act {
		case Hit, UseOld:
			c := r.cur.Load()
			r.mu.Unlock()
			return c, nil
		case Refuse:
			err := r.err
			r.mu.Unlock()
			return nil, err
		case Start:
			r.mu.Unlock()
			own.Go(func() { r.attempt(open, release) })
			continue
		}
		if r.done == nil {
			r.done = make(chan struct{})
		}
		done := r.done
		r.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (r *Ref[T]) attempt(open Attempt[T], release func(*Result[T])) {
	key, v, err := open()
	ev := Event{Kind: Opened, Key: key}
	if gone := (*ErrGone)(nil); errors.As(err, &gone) {
		ev.Kind = Gone
	} else if err != nil {
		ev.Kind = Failed
	}
	r.mu.Lock()
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
		r.err = err
		r.pause = min(max(2*r.pause, MinPause), MaxPause)
		r.until = time.Now().Add(r.pause)
	case Gone:
		r.err = err
	}
	switch act {
	case Publish:
		r.err, r.pause = nil, 0
		return r.cur.Swap(&Result[T]{ev.Key, v})
	case Discard:
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
