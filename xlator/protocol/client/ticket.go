package client

import (
	"context"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// ticketKey is what makes two requests for a lock one.
type ticketKey struct {
	gfid       xlator.GFID
	owner      uint64
	flock      bool
	typ        int16
	start, end int64
	number     uint64 // xlator.LkReq.Ticket
}

// ticket is a wait for a lock: one request to the brick, which cannot be taken
// back there. Whoever waits for it here may leave and come back, through another
// graph. If nobody wants it any more, what the brick grants is undone.
type ticket struct {
	// Constant after construction.
	key  ticketKey
	rem  *remote
	lock xlator.Lock
	done chan struct{} // closed when it is settled

	// Guarded by tickets.mu.

	attached int
	settled  bool
	granted  bool
	unwanted bool
	keep     []xlator.Lock // what its owner holds by record, once it is unwanted
	err      error
}

// tickets are the waits of a session.
type tickets struct {
	mu sync.Mutex
	m  map[ticketKey]*ticket // guarded by mu; those that may be asked for again
	n  int                   // guarded by mu; waiting
}

func keyOfLock(g xlator.GFID, l *xlator.Lock, number uint64) ticketKey {
	return ticketKey{g, l.Owner, l.Flock, l.Type, l.Start, l.End, number}
}

// waitLock waits for a lock.
func (c *Client) waitLock(ctx context.Context, rem *remote, r *xlator.LkReq) error {
	s := c.s
	t := s.attach(ctx, rem, r)
	xlator.CallFrom(ctx).Park()
	select {
	case <-t.done:
	case <-r.Detach:
		if s.detach(t) {
			return xlator.ErrDetached
		}
	case <-c.env.Context.Done():
		if s.detach(t) {
			return xlator.ErrDetached
		}
	case <-ctx.Done():
		if s.giveUp(t) {
			return ctx.Err()
		}
	}
	if err := s.fetch(t); err != nil {
		return &fopError{xdr.FopLk, rem.key.gfid, "", c, err}
	}
	return nil
}

// attach joins the wait of that ticket, or begins one.
func (s *session) attach(ctx context.Context, rem *remote, r *xlator.LkReq) *ticket {
	k := keyOfLock(rem.key.gfid, &r.Lock, r.Ticket)
	ts := &s.tickets
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t := ts.m[k]; t != nil && r.Ticket != 0 {
		t.attached++
		return t
	}
	t := &ticket{key: k, rem: rem, lock: r.Lock, done: make(chan struct{}), attached: 1}
	if r.Ticket != 0 {
		ts.m[k] = t
	}
	ts.n++
	from := xlator.CallFrom(ctx)
	call := &xlator.Call{UID: from.UID, GID: from.GID, PID: from.PID, LockOwner: from.LockOwner, Groups: from.Groups}
	s.wg.Go(func() { s.work(call, t) })
	return t
}

// work asks the brick and waits.
func (s *session) work(call *xlator.Call, t *ticket) {
	var rep xdr.LkRep
	x := lk(t.rem, xdr.LkSetWait, &t.lock, &rep)
	undo := false
	x.take = func([]byte) {
		s.tickets.mu.Lock()
		defer s.tickets.mu.Unlock()
		t.granted = true
		if undo = t.unwanted; !undo {
			s.record(t.lock, t.rem)
		}
	}
	err := s.do(call, &x)
	if undo {
		s.undoGrant(t)
	}
	s.tickets.mu.Lock()
	defer s.tickets.mu.Unlock()
	t.err, t.settled = err, true
	s.tickets.n--
	close(t.done)
}

// detach leaves the wait, which goes on; false if it is over.
func (s *session) detach(t *ticket) bool {
	s.tickets.mu.Lock()
	defer s.tickets.mu.Unlock()
	if t.settled {
		return false
	}
	t.attached--
	return true
}

// giveUp leaves the wait for good; false if it is over, or the lock is there.
func (s *session) giveUp(t *ticket) bool {
	s.tickets.mu.Lock()
	defer s.tickets.mu.Unlock()
	if t.settled || t.granted {
		return false
	}
	if t.attached--; t.attached == 0 {
		s.disown(t, s.lockedBy(t))
	}
	return true
}

// lockedBy is what the ticket's owner holds by our record.
func (s *session) lockedBy(t *ticket) []xlator.Lock {
	f := t.rem.file
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.locks.of(&t.lock)
}

// disown makes a ticket one that nobody wants. tickets.mu is held.
func (s *session) disown(t *ticket, keep []xlator.Lock) {
	t.unwanted, t.keep = true, keep
	if s.tickets.m[t.key] == t {
		delete(s.tickets.m, t.key)
	}
}

// fetch waits for the outcome and ends the ticket.
func (s *session) fetch(t *ticket) error {
	<-t.done
	s.tickets.mu.Lock()
	defer s.tickets.mu.Unlock()
	t.attached--
	if s.tickets.m[t.key] == t {
		delete(s.tickets.m, t.key)
	}
	return t.err
}

// cancelTicket gives up a wait that was detached; what was granted to it is
// trimmed to what its owner is to keep.
func (s *session) cancelTicket(rem *remote, r *xlator.LkReq) {
	s.tickets.mu.Lock()
	t := s.tickets.m[keyOfLock(rem.key.gfid, &r.Lock, r.Ticket)]
	if t == nil || t.attached > 0 {
		s.tickets.mu.Unlock()
		return
	}
	s.disown(t, r.Keep)
	granted := t.granted
	s.tickets.mu.Unlock()
	if granted {
		s.undoGrant(t)
	}
}

// dropWaits gives up the detached waits that an unlock makes pointless: the file
// is being closed.
func (s *session) dropWaits(g xlator.GFID, l *xlator.Lock) {
	s.tickets.mu.Lock()
	defer s.tickets.mu.Unlock()
	for k, t := range s.tickets.m {
		if k.gfid == g && k.owner == l.Owner && k.flock == l.Flock && k.start >= l.Start && k.end <= l.End && t.attached == 0 && !t.granted {
			s.disown(t, nil)
		}
	}
}

// undoGrant puts back what the owner held before a grant that nobody wants.
func (s *session) undoGrant(t *ticket) {
	all := t.lock
	all.Type = unix.F_UNLCK
	var kept locks
	for _, l := range t.keep {
		kept.set(l, t.rem)
	}
	// The rest of the range is let go, piece by piece; what stays is only
	// changed back to its type, so that nobody can slip in.
	var free locks
	whole := t.lock
	whole.Type = unix.F_WRLCK
	free.set(whole, t.rem)
	for _, h := range kept {
		cut := h.Lock
		cut.Type = unix.F_UNLCK
		free.set(cut, t.rem)
	}
	for _, h := range free {
		l := h.Lock
		l.Type = unix.F_UNLCK
		s.setLock(t.rem, l)
	}
	for _, h := range kept {
		l := h.Lock
		l.Start, l.End = max(l.Start, t.lock.Start), min(l.End, t.lock.End)
		if l.Start <= l.End && l.Type != t.lock.Type {
			s.setLock(t.rem, l)
		}
	}
}

// setLock sets or clears a lock on the client's own behalf.
func (s *session) setLock(rem *remote, l xlator.Lock) {
	var rep xdr.LkRep
	x := lk(rem, xdr.LkSet, &l, &rep)
	x.take = func([]byte) { s.record(l, rem) }
	if err := s.do(xlator.Internal(), &x); err != nil {
		s.log.Warn("put locks back after a wait that was given up", "gfid", rem.key.gfid, "err", err)
	}
}
