package posix

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// Unlink implements xlator.Fops.
func (b *Brick) Unlink(ctx context.Context, r *xlator.UnlinkReq) (*xlator.UnlinkRep, error) {
	rep, err := b.remove(xlator.CallFrom(ctx), r.Parent, r.Name, r.Victim, false)
	return rep, fail("unlink", r.Parent.GFID(), r.Name, err)
}

// Rmdir implements xlator.Fops.
func (b *Brick) Rmdir(ctx context.Context, r *xlator.RmdirReq) (*xlator.UnlinkRep, error) {
	rep, err := b.remove(xlator.CallFrom(ctx), r.Parent, r.Name, r.Victim, true)
	return rep, fail("rmdir", r.Parent.GFID(), r.Name, err)
}

func (b *Brick) remove(c *xlator.Call, parent *xlator.Inode, name string, victim xlator.GFID, isDir bool) (*xlator.UnlinkRep, error) {
	if err := b.checkName(parent, name); err != nil {
		return nil, err
	}
	p := b.rt.enter()
	defer p.out()
	dir, dfd, err := b.parent(parent)
	if err != nil {
		return nil, err
	}
	defer dfd.put()
	before, again := intended(c, intentRemove)
	for range retries {
		var st unix.Statx_t
		o, err := b.rt.lookup(&p, dir, dfd, name, &st)
		switch {
		case again && (err == unix.ENOENT || err == nil && o.gfid != before.A):
			b.rt.touch(dir, dfd, stampCtime|stampMtime)
			return &xlator.UnlinkRep{Removed: before.A, Attr: b.rt.remains(before.A, xlator.FileType(before.Flags)), PostParent: b.rt.after(dir, dfd)}, nil
		case err != nil:
			return nil, err
		case !victim.IsZero() && o.gfid != victim:
			return nil, unix.ENOENT
		case isDir && o.typ != xlator.TypeDirectory:
			return nil, unix.ENOTDIR
		case !isDir && o.typ == xlator.TypeDirectory:
			return nil, unix.EISDIR
		}
		last, err := b.rt.removeName(&p, c, o, dfd, name)
		if err == errMoved {
			continue
		}
		if err != nil {
			return nil, err
		}
		b.rt.touch(dir, dfd, stampCtime|stampMtime)
		return &xlator.UnlinkRep{Removed: o.gfid, Attr: last, PostParent: b.rt.after(dir, dfd)}, nil
	}
	return nil, unix.ESTALE
}

// removeName takes a name away from an object, and what else goes with the
// last one. It returns the attributes afterwards.
func (rt *Runtime) removeName(p *pass, c *xlator.Call, o *object, dfd *kfd, name string) (xlator.Iatt, error) {
	rt.lockNames(p, o)
	defer unlockNames(o)
	if o.state() == gone || !rt.names(dfd, name, o) {
		return xlator.Iatt{}, errMoved
	}
	k, err := rt.acquire(o)
	if err != nil {
		return xlator.Iatt{}, err
	}
	defer k.put()
	c.Intend(xlator.Intent{Kind: intentRemove, A: o.gfid, Flags: uint32(o.typ)})
	l, err := rt.prepareLoss(o, k)
	if err != nil {
		return xlator.Iatt{}, err
	}
	flags := 0
	if o.typ == xlator.TypeDirectory {
		flags = unix.AT_REMOVEDIR
	}
	if err := unix.Unlinkat(dfd.n, name, flags); err != nil {
		l.undo()
		return xlator.Iatt{}, err
	}
	rt.touch(o, k, stampCtime)
	return l.done(), nil
}

// loss is an object about to lose a name. Its handle is dealt with before the
// name goes, so that a crash never leaves a handle without a name outside the
// unlink folder.
type loss struct {
	rt   *Runtime
	o    *object
	k    *kfd
	last bool // it is the last name
	open bool // it goes on without: the handle is in the unlink folder
}

// prepareLoss is called with the object's names locked; undo or done follows.
func (rt *Runtime) prepareLoss(o *object, k *kfd) (*loss, error) {
	l := &loss{rt: rt, o: o, k: k}
	handle, orphan := handlePath(o.gfid), o.gfid.String()
	if o.typ == xlator.TypeDirectory {
		// The handle stays until the directory is gone, since that may fail
		// for good reasons; this mark lets the sweep find it.
		l.last = true
		if err := ifThere(unix.Linkat(rt.meta, handle, rt.orphans, orphan, 0)); err != nil && err != unix.EEXIST {
			return nil, err
		}
		return l, nil
	}
	var st unix.Statx_t
	if err := statFD(k.n, &st); err != nil {
		return nil, err
	}
	own := uint32(0)
	if o.handled.Load() {
		own = 1
	}
	if l.last = st.Nlink <= 1+own; !l.last {
		return l, nil
	}
	if l.open = rt.isOpen(o); !l.open {
		if own == 0 {
			return l, nil
		}
		return l, ifThere(unix.Unlinkat(rt.meta, handle, 0))
	}
	if own > 0 {
		if err := unix.Renameat(rt.meta, handle, rt.orphans, orphan); err != unix.ENOENT {
			return l, err
		}
	}
	return l, linkFD(k.n, rt.orphans, orphan)
}

// undo puts the handle back: the name stays after all.
func (l *loss) undo() {
	rt, o := l.rt, l.o
	handle, orphan := handlePath(o.gfid), o.gfid.String()
	var err error
	switch {
	case o.typ == xlator.TypeDirectory:
		err = unix.Unlinkat(rt.orphans, orphan, 0)
	case !l.last:
	case l.open:
		err = unix.Renameat(rt.orphans, orphan, rt.meta, handle)
	case o.handled.Load():
		err = linkFD(l.k.n, rt.meta, handle)
	}
	if ifThere(err) != nil {
		rt.log.Warn("restore a handle", "brick", rt.dir, "gfid", o.gfid, "error", err)
	}
}

// done follows the loss of the name and returns the attributes after it.
func (l *loss) done() xlator.Iatt {
	rt, o := l.rt, l.o
	if !l.last {
		return rt.after(o, l.k)
	}
	if l.open {
		o.handled.Store(true)
		o.fate.Store(unlinked)
		// Whoever closed it last may have looked before.
		a := rt.after(o, l.k)
		rt.removeOrphan(o, l.k)
		return a
	}
	o.handled.Store(false)
	a := rt.after(o, l.k)
	a.Nlink = 0
	if o.typ == xlator.TypeDirectory {
		handle, orphan := handlePath(o.gfid), o.gfid.String()
		for _, err := range []error{unix.Unlinkat(rt.meta, handle, 0), unix.Unlinkat(rt.orphans, orphan, 0)} {
			if ifThere(err) != nil {
				rt.log.Warn("remove a handle", "brick", rt.dir, "gfid", o.gfid, "error", err)
			}
		}
	}
	rt.bury(o, a)
	return a
}
