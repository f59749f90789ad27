package fdtable

import (
	"context"

	"github.com/holdfast/holdfast/graph"
	"github.com/holdfast/holdfast/xlator"
)

// hold is a file whose old graph still has acknowledged data that its brick
// has not.
type hold struct {
	n    int           // guarded by Table.holdMu; graphs that have such data
	done chan struct{} // closed when none has
}

// Hold implements graph.Tenant.
func (t *Table) Hold(g *graph.Graph, file xlator.GFID, clean func(context.Context) error) {
	t.log.Warn("file held: its data has not reached the brick yet", "gfid", file, "graph", g.Generation)
	t.hold(g.Context(), file, clean)
}

// HoldFile makes requests for a file wait until clean returns: data that an
// earlier process has acknowledged has not reached the brick yet. clean must
// return when its context ends, at Close; it must not use the table's UseFD and
// UseNode for the file, which wait for the hold (see OpenApart). Call it after
// Attach, and before the requests that are to wait.
func (t *Table) HoldFile(file xlator.GFID, clean func(context.Context) error) {
	t.log.Warn("file held: data of an earlier process has not reached the brick yet", "gfid", file)
	t.hold(t.ctx, file, clean)
}

func (t *Table) hold(ctx context.Context, file xlator.GFID, clean func(context.Context) error) {
	t.graphs.Astray()
	t.holdMu.Lock()
	h := t.holds[file]
	if h == nil {
		h = &hold{done: make(chan struct{})}
		t.holds[file] = h
		t.nholds.Add(1)
	}
	h.n++
	t.holdMu.Unlock()
	t.Go(func() {
		err := clean(ctx)
		t.holdMu.Lock()
		h.n--
		last := h.n == 0
		if last {
			delete(t.holds, file)
			t.nholds.Add(-1)
		}
		t.holdMu.Unlock()
		if last {
			close(h.done)
		}
		t.graphs.Home(nil)
		t.log.Info("file no longer held", "gfid", file, "err", err)
		if n := t.find(file); n != nil && last {
			_ = t.bringHome(t.ctx, n)
		}
	})
}

// Held reports whether requests for that file wait.
func (t *Table) Held(file xlator.GFID) bool {
	if t.nholds.Load() == 0 {
		return false
	}
	t.holdMu.Lock()
	defer t.holdMu.Unlock()
	return t.holds[file] != nil
}

// WaitHeld waits until the file is not held; lookups that are about to answer
// its attributes call it, and ask again if it had to wait.
func (t *Table) WaitHeld(call *xlator.Call, file xlator.GFID) error {
	return t.waitHeld(call, file)
}

func (t *Table) waitHeld(ctx context.Context, file xlator.GFID) error {
	if t.nholds.Load() == 0 {
		return nil
	}
	t.holdMu.Lock()
	h := t.holds[file]
	t.holdMu.Unlock()
	if h == nil {
		return nil
	}
	return xlator.Await(ctx, h.done)
}
