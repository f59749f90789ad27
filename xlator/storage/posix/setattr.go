package posix

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// Setattr implements xlator.Fops.
func (b *Brick) Setattr(_ context.Context, r *xlator.SetattrReq) (*xlator.AttrRep, error) {
	p := b.rt.enter()
	defer p.out()
	o, k, err := b.acquire(r.Inode)
	if err != nil {
		return nil, fail("setattr", r.Inode.GFID(), "", err)
	}
	defer k.put()
	return b.setattr("setattr", o, k, &r.Setattr)
}

// Fsetattr implements xlator.Fops.
func (b *Brick) Fsetattr(_ context.Context, r *xlator.FsetattrReq) (*xlator.AttrRep, error) {
	d, err := b.descriptor(r.FD)
	if err != nil {
		return nil, fail("fsetattr", r.FD.Inode().GFID(), "", err)
	}
	p := b.rt.enter()
	defer p.out()
	return b.setattr("fsetattr", d.obj, d.kfd, &r.Setattr)
}

func (b *Brick) setattr(op string, o *object, k *kfd, s *xlator.Setattr) (*xlator.AttrRep, error) {
	if err := b.rt.setattr(o, k, s); err != nil {
		return nil, fail(op, o.gfid, "", err)
	}
	a, err := b.rt.attr(o, k)
	if err != nil {
		return nil, fail(op, o.gfid, "", err)
	}
	return &xlator.AttrRep{Attr: a}, nil
}

// setattr changes owner, then privileges, then mode, then times: chown(2) takes
// set-uid and set-gid away, and chmod may give them back.
func (rt *Runtime) setattr(o *object, k *kfd, s *xlator.Setattr) error {
	if s.Mask&(xlator.SetUID|xlator.SetGID) != 0 {
		uid, gid := -1, -1
		if s.Mask&xlator.SetUID != 0 {
			uid = int(s.UID)
		}
		if s.Mask&xlator.SetGID != 0 {
			gid = int(s.GID)
		}
		if err := unix.Fchownat(k.n, "", uid, gid, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	if s.Mask&xlator.SetKillPriv != 0 && o.typ == xlator.TypeRegular {
		if err := rt.killPriv(k); err != nil {
			return err
		}
		// Writing removes these by itself; nothing was written here.
		if err := k.removexattr("security.capability"); err != nil && err != unix.ENODATA && err != unix.EOPNOTSUPP {
			return err
		}
	}
	if s.Mask&xlator.SetMode != 0 {
		if err := k.chmod(s.Mode & 0o7777); err != nil {
			return err
		}
	}
	if err := setTimes(k, s); err != nil {
		return err
	}
	if o.mdata.Load() {
		rt.setMdata(o, k, s)
	}
	return nil
}

func setTimes(k *kfd, s *xlator.Setattr) error {
	if s.Mask&(xlator.SetAtime|xlator.SetMtime|xlator.SetAtimeNow|xlator.SetMtimeNow) == 0 {
		return nil
	}
	spec := func(set, now xlator.SetattrMask, t xlator.Time) unix.Timespec {
		switch {
		case s.Mask&now != 0:
			return unix.Timespec{Nsec: unix.UTIME_NOW}
		case s.Mask&set != 0:
			return unix.Timespec{Sec: t.Sec, Nsec: int64(t.Nsec)}
		}
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	}
	ts := []unix.Timespec{
		spec(xlator.SetAtime, xlator.SetAtimeNow, s.Atime),
		spec(xlator.SetMtime, xlator.SetMtimeNow, s.Mtime),
	}
	return unix.UtimesNanoAt(k.n, "", ts, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW)
}

func (rt *Runtime) setMdata(o *object, k *kfd, s *xlator.Setattr) {
	var now stamp
	if s.Mask&xlator.SetAtimeNow != 0 {
		now |= stampAtime
	}
	if s.Mask&xlator.SetMtimeNow != 0 {
		now |= stampMtime
	}
	if s.Mask&xlator.SetCtime == 0 {
		now |= stampCtime
	}
	rt.touch(o, k, now)
	rt.editMdata(o, k, func(m *mdata) {
		if s.Mask&xlator.SetAtime != 0 && now&stampAtime == 0 {
			m.atime = s.Atime
		}
		if s.Mask&xlator.SetMtime != 0 && now&stampMtime == 0 {
			m.mtime = s.Mtime
		}
		if s.Mask&xlator.SetCtime != 0 {
			m.ctime = s.Ctime
		}
	})
}

// killPriv clears set-uid, and set-gid where the group may execute. It asks for
// the mode only; see Writev.
func (rt *Runtime) killPriv(k *kfd) error {
	var st unix.Statx_t
	if err := unix.Statx(k.n, "", unix.AT_EMPTY_PATH, unix.STATX_MODE, &st); err != nil {
		return err
	}
	mode := uint32(st.Mode) & 0o7777
	drop := uint32(unix.S_ISUID)
	if mode&unix.S_IXGRP != 0 {
		drop |= unix.S_ISGID
	}
	if mode&drop == 0 {
		return nil
	}
	return k.chmod(mode &^ drop)
}

// Truncate implements xlator.Fops.
func (b *Brick) Truncate(ctx context.Context, r *xlator.TruncateReq) (*xlator.AttrRep, error) {
	p := b.rt.enter()
	defer p.out()
	o, k, err := b.acquire(r.Inode)
	if err != nil {
		return nil, fail("truncate", r.Inode.GFID(), "", err)
	}
	defer k.put()
	return b.truncate(xlator.CallFrom(ctx), "truncate", o, k, r.Size, r.KillPriv, k.truncate)
}

// Ftruncate implements xlator.Fops.
func (b *Brick) Ftruncate(ctx context.Context, r *xlator.FtruncateReq) (*xlator.AttrRep, error) {
	d, err := b.descriptor(r.FD)
	if err != nil {
		return nil, fail("ftruncate", r.FD.Inode().GFID(), "", err)
	}
	p := b.rt.enter()
	defer p.out()
	return b.truncate(xlator.CallFrom(ctx), "ftruncate", d.obj, d.kfd, r.Size, r.KillPriv, d.ftruncate)
}

func (b *Brick) truncate(c *xlator.Call, op string, o *object, k *kfd, size uint64, kill bool, do func(int64) error) (*xlator.AttrRep, error) {
	if int64(size) < 0 {
		return nil, fail(op, o.gfid, "", unix.EINVAL)
	}
	done := xlator.Intent{Kind: intentTruncated, A: o.gfid, Size: size}
	if before, again := c.Intended(); !again || before != done {
		if err := do(int64(size)); err != nil {
			return nil, fail(op, o.gfid, "", err)
		}
		c.Intend(done)
	}
	a, err := b.changed(o, k, kill, stampCtime|stampMtime)
	return &xlator.AttrRep{Attr: a}, fail(op, o.gfid, "", err)
}

// changed is what follows a change of data: privileges dropped if asked for,
// times moved, attributes.
func (b *Brick) changed(o *object, k *kfd, kill bool, what stamp) (xlator.Iatt, error) {
	b.rt.touch(o, k, what)
	if kill {
		if err := b.rt.killPriv(k); err != nil {
			return xlator.Iatt{}, err
		}
	}
	return b.rt.attr(o, k)
}
