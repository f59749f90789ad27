package writebehind

import (
	"context"
	"fmt"

	"github.com/holdfast/holdfast/xlator"
)

// list puts a file into dirty, or says that there must be no early answer.
// f.mu is held. The phase is read again under mu, under which Drain looks at what
// is dirty after the phase was set: a write is either seen by it or sees the
// phase.
func (t *translator) list(f *file) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped.Load() || len(t.dirty) >= maxDirty || t.phase.Load().Transparent() {
		return false
	}
	t.dirty[f.gfid] = f
	t.ndirty.Store(int32(len(t.dirty)))
	return true
}

// unlist takes a file out of dirty; f.mu is held.
func (t *translator) unlist(f *file) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.dirty, f.gfid)
	t.ndirty.Store(int32(len(t.dirty)))
	if len(t.dirty) == 0 && t.clean != nil {
		close(t.clean)
		t.clean = nil
	}
}

// whenClean is closed at a moment when no file is dirty.
func (t *translator) whenClean() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.clean == nil {
		t.clean = make(chan struct{})
	}
	c := t.clean
	if len(t.dirty) == 0 {
		close(c)
		t.clean = nil
	}
	return c
}

func (t *translator) dirtyFiles() []*file {
	t.mu.Lock()
	defer t.mu.Unlock()
	fs := make([]*file, 0, len(t.dirty))
	for _, f := range t.dirty {
		fs = append(fs, f)
	}
	return fs
}

// force has everything sent that is queued now.
func (t *translator) force() {
	for _, f := range t.dirtyFiles() {
		f.mu.Lock()
		t.forceUpTo(f, f.seq)
		f.mu.Unlock()
	}
}

// forceUpTo has early writes up to that number sent without waiting for more;
// f.mu is held.
func (t *translator) forceUpTo(f *file, seq uint64) {
	if f.forced < seq {
		f.forced = seq
		t.kick(f)
	}
}

// Drain implements xlator.Drainer.
func (t *translator) Drain(ctx context.Context) error {
	clean := t.whenClean()
	t.force()
	select {
	case <-clean:
		return nil
	case <-ctx.Done():
	}
	if n := t.ndirty.Load(); n > 0 {
		return fmt.Errorf("not written in time: the data of %d file(s): %w", n, context.Cause(ctx))
	}
	return nil
}

// Dirty implements xlator.Drainer.
func (t *translator) Dirty() []xlator.GFID {
	t.mu.Lock()
	defer t.mu.Unlock()
	gs := make([]xlator.GFID, 0, len(t.dirty))
	for g := range t.dirty {
		gs = append(gs, g)
	}
	return gs
}

// WaitClean implements xlator.Drainer.
func (t *translator) WaitClean(ctx context.Context, g xlator.GFID) error {
	t.mu.Lock()
	f := t.dirty[g]
	t.mu.Unlock()
	if f == nil {
		return nil
	}
	if err := t.settle(ctx, f, everything, nil); err != nil {
		return fmt.Errorf("wait for the data of gfid %s: %w", g, err)
	}
	return nil
}
