package fdtable

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast/holdfast/graph"
)

// sweepers bounds how many idle files are moved at once after a switch.
const sweepers = 2

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
	tick := time.NewTicker(100 * time.Millisecond)
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
	return t.swept.Load() == cur.Generation || !cur.Follows()
}

// stale lists the open files that live on graphs before g, and lets go of the
// Inodes of files that are not open.
func (t *Table) stale(g *graph.Graph) (open []*Node) {
	t.nodes.each(func(n *Node) {
		r := n.ref.Current()
		if r != nil && r.Key >= g.Generation {
			return
		}
		if n.isOpen() {
			open = append(open, n)
		} else if r != nil {
			n.ref.Drop()
		}
	})
	return open
}

// sweep tries to move the files and returns those that still live elsewhere.
func (t *Table) sweep(ctx context.Context, g *graph.Graph, files []*Node) (left []*Node, s graph.Swept) {
	var eg errgroup.Group
	eg.SetLimit(sweepers)
	var moved, held atomic.Int64
	failed := make([]bool, len(files))
	for i, n := range files {
		if ctx.Err() != nil || t.graphs.Current() != g {
			break
		}
		if t.Held(n.gfid) {
			held.Add(1)
			failed[i] = true
			continue
		}
		runtime.Gosched() // requests come first
		eg.Go(func() error {
			if t.bringHome(ctx, n) {
				moved.Add(1)
			} else {
				failed[i] = true
			}
			return nil
		})
	}
	_ = eg.Wait()
	for i, n := range files {
		if failed[i] && n.isOpen() {
			left = append(left, n)
		}
	}
	s.Moved, s.Held = int(moved.Load()), int(held.Load())
	s.Pinned = len(left) - s.Held
	return left, s
}

// bringHome moves a file to the current graph, unless it is there or not open,
// and reports whether it is home now.
func (t *Table) bringHome(ctx context.Context, n *Node) bool {
	if !n.isOpen() {
		return true
	}
	cur := t.graphs.Current()
	r, err := t.place(ctx, n, cur)
	return err == nil && r.Key >= cur.Generation
}
