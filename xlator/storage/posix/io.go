package posix

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// Readv implements xlator.Fops. The destination is asked for inside the gate,
// so a read that waits for its turn holds no buffer.
func (b *Brick) Readv(_ context.Context, r *xlator.ReadvReq) (*xlator.ReadvRep, error) {
	d, err := b.descriptor(r.FD)
	if err == nil && r.Size < 0 {
		err = unix.EINVAL
	}
	if err != nil {
		return nil, fail("read", r.FD.Inode().GFID(), "", err)
	}
	p := b.rt.enter()
	defer p.out()
	buf := r.GrabDst(r.Size)
	n := 0
	for n < len(buf) {
		m, err := unix.Pread(d.n, buf[n:], r.Offset+int64(n))
		if err == unix.EINTR {
			continue
		}
		if err != nil && n == 0 {
			return nil, fail("read", d.obj.gfid, "", err)
		}
		if err != nil || m == 0 {
			break
		}
		n += m
	}
	return &xlator.ReadvRep{Data: buf[:n]}, nil
}

// Writev implements xlator.Fops. The reply has no attributes: asking for a
// file's times between two writes makes the kernel give each write a time stamp
// of its own and journal the inode (multigrain time stamps, Linux 6.13), which
// costs more than a 4 KiB write does; see BenchmarkWritev4K.
func (b *Brick) Writev(_ context.Context, r *xlator.WritevReq) (*xlator.WritevRep, error) {
	d, err := b.descriptor(r.FD)
	if err != nil {
		return nil, fail("write", r.FD.Inode().GFID(), "", err)
	}
	p := b.rt.enter()
	defer p.out()
	n, err := pwrite(d.n, r.Payload.Bytes, r.Offset)
	if err != nil {
		return nil, fail("write", d.obj.gfid, "", err)
	}
	b.rt.touch(d.obj, d.kfd, stampCtime|stampMtime)
	if r.KillPriv {
		if err := b.rt.killPriv(d.kfd); err != nil {
			return nil, fail("write", d.obj.gfid, "", err)
		}
	}
	return &xlator.WritevRep{Size: n}, nil
}

// pwrite writes all it can: an error counts only if nothing was written.
func pwrite(fd int, b []byte, off int64) (n int, err error) {
	for {
		m, err := unix.Pwrite(fd, b[n:], off+int64(n))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			if n > 0 {
				err = nil
			}
			return n, err
		}
		if n += m; n == len(b) || m == 0 {
			return n, nil
		}
	}
}

// Fsync implements xlator.Fops.
func (b *Brick) Fsync(_ context.Context, r *xlator.FsyncReq) (*xlator.AttrRep, error) {
	d, err := b.descriptor(r.FD)
	if err != nil {
		return nil, fail("fsync", r.FD.Inode().GFID(), "", err)
	}
	p := b.rt.enter()
	defer p.out()
	sync := unix.Fsync
	if r.Datasync {
		sync = unix.Fdatasync
	}
	if err := again(func() error { return sync(d.n) }); err != nil {
		return nil, fail("fsync", d.obj.gfid, "", err)
	}
	return &xlator.AttrRep{Attr: b.rt.after(d.obj, d.kfd)}, nil
}

// Fsyncdir implements xlator.Fops.
func (b *Brick) Fsyncdir(_ context.Context, r *xlator.FsyncReq) (*xlator.Empty, error) {
	d, err := b.descriptor(r.FD)
	if d != nil && d.removed {
		return &xlator.Empty{}, nil
	}
	if err == nil {
		p := b.rt.enter()
		defer p.out()
		err = again(func() error { return unix.Fsync(d.n) })
	}
	return &xlator.Empty{}, fail("fsyncdir", r.FD.Inode().GFID(), "", err)
}

// Fallocate implements xlator.Fops; Mode goes to fallocate(2) as it is.
func (b *Brick) Fallocate(_ context.Context, r *xlator.FallocateReq) (*xlator.AttrRep, error) {
	return b.fallocate("fallocate", r.FD, r.Mode, r.Offset, r.Len, r.KillPriv)
}

// Discard implements xlator.Fops.
func (b *Brick) Discard(_ context.Context, r *xlator.DiscardReq) (*xlator.AttrRep, error) {
	return b.fallocate("discard", r.FD, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, r.Offset, r.Len, r.KillPriv)
}

