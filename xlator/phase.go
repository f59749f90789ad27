package xlator

import "sync/atomic"

// PhaseName is where a graph stands in its life.
type PhaseName uint8

// A graph is transparent while settling (from its birth until every request
// that entered an older graph has left it) and while draining (from the start
// of its drain to its end). Transparent means that caches neither answer nor
// keep, and that whatever answers early answers after its child.
const (
	PhaseSettling PhaseName = iota
	PhaseServing
	PhaseDraining
)

func (p PhaseName) String() string { return [...]string{"settling", "serving", "draining"}[p] }

// Phase is shared by a graph (which sets it) and its translators (which read
// it). A queue reads it under the lock under which it enqueues.
type Phase struct {
	v atomic.Uint64 // epoch<<2 | name
}

// PhaseView is one reading of a Phase.
type PhaseView uint64

// Load reads the phase.
func (p *Phase) Load() PhaseView { return PhaseView(p.v.Load()) }

// Set changes the phase. Each change begins a new epoch.
func (p *Phase) Set(n PhaseName) {
	for {
		old := p.v.Load()
		if PhaseName(old&3) == n {
			return
		}
		if p.v.CompareAndSwap(old, (old>>2+1)<<2|uint64(n)) {
			return
		}
	}
}

// Name is the phase that was read.
func (v PhaseView) Name() PhaseName { return PhaseName(v & 3) }

// Transparent reports whether caches must neither answer nor keep.
func (v PhaseView) Transparent() bool { return v.Name() != PhaseServing }

// Epoch counts changes of phase. What a cache learned in one epoch must not
// answer in another: read the view before asking the child, and keep the
// answer only for that view.
func (v PhaseView) Epoch() uint64 { return uint64(v >> 2) }
