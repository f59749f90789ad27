package locks

import (
	"iter"
	"slices"
)

// tally is the locks of inodelk and entrylk: kept one by one as they were
// taken, so that each unlock undoes one lock.
type tally struct {
	held []claim // in order of their grants
}

func (t *tally) blocker(c claim) (claim, bool) {
	var best claim
	found := false
	for _, h := range t.held {
		if h.excludes(c) && (!found || h.start < best.start || h.start == best.start && h.owner < best.owner) {
			best, found = h, true
		}
	}
	return best, found
}

func (t *tally) blockers(c claim) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for _, h := range t.held {
			if h.excludes(c) && !yield(h.owner) {
				return
			}
		}
	}
}

func (t *tally) grant(c claim) bool {
	t.held = append(t.held, c)
	return false
}

func (t *tally) release(c claim) bool {
	i := slices.IndexFunc(t.held, func(h claim) bool {
		return h.owner == c.owner && h.start == c.start && h.end == c.end && h.name == c.name
	})
	if i < 0 {
		return false
	}
	t.held = slices.Delete(t.held, i, i+1)
	return true
}

func (t *tally) all() iter.Seq[claim] { return slices.Values(t.held) }

func (t *tally) count() int { return len(t.held) }
