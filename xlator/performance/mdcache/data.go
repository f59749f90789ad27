package mdcache

import (
	"context"

	"github.com/holdfast/holdfast/xlator"
)

// Readv implements xlator.Fops. It changes the time of access.
func (t *translator) Readv(ctx context.Context, r *xlator.ReadvReq) (*xlator.ReadvRep, error) {
	c := t.begin(r.FD.Inode(), dataOnly)
	rep, err := t.Next.Readv(ctx, r)
	if err != nil {
		t.end(&c, nil)
		return rep, err
	}
	t.end(&c, &rep.Attr)
	return rep, nil
}

// Writev implements xlator.Fops.
func (t *translator) Writev(ctx context.Context, r *xlator.WritevReq) (*xlator.WritevRep, error) {
	c := t.begin(r.FD.Inode(), dataOnly)
	rep, err := t.Next.Writev(ctx, r)
	if err != nil {
		t.end(&c, nil)
		return rep, err
	}
	t.end(&c, &rep.Attr)
	return rep, nil
}

// Fsync implements xlator.Fops. It changes nothing, and brings attributes.
func (t *translator) Fsync(ctx context.Context, r *xlator.FsyncReq) (*xlator.AttrRep, error) {
	a, keep := t.ask()
	rep, err := t.Next.Fsync(ctx, r)
	if err == nil && keep {
		t.keep(r.FD.Inode(), a, &rep.Attr)
	}
	return rep, err
}

// Truncate implements xlator.Fops.
func (t *translator) Truncate(ctx context.Context, r *xlator.TruncateReq) (*xlator.AttrRep, error) {
	c := t.begin(r.Inode, dataOnly)
	rep, err := t.Next.Truncate(ctx, r)
	t.ended(&c, rep, err)
	return rep, err
}

// Ftruncate implements xlator.Fops.
func (t *translator) Ftruncate(ctx context.Context, r *xlator.FtruncateReq) (*xlator.AttrRep, error) {
	c := t.begin(r.FD.Inode(), dataOnly)
	rep, err := t.Next.Ftruncate(ctx, r)
	t.ended(&c, rep, err)
	return rep, err
}

// Fallocate implements xlator.Fops.
func (t *translator) Fallocate(ctx context.Context, r *xlator.FallocateReq) (*xlator.AttrRep, error) {
	c := t.begin(r.FD.Inode(), dataOnly)
	rep, err := t.Next.Fallocate(ctx, r)
	t.ended(&c, rep, err)
	return rep, err
}

// Discard implements xlator.Fops.
func (t *translator) Discard(ctx context.Context, r *xlator.DiscardReq) (*xlator.AttrRep, error) {
	c := t.begin(r.FD.Inode(), dataOnly)
	rep, err := t.Next.Discard(ctx, r)
	t.ended(&c, rep, err)
	return rep, err
}

// Zerofill implements xlator.Fops.
func (t *translator) Zerofill(ctx context.Context, r *xlator.ZerofillReq) (*xlator.AttrRep, error) {
	c := t.begin(r.FD.Inode(), dataOnly)
	rep, err := t.Next.Zerofill(ctx, r)
	t.ended(&c, rep, err)
	return rep, err
}

// CopyFileRange implements xlator.Fops.
func (t *translator) CopyFileRange(ctx context.Context, r *xlator.CopyFileRangeReq) (*xlator.CopyFileRangeRep, error) {
	src, dst := t.begin(r.Src.Inode(), dataOnly), t.begin(r.Dst.Inode(), dataOnly)
	rep, err := t.Next.CopyFileRange(ctx, r)
	t.end(&src, nil)
	if err != nil {
		t.end(&dst, nil)
		return rep, err
	}
	t.end(&dst, &rep.Attr)
	return rep, nil
}

// Rchecksum implements xlator.Fops. It reads.
func (t *translator) Rchecksum(ctx context.Context, r *xlator.RchecksumReq) (*xlator.RchecksumRep, error) {
	c := t.begin(r.FD.Inode(), dataOnly)
	defer t.end(&c, nil)
	return t.Next.Rchecksum(ctx, r)
}

// Readdir implements xlator.Fops. It changes the directory's time of access.
func (t *translator) Readdir(ctx context.Context, r *xlator.ReaddirReq) (*xlator.ReaddirRep, error) {
	c := t.begin(r.FD.Inode(), dataOnly)
	defer t.end(&c, nil)
	return t.Next.Readdir(ctx, r)
}

// Readdirp implements xlator.Fops, as Readdir; attributes that come along are
// kept.
func (t *translator) Readdirp(ctx context.Context, r *xlator.ReaddirReq) (*xlator.ReaddirRep, error) {
	c := t.begin(r.FD.Inode(), dataOnly)
	a, keep := t.ask()
	rep, err := t.Next.Readdirp(ctx, r)
	t.end(&c, nil)
	if err != nil || !keep {
		return rep, err
	}
	for i := range rep.Entries {
		if e := &rep.Entries[i]; e.Inode != r.FD.Inode() {
			t.keep(e.Inode, a, &e.Attr)
		}
	}
	return rep, nil
}
