package content

import (
	"sync/atomic"

	"github.com/holdfast/holdfast/xlator"
)

// Changes is the clock of changes of one translator.
type Changes struct {
	// constant after construction
	phase *xlator.Phase

	// atomic
	clock      atomic.Uint64
	everything atomic.Uint64 // tick of the latest change of who knows what
	cells      [4096]cell
}

// cell is the changes of the files that share it.
type cell struct {
	running atomic.Int64  // changes that have begun and not ended
	tick    atomic.Uint64 // the latest
}

// NewChanges returns a clock for a graph with that phase.
func NewChanges(p *xlator.Phase) *Changes { return &Changes{phase: p} }

// Moment is when a child was asked, or a little before.
type Moment struct {
	tick uint64
	view xlator.PhaseView
}

// Now is taken before the child is asked. ok says whether the answer may be kept
// at all: a transparent graph keeps nothing.
func (c *Changes) Now() (m Moment, ok bool) {
	m.view = c.phase.Load()
	m.tick = c.clock.Load()
	return m, !m.view.Transparent()
}

// Holds reports whether what was asked for at m still says how the file is: no
// change was running then, none has begun since, and the phase is the same view.
func (c *Changes) Holds(g xlator.GFID, m Moment) bool {
	x := c.cell(g)
	// In this order: a change ticks, and only then is no longer running.
	return x.running.Load() == 0 && x.tick.Load() <= m.tick && c.everything.Load() <= m.tick && c.serves(m.view)
}

// serves reports whether the phase is still that view, and serves.
func (c *Changes) serves(v xlator.PhaseView) bool { return !v.Transparent() && v == c.phase.Load() }

// Begin says that a change of the file is about to be asked for.
func (c *Changes) Begin(g xlator.GFID) {
	x := c.cell(g)
	x.running.Add(1)
	c.raise(&x.tick)
}

// End says that a change that has begun is over, done or not.
func (c *Changes) End(g xlator.GFID) {
	x := c.cell(g)
	c.raise(&x.tick)
	x.running.Add(-1)
}

// Changed says that the file was changed by somebody else.
func (c *Changes) Changed(g xlator.GFID) { c.raise(&c.cell(g).tick) }

// All says that everything may have changed.
func (c *Changes) All() { c.raise(&c.everything) }

func (c *Changes) cell(g xlator.GFID) *cell {
	return &c.cells[(uint(g[14])<<8|uint(g[15]))%uint(len(c.cells))]
}

// raise ticks, and sets a tick to the new time or leaves it at a later one.
func (c *Changes) raise(tick *atomic.Uint64) {
	now := c.clock.Add(1)
	for old := tick.Load(); old < now && !tick.CompareAndSwap(old, now); old = tick.Load() {
	}
}
