package rpc

import (
	"context"
	"fmt"
)

// waiter is a call that has no slot yet, or no room in the ring for its reply.
type waiter struct {
	r     *Request
	slots int
	k     *call
	err   error
	ready chan struct{} // closed when k or err is set
}

func (w *waiter) refuse(err error) {
	w.err = err
	close(w.ready)
}

// admit gives the request its slots, when there are some and the ring has room
// for the reply. mu is held, and not while it waits.
func (c *Conn) admit(ctx context.Context, r *Request) (*call, error) {
	if c.sock == nil || c.sock.cause != nil {
		err := &LostError{NotSent, c.cause}
		if c.sock != nil {
			err.Cause = c.sock.cause
		}
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ended(ctx)
	}
	slots := slotsFor(len(r.Args) + maxHead)
	if len(c.waiters) == 0 && c.mayEnter(r, slots) {
		return c.enter(r, slots), nil
	}
	w := &waiter{r: r, slots: slots, ready: make(chan struct{})}
	c.waiters = append(c.waiters, w)
	c.readmit()
	c.mu.Unlock()
	select {
	case <-w.ready:
	case <-ctx.Done():
	}
	c.mu.Lock()
	switch {
	case w.k != nil:
		return w.k, nil // even if ctx has ended: the call itself will see to it
	case w.err != nil:
		return nil, w.err
	}
	for i, o := range c.waiters {
		if o == w {
			c.waiters = append(c.waiters[:i], c.waiters[i+1:]...)
			break
		}
	}
	return nil, fmt.Errorf("wait for room to send: %w", ended(ctx))
}

// readmit lets in those who wait and may, in their order: nobody passes another
// that wants the same thing. mu is held.
func (c *Conn) readmit() {
	if len(c.waiters) == 0 {
		return
	}
	var refused [4]bool
	rest := c.waiters[:0]
	for _, w := range c.waiters {
		class := c.class(w.r)
		room := w.r.reserve() > 0
		if refused[class] || room && refused[3] || !c.mayEnter(w.r, w.slots) {
			if room && !c.hasRoom(w.r) {
				refused[3] = true
			} else {
				refused[class] = true
			}
			rest = append(rest, w)
			continue
		}
		w.k = c.enter(w.r, w.slots)
		close(w.ready)
	}
	clear(c.waiters[len(rest):])
	c.waiters = rest
}

// The classes of calls, by how many slots they leave to others. What a request
// has begun can be finished while nothing new can begin, and lock waits leave
// room for the unlocks that they wait for.
const (
	classNew = iota
	classNext
	classWaits
)

func (c *Conn) class(r *Request) int {
	if _, begun := c.requests[r.Unique]; begun && r.Unique != 0 {
		return classNext
	}
	if r.Waits {
		return classWaits
	}
	return classNew
}

func (c *Conn) mayEnter(r *Request, slots int) bool {
	n := len(c.calls)
	left := len(c.free) - slots
	switch c.class(r) {
	case classWaits:
		return c.blocking < n/2 && left >= n/4 && c.hasRoom(r)
	case classNew:
		return left >= n/4 && c.hasRoom(r)
	}
	return left >= 1 && c.hasRoom(r) // the last slot is the ping's
}

// hasRoom reports whether the ring would take the reply whatever comes first.
func (c *Conn) hasRoom(r *Request) bool {
	n := r.reserve()
	if n == 0 {
		return true
	}
	held := int(c.consumed - c.done)
	return held+c.expected+n <= int(c.size)-c.layout().smallReserve()
}

// enter takes the slots and the room. mu is held.
func (c *Conn) enter(r *Request, slots int) *call {
	i := c.pop()
	k := &c.calls[i]
	k.links, k.chain = append(k.links[:0], i), append(k.chain[:0], k.slot)
	for range slots - 1 {
		l := c.pop()
		k.links, k.chain = append(k.links, l), append(k.chain, c.calls[l].slot)
	}
	k.phase, k.unique, k.step, k.waits = building, r.Unique, r.Step, r.Waits
	if k.step == 0 && r.Unique != 0 {
		k.step = c.nextStep(r.Unique)
	}
	k.expect = r.reserve()
	c.expected += k.expect
	if k.waits {
		c.blocking++
	}
	if r.Unique == 0 {
		k.own, k.unique = true, c.number()
	} else {
		c.link(k)
	}
	return k
}

// unreserve gives back the room: the reply is here, or will not come. mu is
// held.
func (c *Conn) unreserve(k *call) {
	c.expected -= k.expect
	if k.waits {
		c.blocking--
	}
}

// number names a piece of the client's own work. Numbers are never used twice
// in a memory's life.
func (c *Conn) number() uint64 {
	n := c.hdr.load(hdrNumber) + 1
	c.hdr.store(hdrNumber, n)
	return n | ownUnique
}
