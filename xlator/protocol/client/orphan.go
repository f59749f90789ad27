package client

import (
	"bytes"
	"encoding/binary"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/rpc"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// orphan undoes what a call has acquired whose reply nobody waits for any more:
// an open object is closed, a lock is let go.
func (s *session) orphan(o rpc.Orphan) {
	if !s.enterConn(o.Epoch) {
		return // with its session everything has been undone
	}
	inside := true
	leave := func() {
		if inside {
			inside = false
			s.leave()
		}
	}
	defer leave()
	req, rep := acquired(o)
	if q, ok := req.(*xdr.LkReq); ok {
		leave() // it waits for sessions by itself
		s.undoLock(q, o.Epoch)
		return
	}
	undo := undoing(xdr.Fop(o.Proc), req, rep)
	if undo == nil {
		return
	}
	r := rpc.Request{
		Unique: o.Unique, Step: o.Step | rpc.UndoStep,
		Prog: xdr.ProgramFops, Vers: xdr.ProgramFopsVersion, Proc: uint32(undo.fop), Args: undo.req.AppendTo(nil),
	}
	var owner [8]byte
	s.credential(&r.Cred, xlator.Internal(), undo, &owner)
	reply, err := s.conn.Call(s.ctx, &r)
	if err != nil {
		return // the brick has undone it with the connection
	}
	reply.Release()
}

// acquired decodes a call that has succeeded, or returns nil: data follows, or it
// makes no sense or has failed. Then nothing was acquired.
func acquired(o rpc.Orphan) (req, rep xdr.Message) {
	req, rep = xdr.NewRequest(xdr.Fop(o.Proc)), xdr.NewReply(xdr.Fop(o.Proc))
	if o.Prog != xdr.ProgramFops || o.Reject != 0 || req == nil || xdr.Decode(o.Args, req) != nil || xdr.Decode(o.Reply, rep) != nil {
		return nil, nil
	}
	if r, ok := rep.(reply); !ok || r.Err() != nil {
		return nil, nil
	}
	return req, rep
}

// recorded reports whether nothing has to be undone of a call whose reply a process
// before has got: it has acquired nothing, or is in the record of what is open. A
// process may have died between the two. What is being closed there is another's,
// which had that number before: its reply is gone. A lock is on record before its
// request is answered; one that was not answered asks again. To undo it would be to
// undo what its owner may have locked since.
func (s *session) recorded(o rpc.Orphan) bool {
	req, rep := acquired(o)
	undo := undoing(xdr.Fop(o.Proc), req, rep)
	if undo == nil {
		return true
	}
	q, ok := undo.req.(*xdr.FDReq)
	return ok && s.kept.has(place{o.Epoch, q.FD})
}

// undoing is the request that undoes one that has succeeded, or nil.
func undoing(fop xdr.Fop, req, rep xdr.Message) *exchange {
	switch q := req.(type) {
	case *xdr.OpenReq:
		return &exchange{fop: xdr.FopRelease, req: &xdr.ReleaseReq{GFID: q.GFID, FD: rep.(*xdr.OpenRep).FD}, own: true}
	case *xdr.CreateReq:
		p := rep.(*xdr.CreateRep)
		return &exchange{fop: xdr.FopRelease, req: &xdr.ReleaseReq{GFID: p.Stat.GFID, FD: p.FD}, own: true}
	case *xdr.GFIDReq:
		if fop == xdr.FopOpendir {
			return &exchange{fop: xdr.FopReleasedir, req: &xdr.ReleasedirReq{GFID: q.GFID, FD: rep.(*xdr.OpenRep).FD}, own: true}
		}
	case *xdr.InodelkReq:
		if q.Type != xdr.LockUnlock {
			u := *q
			u.Cmd, u.Type, u.Flock.Type = xdr.LkSet, xdr.LockUnlock, xdr.LockUnlock
			return owned(&exchange{fop: fop, req: &u, own: true}, q.Flock.Owner)
		}
	case *xdr.FinodelkReq:
		if q.Type != xdr.LockUnlock {
			u := *q
			u.Cmd, u.Type, u.Flock.Type = xdr.LkSet, xdr.LockUnlock, xdr.LockUnlock
			return owned(&exchange{fop: fop, req: &u, own: true}, q.Flock.Owner)
		}
	}
	return nil
}

// owned is a lock request in the name of that owner, which we put into each.
func owned(x *exchange, owner []byte) *exchange {
	if len(owner) == 8 {
		o := binary.LittleEndian.Uint64(owner)
		x.owner = &o
	}
	return x
}

// undoLock lets go of a lock, but for what its owner has by record or is waiting
// for. What is not open any more is not locked either. If a process before has asked
// for another lock in its name, and it is not known yet what became of that, the brick
// does not tell the two apart: then both stay.
func (s *session) undoLock(q *xdr.LkReq, session uint64) {
	if q.Cmd == xdr.LkGet || q.Type == xdr.LockUnlock || len(q.Flock.Owner) != 8 {
		return
	}
	if s.conn.Asks(func(prog, proc uint32, args []byte) bool { return locksBeside(q, prog, proc, args) }) {
		return
	}
	l := lockOf(&q.Flock, xlator.Lock{})
	s.opened.mu.Lock()
	var via *remote
	if f := s.opened.files[q.GFID]; f != nil {
		for _, r := range f.remotes {
			if cur := r.ref.Current(); cur != nil && cur.Key == session && cur.Value == q.FD {
				via = r
			}
		}
	}
	s.opened.mu.Unlock()
	if via == nil {
		return
	}
	// The wire does not say which kind of lock it was; owners of both are never
	// the same.
	l.Flock = s.flocks(via.file, l.Owner)
	s.undoGrant(via, l)
}

// locksBeside reports whether a call asks for a lock of the same file and owner.
func locksBeside(q *xdr.LkReq, prog, proc uint32, args []byte) bool {
	var other xdr.LkReq
	return prog == xdr.ProgramFops && xdr.Fop(proc) == xdr.FopLk && xdr.Decode(args, &other) == nil && other.GFID == q.GFID &&
		other.Cmd != xdr.LkGet && other.Type != xdr.LockUnlock && bytes.Equal(other.Flock.Owner, q.Flock.Owner)
}

// flocks reports whether that owner is one of flock(2) locks.
func (s *session) flocks(f *file, number uint64) bool {
	l := xlator.Lock{Owner: number, Flock: true}
	f.mu.Lock()
	held := len(f.locks.of(&l)) > 0
	f.mu.Unlock()
	return held || len(s.wanted(f, &l)) > 0
}
