package client

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/hint"
	"github.com/holdfast/holdfast/xlator/protocol/rpc"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// lostFile is what I/O on a LOST file gets.
type lostFile struct {
	why   error
	errno syscall.Errno
}

func (e *lostFile) Error() string   { return "the open file is lost: " + e.why.Error() }
func (e *lostFile) Unwrap() []error { return []error{e.errno, e.why} }

// lockers are the open objects through which locks are held.
func (s *session) lockers() (all []*remote) {
	if s.lockedFiles.Load() == 0 {
		return nil
	}
	s.opened.mu.Lock()
	defer s.opened.mu.Unlock()
	for _, f := range s.opened.files {
		all = append(all, f.vias()...)
	}
	return all
}

// relockers is how many open objects are locked again at once.
const relockers = 32

// relock sees to the locks of the session before. They are taken again at once,
// not when somebody uses the file: who comes first has them.
func (s *session) relock(number uint64) {
	all := s.lockers()
	gate := make(chan struct{}, relockers)
	for _, r := range all {
		s.wg.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			if err := s.reopen(s.ctx, r, number); err != nil && s.ctx.Err() == nil {
				s.log.Debug("take locks again", "gfid", r.key.gfid, "err", err)
			}
		})
	}
}

// abandonLocks applies the rule for locks of a lost session, where it is not to
// take them again.
func (s *session) abandonLocks() {
	var why error
	switch s.set.Load().loss {
	case lossCheck:
		return
	case lossFail:
		why = errors.New("the connection to the brick was lost, and with it the locks (lock-loss=fail)")
	}
	for _, r := range s.lockers() {
		n := s.forsake(r, why)
		if why == nil {
			s.log.Warn("locks went with the connection, and nobody is told (lock-loss=drop)", "gfid", r.key.gfid, "locks", n)
			continue
		}
		r.ref.Lose(&lostFile{why, syscall.EIO}) // what it had went with its session
	}
}

// forsake forgets the locks that were taken through r; with a reason, it says so.
func (s *session) forsake(r *remote, why error) (n int) {
	f := r.file
	n = len(s.dropLocks(r))
	if why != nil {
		s.counts.lost.Add(1)
		s.counts.locksLost.Add(uint64(n))
		s.log.Error("the locks of an open file are lost; I/O on it fails from now on", "gfid", f.gfid, "fh", r.key.base, "locks", n, "why", why)
	}
	return n
}

// openAgain is the attempt to open an object in the present session: open, locks,
// and a look at what happened meanwhile.
func (s *session) openAgain(r *remote) (session uint64, number int64, err error) {
	for {
		session, number, err = s.openRemote(xlator.Internal(), r.key, r.dir, true)
		if r.guardian && errors.Is(err, syscall.EISDIR) {
			session, number, err = s.openRemote(xlator.Internal(), remoteKey{base: r.key.base, gfid: r.key.gfid}, true, true)
		}
		if err != nil {
			return 0, 0, s.notOpened(r, err)
		}
		why, err := s.retake(session, number, r)
		switch {
		case errors.Is(err, syscall.ENOTCONN): // the session is another already
			continue
		case err != nil:
			s.closeRemote(r, session, number)
			return 0, 0, err
		case why != nil:
			s.closeRemote(r, session, number)
			s.forsake(r, why)
			return 0, 0, &hint.ErrGone{Err: &lostFile{why, syscall.EIO}}
		}
		s.counts.reopened.Add(1)
		return session, number, nil
	}
}

// notOpened is why an object is not opened again; for good, if it is gone.
func (s *session) notOpened(r *remote, err error) error {
	err = fmt.Errorf("open %s again on brick %s: %w", r.key.gfid, s.key.brick(), err)
	if e := xlator.Errno(err); e != syscall.ENOENT && e != syscall.ESTALE {
		return err
	}
	s.forsake(r, nil)
	s.counts.lost.Add(1)
	s.log.Error("an open file is lost: it has no name any more, and the brick forgot it with the connection", "gfid", r.key.gfid, "fh", r.key.base)
	return &hint.ErrGone{Err: &lostFile{err, syscall.ESTALE}}
}

// retake takes the locks that were taken through r. why says that they are lost.
func (s *session) retake(session uint64, number int64, r *remote) (why, err error) {
	f := r.file
	f.mu.Lock()
	var had locks
	for _, h := range f.locks {
		if h.via == r {
			had = append(had, h)
		}
	}
	f.mu.Unlock()
	if len(had) == 0 {
		return nil, nil
	}
	for i := range had {
		if why, err := s.retakeLock(session, number, r, &had[i].Lock); why != nil || err != nil {
			return why, err
		}
	}
	if why, err = s.compare(session, number, f); why == nil && err == nil {
		s.counts.relocked.Add(uint64(len(had)))
	}
	return why, err
}

