package writebehind

import (
	"context"

	"github.com/holdfast/holdfast/xlator"
)

// Lookup implements xlator.Fops. Attributes that may be older than acknowledged
// data are asked for again after it was written; a name that means another such
// file each time is answered without.
func (t *translator) Lookup(ctx context.Context, r *xlator.LookupReq) (*xlator.LookupRep, error) {
	var flushed *xlator.Inode
	if r.Parent == nil {
		flushed = t.inodes.Find(r.GFID)
		t.flush(flushed)
	}
	for range 3 {
		begun := t.ticks.now()
		rep, err := t.Next.Lookup(ctx, r)
		if err != nil || !rep.Attr.Valid() || rep.Inode == flushed || !t.old(rep.Inode.GFID(), rep.Inode, begun) {
			return rep, err
		}
		flushed = rep.Inode
		t.flush(flushed)
	}
	rep, err := t.Next.Lookup(ctx, r)
	if err == nil && rep.Inode != flushed {
		rep.Attr = xlator.Iatt{}
	}
	return rep, err
}

// Readdirp implements xlator.Fops: it leaves out attributes that may be older
// than acknowledged data.
func (t *translator) Readdirp(ctx context.Context, r *xlator.ReaddirReq) (*xlator.ReaddirRep, error) {
	begun := t.ticks.now()
	rep, err := t.Next.Readdirp(ctx, r)
	if err != nil {
		return rep, err
	}
	for i := range rep.Entries {
		if e := &rep.Entries[i]; e.Attr.Valid() && t.old(e.GFID, e.Inode, begun) {
			e.Attr = xlator.Iatt{}
		}
	}
	return rep, nil
}

// Create implements xlator.Fops. The file may have been there, with acknowledged
// data.
func (t *translator) Create(ctx context.Context, r *xlator.CreateReq) (*xlator.CreateRep, error) {
	begun := t.ticks.now()
	rep, err := t.Next.Create(ctx, r)
	if err != nil || rep.Made || !rep.Attr.Valid() || !t.old(rep.FD.Inode().GFID(), rep.FD.Inode(), begun) {
		return rep, err
	}
	t.flush(rep.FD.Inode())
	rep.Attr = xlator.Iatt{}
	if st, err := t.Next.Fstat(ctx, &xlator.FstatReq{FD: rep.FD}); err == nil {
		rep.Attr = st.Attr
	}
	return rep, nil
}

// Link implements xlator.Fops.
func (t *translator) Link(ctx context.Context, r *xlator.LinkReq) (*xlator.EntryRep, error) {
	t.flush(r.Inode)
	return t.Next.Link(ctx, r)
}

// Unlink implements xlator.Fops.
func (t *translator) Unlink(ctx context.Context, r *xlator.UnlinkReq) (*xlator.UnlinkRep, error) {
	t.flushName(ctx, r.Parent, r.Name)
	begun := t.ticks.now()
	rep, err := t.Next.Unlink(ctx, r)
	if err == nil && t.old(rep.Removed, nil, begun) {
		rep.Attr = xlator.Iatt{}
	}
	return rep, err
}

// Rename implements xlator.Fops.
func (t *translator) Rename(ctx context.Context, r *xlator.RenameReq) (*xlator.RenameRep, error) {
	t.flushName(ctx, r.OldParent, r.OldName)
	t.flushName(ctx, r.NewParent, r.NewName)
	begun := t.ticks.now()
	rep, err := t.Next.Rename(ctx, r)
	if err != nil {
		return rep, err
	}
	if t.old(rep.Moved, nil, begun) {
		rep.Attr = xlator.Iatt{}
	}
	if t.old(rep.Replaced, nil, begun) {
		rep.ReplacedAttr = xlator.Iatt{}
	}
	return rep, nil
}

// flushName waits for the acknowledged writes of the file of that name. The
// child is asked for it only while any file has some.
func (t *translator) flushName(ctx context.Context, parent *xlator.Inode, name string) {
	if t.ndirty.Load() == 0 {
		return
	}
	if rep, err := t.Next.Lookup(ctx, &xlator.LookupReq{Parent: parent, Name: name}); err == nil {
		t.flush(rep.Inode)
	}
}
