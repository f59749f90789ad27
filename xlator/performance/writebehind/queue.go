package writebehind

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/holdfast/holdfast/xlator"
)

// file is the queue of one file's writes.
type file struct {
	// constant after construction
	gfid xlator.GFID

	// atomic; changed under mu
	pending atomic.Int32 // early writes in the queue

	mu          sync.Mutex
	first, last *write // guarded by mu; in order of arrival
	seq         uint64 // guarded by mu; number of the last write
	forced      uint64 // guarded by mu; up to this number nothing waits for more
	bytes       int64  // guarded by mu; of early writes
	answered    int    // guarded by mu; calls that were answered early
	inFlight    int    // guarded by mu; early writes being sent
}

// INVARIANT: pending is the number of early writes in the queue; the file is in
// translator.dirty exactly while it is not 0.

// write is one write in a queue, of one call or of several that were adjacent.
type write struct {
	// constant after it was queued
	seq      uint64
	fd       *xlator.FD
	off      int64
	flags    uint32
	killPriv bool
	paged    bool
	whole    bool // it is in order with all others, not only where they overlap
	early    bool
	call     xlator.Call // of an early write: a copy, since the request's is reused

	// guarded by file.mu; constant once sent
	size   int
	data   []xlator.Payload // of an early write; each retained
	sent   bool
	done   chan struct{} // closed when it is out of the queue; nil: nobody waits
	before *write
	after  *write
}

// span is a range of bytes, [from, to).
type span struct{ from, to int64 }

var everything = span{0, math.MaxInt64}

func spanOf(off int64, size int) span {
	if off < 0 || off > math.MaxInt64-int64(size) {
		return everything // the child will refuse it
	}
	return span{off, off + int64(size)}
}

func (a span) overlaps(b span) bool { return a.from < b.to && b.from < a.to }

// covers is what the write is in order with.
func (w *write) covers() span {
	if w.whole {
		return everything
	}
	return spanOf(w.off, w.size)
}

// append puts w at the end; mu is held.
func (f *file) append(w *write) {
	f.seq++
	w.seq = f.seq
	if w.before = f.last; w.before == nil {
		f.first = w
	} else {
		w.before.after = w
	}
	f.last = w
}

// remove takes w out and lets those go who wait for it; mu is held.
func (f *file) remove(w *write) {
	if w.before == nil {
		f.first = w.after
	} else {
		w.before.after = w.after
	}
	if w.after == nil {
		f.last = w.before
	} else {
		w.after.before = w.before
	}
	w.before, w.after = nil, nil
	if w.done != nil {
		close(w.done)
	}
}

// inTheWay returns an earlier write of the queue that w has to wait for; mu is
// held.
func (f *file) inTheWay(w *write) *write {
	c := w.covers()
	for x := w.before; x != nil; x = x.before {
		if x.covers().overlaps(c) {
			return x
		}
	}
	return nil
}

// gone returns what is closed when w is out of the queue; mu is held.
func (w *write) gone() <-chan struct{} {
	if w.done == nil {
		w.done = make(chan struct{})
	}
	return w.done
}

// merge adds w to the last write if it continues it; mu is held. Nothing is
// behind the last write, so that changes no order.
func (f *file) merge(w *write, limit int64) bool {
	l := f.last
	if l == nil || !l.early || l.sent ||
		l.off+int64(l.size) != w.off || int64(l.size+w.size) > limit ||
		l.fd != w.fd || l.flags != w.flags || l.killPriv != w.killPriv || l.paged != w.paged || l.whole != w.whole ||
		!sameCaller(&l.call, &w.call) {
		return false
	}
	l.data = append(l.data, w.data...)
	l.size += w.size
	return true
}

func sameCaller(a, b *xlator.Call) bool {
	return a.LockOwner == b.LockOwner && a.UID == b.UID && a.GID == b.GID && a.PID == b.PID && slices.Equal(a.Groups, b.Groups)
}

// mayGo reports whether an early write may be sent now; mu is held.
func (f *file) mayGo(w *write, s *settings) bool {
	if w.sent || !w.early || f.inTheWay(w) != nil {
		return false
	}
	// The last one waits for company while another is on its way.
	return w.after != nil || w.seq <= f.forced || int64(w.size) >= s.aggregate || s.trickle && f.inFlight == 0
}

// next picks an early write to send; mu is held. It looks at a few only: behind
// them are more of the same kind.
func (f *file) next(s *settings) *write {
	looked := 0
	for w := f.first; w != nil && looked < 4*maxInFlight; w = w.after {
		if w.sent {
			continue
		}
		if f.mayGo(w, s) {
			return w
		}
		looked++
	}
	return nil
}

// lastSeen returns an acknowledged write up to number seq that meets s and, with
// fd, is of that fd; mu is held.
func (f *file) lastSeen(seq uint64, s span, fd *xlator.FD) *write {
	for w := f.last; w != nil; w = w.before {
		if w.early && w.seq <= seq && (fd == nil || w.fd == fd) && spanOf(w.off, w.size).overlaps(s) {
			return w
		}
	}
	return nil
}
