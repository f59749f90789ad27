package fdtable

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// locker is an owner of locks of one kind.
type locker struct {
	owner uint64
	flock bool
}

// record is the locks that applications hold on one file, by what the client
// was told: for each locker its ranges, ordered and disjoint.
type record struct {
	held map[locker][]xlator.Lock
	// touched is the lockers that have asked for a lock since their last
	// flush, granted or not: what the brick may know of them goes with it.
	touched map[locker]bool
	// kept is where the locks of each locker are recorded.
	kept map[locker]*keptLocks
}

// keptLocks is the records of one locker's locks on one file.
type keptLocks struct {
	slots []uint32
	order int // of a locker that an earlier process has recorded
}

// any reports whether somebody has a lock on the file, or has asked for one.
func (r *record) any() bool { return len(r.held) > 0 || len(r.touched) > 0 }

// recorded returns what is kept of a locker, to be changed.
func (r *record) recorded(k locker) *keptLocks {
	if r.kept == nil {
		r.kept = map[locker]*keptLocks{}
	}
	if r.kept[k] == nil {
		r.kept[k] = &keptLocks{}
	}
	return r.kept[k]
}

// all returns the locks that an earlier process has recorded, locker by locker
// in the order of recording.
func (r *record) all() (locks []xlator.Lock) {
	var lockers []locker
	for k := range r.held {
		lockers = append(lockers, k)
	}
	slices.SortFunc(lockers, func(a, b locker) int { return cmp.Compare(r.recorded(a).order, r.recorded(b).order) })
	for _, k := range lockers {
		locks = append(locks, r.held[k]...)
	}
	return locks
}

func (r *record) touch(l locker) {
	if r.touched == nil {
		r.touched = map[locker]bool{}
	}
	r.touched[l] = true
}

// set carries out a lock or an unlock that was granted, as POSIX says: it
// replaces what the owner had in the range. It returns by how many the number
// of locks grew.
func (r *record) set(l xlator.Lock) int {
	k := locker{l.Owner, l.Flock}
	old := r.held[k]
	var out []xlator.Lock
	for _, h := range old {
		if h.End < l.Start || h.Start > l.End {
			out = append(out, h)
			continue
		}
		if h.Start < l.Start {
			left := h
			left.End = l.Start - 1
			out = append(out, left)
		}
		if h.End > l.End {
			right := h
			right.Start = l.End + 1
			out = append(out, right)
		}
	}
	if l.Type != unix.F_UNLCK {
		out = append(out, l)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Start < out[j].Start })
	out = merge(out)
	if r.held == nil {
		r.held = map[locker][]xlator.Lock{}
	}
	if len(out) == 0 {
		delete(r.held, k)
	} else {
		r.held[k] = out
	}
	return len(out) - len(old)
}

// within returns what a locker holds in a range, cut to it.
func (r *record) within(k locker, start, end int64) (in []xlator.Lock) {
	for _, h := range r.held[k] {
		if h.End < start || h.Start > end {
			continue
		}
		h.Start, h.End = max(h.Start, start), min(h.End, end)
		in = append(in, h)
	}
	return in
}

// merge joins neighbours of the same type.
func merge(in []xlator.Lock) []xlator.Lock {
	out := in[:0]
	for _, l := range in {
		if n := len(out); n > 0 && out[n-1].Type == l.Type && out[n-1].End != math.MaxInt64 && out[n-1].End+1 == l.Start {
			out[n-1].End = l.End
			continue
		}
		out = append(out, l)
	}
	return out
}
