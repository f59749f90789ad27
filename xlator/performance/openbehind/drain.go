package openbehind

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/holdfast/holdfast/xlator"
)

// drainers bounds the files that a drain opens at once.
const drainers = 32

// Drain implements xlator.Drainer: what was answered is opened, so that the next
// graph finds it open.
func (t *translator) Drain(ctx context.Context) error {
	todo := make(chan *late)
	var wg sync.WaitGroup
	for range drainers {
		wg.Go(func() {
			for l := range todo {
				t.drain(ctx, l)
			}
		})
	}
	for _, l := range t.all() {
		l.drained.Store(false) // of a drain that was abandoned
		todo <- l
	}
	close(todo)
	wg.Wait()
	return ctx.Err()
}

// drain opens one file. One that cannot be opened is left to who uses it.
func (t *translator) drain(ctx context.Context, l *late) {
	if _, err := t.open(ctx, t, l); err != nil && ctx.Err() == nil {
		l.drained.Store(true)
	}
}

// all is what is not open yet.
func (t *translator) all() []*late {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.late))
}

// waiting is what is not open yet and may still be.
func (t *translator) waiting() []*late {
	return slices.DeleteFunc(t.all(), func(l *late) bool { return l.drained.Load() })
}

// Dirty implements xlator.Drainer.
func (t *translator) Dirty() []xlator.GFID {
	var gs []xlator.GFID
	for _, l := range t.waiting() {
		gs = append(gs, l.inode.GFID())
	}
	return gs
}

// WaitClean implements xlator.Drainer.
func (t *translator) WaitClean(ctx context.Context, g xlator.GFID) error {
	for _, l := range t.waiting() {
		if l.inode.GFID() == g {
			t.drain(ctx, l)
		}
	}
	return ctx.Err()
}
