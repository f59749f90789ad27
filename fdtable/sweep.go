package fdtable

import (
	"context"
	"time"

	"github.com/holdfast/holdfast/graph"
)

// retryEvery is how often files that could not move are looked at again.
const retryEvery = 100 * time.Millisecond

// Sweep implements graph.Tenant: it moves every open file to g. Files that
// cannot move now are tried again until they have, or g is replaced.
func (t *Table) Sweep(ctx context.Context, g *graph.Graph) (s graph.Swept) {
	left, s := t.sweep(ctx, g, t.stale(g))
	if len(left) == 0 {
		t.arrive(g)
		return s
	}
	t.Go(func() { t.retry(g, left) })
	return s
}

// retry goes on with the files that a sweep left behind.
func (t *Table) retry(g *graph.Graph, left []*Node) {
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for len(left) > 0 {
		select {
		case <-tick.C:
		case <-t.ctx.Done():
			return
		}
		if t.graphs.Current() != g {
			return // a later sweep has them
		}
		left, _ = t.sweep(t.ctx, g, left)
	}
	t.arrive(g)
}

// arrive notes that every open file has reached g.
func (t *Table) arrive(g *graph.Graph) {
	for {
		old := t.swept.Load()
		if old >= g.Generation || t.swept.CompareAndSwap(old, g.Generation) {
			return
		}
	}
}

// Settled reports whether every open file lives on the current graph. While it
// does not, a name's victim is to be resolved before the name is removed.
func (t *Table) Settled() bool {
	cur := t.graphs.Current()
	return (t.swept.Load() == cur.Generation || !cur.Follows()) && t.strays.Load() == 0
}

// fetch brings a file home that was opened on a graph while that was replaced.
func (t *Table) fetch(n *Node) {
	t.strays.Add(1)
	t.Go(func() {
		defer t.strays.Add(-1)
		tick := time.NewTicker(retryEvery)
		defer tick.Stop()
		for !t.bringHome(t.ctx, n) {
			select {
			case <-tick.C:
			case <-t.ctx.Done():
				return
			}
		}
	})
}

// stale lists the open files that live on graphs before g, and lets go of the
// Inodes of files of which nothing is open. There may be millions of those.
func (t *Table) stale(g *graph.Graph) (open []*Node) {
	const atOnce = 64
	var pace graph.Pace
	seen, began := 0, time.Now()
	open = make([]*Node, 0, t.fds.len())
	t.nodes.each(func(n *Node) {
		if seen++; seen%atOnce == 0 {
			pace.Did(time.Since(began))
			began = time.Now()
		}
		r := n.ref.Current()
		if r != nil && r.Key >= g.Generation {
			return
		}
		if n.isBound() {
			open = append(open, n)
		} else if r != nil {
			n.ref.Drop()
		}
	})
	return open
}

// sweep tries to move the files and returns those that still live elsewhere.
func (t *Table) sweep(ctx context.Context, g *graph.Graph, files []*Node) (left []*Node, s graph.Swept) {
	w := &sweep{t: t, ctx: ctx, g: g, files: files, failed: make([]bool, len(files)), ended: make(chan struct{}, maxMovers)}
	w.run()
	for i, n := range files {
		if w.failed[i] && n.isBound() {
			left = append(left, n)
		}
	}
	s.Moved, s.Held = int(w.moved.Load()), int(w.held.Load())
	s.Pinned = len(left) - s.Held
	return left, s
}
