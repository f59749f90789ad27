package rpc

import (
	"syscall"
	"time"
)

// turn is who receives. With many calls under way the reader does: a goroutine
// that the runtime's poller wakes, and that wakes the callers. For one call after
// the other that is two threads woken for each. So after some calls that had no
// company the reader steps aside, and a caller receives its reply in the system
// call that it waits in. There is never more than one who receives.
//
// INVARIANT: while a call is outstanding that is not a wait for a lock, somebody
// receives, or has mu and is about to, or the reader has been asked to.
type turn struct {
	taken bool   // somebody receives
	aside bool   // the reader has stepped aside
	alone int    // calls in a row that had no company
	need  int    // so many of them have the reader step aside
	own   uint64 // calls that received for themselves
	since uint64 // own when the reader stepped aside
}

const (
	// needFirst is the need at first. It doubles each time the reader was needed
	// again before that number of calls did without it, up to needMost.
	needFirst = 16
	needMost  = 4096
	// turnLimit is how long a caller receives for itself: then it waits as others
	// do, and can be interrupted.
	turnLimit = 2 * time.Millisecond
	// turnLook is how soon the reader notices that nobody calls any more. What the
	// server sends by itself waits for that long if nobody calls.
	turnLook = 5 * time.Millisecond
)

// takeTurn waits until it is the reader's turn and the ring has room. ok is false
// if the connection has ended and nobody makes room.
func (c *Conn) takeTurn(s *socket) (ok bool) {
	var look *time.Timer
	var own uint64
	for {
		c.mu.Lock()
		if s.turn.aside && look != nil && own == s.turn.own {
			s.turn.aside = false // nobody calls
		}
		if !s.turn.taken && !s.turn.aside {
			s.turn.taken = true
			c.mu.Unlock()
			return c.waitSpace(s)
		}
		own = s.turn.own
		c.mu.Unlock()
		if look == nil {
			look = time.NewTimer(turnLook)
			defer look.Stop()
		} else {
			look.Reset(turnLook)
		}
		select {
		case <-s.wanted:
		case <-look.C:
		}
	}
}

// passTurn is what the reader does after it has received: it steps aside if the
// callers can do without it. mu is held.
func (c *Conn) passTurn(s *socket) {
	t := &s.turn
	t.taken = false
	if !s.tcp || t.alone < t.need || c.answeredSoon() > 0 || s.cause != nil || s.in.arm(false) != nil {
		return
	}
	t.aside, t.since = true, t.own
}

// callReader has the reader receive, at once or after who is at it. mu is held.
func (c *Conn) callReader(s *socket) {
	t := &s.turn
	if t.aside {
		t.aside = false
		if t.own-t.since >= uint64(t.need) {
			t.need = needFirst
		} else {
			t.need = min(2*t.need, needMost)
		}
	}
	if t.taken {
		return
	}
	select {
	case s.wanted <- struct{}{}:
	default:
	}
}

// answeredSoon is the number of calls under way, but for waits for locks. mu is
// held.
func (c *Conn) answeredSoon() int { return c.outstanding - c.blocking }

// receiveOwn receives until the call has its reply, if it is alone and the reader
// has stepped aside. If the reply does not come soon the reader goes on. mu is
// held, and not while it waits.
func (c *Conn) receiveOwn(k *call) {
	s := c.sock
	if s == nil || !s.turn.aside || k.phase != outstanding {
		return
	}
	if s.turn.taken || k.waits || c.answeredSoon() > 1 {
		c.callReader(s)
		return
	}
	s.turn.taken = true
	s.turn.own++
	var err error
	for k.phase == outstanding && err == nil && c.consumed-c.done < c.size {
		var n int
		c.mu.Unlock()
		n, err = s.recvHere()
		c.mu.Lock()
		if err != syscall.EAGAIN {
			err = c.received(s, n, err)
		}
	}
	s.turn.taken = false
	if k.phase == outstanding || !s.turn.aside || s.cause != nil || c.answeredSoon() > 0 {
		c.callReader(s)
	}
}
