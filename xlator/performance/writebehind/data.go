package writebehind

import (
	"context"

	"github.com/holdfast/holdfast/xlator"
)

// Readv implements xlator.Fops. It waits for the writes that it overlaps. Where
// the child comes to the end of the file, writes behind the range count too: with
// them it would have found a hole.
func (t *translator) Readv(ctx context.Context, r *xlator.ReadvReq) (*xlator.ReadvRep, error) {
	f := t.busy(r.FD.Inode())
	if f == nil {
		return t.Next.Readv(ctx, r)
	}
	f.mu.Lock()
	seq := f.seq
	f.mu.Unlock()
	t.wait(f, spanOf(r.Offset, r.Size), nil)
	begun := t.ticks.now()
	beyond := f.endsBehind(r.Offset, seq)
	rep, err := t.Next.Readv(ctx, r)
	if err == nil && beyond && len(rep.Data) < r.Size {
		t.wait(f, everything, nil)
		again := *r
		again.Dst = nil // it is asked once only, and the first answer has it
		begun = t.ticks.now()
		rep, err = t.Next.Readv(ctx, &again)
	}
	if err == nil && t.outdated(f, begun) {
		rep.Attr = xlator.Iatt{}
	}
	return rep, err
}

// endsBehind reports whether an acknowledged write up to number seq ends behind
// off.
func (f *file) endsBehind(off int64, seq uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return off >= 0 && f.lastSeen(seq, span{off, everything.to}, nil) != nil
}

// Flush implements xlator.Fops: the file's data is with the child, or its error
// recorded, when close(2) returns, whatever flush-behind says.
func (t *translator) Flush(ctx context.Context, r *xlator.FlushReq) (*xlator.Empty, error) {
	t.flush(r.FD.Inode())
	return t.Next.Flush(ctx, r)
}

// Fsync implements xlator.Fops.
func (t *translator) Fsync(ctx context.Context, r *xlator.FsyncReq) (*xlator.AttrRep, error) {
	t.flush(r.FD.Inode())
	return t.Next.Fsync(ctx, r)
}

// Release implements xlator.Fops. Writes of the FD that were acknowledged need
// it until the child has them.
func (t *translator) Release(fd *xlator.FD) {
	if f := t.busy(fd.Inode()); f != nil {
		t.wait(f, everything, fd)
	}
	t.Next.Release(fd)
}

// Truncate implements xlator.Fops.
func (t *translator) Truncate(ctx context.Context, r *xlator.TruncateReq) (*xlator.AttrRep, error) {
	t.flush(r.Inode)
	return t.Next.Truncate(ctx, r)
}

// Ftruncate implements xlator.Fops.
func (t *translator) Ftruncate(ctx context.Context, r *xlator.FtruncateReq) (*xlator.AttrRep, error) {
	t.flush(r.FD.Inode())
	return t.Next.Ftruncate(ctx, r)
}

// Fallocate implements xlator.Fops.
func (t *translator) Fallocate(ctx context.Context, r *xlator.FallocateReq) (*xlator.AttrRep, error) {
	t.flush(r.FD.Inode())
	return t.Next.Fallocate(ctx, r)
}

// Discard implements xlator.Fops.
func (t *translator) Discard(ctx context.Context, r *xlator.DiscardReq) (*xlator.AttrRep, error) {
	t.flush(r.FD.Inode())
	return t.Next.Discard(ctx, r)
}

// Zerofill implements xlator.Fops.
func (t *translator) Zerofill(ctx context.Context, r *xlator.ZerofillReq) (*xlator.AttrRep, error) {
	t.flush(r.FD.Inode())
	return t.Next.Zerofill(ctx, r)
}

// Seek implements xlator.Fops.
func (t *translator) Seek(ctx context.Context, r *xlator.SeekReq) (*xlator.SeekRep, error) {
	t.flush(r.FD.Inode())
	return t.Next.Seek(ctx, r)
}

// CopyFileRange implements xlator.Fops.
func (t *translator) CopyFileRange(ctx context.Context, r *xlator.CopyFileRangeReq) (*xlator.CopyFileRangeRep, error) {
	t.flush(r.Src.Inode())
	t.flush(r.Dst.Inode())
	return t.Next.CopyFileRange(ctx, r)
}

// Rchecksum implements xlator.Fops.
func (t *translator) Rchecksum(ctx context.Context, r *xlator.RchecksumReq) (*xlator.RchecksumRep, error) {
	t.flush(r.FD.Inode())
	return t.Next.Rchecksum(ctx, r)
}

// Lk implements xlator.Fops. Who takes a lock after it was given up must find
// what was written under it.
func (t *translator) Lk(ctx context.Context, r *xlator.LkReq) (*xlator.LkRep, error) {
	t.flush(r.FD.Inode())
	return t.Next.Lk(ctx, r)
}

// Inodelk implements xlator.Fops, as Lk.
func (t *translator) Inodelk(ctx context.Context, r *xlator.InodelkReq) (*xlator.Empty, error) {
	t.flush(r.Inode)
	return t.Next.Inodelk(ctx, r)
}

// Finodelk implements xlator.Fops, as Lk.
func (t *translator) Finodelk(ctx context.Context, r *xlator.FinodelkReq) (*xlator.Empty, error) {
	t.flush(r.FD.Inode())
	return t.Next.Finodelk(ctx, r)
}
