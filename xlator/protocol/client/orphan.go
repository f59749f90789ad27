package client

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/rpc"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// orphan undoes what a call has acquired whose reply nobody waits for any more:
// an open object is closed, a lock is let go.
func (s *session) orphan(o rpc.Orphan) {
	if o.Prog != xdr.ProgramFops || o.Reject != 0 {
		return
	}
	req, rep := xdr.NewRequest(xdr.Fop(o.Proc)), xdr.NewReply(xdr.Fop(o.Proc))
	if req == nil || xdr.Decode(o.Args, req) != nil || xdr.Decode(o.Reply, rep) != nil {
		return // data follows, or it makes no sense: nothing was acquired
	}
	if r, ok := rep.(reply); !ok || r.Err() != nil {
		return
	}
	undo := undoing(xdr.Fop(o.Proc), req, rep)
	if undo == nil || o.Seen && s.inUse(undo.req) {
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
	reply.Forget()
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
	case *xdr.LkReq:
		if q.Cmd != xdr.LkGet && q.Type != xdr.LockUnlock {
			u := *q
			u.Cmd, u.Type, u.Flock.Type = xdr.LkSet, xdr.LockUnlock, xdr.LockUnlock
			return owned(&exchange{fop: fop, req: &u, own: true}, q.Flock.Owner)
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

// inUse reports whether what a request would give up is ours after all: the
// process that got the reply has recorded it.
func (s *session) inUse(req xdr.Message) bool {
	s.opened.mu.Lock()
	defer s.opened.mu.Unlock()
	switch q := req.(type) {
	case *xdr.FDReq:
		f := s.opened.files[q.GFID]
		if f == nil {
			return false
		}
		for _, r := range f.remotes {
			if cur := r.ref.Current(); cur != nil && cur.Value == q.FD {
				return true
			}
		}
	case *xdr.LkReq:
		f := s.opened.files[q.GFID]
		if f == nil || len(q.Flock.Owner) != 8 {
			return false
		}
		l := lockOf(&q.Flock, xlator.Lock{})
		l.Start, l.End, l.Type = int64(q.Flock.Start), int64(q.Flock.Start+q.Flock.Len-1), unix.F_UNLCK
		l.Owner = binary.LittleEndian.Uint64(q.Flock.Owner)
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, h := range f.locks {
			if h.Owner == l.Owner && h.Start <= l.End && h.End >= l.Start {
				return true
			}
		}
	}
	return false
}
