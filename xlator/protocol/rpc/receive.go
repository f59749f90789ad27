package rpc

import (
	"encoding/binary"
)

// read is the reader: it receives, unless a caller does. It ends when the
// connection does, after everything that was received has been handed on.
func (c *Conn) read(s *socket) {
	for c.takeTurn(s) {
		n, err := s.recv()
		c.mu.Lock()
		err = c.received(s, n, err)
		c.passTurn(s)
		c.mu.Unlock()
		if err != nil {
			break
		}
	}
	c.lose(s)
}

// received deals with what a system call has received. An error is the end of the
// connection. mu is held.
func (c *Conn) received(s *socket, n int, err error) error {
	c.at(atReceived)
	if err == nil {
		c.mem.Arrived(int(c.place(c.consumed)), n)
		c.consumed += uint64(n)
		err = c.parse()
		c.verify()
	} else {
		err = ioError("receive", err)
	}
	if err != nil {
		c.fail(s, err)
	}
	return err
}

// place is where in the ring a position is.
func (c *Conn) place(pos uint64) uint64 { return (pos - c.origin) % c.size }

// rewindAfter bytes an empty ring is used from its beginning again: memory that
// was used a moment ago is in the processor's cache.
const rewindAfter = 64 << 10

// space is the free part of the ring. Only who receives may ask, right before.
func (c *Conn) space() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.size - (c.consumed - c.done)
	if n == c.size && c.place(c.consumed) >= rewindAfter {
		c.origin = c.consumed
		c.hdr.store(hdrOrigin, c.origin)
	}
	at := c.place(c.consumed)
	return c.ring[at : at+n]
}

// waitSpace waits until the ring has free space. ok is false if there is none
// before the connection has ended.
func (c *Conn) waitSpace(s *socket) (ok bool) {
	for {
		c.mu.Lock()
		s.starved = c.consumed-c.done == c.size
		starved := s.starved
		c.mu.Unlock()
		if !starved {
			return true
		}
		select {
		case <-s.space:
		case <-s.giveUp:
			return false
		}
	}
}

// parse takes the whole records out of what has been received. mu is held.
//
// A record layer (TLS) goes between the ring and this: it would open what is in
// the ring into memory of its own and have its own frontier.
func (c *Conn) parse() error {
	for c.consumed-c.parsed >= 4 {
		at := c.place(c.parsed)
		mark := binary.BigEndian.Uint32(c.ring[at:])
		n := int(mark &^ lastFragment)
		switch {
		case mark&lastFragment == 0:
			return protocolError("a record in fragments")
		case n < minRecord:
			return protocolError("a record of %d bytes", n)
		case n+4 > c.layout().maxRecord():
			return protocolError("a record of %d bytes, the receive ring has %d", n, c.size)
		case c.consumed-c.parsed < uint64(4+n):
			return nil
		}
		c.parsed += uint64(4 + n)
		seq := c.records.push(c.parsed)
		if err := c.deliver(c.ring[at+4:at+4+uint64(n):at+4+uint64(n)], seq); err != nil {
			return err
		}
	}
	return nil
}

// deliver hands one record to whom it concerns. mu is held.
func (c *Conn) deliver(rec []byte, seq uint64) error {
	xid, kind := binary.BigEndian.Uint32(rec), binary.BigEndian.Uint32(rec[4:])
	switch kind {
	case msgReply:
		return c.deliverReply(xid, rec[8:], seq)
	case msgCall:
		cb, err := parseCallback(rec[8:])
		if err == nil {
			c.postpone(event{callback: cb, rec: seq})
		}
		return err
	}
	return protocolError("message type %d", kind)
}

func (c *Conn) deliverReply(xid uint32, rec []byte, seq uint64) error {
	k := c.byXid[xid]
	if k == nil {
		if c.parsed <= c.stale { // the process before has dealt with it
			c.finish(seq)
			return nil
		}
		return protocolError("a reply to call %d, which is not outstanding", xid)
	}
	if k.end > c.written && k.end > c.sock.launched { // sendQueued looks whether it really went
		return protocolError("a reply to call %d, which has not been sent", xid)
	}
	result, err := parseReply(rec)
	if err != nil {
		return err
	}
	delete(c.byXid, xid)
	c.outstanding--
	c.unreserve(k)
	if c.answeredSoon() == 0 {
		c.sock.turn.alone++
	}
	k.phase, k.result, k.rec = answered, result, seq
	c.answered = max(c.answered, k.end)
	c.at(atReply)
	if k.before {
		c.fewer.Broadcast()
	}
	if k.ping {
		c.sock.pingAt = 0
		c.release(k)
		c.finish(seq)
		return nil
	}
	// What is small, or for somebody who is not here, is not to hold up the
	// ring.
	if (k.fits(len(result)) || !k.waiting) && c.record(k) {
		c.finish(seq)
	}
	if k.orphan && !k.waiting {
		c.orphaned(k)
	}
	k.notify()
	c.readmit()
	return nil
}

// records are the messages in the ring from done on, by number in order of
// arrival from 1. Guarded by Conn.mu.
type records struct {
	first uint64 // number of q[0], less 1
	q     []entry
}

type entry struct {
	end      uint64 // position after it
	finished bool
}

func (r *records) push(end uint64) (seq uint64) {
	r.q = append(r.q, entry{end: end})
	return r.first + uint64(len(r.q))
}

// finish says that nobody needs the record any more, moves done over what is
// finished and gives the ring's memory to those who wait for it. Finishing
// twice, or number 0, is nothing. mu is held.
func (c *Conn) finish(seq uint64) {
	r := &c.records
	if seq <= r.first || seq > r.first+uint64(len(r.q)) {
		return
	}
	r.q[seq-r.first-1].finished = true
	n := 0
	for n < len(r.q) && r.q[n].finished {
		n++
	}
	if n == 0 {
		return
	}
	c.done = r.q[n-1].end
	r.first += uint64(n)
	r.q = r.q[:copy(r.q, r.q[n:])]
	c.at(atFrontier)
	c.hdr.store(hdrDone, max(c.done, c.floor))
	c.at(atDone)
	if s := c.sock; s != nil && s.starved {
		select {
		case s.space <- struct{}{}:
		default:
		}
	}
	c.readmit()
}
