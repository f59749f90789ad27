package rpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"
)

// ErrDamaged is why a memory cannot be taken over.
var ErrDamaged = errors.New("the connection's memory is damaged")

// Resume goes on where the process before stopped, at whatever instruction:
// with its calls, their replies and both streams. The socket is the one that
// it used (nil if that is known to be lost); no other process may use it or the
// memory any more. Every request that comes back is to be claimed, with Claim
// or by calling its steps again; then Settle.
//
// If the stream cannot be gone on with, the Conn is one whose connection has
// just been lost (Err, Lost): the outcome of its calls is unknown, kept replies
// are there, and Reconnect goes on. An error means that the memory is not one
// to take over: Open makes it a fresh one.
func Resume(mem Memory, sock net.Conn, o Options) (*Conn, error) {
	s, err := adopt(mem, sock)
	if err != nil {
		return nil, err
	}
	c := newConn(mem, o)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.load(); err != nil {
		c.closed = true
		close(c.kick)
		if s != nil {
			s.shutdown()
			s.close()
		}
		return nil, fmt.Errorf("rpc: take over %s: %w", o.Name, err)
	}
	err = errors.New("its process had none")
	if s != nil {
		if err = s.start(c.space); err == nil {
			err = c.takeOver(s)
		}
	}
	if err != nil {
		err = fmt.Errorf("take over the connection: %w", err)
		n := c.disconnect(err)
		if s != nil {
			s.shutdown()
			s.close()
		}
		c.log.Warn("connection lost", "server", o.Name, "cause", err, "unanswered", n)
		return c, nil
	}
	c.review()
	c.log.Info("connection resumed", "server", o.Name, "unanswered", c.outstanding, "unsent", c.pub-c.written, "unparsed", c.consumed-c.parsed)
	c.start(s)
	c.transmitLater(s)
	return c, nil
}

// review finds out which replies a process has died with before it could record
// what they gave it. mu is held.
func (c *Conn) review() {
	for i := range c.calls {
		k := &c.calls[i]
		if k.phase != answered && k.phase != kept || k.slot.u32(offHanded) == 0 {
			continue
		}
		k.recorded = c.opts.Recorded == nil || c.earlier(k) || c.opts.Recorded(c.asOrphan(k))
	}
}

// adopt checks what can be checked before anything runs.
func adopt(mem Memory, sock net.Conn) (*socket, error) {
	err := mem.Layout().check()
	if err == nil {
		err = checkHeader(mem)
	}
	if err != nil || sock == nil {
		return nil, err
	}
	return newSocket(sock)
}

// load reads the slots. It changes nothing but to free those that nobody ever
// saw: it can be killed and repeated.
func (c *Conn) load() error {
	c.pub, c.done, c.origin = c.hdr.load(hdrPub), c.hdr.load(hdrDone), c.hdr.load(hdrOrigin)
	c.written, c.parsed, c.consumed = c.pub, c.done, c.done
	used := make([]bool, len(c.calls))
	var found []*call
	for i := range c.calls {
		k := &c.calls[i]
		state := k.slot.state()
		if state == slotSent && k.slot.u64(offEnd) > c.pub {
			k.slot.setState(slotFree) // never sent: sending begins after pub
			continue
		}
		if state == slotFree {
			continue
		}
		if err := k.load(state); err != nil {
			return fmt.Errorf("slot %d: %w: %w", i, err, ErrDamaged)
		}
		for _, l := range k.links {
			if used[l] {
				return fmt.Errorf("slot %d belongs to two calls: %w", l, ErrDamaged)
			}
			used[l] = true
		}
		found = append(found, k)
	}
	for i := len(used) - 1; i >= 0; i-- {
		if !used[i] {
			c.free = append(c.free, int32(i))
		}
	}
	slices.SortFunc(found, func(a, b *call) int { return cmp.Compare(a.end, b.end) })
	for _, k := range found {
		c.link(k)
		if k.phase == outstanding {
			c.expected += k.expect
			if k.waits {
				c.blocking++
			}
			if c.byXid[k.xid] != nil {
				return fmt.Errorf("two calls with xid %d: %w", k.xid, ErrDamaged)
			}
			c.dispatch(k)
		}
	}
	return nil
}

