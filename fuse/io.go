package fuse

import (
	"math"
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

const fsyncDatasync = 1 // FUSE_FSYNC_FDATASYNC

func (b *bridge) read(r *request, in *gofuse.ReadIn) ([]byte, error) {
	if in.Offset > math.MaxInt64 {
		return nil, syscall.EINVAL
	}
	if in.ReadFlags&gofuse.READ_LOCKOWNER != 0 {
		r.call.LockOwner = in.LockOwner
	}
	if in.Flags&unix.O_DIRECT == 0 {
		if err := r.s.writing.wait(&r.call, r.node, r.call.Unique, in.Offset, in.Size); err != nil {
			return nil, err
		}
	}
	u, err := b.useFD(r, in.Fh)
	if err != nil {
		return nil, err
	}
	defer u.Done()
	r.readReq = xlator.ReadvReq{FD: u.FD, Size: int(in.Size), Offset: int64(in.Offset), Flags: in.Flags, Dst: r}
	rep, err := u.G.Top.Readv(&r.call, &r.readReq)
	if err != nil {
		return nil, err
	}
	return rep.Data, nil
}

// write writes; errors of earlier writes that were answered already come first.
// The offset of an append is the kernel's.
func (b *bridge) write(r *request, in *gofuse.WriteIn, p xlator.Payload) (int, error) {
	defer r.s.writing.end(r)
	if in.Offset > math.MaxInt64 {
		return 0, syscall.EFBIG
	}
	if in.WriteFlags&gofuse.WRITE_LOCKOWNER != 0 {
		r.call.LockOwner = in.LockOwner
	}
	f, err := b.fd(in.Fh)
	if err != nil {
		return 0, err
	}
	if err := r.tell(f); err != nil {
		return 0, err
	}
	if n := f.Node(); n != nil && r.slot.entry != nil {
		r.slot.entry.SetFile(n.GFID())
	}
	u, err := b.t.UseFD(&r.call, f)
	if err != nil {
		return 0, err
	}
	defer u.Done()
	r.writeReq = xlator.WritevReq{
		FD: u.FD, Payload: p, Offset: int64(in.Offset), Flags: in.Flags,
		KillPriv: in.WriteFlags&gofuse.WRITE_KILL_SUIDGID != 0, Paged: in.WriteFlags&gofuse.WRITE_CACHE != 0,
	}
	rep, err := u.G.Top.Writev(&r.call, &r.writeReq)
	if err != nil {
		return 0, err
	}
	return rep.Size, nil
}

func (b *bridge) fsync(r *request, in *gofuse.FsyncIn) error {
	f, err := b.fd(in.Fh)
	if err != nil {
		return err
	}
	u, err := b.t.UseFD(&r.call, f)
	if err != nil {
		return err
	}
	defer u.Done()
	_, err = u.G.Top.Fsync(&r.call, &xlator.FsyncReq{FD: u.FD, Datasync: in.FsyncFlags&fsyncDatasync != 0})
	if e := r.tell(f); err == nil {
		err = e
	}
	return err
}

func (b *bridge) lseek(r *request, in *gofuse.LseekIn, out *gofuse.LseekOut) error {
	if in.Offset > math.MaxInt64 {
		return syscall.EINVAL
	}
	u, err := b.useFD(r, in.Fh)
	if err != nil {
		return err
	}
	defer u.Done()
	rep, err := u.G.Top.Seek(&r.call, &xlator.SeekReq{FD: u.FD, Offset: int64(in.Offset), Whence: in.Whence})
	if err != nil {
		return err
	}
	out.Offset = uint64(rep.Offset)
	return nil
}

// killPriv is whether an operation takes set-id bits away for which the kernel
// does not say so: a caller who is not root has no CAP_FSETID.
func killPriv(c *xlator.Call) bool { return c.UID != 0 }

func (b *bridge) fallocate(r *request, in *gofuse.FallocateIn) error {
	if in.Offset > math.MaxInt64 || in.Length > math.MaxInt64 || in.Offset+in.Length > math.MaxInt64 {
		return syscall.EFBIG
	}
	f, err := b.fd(in.Fh)
	if err != nil {
		return err
	}
	if err := r.tell(f); err != nil {
		return err
	}
	u, err := b.t.UseFD(&r.call, f)
	if err != nil {
		return err
	}
	defer u.Done()
	off, n, kill := int64(in.Offset), int64(in.Length), killPriv(&r.call)
	switch in.Mode {
	case 0, unix.FALLOC_FL_KEEP_SIZE:
		_, err = u.G.Top.Fallocate(&r.call, &xlator.FallocateReq{FD: u.FD, Mode: in.Mode, Offset: off, Len: n, KillPriv: kill})
	case unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE:
		_, err = u.G.Top.Discard(&r.call, &xlator.DiscardReq{FD: u.FD, Offset: off, Len: n, KillPriv: kill})
	case unix.FALLOC_FL_ZERO_RANGE, unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE:
		_, err = u.G.Top.Zerofill(&r.call, &xlator.ZerofillReq{
			FD: u.FD, Offset: off, Len: n, KeepSize: in.Mode&unix.FALLOC_FL_KEEP_SIZE != 0, KillPriv: kill,
		})
	default:
		err = syscall.EOPNOTSUPP
	}
	return err
}

// maxCopy keeps the number of bytes inside the reply's 32 bits.
const maxCopy = 1 << 30

func (b *bridge) copyFileRange(r *request, in *gofuse.CopyFileRangeIn) (int64, error) {
	if in.Flags != 0 || in.OffIn > math.MaxInt64 || in.OffOut > math.MaxInt64 {
		return 0, syscall.EINVAL
	}
	src, err := b.fd(in.FhIn)
	if err != nil {
		return 0, err
	}
	dst, err := b.fd(in.FhOut)
	if err != nil {
		return 0, err
	}
	if err := r.tell(dst); err != nil {
		return 0, err
	}
	u, dstFD, err := b.t.UseFDs(&r.call, src, dst)
	if err != nil {
		return 0, err
	}
	defer u.Done()
	rep, err := u.G.Top.CopyFileRange(&r.call, &xlator.CopyFileRangeReq{
		Src: u.FD, Dst: dstFD, SrcOff: int64(in.OffIn), DstOff: int64(in.OffOut),
		Len: int64(min(in.Len, maxCopy)), KillPriv: killPriv(&r.call),
	})
	if err != nil {
		return 0, err
	}
	return rep.Size, nil
}
