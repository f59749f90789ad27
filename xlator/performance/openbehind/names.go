package openbehind

import (
	"context"

	"github.com/holdfast/holdfast/xlator"
)

// Open implements xlator.Fops.
func (t *translator) Open(ctx context.Context, r *xlator.OpenReq) (*xlator.OpenRep, error) {
	if fd := t.answer(ctx, r); fd != nil {
		return &xlator.OpenRep{FD: fd}, nil
	}
	rep, err := t.Next.Open(ctx, r)
	if err == nil {
		t.counted(rep.FD)
	}
	return rep, err
}

// Create implements xlator.Fops.
func (t *translator) Create(ctx context.Context, r *xlator.CreateReq) (*xlator.CreateRep, error) {
	rep, err := t.Next.Create(ctx, r)
	if err == nil {
		t.counted(rep.FD)
	}
	return rep, err
}

// Icreate implements xlator.Fops.
func (t *translator) Icreate(ctx context.Context, r *xlator.IcreateReq) (*xlator.CreateRep, error) {
	rep, err := t.Next.Icreate(ctx, r)
	if err == nil {
		t.counted(rep.FD)
	}
	return rep, err
}

// Unlink implements xlator.Fops.
func (t *translator) Unlink(ctx context.Context, r *xlator.UnlinkReq) (*xlator.UnlinkRep, error) {
	defer t.remove(ctx, r.Parent, r.Name, r.Victim)()
	rep, err := t.Next.Unlink(ctx, r)
	if err == nil {
		t.nameLost(rep.Removed)
	}
	return rep, err
}

// Rename implements xlator.Fops.
func (t *translator) Rename(ctx context.Context, r *xlator.RenameReq) (*xlator.RenameRep, error) {
	defer t.remove(ctx, r.NewParent, r.NewName, xlator.GFID{})()
	rep, err := t.Next.Rename(ctx, r)
	if err == nil {
		t.nameLost(rep.Replaced)
	}
	return rep, err
}

// remove opens what waits to be opened and may lose this name. Until the function
// that it returns is called no open is answered early: so whatever the name stands
// for when it is removed is open, or is being opened by who knows of the removal.
func (t *translator) remove(ctx context.Context, parent *xlator.Inode, name string, victim xlator.GFID) func() {
	t.mu.Lock()
	t.removing++
	waiting := len(t.late)
	t.mu.Unlock()
	if waiting > 0 {
		t.forceVictim(ctx, parent, name, victim)
	}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.removing--
	}
}

func (t *translator) forceVictim(ctx context.Context, parent *xlator.Inode, name string, victim xlator.GFID) {
	if !victim.IsZero() {
		if i := t.inodes.Find(victim); i != nil {
			t.force(ctx, i)
		}
		return
	}
	// Work of our own: whether it is needed depends on what this process
	// remembers, and a request that is carried out again must ask the same.
	rep, err := t.Next.Lookup(xlator.Internal(), &xlator.LookupReq{Parent: parent, Name: name})
	if err == nil {
		t.force(ctx, rep.Inode)
	}
}

// Setattr implements xlator.Fops. A new mode or owner must not decide an open that
// was answered before.
func (t *translator) Setattr(ctx context.Context, r *xlator.SetattrReq) (*xlator.AttrRep, error) {
	t.force(ctx, r.Inode)
	return t.Next.Setattr(ctx, r)
}

// Setxattr implements xlator.Fops, as Setattr: ACLs.
func (t *translator) Setxattr(ctx context.Context, r *xlator.SetxattrReq) (*xlator.Empty, error) {
	t.force(ctx, r.Inode)
	return t.Next.Setxattr(ctx, r)
}

// Removexattr implements xlator.Fops, as Setattr.
func (t *translator) Removexattr(ctx context.Context, r *xlator.RemovexattrReq) (*xlator.Empty, error) {
	t.force(ctx, r.Inode)
	return t.Next.Removexattr(ctx, r)
}
