package posix

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// made is a regular file that was just made: open, and its names still locked.
type made struct {
	o            *object
	fd           int
	attr, parent xlator.Iatt
}

// tmpfile makes a finished file without a name: owner, mode, ACL and gfid are
// there. Its names are locked.
func (rt *Runtime) tmpfile(born *birth, dfd *kfd, flags uint32) (*object, *kfd, error) {
	open := kernelFlags(flags) | unix.O_TMPFILE
	if flags&unix.O_ACCMODE == unix.O_RDONLY {
		open |= unix.O_RDWR // O_TMPFILE insists
	}
	open &^= unix.O_NOFOLLOW
	mode := born.mode & 0o777 // often right as it is
	fd, err := openat(dfd.n, ".", open, mode)
	if err == unix.EMFILE || err == unix.ENFILE {
		rt.paths.flush()
		fd, err = openat(dfd.n, ".", open, mode)
	}
	if err != nil {
		return nil, nil, err
	}
	k := newKFD(fd, true)
	if err := born.raise(k); err != nil {
		k.put()
		return nil, nil, err
	}
	o, err := rt.enroll(born, k)
	if err != nil {
		k.put()
		return nil, nil, err
	}
	return o, k, nil
}

// makeFile makes a regular file and gives it its name and its handle, in that
// order: a crash in between leaves a complete file that gets its handle at its
// next lookup, not a handle that nobody would ever find. Nobody else can use
// the object meanwhile, since its names are locked.
func (b *Brick) makeFile(ctx context.Context, r *xlator.MakeReq, flags uint32) (*made, error) {
	if err := b.checkName(r.Parent, r.Name); err != nil {
		if r.Name == "." || r.Name == ".." {
			err = unix.EISDIR
		}
		return nil, err
	}
	p := b.rt.enter()
	defer p.out()
	dir, dfd, err := b.parent(r.Parent)
	if err != nil {
		return nil, err
	}
	defer dfd.put()
	if err := free(dfd, r.Name); err != nil {
		return nil, err
	}
	born, err := conceive(ctx, r, xlator.TypeRegular, dfd)
	if err != nil {
		return nil, err
	}
	o, k, err := b.rt.tmpfile(&born, dfd, flags)
	if err != nil {
		return nil, err
	}
	if err = linkFD(k.n, dfd.n, r.Name); err == nil {
		if err = b.rt.newHandle(o, k, dir.gfid, r.Name); err != nil {
			unix.Unlinkat(dfd.n, r.Name, 0)
		}
	}
	if err != nil {
		b.discard(o, k)
		return nil, err
	}
	b.rt.touch(dir, dfd, stampCtime|stampMtime)
	return &made{o: o, fd: k.n, attr: b.rt.after(o, k), parent: b.rt.after(dir, dfd)}, nil
}

// discard forgets an object that came to nothing.
func (b *Brick) discard(o *object, k *kfd) {
	b.rt.bury(o, xlator.Iatt{})
	b.rt.forget(o)
	unlockNames(o)
	k.put()
}

// Create implements xlator.Fops. A file that is there already is opened unless
// O_EXCL is set, and emptied if O_TRUNC is.
func (b *Brick) Create(ctx context.Context, r *xlator.CreateReq) (*xlator.CreateRep, error) {
	rep, err := b.create(ctx, r)
	return rep, fail("create", r.Parent.GFID(), r.Name, err)
}

func (b *Brick) create(ctx context.Context, r *xlator.CreateReq) (*xlator.CreateRep, error) {
	for range retries {
		m, err := b.makeFile(ctx, &r.MakeReq, r.Flags)
		if err == nil {
			defer unlockNames(m.o)
			d := b.rt.keep(descKey{r.Base, m.o.gfid, xlator.CleanOpenFlags(r.Flags)}, m.o, m.fd)
			return &xlator.CreateRep{FD: b.newFD(b.inode(m.o), d), Attr: m.attr, PostParent: m.parent, Made: true}, nil
		}
		excl := r.Flags&unix.O_EXCL != 0
		if err != unix.EEXIST || excl && xlator.CallFrom(ctx).Journal == nil {
			return nil, err
		}
		rep, err := b.createExisting(r, excl)
		if err != unix.ENOENT && err != unix.ESTALE {
			return rep, err
		}
	}
	return nil, unix.EEXIST
}

