package client

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// held is a lock that an application has, and the open object that it was taken
// through: the brick drops it with that.
type held struct {
	xlator.Lock
	via *remote
}

// locks is the record of what applications have locked in one file: what has to be
// taken again when the connection is lost.
// INVARIANT: ranges of one owner do not overlap.
type locks []held

// owned reports whether a lock is of that owner.
func (h *held) owned(l *xlator.Lock) bool { return h.Owner == l.Owner && h.Flock == l.Flock }

// set puts a lock in, or takes an unlocked range out, and returns what the owner
// had there.
func (ls *locks) set(l xlator.Lock, via *remote) (had []held) {
	var rest locks
	for _, h := range *ls {
		if !h.owned(&l) || h.End < l.Start || h.Start > l.End {
			rest = append(rest, h)
			continue
		}
		inside := h
		inside.Start, inside.End = max(h.Start, l.Start), min(h.End, l.End)
		had = append(had, inside)
		if h.Start < l.Start {
			before := h
			before.End = l.Start - 1
			rest = append(rest, before)
		}
		if h.End > l.End {
			after := h
			after.Start = l.End + 1
			rest = append(rest, after)
		}
	}
	if l.Type != unix.F_UNLCK {
		rest = append(rest, held{l, via})
	}
	*ls = rest
	return had
}

// drop takes out what was taken through an open object, and returns it.
func (ls *locks) drop(via *remote) (gone []held) {
	var rest locks
	for _, h := range *ls {
		if h.via == via {
			gone = append(gone, h)
		} else {
			rest = append(rest, h)
		}
	}
	*ls = rest
	return gone
}

// of returns the locks of l's owner.
func (ls locks) of(l *xlator.Lock) []xlator.Lock {
	var all []xlator.Lock
	for _, h := range ls {
		if h.owned(l) {
			all = append(all, h.Lock)
		}
	}
	return all
}

// record notes that a lock or unlock through via is in force.
func (s *session) record(l xlator.Lock, via *remote) (had []held) {
	f := via.file
	f.mu.Lock()
	defer f.mu.Unlock()
	before := len(f.locks)
	had = f.locks.set(l, via)
	s.counted(f, before)
	if via.guardian && l.Type != unix.F_UNLCK && !slices.Contains(f.guards, via) {
		f.guards = append(f.guards, via)
	}
	if len(f.guards) > 0 {
		s.relieve(f)
	}
	return had
}

// counted follows a change of a file's locks. f.mu is held.
func (s *session) counted(f *file, before int) {
	now := len(f.locks)
	s.locksHeld.Add(int64(now - before))
	if before == 0 && now > 0 {
		s.lockedFiles.Add(1)
		f.seen = seen{} // what was seen before the lock does not count
	}
	if before > 0 && now == 0 {
		s.lockedFiles.Add(-1)
		f.seen = seen{}
	}
	if before == 0 || now == 0 {
		f.noteSeen()
	}
}

// dropLocks forgets the locks that were taken through an open object, and returns
// them.
func (s *session) dropLocks(r *remote) (gone []held) {
	f := r.file
	f.mu.Lock()
	defer f.mu.Unlock()
	before := len(f.locks)
	gone = f.locks.drop(r)
	s.counted(f, before)
	return gone
}

// owner is whose a lock is.
type owner struct {
	number uint64
	flock  bool
}

// turn is one lock request of an owner at a time.
type turn struct {
	users int // guarded by file.mu
	taken chan struct{}
}

// turn waits until no other request of l's owner sets or clears locks of the file:
// what is undone for it must not be what it has just got. The result ends it.
func (f *file) turn(l *xlator.Lock) (done func()) {
	o := owner{l.Owner, l.Flock}
	f.mu.Lock()
	t := f.turns[o]
	if t == nil {
		if f.turns == nil {
			f.turns = map[owner]*turn{}
		}
		t = &turn{taken: make(chan struct{}, 1)}
		f.turns[o] = t
	}
	t.users++
	f.mu.Unlock()
	t.taken <- struct{}{}
	return func() {
		<-t.taken
		f.mu.Lock()
		defer f.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(f.turns, o)
		}
	}
}
