package locks

import (
	"cmp"
	"iter"
	"slices"
)

// holdings is the held locks of one space.
type holdings interface {
	// blocker is the first lock of another owner that excludes c: the one
	// that starts lowest, of those the one with the lowest owner.
	blocker(c claim) (claim, bool)
	// blockers yields every owner that has a lock that excludes c.
	blockers(c claim) iter.Seq[uint64]
	// grant adds c and reports whether that made a lock of its owner weaker.
	// Nothing may exclude c.
	grant(c claim) (weakened bool)
	// release takes c away, whatever its mode, and reports whether there was
	// anything.
	release(c claim) bool
	// all yields every lock in a fixed order.
	all() iter.Seq[claim]
	count() int
}

// records is the locks of POSIX record locking: an owner has at most one lock
// on each byte, and asking again replaces. Flocks are records of the whole file.
type records struct {
	// INVARIANT: ascending by owner, no holding without spans.
	by []holding
}

type holding struct {
	owner uint64
	// INVARIANT: ascending, disjoint; neighbours that touch differ in mode.
	spans []span
}

type span struct {
	start, end int64
	pid        uint32
	mode       mode
}

func (s span) claim(owner uint64) claim {
	return claim{owner: owner, start: s.start, end: s.end, pid: s.pid, mode: s.mode}
}

func (r *records) find(owner uint64) (int, bool) {
	return slices.BinarySearchFunc(r.by, owner, func(h holding, o uint64) int { return cmp.Compare(h.owner, o) })
}

// from is the index of the first span that ends at or after pos.
func (h *holding) from(pos int64) int {
	i, _ := slices.BinarySearchFunc(h.spans, pos, func(s span, p int64) int { return cmp.Compare(s.end, p) })
	return i
}

// first is the holding's first span that excludes c.
func (h *holding) first(c claim) (span, bool) {
	if h.owner == c.owner {
		return span{}, false
	}
	for _, s := range h.spans[h.from(c.start):] {
		if s.start > c.end {
			break
		}
		if s.mode == exclusive || c.mode == exclusive {
			return s, true
		}
	}
	return span{}, false
}

func (r *records) blocker(c claim) (claim, bool) {
	var best claim
	found := false
	for i := range r.by {
		if s, ok := r.by[i].first(c); ok && (!found || s.start < best.start) {
			best, found = s.claim(r.by[i].owner), true
		}
	}
	return best, found
}

func (r *records) blockers(c claim) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for i := range r.by {
			if _, ok := r.by[i].first(c); ok && !yield(r.by[i].owner) {
				return
			}
		}
	}
}

func (r *records) grant(c claim) bool { return r.set(c) }

func (r *records) release(c claim) bool {
	c.mode = unlocked
	return r.set(c)
}

// set makes the range of c what c.mode says for its owner, and reports whether
// any byte of it was locked more strongly before.
func (r *records) set(c claim) (weakened bool) {
	i, ok := r.find(c.owner)
	if !ok {
		if c.mode != unlocked {
			r.by = slices.Insert(r.by, i, holding{c.owner, []span{{c.start, c.end, c.pid, c.mode}}})
		}
		return false
	}
	h := &r.by[i]
	weakened = h.set(span{c.start, c.end, c.pid, c.mode})
	if len(h.spans) == 0 {
		r.by = slices.Delete(r.by, i, i+1)
	}
	return weakened
}

// set replaces the range of n: what was there is cut, and what touches n with
// the same mode becomes part of it.
func (h *holding) set(n span) (weakened bool) {
	before := n.start - 1
	i := h.from(before)
	j := i
	merged := n
	var left, right span
	for ; j < len(h.spans); j++ {
		s := h.spans[j]
		if s.start > n.end && (n.end == endOfFile || s.start > n.end+1) {
			break
		}
		if s.mode > n.mode && s.start <= n.end && s.end >= n.start {
			weakened = true
		}
		if s.mode == n.mode {
			merged.start, merged.end = min(merged.start, s.start), max(merged.end, s.end)
			continue
		}
		if s.start < n.start {
			left = span{s.start, min(s.end, before), s.pid, s.mode}
		}
		if s.end > n.end {
			right = span{max(s.start, n.end+1), s.end, s.pid, s.mode}
		}
	}
	var pieces [3]span
	p := pieces[:0]
	for _, s := range [...]span{left, merged, right} {
		if s.mode != unlocked {
			p = append(p, s)
		}
	}
	h.spans = slices.Replace(h.spans, i, j, p...)
	return weakened
}

// mode is what an owner holds at a position.
func (r *records) mode(owner uint64, pos int64) mode {
	i, ok := r.find(owner)
	if !ok {
		return unlocked
	}
	h := &r.by[i]
	if k := h.from(pos); k < len(h.spans) && h.spans[k].start <= pos {
		return h.spans[k].mode
	}
	return unlocked
}

// touches reports whether the owner of c holds anything in its range.
func (r *records) touches(c claim) bool {
	i, ok := r.find(c.owner)
	if !ok {
		return false
	}
	h := &r.by[i]
	k := h.from(c.start)
	return k < len(h.spans) && h.spans[k].start <= c.end
}

func (r *records) all() iter.Seq[claim] {
	return func(yield func(claim) bool) {
		for _, h := range r.by {
			for _, s := range h.spans {
				if !yield(s.claim(h.owner)) {
					return
				}
			}
		}
	}
}

func (r *records) count() (n int) {
	for _, h := range r.by {
		n += len(h.spans)
	}
	return n
}
