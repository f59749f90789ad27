package xlator

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Call is who asks and for what: the identity of one request of the kernel (or
// of the client itself), set once by the bridge and carried as the context of
// every fop below it. It is itself a context.Context without a deadline that
// is cancelled by an INTERRUPT.
type Call struct {
	// Unique is the FUSE unique without bit 63: the same before and after a
	// resend, 0 for the client's own work.
	Unique uint64
	UID    uint32
	GID    uint32
	PID    uint32
	// LockOwner is the kernel's hash of the owner of POSIX or flock locks.
	LockOwner uint64
	Groups    []uint32

	// Journal is where the call's record outlives the process; nil without a
	// keeper and for the client's own work.
	Journal Journal
	// OnPark, if not nil, is called once the call waits for a lock.
	OnPark func()

	step atomic.Uint32

	mu          sync.Mutex
	done        chan struct{} // guarded by mu; made by the first Done
	enders      []Ender       // guarded by mu
	interrupted atomic.Bool
	ended       atomic.Bool
}

type callKey struct{}

// Internal returns a new Call for work that the client does on its own behalf,
// as root.
func Internal() *Call { return &Call{} }

// CallFrom returns the call behind ctx; a context without one is the client's
// own work.
func CallFrom(ctx context.Context) *Call {
	if c, ok := ctx.(*Call); ok {
		return c
	}
	if c, ok := ctx.Value(callKey{}).(*Call); ok {
		return c
	}
	return Internal()
}

// NextStep numbers the sends of one request, from 1. With Unique it names a
// send: the n-th thing this request asked of a brick.
func (c *Call) NextStep() uint32 { return c.step.Add(1) }

// Reset makes the Call ready for another request. Nobody may still use it.
func (c *Call) Reset() {
	c.Unique, c.UID, c.GID, c.PID, c.LockOwner, c.Groups = 0, 0, 0, 0, 0, nil
	c.Journal, c.OnPark = nil, nil
	c.step.Store(0)
	c.done, c.enders = nil, c.enders[:0]
	c.interrupted.Store(false)
	c.ended.Store(false)
}

// Interrupt cancels the call: waits that may end early return EINTR.
func (c *Call) Interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.interrupted.Swap(true) {
		return
	}
	if c.done != nil {
		close(c.done)
	}
}

// End interrupts the call for good: nobody waits for its answer any more.
func (c *Call) End() {
	c.ended.Store(true)
	c.Interrupt()
}

// Ended reports whether End was called.
func (c *Call) Ended() bool { return c.ended.Load() }

// Deadline implements context.Context: there is none.
func (c *Call) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done implements context.Context.
func (c *Call) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.interrupted.Load() {
			close(c.done)
		}
	}
	return c.done
}

// Err implements context.Context.
func (c *Call) Err() error {
	if c.interrupted.Load() {
		return context.Canceled
	}
	return nil
}

// Value implements context.Context.
func (c *Call) Value(key any) any {
	if _, ok := key.(callKey); ok {
		return c
	}
	return nil
}
