package posix

import (
	"context"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// descKey is what the open descriptor of a base fd is kept under.
type descKey struct {
	base  uint64
	gfid  xlator.GFID
	flags uint32
}

// descriptor is an open file or directory, shared by the FDs that adopted it.
type descriptor struct {
	*kfd
	key     descKey
	obj     *object
	stream  *stream // directories
	removed bool    // of a directory that was gone when it was opened
	fds     int     // guarded by Runtime.descMu
}

// descriptor returns an open descriptor of the object, or nil.
func (o *object) descriptor() *kfd {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.descs) == 0 {
		return nil
	}
	return o.descs[0].kfd.ref()
}

func (d *descriptor) ftruncate(size int64) error {
	return again(func() error { return unix.Ftruncate(d.n, size) })
}

// adopt finds the kept descriptor of a base fd, for one more FD.
func (rt *Runtime) adopt(key descKey) *descriptor {
	if key.base == 0 {
		return nil
	}
	rt.descMu.Lock()
	defer rt.descMu.Unlock()
	d := rt.kept[key]
	if d != nil {
		d.fds++
		rt.adoptions.Add(1)
	}
	return d
}

// keep enters an open kernel descriptor; it is given up for one that another
// open of the same base fd has entered meanwhile. -1 stands for a directory that
// has been removed: it is empty for ever. The caller holds the object's names.
func (rt *Runtime) keep(key descKey, o *object, n int) *descriptor {
	if d := rt.adopt(key); d != nil {
		unix.Close(n)
		return d
	}
	d := &descriptor{kfd: newKFD(n, true), key: key, obj: o, removed: n < 0, fds: 1}
	if o.typ == xlator.TypeDirectory {
		d.stream = &stream{}
	}
	if !d.removed {
		rt.opens.Add(1)
		o.mu.Lock()
		o.descs = append(o.descs, d)
		o.mu.Unlock()
	}
	rt.descMu.Lock()
	defer rt.descMu.Unlock()
	rt.all[d] = true
	if key.base != 0 {
		rt.kept[key] = d
	}
	return d
}

// letGo ends one FD's use of a descriptor; the last one closes it, and with it
// an unlinked file.
func (rt *Runtime) letGo(d *descriptor) {
	rt.descMu.Lock()
	d.fds--
	last := d.fds == 0
	if last {
		delete(rt.all, d)
		if rt.kept[d.key] == d {
			delete(rt.kept, d.key)
		}
	}
	rt.descMu.Unlock()
	if !last {
		return
	}
	o := d.obj
	o.mu.Lock()
	o.descs = slices.DeleteFunc(o.descs, func(e *descriptor) bool { return e == d })
	left := len(o.descs)
	o.mu.Unlock()
	p := rt.enter()
	defer p.out()
	defer d.kfd.put()
	if left == 0 && o.state() == unlinked {
		rt.lockNames(&p, o)
		defer unlockNames(o)
		rt.removeOrphan(o, d.kfd)
	}
}

// removeOrphan removes the handle of a file without names that nobody has open
// any more. The caller holds the object's names.
func (rt *Runtime) removeOrphan(o *object, k *kfd) {
	if o.state() != unlinked || rt.isOpen(o) {
		return
	}
	if err := ifThere(unix.Unlinkat(rt.orphans, o.gfid.String(), 0)); err != nil {
		rt.log.Warn("remove an unlinked file", "brick", rt.dir, "gfid", o.gfid, "error", err)
	}
	rt.bury(o, rt.after(o, k))
}

func typeError(t xlator.FileType) error {
	switch t {
	case xlator.TypeRegular:
		return nil
	case xlator.TypeDirectory:
		return unix.EISDIR
	case xlator.TypeSymlink:
		return unix.ELOOP
	}
	return unix.ENXIO
}

// Open implements xlator.Fops. The base fd's descriptor is adopted where there
// is one.
func (b *Brick) Open(_ context.Context, r *xlator.OpenReq) (*xlator.OpenRep, error) {
	return b.open("open", r, typeError(r.Inode.Type()))
}

// Opendir implements xlator.Fops.
func (b *Brick) Opendir(_ context.Context, r *xlator.OpenReq) (*xlator.OpenRep, error) {
	var err error
	if r.Inode.Type() != xlator.TypeDirectory {
		err = unix.ENOTDIR
	}
	return b.open("opendir", r, err)
}

func (b *Brick) open(op string, r *xlator.OpenReq, bad error) (*xlator.OpenRep, error) {
	g := r.Inode.GFID()
	key := descKey{r.Base, g, xlator.CleanOpenFlags(r.Flags)}
	d := b.rt.adopt(key)
	if d == nil {
		err := bad
		if err == nil {
			d, err = b.openNew(r.Inode, key)
		}
		if err != nil {
			return nil, fail(op, g, "", err)
		}
	}
	return &xlator.OpenRep{FD: b.newFD(r.Inode, d)}, nil
}

func (b *Brick) newFD(i *xlator.Inode, d *descriptor) *xlator.FD {
	f := b.env.Inodes.NewFD(i, d.key.flags, d.key.base)
	b.fds.Set(f, d)
	return f
}

func (b *Brick) openNew(i *xlator.Inode, key descKey) (*descriptor, error) {
	p := b.rt.enter()
	defer p.out()
	o, err := b.object(i)
	if err != nil {
		return nil, err
	}
	d, err := b.openObject(&p, o, key)
	if err != unix.ESTALE || o.state() == gone {
		return d, err
	}
	b.rt.forget(o)
	if o, err = b.rt.findOnDisk(i.GFID(), 0); err != nil {
		return nil, err
	}
	b.objs.Set(i, o)
	return b.openObject(&p, o, key)
}

// openObject makes a descriptor. With the names held for reading, the last
// unlink either sees it or has been before.
func (b *Brick) openObject(p *pass, o *object, key descKey) (*descriptor, error) {
	p.out()
	o.names.RLock()
	defer o.names.RUnlock()
	p.in(b.rt)
	if o.state() == gone {
		if o.typ == xlator.TypeDirectory {
			return b.rt.keep(key, o, -1), nil
		}
		return nil, unix.ESTALE
	}
	flags := kernelFlags(key.flags)
	if o.typ == xlator.TypeDirectory {
		flags = unix.O_RDONLY | unix.O_DIRECTORY | flags&unix.O_NOATIME
	}
	n, err := b.rt.openHandle(o, flags)
	if err != nil {
		return nil, err
	}
	return b.rt.keep(key, o, n), nil
}

// Release implements xlator.Fops.
func (b *Brick) Release(f *xlator.FD) {
	if d := b.fds.Get(f); d != nil {
		b.rt.letGo(d)
	}
}

// Flush implements xlator.Fops: all data is with the kernel already.
func (b *Brick) Flush(_ context.Context, r *xlator.FlushReq) (*xlator.Empty, error) {
	_, err := b.descriptor(r.FD)
	return &xlator.Empty{}, fail("flush", r.FD.Inode().GFID(), "", err)
}
