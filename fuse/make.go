package fuse

import (
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/holdfast/holdfast/fdtable"
	"github.com/holdfast/holdfast/xlator"
)

// makeReq is what all requests that make something have in common. The new
// object's identity is chosen here, once, whoever carries the request out.
func makeReq(c *xlator.Call, parent *xlator.Inode, name string, mode, umask uint32) xlator.MakeReq {
	return xlator.MakeReq{Parent: parent, Name: name, GFID: c.NewGFID(), Mode: mode & 0o7777, Umask: umask & 0o777}
}

// make makes an entry in the request's node and answers it.
func (b *bridge) make(r *request, name string, out *gofuse.EntryOut, do func(u *fdtable.Use) (*xlator.EntryRep, error)) error {
	if err := checkName(name); err != nil {
		return err
	}
	u, err := b.use(r)
	if err != nil {
		return err
	}
	defer u.Done()
	told := b.told.tell(r.node, name)
	rep, err := do(&u)
	if err != nil {
		return err
	}
	return b.answerEntry(r, &u, rep, out, told)
}

func (b *bridge) answerEntry(r *request, u *fdtable.Use, rep *xlator.EntryRep, out *gofuse.EntryOut, told bool) error {
	if err := known(r, u, rep.Inode, &rep.Attr); err != nil {
		return err
	}
	b.fillEntry(out, b.t.SeenFor(r.counting(), u.G, rep.Inode), &rep.Attr)
	b.limit(out, told)
	return nil
}

func (b *bridge) mknod(r *request, in *gofuse.MknodIn, name string, out *gofuse.EntryOut) error {
	typ := xlator.TypeOf(in.Mode)
	if in.Mode&syscall.S_IFMT == 0 {
		typ = xlator.TypeRegular
	}
	if typ == xlator.TypeInvalid {
		return syscall.EINVAL
	}
	return b.make(r, name, out, func(u *fdtable.Use) (*xlator.EntryRep, error) {
		return u.G.Top.Mknod(&r.call, &xlator.MknodReq{MakeReq: makeReq(&r.call, u.Inode, name, in.Mode, in.Umask), Type: typ, Rdev: uint64(in.Rdev)})
	})
}

func (b *bridge) mkdir(r *request, in *gofuse.MkdirIn, name string, out *gofuse.EntryOut) error {
	return b.make(r, name, out, func(u *fdtable.Use) (*xlator.EntryRep, error) {
		return u.G.Top.Mkdir(&r.call, &xlator.MkdirReq{MakeReq: makeReq(&r.call, u.Inode, name, in.Mode, in.Umask)})
	})
}

func (b *bridge) symlink(r *request, target, name string, out *gofuse.EntryOut) error {
	return b.make(r, name, out, func(u *fdtable.Use) (*xlator.EntryRep, error) {
		return u.G.Top.Symlink(&r.call, &xlator.SymlinkReq{MakeReq: makeReq(&r.call, u.Inode, name, 0o777, 0), Target: target})
	})
}

// link gives the node old another name, in the request's node.
func (b *bridge) link(r *request, old uint64, name string, out *gofuse.EntryOut) error {
	if err := checkName(name); err != nil {
		return err
	}
	n, err := b.node(old)
	if err != nil {
		return err
	}
	parent, err := b.node(r.node)
	if err != nil {
		return err
	}
	u, dir, err := b.t.UseNodes(&r.call, n, parent)
	if err != nil {
		return err
	}
	defer u.Done()
	told := b.told.tell(r.node, name)
	rep, err := u.G.Top.Link(&r.call, &xlator.LinkReq{Inode: u.Inode, Parent: dir, Name: name})
	if err != nil {
		return err
	}
	return b.answerEntry(r, &u, rep, out, told)
}

func (b *bridge) readlink(r *request) (string, error) {
	u, err := b.use(r)
	if err != nil {
		return "", err
	}
	defer u.Done()
	rep, err := u.G.Top.Readlink(&r.call, &xlator.ReadlinkReq{Inode: u.Inode})
	if err != nil {
		return "", err
	}
	return rep.Target, nil
}
