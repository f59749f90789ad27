package posix

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// Link implements xlator.Fops. A file without a name gets its handle back with
// its name.
func (b *Brick) Link(ctx context.Context, r *xlator.LinkReq) (*xlator.EntryRep, error) {
	rep, err := b.link(xlator.CallFrom(ctx), r)
	return rep, fail("link", r.Parent.GFID(), r.Name, err)
}

func (b *Brick) link(c *xlator.Call, r *xlator.LinkReq) (*xlator.EntryRep, error) {
	if err := b.checkName(r.Parent, r.Name); err != nil {
		if r.Name == "." || r.Name == ".." {
			err = unix.EEXIST
		}
		return nil, err
	}
	if r.Inode.Type() == xlator.TypeDirectory {
		return nil, unix.EPERM
	}
	p := b.rt.enter()
	defer p.out()
	dir, dfd, err := b.parent(r.Parent)
	if err != nil {
		return nil, err
	}
	defer dfd.put()
	o, k, err := b.acquire(r.Inode)
	if err == unix.ESTALE && o != nil {
		err = unix.ENOENT
	}
	if err != nil {
		return nil, err
	}
	defer k.put()
	if !b.linkedBefore(c, &p, dir, dfd, r) {
		if err := b.rt.addName(&p, c, o, k, dfd, r.Name); err != nil {
			return nil, err
		}
	}
	b.rt.touch(o, k, stampCtime)
	b.rt.touch(dir, dfd, stampCtime|stampMtime)
	return &xlator.EntryRep{Inode: b.inode(o), Attr: b.rt.after(o, k), PostParent: b.rt.after(dir, dfd)}, nil
}

// linkedBefore reports whether an earlier process made the link. A handle of a
// file without a name that it had no time for was made by the sweep.
func (b *Brick) linkedBefore(c *xlator.Call, p *pass, dir *object, dfd *kfd, r *xlator.LinkReq) bool {
	before, again := intended(c, intentLink)
	if !again {
		return false
	}
	var st unix.Statx_t
	o, err := b.rt.lookup(p, dir, dfd, r.Name, &st)
	return err == nil && o.gfid == before.A
}

// addName links an object to a name. As in makeFile the name comes before the
// handle.
func (rt *Runtime) addName(p *pass, c *xlator.Call, o *object, k *kfd, dfd *kfd, name string) error {
	rt.lockNames(p, o)
	defer unlockNames(o)
	o.mu.Lock()
	never := o.noLink
	o.mu.Unlock()
	if o.state() == gone || never {
		return unix.ENOENT
	}
	if c.Journal != nil {
		if err := free(dfd, name); err != nil {
			return err
		}
		c.Intend(xlator.Intent{Kind: intentLink, A: o.gfid})
	}
	if err := linkFD(k.n, dfd.n, name); err != nil {
		return err
	}
	if o.state() != unlinked {
		return nil
	}
	orphan := o.gfid.String()
	if err := rt.inFolder(o.gfid, func(path string) error {
		return unix.Renameat(rt.orphans, orphan, rt.meta, path)
	}); err != nil {
		unix.Unlinkat(dfd.n, name, 0)
		return err
	}
	o.fate.Store(named)
	return nil
}