// load reads one slot that exists.
func (k *call) load(state uint32) error {
	s := k.slot
	k.xid, k.unique, k.step, k.end = s.u32(offXid), s.u64(offUnique), s.u32(offStep), s.u64(offEnd)
	k.head, k.expect = int(s.u32(offHead)), int(s.u32(offExpect)&^expectWaits)
	k.waits = s.u32(offExpect)&expectWaits != 0
	k.resumed, k.before = true, true
	room := k.mem.Layout().Slots * slotRoom
	reply := int(s.u32(offReply))
	n := k.head
	if state == slotKept {
		n = align8(k.head) + reply
	}
	if k.head < recCred || k.head > room || n > room || k.expect > k.mem.Layout().Ring || state == slotKept && reply < 4 {
		return fmt.Errorf("a record of %d bytes, a reply of %d", k.head, reply)
	}
	var ok bool
	if k.chain, k.links, ok = chainOf(k.mem, int(k.index), n); !ok {
		return fmt.Errorf("%d bytes that go on in no slot", n)
	}
	switch state {
	case slotSent:
		k.phase = outstanding
	case slotKept:
		k.phase, k.result = kept, k.chain.read(align8(k.head), reply)
	case slotLost:
		k.phase, k.err = lost, &LostError{Outcome: Unknown}
	default:
		return fmt.Errorf("state %d", state)
	}
	return nil
}

// takeOver finds both streams' positions, checks them against the memory, and
// reads again what may not have been dealt with. mu is held.
func (c *Conn) takeOver(s *socket) error {
	if cookie := c.hdr.load(hdrCookie); cookie != s.cookie {
		return errors.New("the socket is not the one that the memory belongs to")
	}
	n, err := s.count()
	if err != nil {
		return err
	}
	if n.state != tcpEstablished && n.state != tcpCloseWait {
		return fmt.Errorf("the connection is in TCP state %d: %w", n.state, syscall.ECONNRESET)
	}
	accepted, consumed := n.sent-c.hdr.load(hdrBaseSend), n.received-c.hdr.load(hdrBaseRecv)
	if accepted > c.pub {
		return fmt.Errorf("%d bytes sent, but %d published: %w", accepted, c.pub, ErrDamaged)
	}
	if c.origin > c.done || consumed < c.done || consumed-c.done > c.size {
		return fmt.Errorf("%d bytes received, the frontier is %d, the ring begins at %d: %w", consumed, c.done, c.origin, ErrDamaged)
	}
	c.written, s.launched = accepted, accepted
	if err := c.requeue(s, accepted); err != nil {
		return err
	}
	c.consumed, c.stale = consumed, consumed
	if over := int(consumed - c.done); over > 0 {
		c.mem.Arrived(int(c.place(c.done)), over)
	}
	c.sock = s // whom what is parsed concerns
	err = c.parse()
	c.sock = nil
	return err
}

// requeue rebuilds the stream from accepted to pub out of the slots. mu is
// held.
func (c *Conn) requeue(s *socket, accepted uint64) error {
	var rest []*call
	for i := range c.calls {
		k := &c.calls[i]
		if k.phase == free || k.end <= accepted {
			continue
		}
		if k.phase != outstanding {
			return fmt.Errorf("a call has its reply, but has not been sent: %w", ErrDamaged)
		}
		rest = append(rest, k)
	}
	slices.SortFunc(rest, func(a, b *call) int { return cmp.Compare(a.end, b.end) })
	at := accepted
	for i, k := range rest {
		if err := c.findPayload(k); err != nil {
			return err
		}
		start := k.end - uint64(k.length())
		if i == 0 && start <= at {
			s.skip, start = int(at-start), at
		}
		if start != at {
			return fmt.Errorf("the stream has a hole from %d to %d: %w", at, start, ErrDamaged)
		}
		at = k.end
		s.queue = append(s.queue, queued{k, k.length()})
	}
	if at != c.pub {
		return fmt.Errorf("the stream ends at %d, not at %d: %w", at, c.pub, ErrDamaged)
	}
	return nil
}

