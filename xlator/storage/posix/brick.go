package posix

import (
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// inode is this graph's Inode of an object, with the object in its slot.
func (b *Brick) inode(o *object) *xlator.Inode {
	i := b.env.Inodes.Get(o.gfid, o.typ)
	if b.objs.Get(i) != o {
		b.objs.Set(i, o)
	}
	return i
}

// object is what an Inode of this graph stands for on disk.
func (b *Brick) object(i *xlator.Inode) (*object, error) {
	if o := b.objs.Get(i); o != nil {
		return o, nil
	}
	o, err := b.rt.find(i.GFID())
	if err == unix.ESTALE && i.Type() == xlator.TypeDirectory {
		o, err = b.rt.departed(i.GFID())
	}
	if err != nil {
		return nil, err
	}
	b.objs.Set(i, o)
	return o, nil
}

// acquire is an Inode's object and a descriptor of it. An object whose file
// handle went stale is looked for by its gfid once. When it is gone, the object
// comes with ESTALE.
func (b *Brick) acquire(i *xlator.Inode) (*object, *kfd, error) {
	o, err := b.object(i)
	if err != nil {
		return nil, nil, err
	}
	k, err := b.rt.acquire(o)
	if err != unix.ESTALE || o.state() == gone {
		return o, k, err
	}
	b.rt.forget(o)
	if o, err = b.rt.findOnDisk(i.GFID(), 0); err != nil {
		return nil, nil, err
	}
	b.objs.Set(i, o)
	k, err = b.rt.acquire(o)
	return o, k, err
}

// parent is acquire for the directory of a name: one that was removed has no
// names.
func (b *Brick) parent(i *xlator.Inode) (*object, *kfd, error) {
	o, k, err := b.acquire(i)
	if err == unix.ESTALE && o != nil {
		err = unix.ENOENT
	}
	return o, k, err
}

// checkName refuses names that nothing may be made of or removed by.
func (b *Brick) checkName(dir *xlator.Inode, name string) error {
	switch {
	case name == "":
		return unix.ENOENT
	case name == "." || name == "..":
		return unix.EINVAL
	case name == metaName && dir.GFID() == xlator.RootGFID:
		return unix.EPERM
	}
	for i := 0; i < len(name); i++ {
		if name[i] == '/' || name[i] == 0 {
			return unix.EINVAL
		}
	}
	return nil
}

// descriptor is what an FD of this graph has open.
func (b *Brick) descriptor(f *xlator.FD) (*descriptor, error) {
	d := b.fds.Get(f)
	if d == nil {
		return nil, unix.EBADF
	}
	if d.removed {
		return d, unix.ESTALE
	}
	return d, nil
}