// createExisting opens what has the name. If that bears the gfid that was chosen
// for this request, it was made by it, in a process that died before the answer.
func (b *Brick) createExisting(r *xlator.CreateReq, excl bool) (*xlator.CreateRep, error) {
	found, err := b.lookupRaw(r.Parent, r.Name)
	if err != nil {
		return nil, err
	}
	mine := found.gfid == r.GFID
	if excl && !mine {
		return nil, unix.EEXIST
	}
	if err := typeError(found.typ); err != nil {
		return nil, err
	}
	i := b.inode(found)
	key := descKey{r.Base, found.gfid, xlator.CleanOpenFlags(r.Flags)}
	d := b.rt.adopt(key)
	if d == nil {
		if d, err = b.openNew(i, key); err != nil {
			return nil, err
		}
	}
	p := b.rt.enter()
	defer p.out()
	if r.Flags&unix.O_TRUNC != 0 && !mine && r.Flags&unix.O_ACCMODE != unix.O_RDONLY {
		if err := d.ftruncate(0); err != nil {
			p.out()
			b.rt.letGo(d)
			return nil, err
		}
		b.rt.touch(found, d.kfd, stampCtime|stampMtime)
	}
	rep := &xlator.CreateRep{FD: b.newFD(i, d), Attr: b.rt.after(found, d.kfd), Made: mine}
	if dir, dfd, err := b.acquire(r.Parent); err == nil {
		rep.PostParent = b.rt.after(dir, dfd)
		dfd.put()
	}
	return rep, nil
}

// lookupRaw finds the object of a name.
func (b *Brick) lookupRaw(parent *xlator.Inode, name string) (*object, error) {
	p := b.rt.enter()
	defer p.out()
	dir, dfd, err := b.parent(parent)
	if err != nil {
		return nil, err
	}
	defer dfd.put()
	var st unix.Statx_t
	return b.rt.lookup(&p, dir, dfd, name, &st)
}

// Icreate implements xlator.Fops: a file without a name. Its handle is in the
// unlink folder, so that it can be opened again by gfid.
func (b *Brick) Icreate(ctx context.Context, r *xlator.IcreateReq) (*xlator.CreateRep, error) {
	rep, err := b.icreate(ctx, r)
	return rep, fail("create without a name in", r.Parent.GFID(), "", err)
}

func (b *Brick) icreate(ctx context.Context, r *xlator.IcreateReq) (*xlator.CreateRep, error) {
	p := b.rt.enter()
	defer p.out()
	dir, dfd, err := b.parent(r.Parent)
	if err != nil {
		return nil, err
	}
	defer dfd.put()
	born, err := conceive(ctx, &r.MakeReq, xlator.TypeRegular, dfd)
	if err != nil {
		return nil, err
	}
	if o, err := b.rt.find(born.gfid); err == nil && o.state() != gone {
		if xlator.CallFrom(ctx).Journal == nil || o.state() != unlinked {
			return nil, unix.EEXIST
		}
		p.out()
		return b.icreated(r, o) // by a process that died before the answer
	}
	o, k, err := b.rt.tmpfile(&born, dfd, r.Flags)
	if err != nil {
		return nil, err
	}
	if err := linkFD(k.n, b.rt.orphans, o.gfid.String()); err != nil {
		b.discard(o, k)
		return nil, err
	}
	defer unlockNames(o)
	o.handled.Store(true)
	o.fate.Store(unlinked)
	o.mu.Lock()
	o.noLink = r.Flags&unix.O_EXCL != 0
	o.mu.Unlock()
	attr := b.rt.after(o, k)
	d := b.rt.keep(descKey{r.Base, o.gfid, xlator.CleanOpenFlags(r.Flags)}, o, k.n)
	return &xlator.CreateRep{FD: b.newFD(b.inode(o), d), Attr: attr, PostParent: b.rt.after(dir, dfd), Made: true}, nil
}

func (b *Brick) icreated(r *xlator.IcreateReq, o *object) (*xlator.CreateRep, error) {
	i := b.inode(o)
	d, err := b.openNew(i, descKey{r.Base, o.gfid, xlator.CleanOpenFlags(r.Flags)})
	if err != nil {
		return nil, err
	}
	p := b.rt.enter()
	defer p.out()
	rep := &xlator.CreateRep{FD: b.newFD(i, d), Attr: b.rt.after(o, d.kfd), Made: true}
	if dir, dfd, err := b.acquire(r.Parent); err == nil {
		rep.PostParent = b.rt.after(dir, dfd)
		dfd.put()
	}
	return rep, nil
}
