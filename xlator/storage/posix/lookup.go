package posix

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// Lookup implements xlator.Fops. What has no gfid yet gets one.
func (b *Brick) Lookup(_ context.Context, r *xlator.LookupReq) (*xlator.LookupRep, error) {
	if r.Parent == nil {
		rep, err := b.lookupGFID(r.GFID)
		return rep, fail("lookup", r.GFID, "", err)
	}
	rep, err := b.lookupName(r.Parent, r.Name)
	return rep, fail("lookup", r.Parent.GFID(), r.Name, err)
}

func (b *Brick) lookupGFID(g xlator.GFID) (*xlator.LookupRep, error) {
	p := b.rt.enter()
	defer p.out()
	o, err := b.rt.find(g)
	if err != nil {
		return nil, err
	}
	i := b.inode(o)
	a, err := b.stat(i)
	if err != nil {
		return nil, err
	}
	return &xlator.LookupRep{Inode: i, Attr: a}, nil
}

func (b *Brick) lookupName(parent *xlator.Inode, name string) (*xlator.LookupRep, error) {
	p := b.rt.enter()
	defer p.out()
	dir, dfd, err := b.parent(parent)
	if err != nil {
		return nil, err
	}
	defer dfd.put()
	var st unix.Statx_t
	o, err := b.rt.lookup(&p, dir, dfd, name, &st)
	if err != nil {
		return nil, err
	}
	return &xlator.LookupRep{Inode: b.inode(o), Attr: b.rt.iatt(o, &st, nil)}, nil
}

// stat is the attributes of an Inode, also after its end. The caller is inside
// the gate.
func (b *Brick) stat(i *xlator.Inode) (xlator.Iatt, error) {
	o, k, err := b.acquire(i)
	if err != nil {
		if o != nil {
			if a, dead := o.tomb(); dead {
				return a, nil
			}
		}
		return xlator.Iatt{}, err
	}
	defer k.put()
	return b.rt.attr(o, k)
}

// Stat implements xlator.Fops.
func (b *Brick) Stat(_ context.Context, r *xlator.StatReq) (*xlator.AttrRep, error) {
	p := b.rt.enter()
	defer p.out()
	a, err := b.stat(r.Inode)
	if err != nil {
		return nil, fail("stat", r.Inode.GFID(), "", err)
	}
	return &xlator.AttrRep{Attr: a}, nil
}

// Fstat implements xlator.Fops.
func (b *Brick) Fstat(_ context.Context, r *xlator.FstatReq) (*xlator.AttrRep, error) {
	d, err := b.descriptor(r.FD)
	if err != nil {
		if d != nil {
			a, _ := d.obj.tomb()
			return &xlator.AttrRep{Attr: a}, nil
		}
		return nil, fail("fstat", r.FD.Inode().GFID(), "", err)
	}
	p := b.rt.enter()
	defer p.out()
	a, err := b.rt.attr(d.obj, d.kfd)
	if err != nil {
		return nil, fail("fstat", r.FD.Inode().GFID(), "", err)
	}
	return &xlator.AttrRep{Attr: a}, nil
}

// Readlink implements xlator.Fops.
func (b *Brick) Readlink(_ context.Context, r *xlator.ReadlinkReq) (*xlator.ReadlinkRep, error) {
	p := b.rt.enter()
	defer p.out()
	_, k, err := b.acquire(r.Inode)
	if err == nil && r.Inode.Type() != xlator.TypeSymlink {
		k.put()
		err = unix.EINVAL
	}
	if err != nil {
		return nil, fail("readlink", r.Inode.GFID(), "", err)
	}
	defer k.put()
	target, err := readlink(k.n, "")
	if err != nil {
		return nil, fail("readlink", r.Inode.GFID(), "", err)
	}
	return &xlator.ReadlinkRep{Target: target}, nil
}

// Statfs implements xlator.Fops.
func (b *Brick) Statfs(_ context.Context, r *xlator.StatfsReq) (*xlator.StatfsRep, error) {
	p := b.rt.enter()
	defer p.out()
	var s unix.Statfs_t
	if err := unix.Fstatfs(b.rt.rootFD.n, &s); err != nil {
		return nil, fail("statfs", xlator.RootGFID, "", err)
	}
	return &xlator.StatfsRep{
		Bsize: uint64(s.Bsize), Frsize: uint64(s.Frsize), Blocks: s.Blocks, Bfree: s.Bfree, Bavail: s.Bavail,
		Files: s.Files, Ffree: s.Ffree, NameMax: uint64(s.Namelen),
	}, nil
}

// Access implements xlator.Fops, by mode bits and access ACL.
func (b *Brick) Access(ctx context.Context, r *xlator.AccessReq) (*xlator.Empty, error) {
	p := b.rt.enter()
	defer p.out()
	err := b.access(xlator.CallFrom(ctx), r)
	return &xlator.Empty{}, fail("access", r.Inode.GFID(), "", err)
}

func (b *Brick) access(c *xlator.Call, r *xlator.AccessReq) error {
	o, k, err := b.acquire(r.Inode)
	if err != nil {
		return err
	}
	defer k.put()
	a, err := b.rt.attr(o, k)
	if err != nil {
		return err
	}
	var list acl
	if o.typ != xlator.TypeSymlink {
		if list, err = readACL(k, xattrAccess); err != nil {
			return err
		}
	}
	if !permitted(c, &a, list, r.Mask&7) {
		return unix.EACCES
	}
	return nil
}
