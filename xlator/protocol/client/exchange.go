package client

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/rpc"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// reply is the results of a fop; Err is that of the xdr.Result it begins with.
type reply interface {
	xdr.Message
	Err() error
}

// exchange is one fop on its way to the brick and back.
type exchange struct {
	fop xdr.Fop
	req xdr.Message
	rep reply
	// fd is the open object whose number goes into req behind the gfid; out is
	// the second one, of COPY_FILE_RANGE.
	fd, out *remote
	payload []byte
	// reserve is the longest reply to be expected, if it may be a long one.
	reserve int

	// times are those that the brick is to set to stamp, which is now if zero.
	times rpc.TimeFlags
	stamp time.Time
	// own is what the client does by itself, as root: what an application may do
	// was asked before.
	own bool
	// owner of locks; nil: who asks.
	owner *uint64
	// waits marks a wait for a lock.
	waits bool

	// take, if not nil, copies out of the reply what lies in the connection's
	// memory: it is called after a success.
	take func(payload []byte)
	// resolve, if not nil, is asked before the request is sent again because
	// nobody knows whether it was carried out: done says that it was, and rep
	// is filled in.
	resolve func() (done bool, err error)
	// stop, if not nil, is asked before the request is sent, or sent again.
	stop func() error
	// intent is recorded before such a request is sent, for the process that
	// might have to carry it out again; Kind is the fop.
	intent xlator.Intent

	// unique is the kernel's request that this is done for, if the call does not
	// say so, or another name for it.
	unique uint64
	// number is that of the session on which the reply came.
	number uint64
	// changes is the locked file that is being changed; see seen.go.
	changes *file
}

// buffers are for encoded arguments.
type buffers struct{ pool sync.Pool }

func (b *buffers) get() *[]byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return p
	}
	p := make([]byte, 0, 512)
	return &p
}

func (b *buffers) put(p *[]byte) {
	if cap(*p) <= 64<<10 {
		*p = (*p)[:0]
		b.pool.Put(p)
	}
}

// do carries one fop out: it waits for the session, sends, and fills in x.rep.
// The error is the brick's, or why there was no answer.
func (s *session) do(ctx context.Context, x *exchange) error {
	call := xlator.CallFrom(ctx)
	buf := s.buffers.get()
	defer s.buffers.put(buf)
	*buf = x.req.AppendTo((*buf)[:0])
	var owner [8]byte
	r := rpc.Request{
		Prog: xdr.ProgramFops, Vers: xdr.ProgramFopsVersion, Proc: uint32(x.fop),
		Args: *buf, Payload: x.payload, MaxReply: x.reserve, Waits: x.waits,
	}
	again := x.resolve != nil && x.intend(call)
	s.changing(x)
	defer x.changed()
	s.credential(&r.Cred, call, x, &owner)
	deadline := s.frames.context(s.set.Load().frame)
	if x.waits {
		deadline = s.ctx // it may wait for as long as it takes
	}
	for {
		if x.stop != nil {
			if err := x.stop(); err != nil {
				return err
			}
		}
		number, err := s.enter(ctx)
		if err != nil {
			return err
		}
		if stale := x.address(*buf, number); stale != nil {
			s.leave()
			if err := s.reopen(ctx, stale, number); err != nil {
				return err
			}
			continue
		}
		x.number = number
		if r.Unique = x.unique; call.Journal != nil && once(x.fop) {
			r.Unique = call.Unique
			call.AtEnd(s)
		}
		x.unique = r.Unique
		if again {
			again = false
			if !s.knows(&r, number) {
				s.leave()
				if done, err := x.resolve(); done || err != nil {
					return err
				}
				continue
			}
		}
		reply, err := s.send(deadline, &r)
		if err == nil && reply.Earlier && acquires(x.fop) {
			// What it got is gone. A name that it made is there.
			reply.Release()
			s.leave()
			if x.resolve != nil {
				if done, err := x.resolve(); done || err != nil {
					return err
				}
			}
			continue
		}
		if err == nil {
			err = s.answer(&reply, x)
			s.leave() // not before what follows from the answer is recorded
			return err
		}
		// It may be what an earlier connection's end has left of the request.
		gone := s.conn.Err() != nil
		s.leave()
		lost, ok := errors.AsType[*rpc.LostError](err)
		if !ok {
			return notAnswered(err)
		}
		if gone {
			s.lose(number, lost)
		}
		if lost.Outcome == rpc.Unknown && x.resolve != nil {
			if done, err := x.resolve(); done || err != nil {
				return err
			}
		}
	}
}

// intend records what is going to be done. again says that a process that died
// had recorded it: what became of it is to be found out first.
func (x *exchange) intend(call *xlator.Call) (again bool) {
	x.intent.Kind = uint32(x.fop)
	if _, again = intended(call, x.fop); !again {
		call.Intend(x.intent)
	}
	return again
}

// knows reports whether the connection's memory says what became of a request that
// a process that died was going to send: either it has a call like it, or it would
// have one.
func (s *session) knows(r *rpc.Request, number uint64) bool {
	same, doubt := s.conn.Inherits(r)
	return same || number == s.resumed && r.Unique != 0 && !doubt
}

