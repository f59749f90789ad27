package fuse

import (
	"errors"
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable"
	"github.com/holdfast/holdfast/xlator"
)

func (b *bridge) unlink(r *request, name string) error {
	return b.remove(r, name, func(u *fdtable.Use) error {
		_, err := u.G.Top.Unlink(&r.call, &xlator.UnlinkReq{Parent: u.Inode, Name: name})
		return err
	})
}

func (b *bridge) rmdir(r *request, name string) error {
	return b.remove(r, name, func(u *fdtable.Use) error {
		_, err := u.G.Top.Rmdir(&r.call, &xlator.RmdirReq{Parent: u.Inode, Name: name})
		return err
	})
}

func (b *bridge) remove(r *request, name string, do func(u *fdtable.Use) error) error {
	if err := checkName(name); err != nil {
		return err
	}
	parent, err := b.node(r.node)
	if err != nil {
		return err
	}
	if err := b.bringVictim(r, parent, name); err != nil {
		return err
	}
	u, err := b.t.UseNode(&r.call, parent)
	if err != nil {
		return err
	}
	defer u.Done()
	if err := do(&u); err != nil {
		return err
	}
	b.told.untell(r.node, name)
	return nil
}

// bringVictim sees to it, while files live on older graphs, that the one which
// is about to lose this name moves first: what it has open could not be opened
// afterwards by those that need a name for it.
func (b *bridge) bringVictim(r *request, parent *fdtable.Node, name string) error {
	if b.t.Settled() {
		return nil
	}
	found, rep, err := b.find(r, parent, name)
	if errors.Is(err, syscall.ENOENT) {
		return nil // the operation itself says so
	}
	if err != nil {
		return err
	}
	n := b.t.Seen(found.G, rep.Inode)
	found.Done()
	defer b.t.Forget(n.ID(), 1)
	u, err := b.t.UseNode(&r.call, n)
	if err != nil {
		return err
	}
	u.Done()
	return nil
}

func (b *bridge) rename(r *request, in *gofuse.RenameIn, oldName, newName string) error {
	if len(oldName) > nameMax || len(newName) > nameMax {
		return syscall.ENAMETOOLONG
	}
	if in.Flags&^(unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE) != 0 {
		return syscall.EINVAL
	}
	from, err := b.node(r.node)
	if err != nil {
		return err
	}
	to, err := b.node(in.Newdir)
	if err != nil {
		return err
	}
	if in.Flags == 0 {
		if err := b.bringVictim(r, to, newName); err != nil {
			return err
		}
	}
	u, toInode, err := b.t.UseNodes(&r.call, from, to)
	if err != nil {
		return err
	}
	defer u.Done()
	told := b.told.tell(in.Newdir, newName)
	_, err = u.G.Top.Rename(&r.call, &xlator.RenameReq{
		OldParent: u.Inode, OldName: oldName, NewParent: toInode, NewName: newName, Flags: in.Flags,
	})
	switch {
	case err != nil:
		return err
	case !told:
		b.expire(in.Newdir, newName) // the kernel keeps it for as long as the old one
	case in.Flags&unix.RENAME_EXCHANGE == 0:
		b.told.untell(r.node, oldName)
	}
	return nil
}
