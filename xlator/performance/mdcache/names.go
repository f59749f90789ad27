package mdcache

import (
	"context"

	"github.com/holdfast/holdfast/xlator"
)

// made ends a change of the parent by a fop that made a name for i.
func (t *translator) made(c *change, a asked, keep bool, i *xlator.Inode, attr, parent *xlator.Iatt) {
	t.end(c, parent)
	if keep {
		t.keep(i, a, attr)
	}
}

// entry carries out a fop that makes an object in parent.
func (t *translator) entry(parent *xlator.Inode, fop func() (*xlator.EntryRep, error)) (*xlator.EntryRep, error) {
	c := t.begin(parent, anything)
	a, keep := t.ask()
	rep, err := fop()
	if err != nil {
		t.end(&c, nil)
		return rep, err
	}
	t.made(&c, a, keep, rep.Inode, &rep.Attr, &rep.PostParent)
	return rep, nil
}

// Mknod implements xlator.Fops.
func (t *translator) Mknod(ctx context.Context, r *xlator.MknodReq) (*xlator.EntryRep, error) {
	return t.entry(r.Parent, func() (*xlator.EntryRep, error) { return t.Next.Mknod(ctx, r) })
}

// Mkdir implements xlator.Fops.
func (t *translator) Mkdir(ctx context.Context, r *xlator.MkdirReq) (*xlator.EntryRep, error) {
	return t.entry(r.Parent, func() (*xlator.EntryRep, error) { return t.Next.Mkdir(ctx, r) })
}

// Symlink implements xlator.Fops.
func (t *translator) Symlink(ctx context.Context, r *xlator.SymlinkReq) (*xlator.EntryRep, error) {
	return t.entry(r.Parent, func() (*xlator.EntryRep, error) { return t.Next.Symlink(ctx, r) })
}

// Link implements xlator.Fops. It changes the link count.
func (t *translator) Link(ctx context.Context, r *xlator.LinkReq) (*xlator.EntryRep, error) {
	i, parent := t.begin(r.Inode, anything), t.begin(r.Parent, anything)
	rep, err := t.Next.Link(ctx, r)
	if err != nil {
		t.end(&i, nil)
		t.end(&parent, nil)
		return rep, err
	}
	t.end(&i, &rep.Attr)
	t.end(&parent, &rep.PostParent)
	return rep, nil
}

// Create implements xlator.Fops.
func (t *translator) Create(ctx context.Context, r *xlator.CreateReq) (*xlator.CreateRep, error) {
	return t.create(r.Parent, func() (*xlator.CreateRep, error) { return t.Next.Create(ctx, r) })
}

// Icreate implements xlator.Fops.
func (t *translator) Icreate(ctx context.Context, r *xlator.IcreateReq) (*xlator.CreateRep, error) {
	return t.create(r.Parent, func() (*xlator.CreateRep, error) { return t.Next.Icreate(ctx, r) })
}

func (t *translator) create(parent *xlator.Inode, fop func() (*xlator.CreateRep, error)) (*xlator.CreateRep, error) {
	c := t.begin(parent, anything)
	a, keep := t.ask()
	rep, err := fop()
	if err != nil {
		t.end(&c, nil)
		return rep, err
	}
	t.made(&c, a, keep, rep.FD.Inode(), &rep.Attr, &rep.PostParent)
	return rep, nil
}

// Unlink implements xlator.Fops.
func (t *translator) Unlink(ctx context.Context, r *xlator.UnlinkReq) (*xlator.UnlinkRep, error) {
	c := t.begin(r.Parent, anything)
	rep, err := t.Next.Unlink(ctx, r)
	t.removed(&c, rep, err)
	return rep, err
}

// Rmdir implements xlator.Fops.
func (t *translator) Rmdir(ctx context.Context, r *xlator.RmdirReq) (*xlator.UnlinkRep, error) {
	c := t.begin(r.Parent, anything)
	rep, err := t.Next.Rmdir(ctx, r)
	t.removed(&c, rep, err)
	return rep, err
}

func (t *translator) removed(parent *change, rep *xlator.UnlinkRep, err error) {
	if err != nil {
		t.failed(err)
		t.end(parent, nil)
		return
	}
	t.changed(rep.Removed)
	t.end(parent, &rep.PostParent)
}

// Rename implements xlator.Fops.
func (t *translator) Rename(ctx context.Context, r *xlator.RenameReq) (*xlator.RenameRep, error) {
	from := t.begin(r.OldParent, anything)
	to := change{}
	if r.NewParent != r.OldParent {
		to = t.begin(r.NewParent, anything)
	}
	rep, err := t.Next.Rename(ctx, r)
	if err != nil {
		t.failed(err)
		t.end(&from, nil)
		t.end(&to, nil)
		return rep, err
	}
	t.changed(rep.Moved)
	if !rep.Replaced.IsZero() {
		t.changed(rep.Replaced)
	}
	t.end(&from, &rep.PostOldParent)
	t.end(&to, &rep.PostNewParent)
	return rep, nil
}
