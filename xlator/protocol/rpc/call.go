package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
)

// Request is one call to the server.
type Request struct {
	// Unique is the kernel's request that this is done for, and Step numbers
	// its sends from 1: together they name the call, in this process and the
	// next. Unique 0 is the client's own work, which nobody repeats. Uniques
	// with bit 63 set belong to this package.
	Unique uint64
	// Step 0 has it chosen here, for requests that do not always ask the same in
	// the same order (a cache may be empty the second time): a call of the same
	// procedure with the same arguments, which this process has not asked for
	// yet, is the one that is meant; else it is a new one.
	Step uint32

	Prog, Vers, Proc uint32
	Cred             Cred
	Args             []byte // XDR; copied
	// Payload follows the arguments as it is. It must not change until the
	// call returns, or, where another process may go on with it, until End.
	Payload []byte

	// MaxReply is the longest reply to be expected, in bytes from accept_stat
	// on; up to 4 KiB need not be said. The call waits until the ring has
	// room for it.
	MaxReply int
	// Waits marks a call that may be without an answer for a long time (a lock
	// wait). At most half of the slots are given to such calls.
	Waits bool
}

const (
	// smallReply is the length up to which no room is reserved in the ring.
	smallReply = 4096
	replyHead  = 64 // mark, RPC header and slack, beside MaxReply

	// UndoStep is the bit that makes the step of a call that undoes an orphan.
	UndoStep = 1 << 31

	ownUnique = 1 << 63
)

func (c *Conn) check(r *Request) error {
	if err := r.Cred.check(); err != nil {
		return err
	}
	l := c.mem.Layout()
	if slotsFor(len(r.Args)+maxHead) > l.Slots/8 {
		return fmt.Errorf("rpc: arguments of %d bytes: %w (at most %d)", len(r.Args), syscall.E2BIG, l.Slots/8*slotRoom-maxHead)
	}
	if len(r.Payload) >= 1<<30 {
		return fmt.Errorf("rpc: payload of %d bytes: %w", len(r.Payload), syscall.E2BIG)
	}
	if r.reserve() > l.Ring-l.smallReserve() {
		return fmt.Errorf("rpc: a reply of %d bytes does not fit the receive ring: %w (at most %d)", r.MaxReply, syscall.EMSGSIZE, l.Ring-l.smallReserve()-replyHead)
	}
	return nil
}

// maxHead bounds the record up to its arguments.
const maxHead = 64 + maxCred

// reserve is the ring room that the call waits for.
func (r *Request) reserve() int {
	if r.MaxReply <= smallReply {
		return 0
	}
	return r.MaxReply + replyHead
}

// Call sends the request and waits for its reply. A call that this process or
// the one before has already sent is not sent again: the reply is waited for,
// or is there. Every reply is to be released or forgotten.
//
// If ctx ends before the call was sent, or while it is on the server, Call
// returns at once; in the second case the error is ErrOutstanding, and the
// same step may be called again to go on waiting. After End, or at once if it
// is the client's own work, the call is an orphan.
//
// Errors carry a syscall.Errno where they have one: *LostError (ENOTCONN),
// *RejectError; else they are ctx's.
func (c *Conn) Call(ctx context.Context, r *Request) (Reply, error) {
	if err := c.check(r); err != nil {
		return Reply{}, err
	}
	c.mu.Lock()
	k := c.find(r.Unique, r.Step)
	if r.Step == 0 {
		k = c.same(r)
	}
	if k != nil {
		return c.attach(ctx, k, r)
	}
	k, err := c.admit(ctx, r)
	if err != nil {
		c.mu.Unlock()
		return Reply{}, fmt.Errorf("rpc: %s: %w", c.opts.Name, err)
	}
	c.mu.Unlock()
	c.build(k, r)
	c.at(atBuilt)
	c.mu.Lock()
	if c.sock == nil || c.sock.cause != nil {
		err := &LostError{NotSent, c.cause}
		if c.sock != nil {
			err.Cause = c.sock.cause
		}
		c.unreserve(k)
		c.release(k)
		c.mu.Unlock()
		return Reply{}, fmt.Errorf("rpc: %s: %w", c.opts.Name, err)
	}
	k.waiting, k.asked = true, true
	c.publish(k)
	c.transmit(c.sock) // releases mu
	return c.wait(ctx, k)
}

// attach takes part in a call that has been sent before. mu is held and
// released.
func (c *Conn) attach(ctx context.Context, k *call, r *Request) (Reply, error) {
	head := k.slot.data()
	prog, proc := binary.BigEndian.Uint32(head[recProg:]), binary.BigEndian.Uint32(head[recProc:])
	if k.phase == building || k.waiting || prog != r.Prog || proc != r.Proc {
		c.mu.Unlock()
		return Reply{}, fmt.Errorf("rpc: %s: step %d of request %d is procedure %d of program %d already, now %d of %d: %w",
			c.opts.Name, r.Step, r.Unique, proc, prog, r.Proc, r.Prog, syscall.EIO)
	}
	c.claim(r.Unique)
	k.asked = true
	if k.phase == outstanding {
		k.waiting = true
		c.mu.Unlock()
		return c.wait(ctx, k)
	}
	defer c.mu.Unlock()
	return c.take(k)
}

