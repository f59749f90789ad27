package fdtable

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/graph"
	"github.com/holdfast/holdfast/xlator/hint"
)

const (
	// maxMovers bounds how many idle files are moved at once after a switch.
	// One mover is enough for files that have nothing to wait for.
	maxMovers = 32
	// stall is how long no file may have moved before one mover more begins.
	stall = 2 * time.Millisecond
)

// sweep is one attempt to move many files.
type sweep struct {
	// Constant after construction.
	t     *Table
	ctx   context.Context
	g     *graph.Graph
	files []*Node
	ended chan struct{} // one from each mover that ends; has room for all

	failed []bool // each by the mover of its file

	pace graph.Pace

	next  atomic.Int64 // first file that nobody has taken
	moved atomic.Int64
	held  atomic.Int64
}

// run moves the files and returns when every mover has ended. A mover that waits
// for a brick must not keep the others' files: when nothing has happened for a
// while, one more begins.
func (w *sweep) run() {
	if len(w.files) == 0 {
		return
	}
	w.t.Go(w.work)
	tick := time.NewTicker(stall)
	defer tick.Stop()
	seen := int64(0)
	for movers := 1; movers > 0; {
		select {
		case <-w.ended:
			movers--
		case <-tick.C:
			now := w.next.Load()
			if now == seen && now < int64(len(w.files)) && movers < maxMovers && w.ctx.Err() == nil {
				movers++
				w.t.Go(w.work)
			}
			seen = now
		}
	}
}

// work is a mover.
func (w *sweep) work() {
	defer func() { w.ended <- struct{}{} }()
	for w.ctx.Err() == nil && w.t.graphs.Current() == w.g {
		i := int(w.next.Add(1)) - 1
		if i >= len(w.files) {
			return
		}
		began := time.Now()
		w.move(i)
		w.pace.Did(time.Since(began))
	}
}

func (w *sweep) move(i int) {
	n := w.files[i]
	switch {
	case w.t.Held(n.gfid):
		w.held.Add(1)
		w.failed[i] = true
	case w.t.bringHome(w.ctx, n):
		w.moved.Add(1)
	default:
		w.failed[i] = true
	}
}

// bringHome moves a file to the current graph, unless it is there or nothing of
// it is open, and reports whether it is home now.
func (t *Table) bringHome(ctx context.Context, n *Node) bool {
	if !n.isBound() {
		return true
	}
	cur := t.graphs.Current()
	r, err := t.place(ctx, hint.Here{}, n, cur)
	return err == nil && r.Key >= cur.Generation && t.gather(ctx, n, r.Key)
}

// gather brings the base fds to their file that were opened elsewhere while it
// moved, and reports whether all that are bound have come.
func (t *Table) gather(ctx context.Context, n *Node, key uint64) bool {
	var late []*BaseFD
	n.mu.Lock()
	for _, b := range n.fds {
		if r := b.ref.Current(); r != nil && r.Key < key {
			late = append(late, b)
		}
	}
	n.mu.Unlock()
	all := true
	for _, b := range late {
		r, err := b.ref.UsePatiently(t.patienceOf(ctx), hint.Here{}, key, func() (uint64, binding, error) { return t.follow(b) }, letBindingGo)
		all = all && (err != nil || r.Key >= key) // with an error it has been closed
	}
	return all
}
