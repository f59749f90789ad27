package mdcache

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/xlator"
)

// entry is what is kept of one inode.
type entry struct {
	// atomic; stored under mu
	attr atomic.Pointer[attr]

	mu      sync.Mutex
	running int              // guarded by mu; changes of the inode that run
	xattrs  map[string]xattr // guarded by mu
}

// attr is attributes as they were when they were asked for. Immutable.
type attr struct {
	asked
	iatt xlator.Iatt
}

// xattr is an extended attribute, or that there is none (err).
type xattr struct {
	asked
	dict *xlator.Dict
	err  error
}

// asked is the moment before the child was asked.
type asked struct {
	tick  uint64
	view  xlator.PhaseView
	until time.Duration // when the answer will be too old
}

// ask notes the moment before the child is asked. keep says whether its answer
// may be kept at all.
func (t *translator) ask() (a asked, keep bool) {
	s := t.settings.Load()
	a.view = t.phase.Load()
	if a.view.Transparent() || s.timeout == 0 {
		return a, false
	}
	a.tick = t.changes.now()
	a.until = t.now() + s.timeout
	return a, true
}

// usable reports whether an answer that was asked for then may be used now.
func (t *translator) usable(a *asked) bool {
	return a.view == t.phase.Load() && !a.view.Transparent() &&
		a.tick >= t.changes.everything.Load() && t.now() < a.until
}

// find returns the attributes of i that may be used.
func (t *translator) find(i *xlator.Inode) *attr {
	if e := t.entries.Get(i); e != nil {
		if a := e.attr.Load(); a != nil && t.usable(&a.asked) {
			t.hits.Add(1)
			return a
		}
	}
	t.misses.Add(1)
	return nil
}

func (t *translator) entryOf(i *xlator.Inode) *entry {
	if e := t.entries.Get(i); e != nil {
		return e
	}
	return t.entries.GetOrSet(i, &entry{})
}

// keep stores attributes that were asked for at a, unless the inode may have
// changed since.
func (t *translator) keep(i *xlator.Inode, a asked, iatt *xlator.Iatt) {
	if i == nil || !iatt.Valid() {
		return
	}
	e := t.entryOf(i)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running > 0 || !t.current(i.GFID(), a) {
		t.refused.Add(1)
		return
	}
	t.kept.Add(1)
	e.attr.Store(&attr{asked: a, iatt: *iatt})
}

// current reports whether nothing has changed since a.
func (t *translator) current(g xlator.GFID, a asked) bool {
	return a.view == t.phase.Load() && a.tick >= t.changes.of(g) && a.tick >= t.changes.everything.Load()
}

// forget drops what is kept of an inode that may have changed. Xattrs that are
// not there stay so when only data changed: a write takes capabilities away and
// adds nothing. mu is held.
func (e *entry) forget(xattrsToo bool) {
	e.attr.Store(nil)
	for name, x := range e.xattrs {
		if xattrsToo || x.err == nil {
			delete(e.xattrs, name)
		}
	}
}

// changes is the clock of changes.
type changes struct {
	clock      atomic.Uint64
	everything atomic.Uint64       // tick of the latest change of who knows what
	cells      [4096]atomic.Uint64 // the latest tick of a file of that cell
}

func (c *changes) cell(g xlator.GFID) *atomic.Uint64 {
	return &c.cells[(uint(g[14])<<8|uint(g[15]))%uint(len(c.cells))]
}

func (c *changes) now() uint64 { return c.clock.Load() }

func (c *changes) of(g xlator.GFID) uint64 { return c.cell(g).Load() }

func (c *changes) tick(g xlator.GFID) uint64 { return c.raise(c.cell(g)) }

func (c *changes) all() { c.raise(&c.everything) }

// raise ticks, and sets a cell to the new time or leaves it at a later one.
func (c *changes) raise(cell *atomic.Uint64) uint64 {
	now := c.clock.Add(1)
	for old := cell.Load(); old < now && !cell.CompareAndSwap(old, now); old = cell.Load() {
	}
	return now
}