// Zerofill implements xlator.Fops.
func (b *Brick) Zerofill(_ context.Context, r *xlator.ZerofillReq) (*xlator.AttrRep, error) {
	mode := uint32(unix.FALLOC_FL_ZERO_RANGE)
	if r.KeepSize {
		mode |= unix.FALLOC_FL_KEEP_SIZE
	}
	return b.fallocate("zerofill", r.FD, mode, r.Offset, r.Len, r.KillPriv)
}

func (b *Brick) fallocate(op string, f *xlator.FD, mode uint32, off, n int64, kill bool) (*xlator.AttrRep, error) {
	d, err := b.descriptor(f)
	if err != nil {
		return nil, fail(op, f.Inode().GFID(), "", err)
	}
	p := b.rt.enter()
	defer p.out()
	if err := again(func() error { return unix.Fallocate(d.n, mode, off, n) }); err != nil {
		return nil, fail(op, d.obj.gfid, "", err)
	}
	a, err := b.changed(d.obj, d.kfd, kill, stampCtime|stampMtime)
	if err != nil {
		return nil, fail(op, d.obj.gfid, "", err)
	}
	return &xlator.AttrRep{Attr: a}, nil
}

// Seek implements xlator.Fops. It moves a file position that nothing else uses.
func (b *Brick) Seek(_ context.Context, r *xlator.SeekReq) (*xlator.SeekRep, error) {
	d, err := b.descriptor(r.FD)
	if err == nil && (d.stream != nil || r.Whence != unix.SEEK_DATA && r.Whence != unix.SEEK_HOLE) {
		err = unix.EINVAL
	}
	if err != nil {
		return nil, fail("seek", r.FD.Inode().GFID(), "", err)
	}
	p := b.rt.enter()
	defer p.out()
	off, err := unix.Seek(d.n, r.Offset, int(r.Whence))
	if err != nil {
		return nil, fail("seek", d.obj.gfid, "", err)
	}
	return &xlator.SeekRep{Offset: off}, nil
}

// copyLimit bounds one copy: the application asks again for the rest.
const copyLimit = 64 << 20

// CopyFileRange implements xlator.Fops.
func (b *Brick) CopyFileRange(_ context.Context, r *xlator.CopyFileRangeReq) (*xlator.CopyFileRangeRep, error) {
	src, err := b.descriptor(r.Src)
	if err != nil {
		return nil, fail("copy from", r.Src.Inode().GFID(), "", err)
	}
	dst, err := b.descriptor(r.Dst)
	if err != nil {
		return nil, fail("copy to", r.Dst.Inode().GFID(), "", err)
	}
	p := b.rt.enter()
	defer p.out()
	n, err := copyRange(src, dst, r)
	if err != nil {
		return nil, fail("copy to", dst.obj.gfid, "", err)
	}
	a, err := b.changed(dst.obj, dst.kfd, r.KillPriv, stampCtime|stampMtime)
	if err != nil {
		return nil, fail("copy to", dst.obj.gfid, "", err)
	}
	return &xlator.CopyFileRangeRep{Size: n, Attr: a}, nil
}

func copyRange(src, dst *descriptor, r *xlator.CopyFileRangeReq) (int64, error) {
	if r.Len < 0 || r.SrcOff < 0 || r.DstOff < 0 {
		return 0, unix.EINVAL
	}
	want := min(r.Len, copyLimit)
	if src.obj == dst.obj && r.SrcOff < r.DstOff+want && r.DstOff < r.SrcOff+want {
		return 0, unix.EINVAL // overlapping, as the kernel says
	}
	so, do := r.SrcOff, r.DstOff
	n, err := 0, error(nil)
	err = again(func() error {
		n, err = unix.CopyFileRange(src.n, &so, dst.n, &do, int(want), 0)
		return err
	})
	switch err {
	case unix.EXDEV, unix.EINVAL, unix.EOPNOTSUPP, unix.ENOSYS:
		return copyLoop(src.n, dst.n, r.SrcOff, r.DstOff, want)
	}
	return int64(max(n, 0)), err
}

// copyLoop copies by reading and writing, where the kernel cannot.
func copyLoop(src, dst int, so, do, want int64) (done int64, err error) {
	buf := make([]byte, min(want, 1<<20))
	for done < want {
		n, err := unix.Pread(src, buf[:min(want-done, int64(len(buf)))], so+done)
		if err == unix.EINTR {
			continue
		}
		if err == nil && n > 0 {
			n, err = pwrite(dst, buf[:n], do+done)
		}
		if err != nil && done == 0 {
			return 0, err
		}
		if err != nil || n == 0 {
			break
		}
		done += int64(n)
	}
	return done, nil
}
