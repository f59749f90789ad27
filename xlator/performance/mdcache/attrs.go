package mdcache

import (
	"context"

	"github.com/holdfast/holdfast/xlator"
)

// Lookup implements xlator.Fops. A name is always asked for; an object by gfid,
// which is how one that is known is looked at again, may be answered from memory.
func (t *translator) Lookup(ctx context.Context, r *xlator.LookupReq) (*xlator.LookupRep, error) {
	if r.Parent == nil && r.Xdata.Len() == 0 {
		if i := t.inodes.Find(r.GFID); i != nil {
			if a := t.find(i); a != nil {
				return &xlator.LookupRep{Inode: i, Attr: a.iatt}, nil
			}
		}
	}
	a, keep := t.ask()
	rep, err := t.Next.Lookup(ctx, r)
	if err == nil && keep {
		t.keep(rep.Inode, a, &rep.Attr)
	}
	return rep, err
}

// Stat implements xlator.Fops.
func (t *translator) Stat(ctx context.Context, r *xlator.StatReq) (*xlator.AttrRep, error) {
	if a := t.find(r.Inode); a != nil {
		return &xlator.AttrRep{Attr: a.iatt}, nil
	}
	a, keep := t.ask()
	rep, err := t.Next.Stat(ctx, r)
	if err == nil && keep {
		t.keep(r.Inode, a, &rep.Attr)
	}
	return rep, err
}

// Fstat implements xlator.Fops.
func (t *translator) Fstat(ctx context.Context, r *xlator.FstatReq) (*xlator.AttrRep, error) {
	i := r.FD.Inode()
	if a := t.find(i); a != nil {
		return &xlator.AttrRep{Attr: a.iatt}, nil
	}
	a, keep := t.ask()
	rep, err := t.Next.Fstat(ctx, r)
	if err == nil && keep {
		t.keep(i, a, &rep.Attr)
	}
	return rep, err
}

// Setattr implements xlator.Fops. A new mode changes the ACL, a new owner takes
// capabilities away.
func (t *translator) Setattr(ctx context.Context, r *xlator.SetattrReq) (*xlator.AttrRep, error) {
	c := t.begin(r.Inode, anything)
	rep, err := t.Next.Setattr(ctx, r)
	t.ended(&c, rep, err)
	return rep, err
}

// Fsetattr implements xlator.Fops, as Setattr.
func (t *translator) Fsetattr(ctx context.Context, r *xlator.FsetattrReq) (*xlator.AttrRep, error) {
	c := t.begin(r.FD.Inode(), anything)
	rep, err := t.Next.Fsetattr(ctx, r)
	t.ended(&c, rep, err)
	return rep, err
}

// Readlink implements xlator.Fops. It changes the time of access.
func (t *translator) Readlink(ctx context.Context, r *xlator.ReadlinkReq) (*xlator.ReadlinkRep, error) {
	c := t.begin(r.Inode, dataOnly)
	defer t.end(&c, nil)
	return t.Next.Readlink(ctx, r)
}

// Lk implements xlator.Fops. Who got a lock wants to see what its last holder,
// perhaps another client, has done.
func (t *translator) Lk(ctx context.Context, r *xlator.LkReq) (*xlator.LkRep, error) {
	rep, err := t.Next.Lk(ctx, r)
	if r.Cmd == xlator.LkSet || r.Cmd == xlator.LkWait {
		t.changed(r.FD.Inode().GFID())
	}
	return rep, err
}
