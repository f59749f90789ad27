package graph

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast/holdfast/graph/volfile"
	"github.com/holdfast/holdfast/xlator"
)

const stripes = 16

// Graph is one instance of a translator graph.
type Graph struct {
	// Generation counts graphs of the mount from 1. It is the freshness key
	// of everything that was resolved on this graph.
	Generation uint64
	Top        xlator.Fops
	Inodes     *xlator.InodeTable
	VolumeID   uuid.UUID // set at CONNECT

	file    atomic.Pointer[volfile.File]
	phase   *xlator.Phase
	nodes   []node // leaf first
	ctx     context.Context
	cancel  context.CancelFunc
	log     *slog.Logger
	started atomic.Int32 // how many of nodes are started
	detach  chan struct{}
	out     atomic.Bool
	follows bool // set before it serves: there was a graph before it

	inflight [stripes]stripe
	waiters  atomic.Int32
	kick     chan struct{}

	lateMu sync.Mutex
	late   []*xlator.FD // guarded by lateMu; to be released at retirement

	retireMu sync.Mutex
	retire   RetireState   // guarded by retireMu
	await    chan struct{} // asks the retirer to wait for requests again
}

type stripe struct {
	n atomic.Int64
	_ [56]byte // one cache line each
}

// node is one translator of the graph.
type node struct {
	name string
	typ  *xlator.Type
	x    xlator.Fops
	opts xlator.Values
}

// File is the volfile that the graph was built from, with the options that have
// been reconfigured since.
func (g *Graph) File() *volfile.File { return g.file.Load() }

// Enter counts a request in. The caller then looks again whether the graph is
// still the one it wants, and uses what it resolved only if so; it calls Leave
// with the same stripe in any case.
func (g *Graph) Enter(stripe uint64) { g.inflight[stripe%stripes].n.Add(1) }

// Leave counts a request out.
func (g *Graph) Leave(stripe uint64) {
	if g.inflight[stripe%stripes].n.Add(-1) == 0 && g.waiters.Load() > 0 {
		select {
		case g.kick <- struct{}{}:
		default:
		}
	}
}

// Running is how many requests are in the graph, for people to look at.
func (g *Graph) Running() (n int64) {
	for i := range g.inflight {
		n += g.inflight[i].n.Load()
	}
	return n
}

// quiesce waits until every request that had entered before the call has left.
// Requests that enter meanwhile may prolong it, never end it early: each stripe
// is seen empty once.
func (g *Graph) quiesce(ctx context.Context) error {
	g.waiters.Add(1)
	defer g.waiters.Add(-1)
	for i := range g.inflight {
		for g.inflight[i].n.Load() != 0 {
			select {
			case <-g.kick:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// Detach is closed when parked lock waits have to leave the graph: at the swap.
func (g *Graph) Detach() <-chan struct{} { return g.detach }

// Context ends when the graph is stopped.
func (g *Graph) Context() context.Context { return g.ctx }

// Phase is where the graph stands.
func (g *Graph) Phase() xlator.PhaseView { return g.phase.Load() }

// Out reports whether the graph has been replaced.
func (g *Graph) Out() bool { return g.out.Load() }

// Follows reports whether there was a graph before this one, from which open
// files may have to come.
func (g *Graph) Follows() bool { return g.follows }

// Bind counts an open file that is served by this graph. Call it inside Enter
// and Leave.
func (g *Graph) Bind() { g.stepRetire(RetireBind) }

// Unbind undoes one Bind. fd, if not nil, is released when every request that
// may use it has left.
func (g *Graph) Unbind(fd *xlator.FD) {
	if fd != nil {
		g.lateMu.Lock()
		g.late = append(g.late, fd)
		g.lateMu.Unlock()
	}
	g.stepRetire(RetireUnbind)
}

// Bound is how many open files the graph serves.
func (g *Graph) Bound() int {
	g.retireMu.Lock()
	defer g.retireMu.Unlock()
	return g.retire.Bound
}

func (g *Graph) stepRetire(e RetireEvent) (retire bool) {
	g.retireMu.Lock()
	defer g.retireMu.Unlock()
	var await bool
	g.retire, retire, await = StepRetire(g.retire, e)
	if await {
		select {
		case g.await <- struct{}{}:
		default:
		}
	}
	return retire
}

// runRetirement waits until nothing uses the graph any more. quiet is called
// after the first time that all earlier requests have left. It returns false
// when ctx ended first.
func (g *Graph) runRetirement(ctx context.Context, quiet func()) bool {
	first := true
	for {
		select {
		case <-g.await:
		case <-ctx.Done():
			return false
		}
		g.stepRetire(RetireWait)
		if g.quiesce(ctx) != nil {
			return false
		}
		if first {
			first = false
			quiet()
		}
		if g.stepRetire(RetireQuiet) {
			return true
		}
	}
}

// releaseLate releases the FDs that were left to the end.
func (g *Graph) releaseLate() {
	g.lateMu.Lock()
	late := g.late
	g.late = nil
	g.lateMu.Unlock()
	var pace Pace
	for _, fd := range late {
		began := time.Now()
		g.Top.Release(fd)
		pace.Did(time.Since(began))
	}
}

// stop ends the graph, leaf first.
func (g *Graph) stop() {
	g.cancel()
	for i := range g.nodes {
		if int32(i) >= g.started.Load() {
			break
		}
		if s, ok := g.nodes[i].x.(xlator.Stopper); ok {
			s.Stop()
		}
	}
}

// each calls fn for every translator, top first.
func (g *Graph) each(fn func(n *node)) {
	for i := len(g.nodes) - 1; i >= 0; i-- {
		fn(&g.nodes[i])
	}
}