// findPayload finds the payload of a call that has not been sent wholly.
func (c *Conn) findPayload(k *call) error {
	n := int(k.slot.u32(offPayload))
	switch k.slot.u32(offKind) {
	case payloadNone:
		if n == 0 {
			return nil
		}
	case payloadRegion:
		if c.opts.Regions != nil && n > 0 && n < 1<<30 {
			p, ok := c.opts.Regions.Slice(k.slot.u64(offWhere), n)
			if ok && len(p) == n {
				k.payload = p
				return nil
			}
		}
	case payloadPrivate:
		return errors.New("half of a write was sent, the other half died with the process")
	}
	return fmt.Errorf("a payload of %d bytes of kind %d: %w", n, k.slot.u32(offKind), ErrDamaged)
}

// transmitLater leaves to the writer what was published and not sent. mu is
// held.
func (c *Conn) transmitLater(s *socket) {
	if len(s.queue) > 0 {
		s.sending = true
		s.kick <- struct{}{}
	}
}

// Claim says that the request has come back and will call its steps again.
func (c *Conn) Claim(unique uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.claim(unique)
}

func (c *Conn) claim(unique uint64) {
	i, ok := c.requests[unique]
	for ok && i >= 0 {
		k := &c.calls[i]
		k.resumed = false
		i = k.same
	}
}

// Settle says that every request that will come back after a take-over has been
// claimed or ended: the calls of the others are orphans.
func (c *Conn) Settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.calls {
		k := &c.calls[i]
		if !k.resumed || k.orphan {
			continue
		}
		if k.step&UndoStep != 0 && c.find(k.unique, k.step&^UndoStep) != nil {
			continue // what undoes an orphan belongs to that
		}
		k.resumed = false
		c.abandon(k)
	}
}

// Inherited lists the kernel's requests, and others that are not the client's own
// work, that have calls of an earlier process.
func (c *Conn) Inherited() (uniques []uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for u, i := range c.requests {
		if u&ownUnique == 0 && c.calls[i].before {
			uniques = append(uniques, u)
		}
	}
	return uniques
}

// Inherits reports whether a request without a step would get the reply of a call
// that has been made before. doubt says that an earlier process has made a call of
// that procedure for it which is not the same by its arguments: it may be, with a
// number of another connection in them.
func (c *Conn) Inherits(r *Request) (same, doubt bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.requests[r.Unique]
	for ok && i >= 0 {
		k := &c.calls[i]
		if prog, _, proc, _ := k.request(); k.before && !k.asked && prog == r.Prog && proc == r.Proc && !k.asks(r) {
			doubt = true
		}
		i = k.same
	}
	return c.same(r) != nil, doubt
}

// Asks reports whether some call that an earlier process has made is like that: one
// of a request that comes back, or may. args are the call's arguments.
func (c *Conn) Asks(like func(prog, proc uint32, args []byte) bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.calls {
		k := &c.calls[i]
		if !k.before || k.orphan || k.taken || k.phase != outstanding && k.phase != answered && k.phase != kept {
			continue
		}
		if prog, _, proc, args := k.request(); like(prog, proc, args) {
			return true
		}
	}
	return false
}

// Quiet waits until nothing that an earlier process has sent is under way any
// more, but for waits for locks and for what spare names: until then the server
// may carry out old requests after new ones. It also returns when the connection
// is lost.
func (c *Conn) Quiet(ctx context.Context, spare func(prog, proc uint32) bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.fewer.Broadcast()
	})
	defer stop()
	for ctx.Err() == nil && c.busy(spare) {
		c.fewer.Wait()
	}
	return ctx.Err()
}

// busy reports whether Quiet has to wait. mu is held.
func (c *Conn) busy(spare func(prog, proc uint32) bool) bool {
	for i := range c.calls {
		if k := &c.calls[i]; k.before && k.phase == outstanding && !k.waits {
			if prog, _, proc, _ := k.request(); !spare(prog, proc) {
				return true
			}
		}
	}
	return false
}
