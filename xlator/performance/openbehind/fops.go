package openbehind

import (
	"context"

	"github.com/holdfast/holdfast/xlator"
)

// opened opens the file that a request is for, if it waits for that, and returns the
// request: itself, or a copy that is for the child's FD. at is where it has its FD.
func opened[R any](ctx context.Context, t *translator, r *R, at func(*R) **xlator.FD) (*R, error) {
	fd, err := t.real(ctx, *at(r))
	if err != nil || fd == *at(r) {
		return r, err
	}
	c := *r
	*at(&c) = fd
	return &c, nil
}

// Fstat implements xlator.Fops.
func (t *translator) Fstat(ctx context.Context, r *xlator.FstatReq) (*xlator.AttrRep, error) {
	if l := t.fds.Get(r.FD); l != nil && l.ref.Current() == nil && t.settings.Load().anonymous {
		return t.Next.Stat(ctx, &xlator.StatReq{Inode: l.inode})
	}
	r, err := opened(ctx, t, r, func(r *xlator.FstatReq) **xlator.FD { return &r.FD })
	if err != nil {
		return nil, err
	}
	return t.Next.Fstat(ctx, r)
}

// Flush implements xlator.Fops. A file that is not open has nothing to write and no
// locks.
func (t *translator) Flush(ctx context.Context, r *xlator.FlushReq) (*xlator.Empty, error) {
	if l := t.fds.Get(r.FD); l != nil {
		c := l.ref.Current()
		if c == nil {
			return &xlator.Empty{}, nil
		}
		r = &xlator.FlushReq{FD: c.Value}
	}
	return t.Next.Flush(ctx, r)
}

// CopyFileRange implements xlator.Fops.
func (t *translator) CopyFileRange(ctx context.Context, r *xlator.CopyFileRangeReq) (*xlator.CopyFileRangeRep, error) {
	src, err := t.real(ctx, r.Src)
	if err != nil {
		return nil, err
	}
	dst, err := t.real(ctx, r.Dst)
	if err != nil {
		return nil, err
	}
	if src != r.Src || dst != r.Dst {
		c := *r
		c.Src, c.Dst, r = src, dst, &c
	}
	return t.Next.CopyFileRange(ctx, r)
}

// Readv implements xlator.Fops.
func (t *translator) Readv(ctx context.Context, r *xlator.ReadvReq) (*xlator.ReadvRep, error) {
	r, err := opened(ctx, t, r, func(r *xlator.ReadvReq) **xlator.FD { return &r.FD })
	if err != nil {
		return nil, err
	}
	return t.Next.Readv(ctx, r)
}

// Writev implements xlator.Fops.
func (t *translator) Writev(ctx context.Context, r *xlator.WritevReq) (*xlator.WritevRep, error) {
	r, err := opened(ctx, t, r, func(r *xlator.WritevReq) **xlator.FD { return &r.FD })
	if err != nil {
		return nil, err
	}
	return t.Next.Writev(ctx, r)
}

// Fsetattr implements xlator.Fops. Another FD of the file may wait to be opened.
func (t *translator) Fsetattr(ctx context.Context, r *xlator.FsetattrReq) (*xlator.AttrRep, error) {
	t.force(ctx, r.FD.Inode())
	r, err := opened(ctx, t, r, func(r *xlator.FsetattrReq) **xlator.FD { return &r.FD })
	if err != nil {
		return nil, err
	}
	return t.Next.Fsetattr(ctx, r)
}

// Ftruncate implements xlator.Fops.
func (t *translator) Ftruncate(ctx context.Context, r *xlator.FtruncateReq) (*xlator.AttrRep, error) {
	r, err := opened(ctx, t, r, func(r *xlator.FtruncateReq) **xlator.FD { return &r.FD })
	if err != nil {
		return nil, err
	}
	return t.Next.Ftruncate(ctx, r)
}

// Fsync implements xlator.Fops.
func (t *translator) Fsync(ctx context.Context, r *xlator.FsyncReq) (*xlator.AttrRep, error) {
	r, err := opened(ctx, t, r, func(r *xlator.FsyncReq) **xlator.FD { return &r.FD })
	if err != nil {
		return nil, err
	}
	return t.Next.Fsync(ctx, r)
}

// Fsyncdir implements xlator.Fops.
func (t *translator) Fsyncdir(ctx context.Context, r *xlator.FsyncReq) (*xlator.Empty, error) {
	r, err := opened(ctx, t, r, func(r *xlator.FsyncReq) **xlator.FD { return &r.FD })
	if err != nil {
		return nil, err
	}
	return t.Next.Fsyncdir(ctx, r)
}

// Readdir implements xlator.Fops.
func (t *translator) Readdir(ctx context.Context, r *xlator.ReaddirReq) (*xlator.ReaddirRep, error) {
	r, err := opened(ctx, t, r, func(r *xlator.ReaddirReq) **xlator.FD { return &r.FD })
	if err != nil {
		return nil, err
	}
	return t.Next.Readdir(ctx, r)
}