// send calls. The payload is copied to where the next process finds it.
func (s *session) send(ctx context.Context, r *rpc.Request) (rpc.Reply, error) {
	p := r.Payload
	if s.kept == nil || len(p) == 0 {
		return s.conn.Call(ctx, r)
	}
	if q := s.kept.payloads.hold(p); q != nil {
		r.Payload = q
		defer func() {
			s.kept.payloads.give(q)
			r.Payload = p
		}()
	}
	return s.conn.Call(ctx, r)
}

// intended is what a process that died had recorded for the call's fop.
func intended(call *xlator.Call, fop xdr.Fop) (xlator.Intent, bool) {
	i, ok := call.Intended()
	return i, ok && i.Kind == uint32(fop)
}

// notAnswered makes what the caller sees of a call without a reply.
func notAnswered(err error) error {
	if errors.Is(err, rpc.ErrOutstanding) {
		return fmt.Errorf("the brick has not answered for too long (frame-timeout); it may still do what was asked: %w: %w", syscall.ETIMEDOUT, err)
	}
	return err
}

// address puts the remote fds of that session into the encoded arguments; it
// returns one that is not open in it.
func (x *exchange) address(args []byte, number uint64) (stale *remote) {
	put := func(r *remote, at int) bool {
		cur := r.ref.Current()
		if cur == nil || cur.Key != number {
			return false
		}
		binary.BigEndian.PutUint64(args[at:], uint64(cur.Value))
		return true
	}
	switch {
	case x.fd == nil:
	case x.out == nil:
		if !put(x.fd, fdAt) {
			return x.fd
		}
		if x.fop == xdr.FopLk {
			return x.fd.file.unlocked(number)
		}
	case !put(x.fd, firstFDAt):
		return x.fd
	case !put(x.out, secondFDAt):
		return x.out
	}
	return nil
}

// Where remote fds are in encoded arguments: behind the gfid, or behind the two
// of COPY_FILE_RANGE.
const (
	fdAt       = 16
	firstFDAt  = 32
	secondFDAt = 40
)

// answer decodes a reply. One that cannot be decoded costs the connection.
func (s *session) answer(r *rpc.Reply, x *exchange) error {
	defer r.Release()
	d := xdr.NewDecoder(r.Body)
	x.rep.DecodeFrom(&d)
	var payload []byte
	var err error
	if p, ok := x.rep.(xdr.PayloadMessage); ok {
		payload, err = d.FinishPayload(p.PayloadSize())
	} else {
		err = d.Finish()
	}
	if err != nil {
		err = fmt.Errorf("the brick's reply to %s makes no sense: %w: %w", x.fop, err, syscall.EIO)
		s.conn.Drop(err)
		return err
	}
	if err := x.rep.Err(); err != nil {
		return err
	}
	if x.take != nil {
		x.take(payload)
	}
	return nil
}

// do is session.do with the error telling what was asked of whom.
func (c *Client) do(ctx context.Context, x *exchange, g xlator.GFID, name string) error {
	if err := c.s.do(ctx, x); err != nil {
		return &fopError{x.fop, g, name, c, err}
	}
	return nil
}

// fopError says what failed: on which object, or which name in it.
type fopError struct {
	fop  xdr.Fop
	gfid xlator.GFID
	name string
	c    *Client
	err  error
}

func (e *fopError) Error() string {
	of := e.gfid.String()
	if e.name != "" {
		of += "/" + e.name
	}
	return fmt.Sprintf("%s %s: brick %s: %v", e.fop, of, e.c.key.brick(), e.err)
}

func (e *fopError) Unwrap() error { return e.err }

// frames are the deadlines of RPCs: calls that begin at about the same time share
// one, since a timer for each would cost more than the call.
type frames struct {
	mu  sync.Mutex
	all []frame // guarded by mu; oldest first
}

type frame struct {
	ctx     context.Context
	cancel  context.CancelFunc
	timeout time.Duration
	fresh   time.Time // until then new calls share it
	end     time.Time
}

// framePart is how much longer than the time-out a call may take.
const framePart = 16

// context returns one that ends when a call that begins now has taken too long.
func (f *frames) context(timeout time.Duration) context.Context {
	if timeout <= 0 {
		return context.Background()
	}
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.all); n > 0 {
		if last := &f.all[n-1]; last.timeout == timeout && now.Before(last.fresh) {
			return last.ctx
		}
	}
	for len(f.all) > 0 && now.After(f.all[0].end) {
		f.all[0].cancel()
		f.all = f.all[1:]
	}
	fresh := now.Add(timeout / framePart)
	n := frame{timeout: timeout, fresh: fresh, end: fresh.Add(timeout)}
	n.ctx, n.cancel = context.WithDeadline(context.Background(), n.end)
	f.all = append(f.all, n)
	return n.ctx
}

func (f *frames) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.all {
		x.cancel()
	}
}
