package fuse

import (
	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable"
	"github.com/holdfast/holdfast/xlator"
)

// getattr gives the attributes of a node; fstat(2) mostly comes without an fh.
func (b *bridge) getattr(r *request, in *gofuse.GetAttrIn, out *gofuse.AttrOut) error {
	if in.Flags_&gofuse.FUSE_GETATTR_FH != 0 {
		if f := b.t.FD(in.Fh_); f != nil {
			return b.fstat(r, f, out)
		}
	}
	u, err := b.use(r)
	if err != nil {
		return err
	}
	defer u.Done()
	r.statReq.Inode = u.Inode
	rep, err := u.G.Top.Stat(&r.call, &r.statReq)
	if err != nil {
		return err
	}
	return b.answerAttr(r, &u, u.Inode, rep, out)
}

func (b *bridge) fstat(r *request, f *fdtable.BaseFD, out *gofuse.AttrOut) error {
	u, err := b.t.UseFD(&r.call, f)
	if err != nil {
		return err
	}
	defer u.Done()
	rep, err := u.G.Top.Fstat(&r.call, &xlator.FstatReq{FD: u.FD})
	if err != nil {
		return err
	}
	return b.answerAttr(r, &u, u.Inode, rep, out)
}

func (b *bridge) answerAttr(r *request, u *fdtable.Use, i *xlator.Inode, rep *xlator.AttrRep, out *gofuse.AttrOut) error {
	if err := known(r, u, i, &rep.Attr); err != nil {
		return err
	}
	b.fillAttr(out, &rep.Attr)
	return nil
}

// setattr changes attributes: the size first, since that changes the times, then
// the rest at once. Which set-id bits go is the kernel's decision
// (HANDLE_KILLPRIV_V2): it knows the caller's capabilities.
func (b *bridge) setattr(r *request, in *gofuse.SetAttrIn, out *gofuse.AttrOut) error {
	var u fdtable.Use
	var err error
	f := (*fdtable.BaseFD)(nil)
	if in.Valid&gofuse.FATTR_FH != 0 {
		f = b.t.FD(in.Fh)
	}
	if f != nil {
		u, err = b.t.UseFD(&r.call, f)
	} else {
		u, err = b.use(r)
	}
	if err != nil {
		return err
	}
	defer u.Done()

	rep := &xlator.AttrRep{}
	kill := in.Valid&gofuse.FATTR_KILL_SUIDGID != 0
	if in.Valid&gofuse.FATTR_SIZE != 0 {
		if f != nil {
			if err := r.tell(f); err != nil {
				return err
			}
		}
		if rep, err = truncate(r, &u, in.Size, kill); err != nil {
			return err
		}
	}
	if set := setattrOf(in); set.Mask != 0 {
		if u.FD != nil {
			rep, err = u.G.Top.Fsetattr(&r.call, &xlator.FsetattrReq{FD: u.FD, Setattr: set})
		} else {
			rep, err = u.G.Top.Setattr(&r.call, &xlator.SetattrReq{Inode: u.Inode, Setattr: set})
		}
		if err != nil {
			return err
		}
	}
	return b.answerAttr(r, &u, u.Inode, rep, out)
}

// truncate sets the size, through the fd where there is one that may write.
func truncate(r *request, u *fdtable.Use, size uint64, kill bool) (*xlator.AttrRep, error) {
	if u.FD != nil && u.FD.Flags()&unix.O_ACCMODE != unix.O_RDONLY {
		return u.G.Top.Ftruncate(&r.call, &xlator.FtruncateReq{FD: u.FD, Size: size, KillPriv: kill})
	}
	return u.G.Top.Truncate(&r.call, &xlator.TruncateReq{Inode: u.Inode, Size: size, KillPriv: kill})
}

// setattrOf is what a SETATTR wants beside the size.
func setattrOf(in *gofuse.SetAttrIn) xlator.Setattr {
	s := xlator.Setattr{
		Mode: in.Mode & 0o7777, UID: in.Uid, GID: in.Gid,
		Atime: xlator.Time{Sec: int64(in.Atime), Nsec: in.Atimensec},
		Mtime: xlator.Time{Sec: int64(in.Mtime), Nsec: in.Mtimensec},
		Ctime: xlator.Time{Sec: int64(in.Ctime), Nsec: in.Ctimensec},
	}
	has := func(flag uint32, m xlator.SetattrMask) {
		if in.Valid&flag != 0 {
			s.Mask |= m
		}
	}
	has(gofuse.FATTR_MODE, xlator.SetMode)
	has(gofuse.FATTR_UID, xlator.SetUID)
	has(gofuse.FATTR_GID, xlator.SetGID)
	has(gofuse.FATTR_CTIME, xlator.SetCtime)
	if in.Valid&gofuse.FATTR_ATIME_NOW != 0 {
		s.Mask |= xlator.SetAtimeNow
	} else {
		has(gofuse.FATTR_ATIME, xlator.SetAtime)
	}
	if in.Valid&gofuse.FATTR_MTIME_NOW != 0 {
		s.Mask |= xlator.SetMtimeNow
	} else {
		has(gofuse.FATTR_MTIME, xlator.SetMtime)
	}
	if in.Valid&gofuse.FATTR_SIZE == 0 {
		has(gofuse.FATTR_KILL_SUIDGID, xlator.SetKillPriv)
	}
	return s
}
