package rpc

import (
	"encoding/binary"
	"syscall"
)

const (
	maxBatch = 16 // records in one writev
	maxIovec = 64
	// turns is how many writev a caller does for others before it leaves the
	// rest to the writer.
	turns = 4
)

// publish makes the call part of the stream: from the store of pub on it will
// be sent, by this process or the next. mu is held.
func (c *Conn) publish(k *call) {
	xid := uint32(c.hdr.load(hdrXid))
	for {
		xid++
		if _, used := c.byXid[xid]; xid != 0 && !used {
			break
		}
	}
	c.hdr.store(hdrXid, uint64(xid))
	k.xid, k.end = xid, c.pub+uint64(k.length())
	binary.BigEndian.PutUint32(k.slot.data()[recXid:], xid)
	k.slot.put32(offXid, xid)
	k.slot.put64(offEnd, k.end)
	k.slot.setState(slotSent)
	c.at(atMarked)
	c.pub = k.end
	c.hdr.store(hdrPub, c.pub)
	c.at(atPublished)
	c.dispatch(k)
	c.sock.queue = append(c.sock.queue, queued{k, k.length()})
	c.verify()
}

// dispatch counts the call among the outstanding. mu is held.
func (c *Conn) dispatch(k *call) {
	k.phase = outstanding
	c.byXid[k.xid] = k
	c.outstanding++
	if s := c.sock; s != nil && c.answeredSoon() > 1 {
		s.turn.alone = 0
	}
}

// transmit sends what is queued, unless somebody is at it. It returns when the
// queue is empty, or leaves the rest to the writer. mu is held and released.
func (c *Conn) transmit(s *socket) {
	if s.sending {
		c.mu.Unlock()
		return
	}
	s.sending = true
	c.sendQueued(s, turns)
}

// sendQueued sends by at most that many writev. The caller has set sending; mu
// is held and released.
func (c *Conn) sendQueued(s *socket, turns int) {
	full := false
	for ; turns > 0 && !full; turns-- {
		n := s.gather()
		if n == 0 || s.cause != nil {
			s.sending = false
			c.mu.Unlock()
			return
		}
		s.flying, s.launched = true, c.written+uint64(n)
		c.mu.Unlock()
		c.at(atSend)
		sent, err := s.writev()
		c.at(atSent)
		c.mu.Lock()
		s.flying = false
		c.landed.Broadcast()
		c.written += uint64(sent)
		s.advance(sent)
		c.verify()
		if c.answered > c.written {
			c.fail(s, protocolError("a reply to a call that has not been sent"))
		}
		full = sent < n
		if err != nil && err != syscall.EAGAIN {
			c.fail(s, ioError("send", err))
		}
	}
	if len(s.queue) == 0 {
		s.sending = false
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	s.kick <- struct{}{}
}

// write is the writer: it goes on where the socket was full.
func (c *Conn) write(s *socket) {
	defer s.workers.Done()
	for {
		select {
		case <-s.giveUp:
			return
		case <-s.kick:
		}
		s.waitWritable()
		c.mu.Lock()
		c.sendQueued(s, turns)
	}
}

// queued is a record on its way. Once it is sent the call may be answered, and
// its slot another's, before the queue knows.
type queued struct {
	call   *call
	length int
}

// gather collects what the next writev sends, and returns its length. Conn.mu
// is held.
func (s *socket) gather() (n int) {
	s.iovs = s.iovs[:0]
	skip := s.skip
	for i, q := range s.queue {
		k := q.call
		if i == maxBatch || len(s.iovs)+len(k.chain)+1 > maxIovec && i > 0 {
			break
		}
		for j, part := range k.chain {
			n += s.piece(part.data()[:min(slotRoom, max(0, k.head-j*slotRoom))], &skip)
		}
		n += s.piece(k.payload, &skip)
	}
	return n
}

// piece adds b without its first skip bytes.
func (s *socket) piece(b []byte, skip *int) int {
	k := min(*skip, len(b))
	*skip -= k
	if b = b[k:]; len(b) > 0 && len(s.iovs) < cap(s.iovs) {
		s.iovs = append(s.iovs, iovec(b))
		return len(b)
	}
	return 0
}

// advance removes what was sent from the queue. Conn.mu is held.
func (s *socket) advance(sent int) {
	s.skip += sent
	done := 0
	for done < len(s.queue) && s.skip >= s.queue[done].length {
		s.skip -= s.queue[done].length
		done++
	}
	n := copy(s.queue, s.queue[done:])
	clear(s.queue[n:])
	s.queue = s.queue[:n]
}
