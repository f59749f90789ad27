package client

import (
	"context"
	"math"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// Readv implements xlator.Fops.
func (c *Client) Readv(ctx context.Context, r *xlator.ReadvReq) (*xlator.ReadvRep, error) {
	rem := c.fd(r.FD)
	if r.Size < 0 || r.Offset < 0 {
		return nil, &fopError{xdr.FopRead, rem.key.gfid, "", c, syscall.EINVAL}
	}
	if r.Size == 0 { // EINVAL to a brick
		return &xlator.ReadvRep{}, nil
	}
	var rep xdr.ReadRep
	out := &xlator.ReadvRep{}
	x := exchange{
		fop: xdr.FopRead, fd: rem, rep: &rep, reserve: r.Size + roomReply,
		req: &xdr.ReadReq{GFID: rem.key.gfid, Offset: uint64(r.Offset), Size: uint32(r.Size), Flag: xdr.OpenFlags(r.Flags)},
		take: func(data []byte) {
			data = data[:min(len(data), r.Size)]
			out.Data = r.GrabDst(len(data))
			copy(out.Data, data)
		},
	}
	if err := c.do(ctx, &x, rem.key.gfid, ""); err != nil {
		return nil, err
	}
	out.Attr = iattOf(&rep.Stat)
	rem.file.saw(&out.Attr)
	return out, nil
}

// Writev implements xlator.Fops.
func (c *Client) Writev(ctx context.Context, r *xlator.WritevReq) (*xlator.WritevRep, error) {
	rem := c.fd(r.FD)
	if r.Offset < 0 {
		return nil, &fopError{xdr.FopWrite, rem.key.gfid, "", c, syscall.EINVAL}
	}
	var rep xdr.AttrRep
	x := exchange{
		fop: xdr.FopWrite, fd: rem, rep: &rep, payload: r.Payload.Bytes, times: timesWrite,
		// The kernel's own writing back of pages has the rights of whoever
		// mapped the file.
		own: r.Paged,
		req: &xdr.WriteReq{GFID: rem.key.gfid, Offset: uint64(r.Offset), Size: uint32(len(r.Payload.Bytes)), Flag: xdr.OpenFlags(r.Flags)},
	}
	if rem.key.flags&unix.O_APPEND != 0 {
		if err := c.appending(ctx, &x, &rep); err != nil {
			return nil, err
		}
	}
	if err := c.do(ctx, &x, rem.key.gfid, ""); err != nil {
		return nil, err
	}
	n := int(rep.Ret)
	if c.s.lockedFiles.Load() > 0 && timeOf(x.stamp) == (xlator.Time{Sec: rep.Post.Mtime, Nsec: rep.Post.MtimeNsec}) {
		if !c.s.stamped.Swap(true) {
			c.s.kept.noteStamped()
		}
	}
	a, err := c.changed(rem, &rep, r.KillPriv)
	if err != nil {
		return nil, err
	}
	return &xlator.WritevRep{Size: n, Attr: a.Attr, Pre: a.Pre}, nil
}

// changed is what follows a change of data: set-id bits are dropped, if that is
// asked for and the brick's reply says that there are some. File capabilities are
// dropped by the brick's kernel.
func (c *Client) changed(rem *remote, rep *xdr.AttrRep, kill bool) (*xlator.AttrRep, error) {
	out := &xlator.AttrRep{Attr: iattOf(&rep.Post), Pre: iattOf(&rep.Pre)}
	if kill && privileged(&out.Attr) {
		mode := unprivileged(out.Attr.Mode)
		req := &xdr.FsetattrReq{GFID: rem.key.gfid, Attr: xdr.Iatt{Mode: mode | out.Attr.Type.Mode()}, Valid: xdr.SetattrMode}
		x := exchange{fop: xdr.FopFsetattr, fd: rem, req: req, rep: rep, times: timesChange, own: true}
		if err := c.do(xlator.Internal(), &x, rem.key.gfid, ""); err != nil {
			return nil, err
		}
		out.Attr = iattOf(&rep.Post)
	}
	if f := rem.file; out.Attr.Valid() {
		if rem.key.flags&unix.O_APPEND != 0 || f.end.Load() != nil {
			f.end.Store(new(out.Attr.Size))
		}
		f.saw(&out.Attr)
	}
	return out, nil
}

// privileged reports whether a write of somebody without privileges drops bits.
func privileged(a *xlator.Iatt) bool {
	return a.Type == xlator.TypeRegular && unprivileged(a.Mode) != a.Mode
}

// unprivileged is the mode without set-uid, and without set-gid where the group
// may execute.
func unprivileged(mode uint32) uint32 {
	mode &^= unix.S_ISUID
	if mode&unix.S_IXGRP != 0 {
		mode &^= unix.S_ISGID
	}
	return mode
}

// change carries out a fop that changes an open file's data and answers with its
// attributes.
func (c *Client) change(ctx context.Context, fop xdr.Fop, rem *remote, req xdr.Message, kill bool) (*xlator.AttrRep, error) {
	var rep xdr.AttrRep
	x := exchange{fop: fop, fd: rem, req: req, rep: &rep, times: timesWrite}
	if err := c.do(ctx, &x, rem.key.gfid, ""); err != nil {
		return nil, err
	}
	return c.changed(rem, &rep, kill)
}

// Fsync implements xlator.Fops.
func (c *Client) Fsync(ctx context.Context, r *xlator.FsyncReq) (*xlator.AttrRep, error) {
	rem := c.fd(r.FD)
	var rep xdr.AttrRep
	x := exchange{fop: xdr.FopFsync, fd: rem, req: &xdr.FsyncReq{GFID: rem.key.gfid, Datasync: flag(r.Datasync)}, rep: &rep}
	if err := c.do(ctx, &x, rem.key.gfid, ""); err != nil {
		return nil, err
	}
	return c.changed(rem, &rep, false)
}

func flag(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// Ftruncate implements xlator.Fops.
func (c *Client) Ftruncate(ctx context.Context, r *xlator.FtruncateReq) (*xlator.AttrRep, error) {
	rem := c.fd(r.FD)
	if r.Size > math.MaxInt64 {
		return nil, &fopError{xdr.FopFtruncate, rem.key.gfid, "", c, syscall.EINVAL}
	}
	var rep xdr.AttrRep
	x := exchange{fop: xdr.FopFtruncate, fd: rem, req: &xdr.FtruncateReq{GFID: rem.key.gfid, Offset: r.Size}, rep: &rep, times: timesWrite}
	c.cutting(&x, rem.key.gfid, r.Size, &rep)
	if err := c.do(ctx, &x, rem.key.gfid, ""); err != nil {
		return nil, err
	}
	return c.changed(rem, &rep, r.KillPriv)
}

// Fallocate implements xlator.Fops.
func (c *Client) Fallocate(ctx context.Context, r *xlator.FallocateReq) (*xlator.AttrRep, error) {
	rem := c.fd(r.FD)
	req := &xdr.FallocateReq{GFID: rem.key.gfid, Offset: uint64(r.Offset), Size: uint64(r.Len)}
	switch r.Mode {
	case 0:
	case unix.FALLOC_FL_KEEP_SIZE:
		req.Flags = xdr.FallocateKeepSize
	default:
		return nil, &fopError{xdr.FopFallocate, rem.key.gfid, "", c, syscall.EOPNOTSUPP}
	}
	return c.change(ctx, xdr.FopFallocate, rem, req, r.KillPriv)
}

// Discard implements xlator.Fops.
func (c *Client) Discard(ctx context.Context, r *xlator.DiscardReq) (*xlator.AttrRep, error) {
	rem := c.fd(r.FD)
	return c.change(ctx, xdr.FopDiscard, rem, &xdr.DiscardReq{GFID: rem.key.gfid, Offset: uint64(r.Offset), Size: uint64(r.Len)}, r.KillPriv)
}

// Zerofill implements xlator.Fops. On the wire it always makes the file as long as
// the range is; to keep the size, what lies behind the end is only allocated.
func (c *Client) Zerofill(ctx context.Context, r *xlator.ZerofillReq) (*xlator.AttrRep, error) {
	rem := c.fd(r.FD)
	n := r.Len
	if r.KeepSize {
		now, err := c.fstat(ctx, rem)
		if err != nil {
			return nil, err
		}
		n = min(r.Len, max(0, int64(now.Size)-r.Offset))
	}
	var rep *xlator.AttrRep
	var err error
	if n > 0 {
		rep, err = c.change(ctx, xdr.FopZerofill, rem, &xdr.ZerofillReq{GFID: rem.key.gfid, Offset: uint64(r.Offset), Size: uint64(n)}, r.KillPriv)
	}
	if n < r.Len && err == nil {
		rep, err = c.change(ctx, xdr.FopFallocate, rem, &xdr.FallocateReq{
			GFID: rem.key.gfid, Flags: xdr.FallocateKeepSize, Offset: uint64(r.Offset + n), Size: uint64(r.Len - n),
		}, r.KillPriv)
	}
	return rep, err
}

// Seek implements xlator.Fops.
func (c *Client) Seek(ctx context.Context, r *xlator.SeekReq) (*xlator.SeekRep, error) {
	rem := c.fd(r.FD)
	what := int32(xdr.SeekData)
	switch {
	case r.Whence == unix.SEEK_HOLE && !rem.dir:
		what = xdr.SeekHole
	case r.Whence != unix.SEEK_DATA || rem.dir:
		return nil, &fopError{xdr.FopSeek, rem.key.gfid, "", c, syscall.EINVAL}
	}
	var rep xdr.SeekRep
	x := exchange{fop: xdr.FopSeek, fd: rem, req: &xdr.SeekReq{GFID: rem.key.gfid, Offset: uint64(r.Offset), What: what}, rep: &rep}
	if err := c.do(ctx, &x, rem.key.gfid, ""); err != nil {
		return nil, err
	}
	return &xlator.SeekRep{Offset: int64(rep.Offset)}, nil
}

// maxCopy bounds one copy, so that it does not take the brick too long: the
// application asks again for the rest.
const maxCopy = 64 << 20

// CopyFileRange implements xlator.Fops.
func (c *Client) CopyFileRange(ctx context.Context, r *xlator.CopyFileRangeReq) (*xlator.CopyFileRangeRep, error) {
	src, dst := c.fd(r.Src), c.fd(r.Dst)
	if r.Len < 0 || r.SrcOff < 0 || r.DstOff < 0 {
		return nil, &fopError{xdr.FopCopyFileRange, dst.key.gfid, "", c, syscall.EINVAL}
	}
	var rep xdr.CopyFileRangeRep
	x := exchange{
		fop: xdr.FopCopyFileRange, fd: src, out: dst, rep: &rep, times: timesWrite,
		req: &xdr.CopyFileRangeReq{
			GFIDIn: src.key.gfid, GFIDOut: dst.key.gfid, OffsetIn: uint64(r.SrcOff), OffsetOut: uint64(r.DstOff), Size: uint32(min(r.Len, maxCopy)),
		},
	}
	if err := c.do(ctx, &x, dst.key.gfid, ""); err != nil {
		return nil, err
	}
	a, err := c.changed(dst, &xdr.AttrRep{Pre: rep.Pre, Post: rep.Post}, r.KillPriv)
	if err != nil {
		return nil, err
	}
	return &xlator.CopyFileRangeRep{Size: int64(rep.Ret), Attr: a.Attr}, nil
}

// Rchecksum implements xlator.Fops.
func (c *Client) Rchecksum(ctx context.Context, r *xlator.RchecksumReq) (*xlator.RchecksumRep, error) {
	rem := c.fd(r.FD)
	var rep xdr.RchecksumRep
	out := &xlator.RchecksumRep{}
	x := exchange{
		fop: xdr.FopRchecksum, fd: rem, rep: &rep,
		req:  &xdr.RchecksumReq{GFID: rem.key.gfid, Offset: uint64(r.Offset), Len: uint32(r.Len)},
		take: func([]byte) { out.Weak, out.Strong = rep.Weak, append([]byte{}, rep.Strong...) },
	}
	if err := c.do(ctx, &x, rem.key.gfid, ""); err != nil {
		return nil, err
	}
	return out, nil
}
