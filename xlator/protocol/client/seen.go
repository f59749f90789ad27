package client

import (
	"slices"
	"time"

	"github.com/holdfast/holdfast/xlator"
)

// seen is how a file on which locks are held was when the brick last said so: if
// it is another when they are taken again, somebody has used the gap.
type seen struct {
	known        bool
	size         uint64
	mtime, ctime xlator.Time
	// stamps are the times that changes on their way give the file. What
	// became of those that were on a lost connection is not known: the file
	// may be as it was seen, or bear one of them.
	stamps []xlator.Time
}

func timeOf(t time.Time) xlator.Time {
	return xlator.Time{Sec: t.Unix(), Nsec: uint32(t.Nanosecond())}
}

// explains reports whether nobody else has changed a file that has these
// attributes now.
func (n *seen) explains(a *xlator.Iatt, stamped bool) bool {
	switch {
	case !n.known:
		return true
	case a.Mtime == n.mtime && a.Ctime == n.ctime:
		return a.Size == n.size || len(n.stamps) > 0
	case len(n.stamps) == 0:
		return false
	}
	// A brick that does not keep the client's times gives no clue.
	return !stamped || slices.Contains(n.stamps, a.Ctime)
}

// saw notes attributes that the brick has just given.
func (s *session) saw(a *xlator.Iatt) {
	if s.lockedFiles.Load() == 0 || !a.Valid() {
		return
	}
	if f := s.fileOf(a.GFID); f != nil {
		f.saw(a)
	}
}

func (f *file) saw(a *xlator.Iatt) {
	if !a.Valid() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := &f.seen
	// Replies may overtake each other; ctime does not go back.
	if len(f.locks) == 0 || n.known && a.Ctime.Before(n.ctime) {
		return
	}
	n.known, n.size, n.mtime, n.ctime = true, a.Size, a.Mtime, a.Ctime
	f.noteSeen()
}

// unsee follows a change of whose attributes nothing is known.
func (s *session) unsee(g xlator.GFID) {
	if s.lockedFiles.Load() == 0 {
		return
	}
	if f := s.fileOf(g); f != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.seen.known = false
		f.noteSeen()
	}
}

// changing notes a change on its way to a file with locks, and fixes its time.
func (s *session) changing(x *exchange) {
	if x.times == 0 || s.lockedFiles.Load() == 0 {
		return
	}
	r := x.fd
	if x.out != nil {
		r = x.out
	}
	if r == nil {
		return
	}
	f := r.file
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.locks) == 0 {
		return
	}
	if x.stamp.IsZero() {
		x.stamp = time.Now()
	}
	x.changes = f
	f.seen.stamps = append(f.seen.stamps, timeOf(x.stamp))
	f.noteSeen()
}

// changed undoes changing: the brick has answered.
func (x *exchange) changed() {
	if x.changes == nil {
		return
	}
	f := x.changes
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.Index(f.seen.stamps, timeOf(x.stamp)); i >= 0 {
		f.seen.stamps = slices.Delete(f.seen.stamps, i, i+1)
		f.noteSeen()
	}
}