// Readdirp implements xlator.Fops.
func (t *translator) Readdirp(ctx context.Context, r *xlator.ReaddirReq) (*xlator.ReaddirRep, error) {
	r, err := opened(ctx, t, r, func(r *xlator.ReaddirReq) **xlator.FD { return &r.FD })
	if err != nil {
		return nil, err
	}
	return t.Next.Readdirp(ctx, r)
}

// Fgetxattr implements xlator.Fops.
func (t *translator) Fgetxattr(ctx context.Context, r *xlator.FgetxattrReq) (*xlator.XattrRep, error) {
	r, err := opened(ctx, t, r, func(r *xlator.FgetxattrReq) **xlator.FD { return &r.FD })
	if err != nil {
		return nil, err
	}
	return t.Next.Fgetxattr(ctx, r)
}

// Fsetxattr implements xlator.Fops. Another FD of the file may wait to be opened.
func (t *translator) Fsetxattr(ctx context.Context, r *xlator.FsetxattrReq) (*xlator.Empty, error) {
	t.force(ctx, r.FD.Inode())
	r, err := opened(ctx, t, r, func(r *xlator.FsetxattrReq) **xlator.FD { return &r.FD })
	if err != nil {
		return nil, err
	}
	return t.Next.Fsetxattr(ctx, r)
}

// Fremovexattr implements xlator.Fops. Another FD of the file may wait to be opened.
func (t *translator) Fremovexattr(ctx context.Context, r *xlator.FremovexattrReq) (*xlator.Empty, error) {
	t.force(ctx, r.FD.Inode())
	r, err := opened(ctx, t, r, func(r *xlator.FremovexattrReq) **xlator.FD { return &r.FD })
	if err != nil {
		return nil, err
	}
	return t.Next.Fremovexattr(ctx, r)
}

// Fxattrop implements xlator.Fops.
func (t *translator) Fxattrop(ctx context.Context, r *xlator.FxattropReq) (*xlator.XattrRep, error) {
	r, err := opened(ctx, t, r, func(r *xlator.FxattropReq) **xlator.FD { return &r.FD })
	if err != nil {
		return nil, err
	}
	return t.Next.Fxattrop(ctx, r)
}

// Lk implements xlator.Fops.
func (t *translator) Lk(ctx context.Context, r *xlator.LkReq) (*xlator.LkRep, error) {
	r, err := opened(ctx, t, r, func(r *xlator.LkReq) **xlator.FD { return &r.FD })
	if err != nil {
		return nil, err
	}
	return t.Next.Lk(ctx, r)
}

// Finodelk implements xlator.Fops.
func (t *translator) Finodelk(ctx context.Context, r *xlator.FinodelkReq) (*xlator.Empty, error) {
	r, err := opened(ctx, t, r, func(r *xlator.FinodelkReq) **xlator.FD { return &r.FD })
	if err != nil {
		return nil, err
	}
	return t.Next.Finodelk(ctx, r)
}

// Fentrylk implements xlator.Fops.
func (t *translator) Fentrylk(ctx context.Context, r *xlator.FentrylkReq) (*xlator.Empty, error) {
	r, err := opened(ctx, t, r, func(r *xlator.FentrylkReq) **xlator.FD { return &r.FD })
	if err != nil {
		return nil, err
	}
	return t.Next.Fentrylk(ctx, r)
}

// Fallocate implements xlator.Fops.
func (t *translator) Fallocate(ctx context.Context, r *xlator.FallocateReq) (*xlator.AttrRep, error) {
	r, err := opened(ctx, t, r, func(r *xlator.FallocateReq) **xlator.FD { return &r.FD })
	if err != nil {
		return nil, err
	}
	return t.Next.Fallocate(ctx, r)
}

// Discard implements xlator.Fops.
func (t *translator) Discard(ctx context.Context, r *xlator.DiscardReq) (*xlator.AttrRep, error) {
	r, err := opened(ctx, t, r, func(r *xlator.DiscardReq) **xlator.FD { return &r.FD })
	if err != nil {
		return nil, err
	}
	return t.Next.Discard(ctx, r)
}

// Zerofill implements xlator.Fops.
func (t *translator) Zerofill(ctx context.Context, r *xlator.ZerofillReq) (*xlator.AttrRep, error) {
	r, err := opened(ctx, t, r, func(r *xlator.ZerofillReq) **xlator.FD { return &r.FD })
	if err != nil {
		return nil, err
	}
	return t.Next.Zerofill(ctx, r)
}

// Seek implements xlator.Fops.
func (t *translator) Seek(ctx context.Context, r *xlator.SeekReq) (*xlator.SeekRep, error) {
	r, err := opened(ctx, t, r, func(r *xlator.SeekReq) **xlator.FD { return &r.FD })
	if err != nil {
		return nil, err
	}
	return t.Next.Seek(ctx, r)
}

// Rchecksum implements xlator.Fops.
func (t *translator) Rchecksum(ctx context.Context, r *xlator.RchecksumReq) (*xlator.RchecksumRep, error) {
	r, err := opened(ctx, t, r, func(r *xlator.RchecksumReq) **xlator.FD { return &r.FD })
	if err != nil {
		return nil, err
	}
	return t.Next.Rchecksum(ctx, r)
}
