package rpc

import "encoding/binary"

// Callback is a call of the server. Args are ring memory until the handler
// returns.
type Callback struct {
	Prog, Vers, Proc uint32
	Args             []byte
}

// Orphan is a call whose reply came and whom nobody will ask for: the request
// was ended without it, or did not come back after the death of the process. If it
// acquired something (a remote fd, a lock), that is to be undone, by one call
// with the same Unique and Step|UndoStep, whose reply is to be released: so it is
// done once, whatever dies.
type Orphan struct {
	Unique           uint64
	Step             uint32
	Prog, Vers, Proc uint32
	// Args are the call's arguments, Reply the result as in [Reply].Body; Reject
	// is not 0 if the server refused the call. All is valid until the handler
	// returns.
	Args, Reply []byte
	Reject      Reject
	// Epoch is the connection that the reply came over; 0: one that is gone, and
	// there is nothing to undo.
	Epoch uint64
}

// event is something for a handler.
type event struct {
	callback Callback
	rec      uint64 // the callback's record, or 0
	orphan   *call
}

// postpone gives an event to the event loop. mu is held.
func (c *Conn) postpone(e event) {
	c.events = append(c.events, e)
	if !c.closed {
		select {
		case c.kick <- struct{}{}:
		default:
		}
	}
}

// orphaned sees to a reply that nobody will ask for. mu is held.
func (c *Conn) orphaned(k *call) {
	k.orphan = true
	c.postpone(event{orphan: k})
}

// handleEvents runs the handlers, until Close.
func (c *Conn) handleEvents() {
	defer close(c.ended)
	for range c.kick {
		for {
			c.mu.Lock()
			if len(c.events) == 0 || c.closed {
				c.mu.Unlock()
				break
			}
			e := c.events[0]
			c.events = c.events[1:]
			c.mu.Unlock()
			if e.orphan != nil {
				c.handleOrphan(e.orphan)
			} else {
				c.handleCallback(e)
			}
		}
	}
}

func (c *Conn) handleCallback(e event) {
	if c.opts.OnCallback != nil {
		c.opts.OnCallback(e.callback)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finish(e.rec)
}

func (c *Conn) handleOrphan(k *call) {
	o := c.asOrphan(k)
	if c.opts.OnOrphan != nil && o.Step&UndoStep == 0 && o.Prog != dumpProg {
		c.opts.OnOrphan(o)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	undo := c.find(k.unique, k.step|UndoStep)
	rec := k.rec
	c.release(k)
	c.finish(rec)
	if undo != nil {
		c.abandon(undo)
	}
}

// earlier reports whether the call was made over a connection before this one.
func (c *Conn) earlier(k *call) bool { return k.end <= c.hdr.load(hdrBegan) }

// asOrphan describes a call that nobody else touches.
func (c *Conn) asOrphan(k *call) Orphan {
	o := Orphan{
		Unique: k.unique, Step: k.step,
		Reply: k.result[4:], Reject: Reject(binary.BigEndian.Uint32(k.result)),
	}
	o.Prog, o.Vers, o.Proc, o.Args = k.request()
	if !c.earlier(k) {
		o.Epoch = c.Epoch()
	}
	return o
}
