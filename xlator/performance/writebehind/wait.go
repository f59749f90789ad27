package writebehind

import (
	"context"
	"sync/atomic"

	"github.com/holdfast/holdfast/xlator"
)

// settle waits until none of the acknowledged writes that are in the queue now,
// meet s and, with fd, are of that fd is left. It ends early only when ctx does.
func (t *translator) settle(ctx context.Context, f *file, s span, fd *xlator.FD) error {
	f.mu.Lock()
	seq := f.seq
	for w := f.lastSeen(seq, s, fd); w != nil; w = f.lastSeen(seq, s, fd) {
		t.forceUpTo(f, w.seq)
		gone := w.gone()
		f.mu.Unlock()
		select {
		case <-gone:
		case <-ctx.Done():
			return ctx.Err()
		}
		f.mu.Lock()
	}
	f.mu.Unlock()
	return nil
}

// flush waits for all acknowledged writes of an inode. Like a request that was
// sent it is not interrupted: fops that never return EINTR wait here.
func (t *translator) flush(i *xlator.Inode) {
	if f := t.busy(i); f != nil {
		t.wait(f, everything, nil)
	}
}

func (t *translator) wait(f *file, s span, fd *xlator.FD) {
	_ = t.settle(context.Background(), f, s, fd) // ends without an error
}

// busy returns the queue of an inode if it has acknowledged writes.
func (t *translator) busy(i *xlator.Inode) *file {
	if i == nil {
		return nil
	}
	if f := t.files.Get(i); f != nil && f.pending.Load() > 0 {
		return f
	}
	return nil
}

// ticks tells whether acknowledged data of a file reached the child after a
// moment. Files share cells, and a cell outlives the Inode: a reply may be held
// against it whose file was closed and forgotten meanwhile.
type ticks struct {
	clock atomic.Uint64
	cells [1024]atomic.Uint64 // the latest tick of a file of that cell
}

func (c *ticks) cell(g xlator.GFID) *atomic.Uint64 {
	return &c.cells[(uint(g[14])<<8|uint(g[15]))%uint(len(c.cells))]
}

func (c *ticks) now() uint64 { return c.clock.Load() }

func (c *ticks) tick(g xlator.GFID) {
	now, cell := c.clock.Add(1), c.cell(g)
	for old := cell.Load(); old < now && !cell.CompareAndSwap(old, now); old = cell.Load() {
	}
}

// outdated reports whether attributes that were asked for at tick begun may be
// older than an acknowledged write: one is still queued, or reached the child
// since.
func (t *translator) outdated(f *file, begun uint64) bool {
	return f.pending.Load() > 0 || t.ticks.cell(f.gfid).Load() > begun
}

// old is outdated for a file that was not known when the request was sent.
func (t *translator) old(g xlator.GFID, i *xlator.Inode, begun uint64) bool {
	if t.ndirty.Load() == 0 && t.ticks.now() == begun {
		return false
	}
	if i == nil {
		i = t.inodes.Find(g)
	}
	return t.busy(i) != nil || t.ticks.cell(g).Load() > begun
}