// stalePoll is how often a lock is tried that the brick still holds for us.
const stalePoll = 20 * time.Millisecond

// retakeLock takes one lock. A brick that has not yet noticed the end of our last
// session holds it for that: it is waited for.
func (s *session) retakeLock(session uint64, number int64, r *remote, l *xlator.Lock) (why, err error) {
	end := time.Now().Add(s.set.Load().deadline)
	for {
		var rep xdr.LkRep
		why, err = s.only(session, bound(lk(r, xdr.LkSet, l, &rep), number))
		if !errors.Is(why, syscall.EAGAIN) {
			return why, err
		}
		var holder xlator.Lock
		x := lk(r, xdr.LkGet, l, &rep)
		x.take = func([]byte) { holder = lockOf(&rep.Flock, *l) }
		if refused, err := s.only(session, bound(x, number)); refused != nil || err != nil {
			return refused, err
		}
		switch {
		case !r.file.holds(l):
			return nil, nil // it is being given up, and whoever has it waited for that
		case holder.Type == unix.F_UNLCK:
			continue // it is free by now
		case holder.Owner != l.Owner || time.Now().After(end):
			return fmt.Errorf("somebody else (pid %d) has got a lock on bytes %d to %d meanwhile", holder.PID, holder.Start, holder.End), nil
		}
		select {
		case <-time.After(stalePoll):
		case <-s.ctx.Done():
			return nil, s.ctx.Err()
		}
	}
}

// holds reports whether an application holds any of that lock by our record.
func (f *file) holds(l *xlator.Lock) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.locks {
		if h.owned(l) && h.Start <= l.End && h.End >= l.Start {
			return true
		}
	}
	return false
}

// bound is a lock request with its number, for which nothing is put in.
func bound(x exchange, number int64) *exchange {
	x.req.(*xdr.LkReq).FD = number
	x.fd = nil
	return &x
}

// compare looks whether somebody has changed the file while it was not locked.
func (s *session) compare(session uint64, number int64, f *file) (why, err error) {
	var rep xdr.StatRep
	why, err = s.only(session, &exchange{fop: xdr.FopFstat, req: &xdr.FstatReq{GFID: f.gfid, FD: number}, rep: &rep, own: true})
	if why != nil || err != nil {
		return why, err
	}
	a := iattOf(&rep.Stat)
	f.mu.Lock()
	defer f.mu.Unlock()
	if was := &f.seen; !was.explains(&a, s.stamped.Load()) {
		return fmt.Errorf("somebody has changed the file while it was not locked: it had %d bytes, mtime %d.%09d, ctime %d.%09d, and has %d, %d.%09d, %d.%09d",
			was.size, was.mtime.Sec, was.mtime.Nsec, was.ctime.Sec, was.ctime.Nsec, a.Size, a.Mtime.Sec, a.Mtime.Nsec, a.Ctime.Sec, a.Ctime.Nsec), nil
	}
	return nil, nil
}

// unlocked returns an open object of the file whose locks are not yet taken again
// in that session: before they are, nobody here may take others.
func (f *file) unlocked(number uint64) *remote {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.locks {
		if cur := h.via.ref.Current(); cur == nil || cur.Key != number {
			return h.via
		}
	}
	return nil
}

// only carries a fop out in the session of that number, and no later one; it does
// not wait for it. refused is the brick's error, err is why there is no answer.
func (s *session) only(number uint64, x *exchange) (refused, err error) {
	if !s.enterOnly(number) {
		return nil, errAnother
	}
	return s.finish(x)
}

// undo is only for what is given up.
func (s *session) undo(number uint64, x *exchange) (refused, err error) {
	if !s.enterConn(number) {
		return nil, errAnother
	}
	return s.finish(x)
}

// finish carries out a fop in the session that was entered, and leaves.
func (s *session) finish(x *exchange) (refused, err error) {
	defer s.leave()
	r := rpc.Request{Prog: xdr.ProgramFops, Vers: xdr.ProgramFopsVersion, Proc: uint32(x.fop), Args: x.req.AppendTo(nil), MaxReply: x.reserve, Unique: x.unique}
	var owner [8]byte
	s.credential(&r.Cred, xlator.Internal(), x, &owner)
	reply, err := s.conn.Call(s.frames.context(s.set.Load().frame), &r)
	if err != nil {
		return nil, err
	}
	return s.answer(&reply, x), nil
}

var errAnother = fmt.Errorf("the session is another: %w", syscall.ENOTCONN)