// wait waits for the reply of a call that has been sent.
func (c *Conn) wait(ctx context.Context, k *call) (Reply, error) {
	c.mu.Lock()
	c.receiveOwn(k)
	c.mu.Unlock()
	if done := ctx.Done(); done == nil {
		<-k.wake
	} else {
		select {
		case <-k.wake:
		case <-done:
			if c.leave(k) {
				return Reply{}, fmt.Errorf("rpc: %s: %w: %w", c.opts.Name, ErrOutstanding, ended(ctx))
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.take(k)
}

// ended is why a context ended, with the errno for a deadline.
func ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", syscall.ETIMEDOUT, ctx.Err())
	}
	return ctx.Err()
}

// leave stops waiting, unless the reply has come meanwhile. The payload that
// has not left yet is copied: it is the caller's again.
func (c *Conn) leave(k *call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := c.sock; s != nil && s.flying && k.phase == outstanding && k.end > c.written && k.payload != nil; {
		c.landed.Wait() // a writev is short: the socket does not block
	}
	if k.phase != outstanding {
		<-k.wake
		return false
	}
	k.waiting = false
	if k.payload != nil && k.end > c.written {
		k.payload = append([]byte(nil), k.payload...)
		k.slot.setKind(payloadPrivate)
	}
	if k.own {
		k.own, k.orphan = false, true
		c.link(k)
	}
	return true
}

// take hands the reply out. mu is held.
func (c *Conn) take(k *call) (Reply, error) {
	k.waiting = false
	if k.phase == lost {
		err := fmt.Errorf("rpc: %s: %w", c.opts.Name, k.err)
		if k.err.Outcome == NotSent || k.own || k.orphan {
			c.release(k)
		}
		return Reply{}, err
	}
	if !k.taken {
		handed := k.slot.u32(offHanded) + 1
		k.slot.put32(offHanded, handed)
		if int(handed) > c.opts.MaxDeaths && k.listed && c.requests[k.unique] == k.index {
			return Reply{}, fmt.Errorf("rpc: %s: request %d: %w", c.opts.Name, k.unique, errPoison)
		}
		k.taken = true
	}
	reply := Reply{Body: k.result[4:], Earlier: c.earlier(k), c: c, k: k, gen: k.gen, rec: k.rec}
	if stat := binary.BigEndian.Uint32(k.result); stat != 0 {
		head := k.slot.data()
		err := &RejectError{
			Prog: binary.BigEndian.Uint32(head[recProg:]), Vers: binary.BigEndian.Uint32(head[recVers:]),
			Proc: binary.BigEndian.Uint32(head[recProc:]), Reject: Reject(stat),
		}
		c.keep(&reply)
		return Reply{}, fmt.Errorf("rpc: %s: %w", c.opts.Name, err)
	}
	return reply, nil
}

// Reply is the answer to a call. Body is the result as XDR, with a READ's data
// in place: memory of the connection, not to be written to. It is good until
// Release; a reply of less than 4 KiB, which lies in the call's slot, also only
// until End.
type Reply struct {
	Body []byte
	// Earlier says that it came over an earlier connection: what was acquired for
	// that went with it.
	Earlier bool

	c   *Conn
	k   *call
	gen uint32
	rec uint64
}

// Release gives the memory of Body back. Before End of the request it also
// keeps the reply for the process that might have to repeat the request. A reply
// that does not fit the call's own slot and finds no others free, or is longer
// than 128 KiB, is forgotten instead: no call that changes anything is answered
// at such length. After End it only gives back, so data that is released after
// the request was answered is not copied. Releasing twice is harmless.
func (r *Reply) Release() {
	if r.c == nil {
		return
	}
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	r.c.keep(r)
}

// keep is Release. mu is held.
func (c *Conn) keep(r *Reply) {
	k := r.k
	switch {
	case k.gen != r.gen: // ended
	case k.own || k.orphan || k.phase == answered && !c.record(k):
		c.release(k)
	}
	c.finish(r.rec)
}

// Forget gives the memory of Body back and forgets the call: its step, called
// again by this process or the next, is sent again. For replies of which it
// does not matter.
func (r *Reply) Forget() {
	if r.c == nil {
		return
	}
	c, k := r.c, r.k
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.gen == r.gen {
		c.release(k)
	}
	c.finish(r.rec)
}

// End says that the request has been answered: its slots are free. What is
// still outstanding of it becomes an orphan, and so does a reply that nobody
// took.
func (c *Conn) End(unique uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(unique)
}

func (c *Conn) end(unique uint64) {
	i, ok := c.requests[unique]
	for ok {
		k := &c.calls[i]
		i, ok = k.same, k.same >= 0
		c.abandon(k)
	}
}

// abandon ends one call of a request: nobody will ask for it again. mu is held.
func (c *Conn) abandon(k *call) {
	if k.orphan {
		return
	}
	switch k.phase {
	case building, free:
	case outstanding:
		k.orphan = true
	case lost:
		c.release(k)
	default:
		if !k.taken && !k.recorded {
			c.orphaned(k)
			return
		}
		rec, taken := k.rec, k.taken
		c.release(k)
		if !taken {
			c.finish(rec) // handed out by the process before, and by this one not
		}
	}
}
