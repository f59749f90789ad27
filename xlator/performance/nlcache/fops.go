package nlcache

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/holdfast/holdfast/xlator"
)

// errAbsent answers a lookup from memory.
var errAbsent = fmt.Errorf("nl-cache: the name was not there a moment ago: %w", syscall.ENOENT)

// Lookup implements xlator.Fops.
func (t *translator) Lookup(ctx context.Context, r *xlator.LookupReq) (*xlator.LookupRep, error) {
	if r.Parent == nil || r.Name == "." || r.Name == ".." {
		return t.Next.Lookup(ctx, r)
	}
	f, absent := t.ask(r.Parent, r.Name)
	if absent {
		t.hits.Add(1)
		return nil, errAbsent
	}
	t.misses.Add(1)
	rep, err := t.Next.Lookup(ctx, r)
	if f != nil {
		t.answered(f, errors.Is(err, syscall.ENOENT))
	}
	return rep, err
}

// Mknod implements xlator.Fops.
func (t *translator) Mknod(ctx context.Context, r *xlator.MknodReq) (*xlator.EntryRep, error) {
	f := t.begin(r.Parent, r.Name)
	defer t.end(f, unclear)
	return t.Next.Mknod(ctx, r)
}

// Mkdir implements xlator.Fops. There is nothing in what it makes.
func (t *translator) Mkdir(ctx context.Context, r *xlator.MkdirReq) (*xlator.EntryRep, error) {
	t.mu.Lock()
	unknown := t.unknown
	t.mu.Unlock()
	f := t.begin(r.Parent, r.Name)
	defer t.end(f, unclear)
	rep, err := t.Next.Mkdir(ctx, r)
	if err == nil {
		t.made(rep.Inode, f, unknown)
	}
	return rep, err
}

// Symlink implements xlator.Fops.
func (t *translator) Symlink(ctx context.Context, r *xlator.SymlinkReq) (*xlator.EntryRep, error) {
	f := t.begin(r.Parent, r.Name)
	defer t.end(f, unclear)
	return t.Next.Symlink(ctx, r)
}

// Link implements xlator.Fops.
func (t *translator) Link(ctx context.Context, r *xlator.LinkReq) (*xlator.EntryRep, error) {
	f := t.begin(r.Parent, r.Name)
	defer t.end(f, unclear)
	return t.Next.Link(ctx, r)
}

// Create implements xlator.Fops.
func (t *translator) Create(ctx context.Context, r *xlator.CreateReq) (*xlator.CreateRep, error) {
	f := t.begin(r.Parent, r.Name)
	defer t.end(f, unclear)
	return t.Next.Create(ctx, r)
}

// Unlink implements xlator.Fops.
func (t *translator) Unlink(ctx context.Context, r *xlator.UnlinkReq) (*xlator.UnlinkRep, error) {
	f := t.begin(r.Parent, r.Name)
	rep, err := t.Next.Unlink(ctx, r)
	if err != nil {
		t.end(f, unclear)
		return rep, err
	}
	t.end(f, gone)
	return rep, nil
}

// Rmdir implements xlator.Fops.
func (t *translator) Rmdir(ctx context.Context, r *xlator.RmdirReq) (*xlator.UnlinkRep, error) {
	f := t.begin(r.Parent, r.Name)
	rep, err := t.Next.Rmdir(ctx, r)
	if err != nil {
		t.end(f, unclear)
		return rep, err
	}
	t.removed(rep.Removed)
	t.end(f, gone)
	return rep, nil
}

// Rename implements xlator.Fops.
func (t *translator) Rename(ctx context.Context, r *xlator.RenameReq) (*xlator.RenameRep, error) {
	from, to := t.begin(r.OldParent, r.OldName), t.begin(r.NewParent, r.NewName)
	rep, err := t.Next.Rename(ctx, r)
	if err == nil && !rep.Replaced.IsZero() {
		t.removed(rep.Replaced)
	}
	t.end(from, unclear)
	t.end(to, unclear)
	return rep, err
}
