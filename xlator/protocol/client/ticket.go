package client

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// ticketKey is what makes two requests for a lock one.
type ticketKey struct {
	rem    *remote
	lock   xlator.Lock // without its pid
	number uint64      // xlator.LkReq.Ticket
}

// ticket is a wait for a lock: one request to the brick, which cannot be taken
// back there. Whoever waits for it here may leave and come back, through another
// graph. If nobody wants it any more, what the brick grants is undone; unless the
// same is asked for again before that, as by a process that a signal interrupted.
type ticket struct {
	// Constant after construction.
	rem    *remote
	lock   xlator.Lock
	unique uint64        // the kernel's request that it began with, 0 if that is not recorded
	done   chan struct{} // closed when it is settled

	// Guarded by tickets.mu.

	key      ticketKey
	attached int
	granted  bool
	settled  bool
	unwanted bool
	err      error
}

// tickets are the waits of a session.
type tickets struct {
	mu    sync.Mutex
	m     map[ticketKey]*ticket // guarded by mu; wanted, or settled and not fetched
	loose map[ticketKey]*ticket // guarded by mu; unwanted, by their keys without number
	all   map[*ticket]struct{}  // guarded by mu; not settled
}

func (ts *tickets) init() {
	ts.m, ts.loose, ts.all = map[ticketKey]*ticket{}, map[ticketKey]*ticket{}, map[*ticket]struct{}{}
}

func keyOfLock(rem *remote, l xlator.Lock, number uint64) ticketKey {
	l.PID = 0
	return ticketKey{rem, l, number}
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

// attach joins the wait of that ticket, or one that nobody wants any more, or
// begins one.
func (s *session) attach(ctx context.Context, rem *remote, r *xlator.LkReq) *ticket {
	k := keyOfLock(rem, r.Lock, r.Ticket)
	ts := &s.tickets
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t := ts.m[k]; t != nil && r.Ticket != 0 {
		t.attached++
		return t
	}
	anybody := k
	anybody.number = 0
	t := ts.loose[anybody]
	fresh := t == nil
	if fresh {
		t = &ticket{rem: rem, lock: r.Lock, done: make(chan struct{})}
		ts.all[t] = struct{}{}
	}
	delete(ts.loose, anybody)
	t.key, t.attached, t.unwanted = k, 1, false
	if r.Ticket != 0 {
		ts.m[k] = t
	}
	if fresh {
		from := xlator.CallFrom(ctx)
		if from.Journal != nil {
			t.unique = from.Unique
			from.AtEnd(s)
		}
		call := &xlator.Call{UID: from.UID, GID: from.GID, PID: from.PID, LockOwner: from.LockOwner, Groups: from.Groups}
		s.wg.Go(func() { s.work(call, t) })
	}
	return t
}

var errUnwanted = errors.New("nobody waits for the lock any more")

// work asks the brick and waits.
func (s *session) work(call *xlator.Call, t *ticket) {
	var rep xdr.LkRep
	x := lk(t.rem, xdr.LkSetWait, &t.lock, &rep)
	x.unique = t.unique
	undo := false
	x.stop = func() error {
		s.tickets.mu.Lock()
		defer s.tickets.mu.Unlock()
		if t.unwanted {
			s.settle(t, errUnwanted)
			return errUnwanted
		}
		return nil
	}
	x.take = func([]byte) {
		s.tickets.mu.Lock()
		defer s.tickets.mu.Unlock()
		t.granted = true
		if undo = t.unwanted; undo {
			s.settle(t, errUnwanted)
		} else {
			s.record(t.lock, t.rem)
		}
	}
	// What is being undone for this owner must be over: it would be undone, too.
	t.rem.file.turn(&t.lock)()
	err := s.do(call, &x)
	if undo {
		s.undoGrant(t.rem, t.lock)
	}
	s.tickets.mu.Lock()
	defer s.tickets.mu.Unlock()
	s.settle(t, err)
}

// settle ends the wait. tickets.mu is held.
func (s *session) settle(t *ticket, err error) {
	if t.settled {
		return
	}
	t.err, t.settled = err, true
	delete(s.tickets.all, t)
	anybody := t.key
	anybody.number = 0
	if s.tickets.loose[anybody] == t {
		delete(s.tickets.loose, anybody)
	}
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
		s.disown(t)
	}
	return true
}

// disown makes a wait one that nobody wants. tickets.mu is held.
func (s *session) disown(t *ticket) {
	s.forget(t)
	if t.settled || t.granted {
		return
	}
	t.unwanted = true
	anybody := t.key
	anybody.number = 0
	s.tickets.loose[anybody] = t
}

// forget ends a ticket's number. tickets.mu is held.
func (s *session) forget(t *ticket) {
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
	s.forget(t)
	return t.err
}

// cancelTicket gives up a wait that was detached. If it was granted meanwhile, its
// owner keeps what it had besides.
func (s *session) cancelTicket(rem *remote, r *xlator.LkReq) {
	s.tickets.mu.Lock()
	t := s.tickets.m[keyOfLock(rem, r.Lock, r.Ticket)]
	if t == nil || t.attached > 0 {
		s.tickets.mu.Unlock()
		return
	}
	s.disown(t)
	granted := t.granted
	s.tickets.mu.Unlock()
	if !granted {
		return
	}
	gone := r.Lock
	gone.Type = unix.F_UNLCK
	s.record(gone, rem)
	for _, l := range r.Keep {
		if l = overlap(l, r.Lock); l.Start <= l.End {
			s.record(l, rem)
		}
	}
	s.undoGrant(rem, r.Lock)
}

// dropWaits gives up the detached waits that an unlock makes pointless: the file
// is being closed.
func (s *session) dropWaits(f *file, l *xlator.Lock) {
	s.tickets.mu.Lock()
	defer s.tickets.mu.Unlock()
	for t := range s.tickets.all {
		w := &t.lock
		if t.rem.file == f && w.Owner == l.Owner && w.Flock == l.Flock && w.Start >= l.Start && w.End <= l.End && t.attached == 0 && !t.unwanted {
			s.disown(t)
		}
	}
}

// wanted are the locks that the owner of l waits for.
func (s *session) wanted(f *file, l *xlator.Lock) (all []xlator.Lock) {
	s.tickets.mu.Lock()
	defer s.tickets.mu.Unlock()
	for t := range s.tickets.all {
		if t.rem.file == f && t.lock.Owner == l.Owner && t.lock.Flock == l.Flock && !t.unwanted {
			all = append(all, t.lock)
		}
	}
	return all
}

// waiting is how many waits there are that somebody wants.
func (s *session) waiting() int {
	s.tickets.mu.Lock()
	defer s.tickets.mu.Unlock()
	n := 0
	for t := range s.tickets.all {
		if !t.unwanted {
			n++
		}
	}
	return n
}

// overlap is l as far as it lies within the range of r.
func overlap(l, r xlator.Lock) xlator.Lock {
	l.Start, l.End = max(l.Start, r.Start), min(l.End, r.End)
	return l
}

// undoGrant lets go on the brick what was granted for nothing, but for what its
// owner has by record, or is waiting for.
func (s *session) undoGrant(rem *remote, granted xlator.Lock) {
	f := rem.file
	defer f.turn(&granted)()
	wanted := s.wanted(f, &granted)
	f.mu.Lock()
	kept := f.locks.of(&granted)
	f.mu.Unlock()
	var free locks
	whole := granted
	whole.Type = unix.F_WRLCK
	free.set(whole, rem)
	for _, l := range append(wanted, kept...) {
		l.Type = unix.F_UNLCK
		free.set(l, rem)
	}
	for _, h := range free {
		h.Type = unix.F_UNLCK
		s.setLock(rem, h.Lock)
	}
	// What stays is only changed back to its type, so that nobody slips in.
	for _, l := range kept {
		if l = overlap(l, granted); l.Start <= l.End && l.Type != granted.Type {
			s.setLock(rem, l)
		}
	}
}

// setLock sets or clears a lock on the brick on the client's own behalf.
func (s *session) setLock(rem *remote, l xlator.Lock) {
	var rep xdr.LkRep
	x := lk(rem, xdr.LkSet, &l, &rep)
	if err := s.do(xlator.Internal(), &x); err != nil {
		s.log.Warn("put locks back after a wait that was given up", "gfid", rem.key.gfid, "err", err)
	}
}
