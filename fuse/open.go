package fuse

import (
	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable"
	"github.com/holdfast/holdfast/xlator"
)

// fmodeExec is the kernel's mark of an open for execve(2); it means nothing
// outside.
const fmodeExec = 0x20

// openFlags is what the kernel may do with a file. An O_DIRECT open needs no
// flag: the kernel goes past its cache by itself, and keeps it coherent with
// that, which it does not do as well for DIRECT_IO.
func (b *bridge) openFlags() (f uint32) {
	if b.opts.DirectIO {
		f |= gofuse.FOPEN_DIRECT_IO | gofuse.FOPEN_PARALLEL_DIRECT_WRITES
	}
	if b.opts.KeepCache {
		f |= gofuse.FOPEN_KEEP_CACHE
	}
	return f
}

func (b *bridge) open(r *request, in *gofuse.OpenIn, out *gofuse.OpenOut) error {
	n, err := b.node(r.node)
	if err != nil {
		return err
	}
	flags := in.Flags &^ fmodeExec
	f := b.t.Reserve(xlator.CleanOpenFlags(flags))
	u, err := b.t.UseNode(&r.call, n)
	if err != nil {
		b.t.Abandon(f)
		return err
	}
	defer u.Done()
	fd, err := b.openIn(r, &u, f, flags, in.Mode&gofuse.OPEN_KILL_SUIDGID != 0)
	if err != nil {
		b.t.Abandon(f)
		return err
	}
	b.t.Publish(&u, f, n, fd)
	out.Fh, out.OpenFlags = f.FH(), b.openFlags()
	return nil
}

// openIn opens in u's graph, and empties the file if flags say so.
func (b *bridge) openIn(r *request, u *fdtable.Use, f *fdtable.BaseFD, flags uint32, kill bool) (*xlator.FD, error) {
	rep, err := u.G.Top.Open(&r.call, &xlator.OpenReq{Inode: u.Inode, Flags: xlator.CleanOpenFlags(flags), Base: f.FH()})
	if err != nil {
		return nil, err
	}
	if flags&unix.O_TRUNC != 0 {
		with := *u
		with.FD = rep.FD
		if _, err := truncate(r, &with, 0, kill); err != nil {
			u.G.Top.Release(rep.FD)
			return nil, err
		}
	}
	return rep.FD, nil
}

func (b *bridge) opendir(r *request, in *gofuse.OpenIn, out *gofuse.OpenOut) error {
	n, err := b.node(r.node)
	if err != nil {
		return err
	}
	f := b.t.Reserve(xlator.CleanOpenFlags(in.Flags))
	u, err := b.t.UseNode(&r.call, n)
	if err != nil {
		b.t.Abandon(f)
		return err
	}
	defer u.Done()
	rep, err := u.G.Top.Opendir(&r.call, &xlator.OpenReq{Inode: u.Inode, Flags: xlator.CleanOpenFlags(in.Flags), Base: f.FH()})
	if err != nil {
		b.t.Abandon(f)
		return err
	}
	b.t.Publish(&u, f, n, rep.FD)
	out.Fh = f.FH()
	return nil
}

// create makes and opens a file. One that another client has made meanwhile is
// opened, unless O_EXCL forbids it, and emptied where O_TRUNC asks for that: the
// kernel will not do it any more.
func (b *bridge) create(r *request, in *gofuse.CreateIn, name string, out *gofuse.CreateOut) error {
	if err := checkName(name); err != nil {
		return err
	}
	told := b.told.tell(r.node, name)
	err := b.createBy(r, in, out, func(u *fdtable.Use, fh uint64) (*xlator.CreateRep, error) {
		rep, err := u.G.Top.Create(&r.call, &xlator.CreateReq{
			MakeReq: makeReq(&r.call, u.Inode, name, in.Mode, in.Umask), Flags: in.Flags &^ unix.O_TRUNC, Base: fh,
		})
		if err != nil || rep.Made || in.Flags&unix.O_TRUNC == 0 {
			return rep, err
		}
		with := *u
		with.Inode, with.FD = rep.FD.Inode(), rep.FD
		cut, err := truncate(r, &with, 0, in.OpenFlags&gofuse.OPEN_KILL_SUIDGID != 0)
		if err != nil {
			u.G.Top.Release(rep.FD)
			return nil, err
		}
		rep.Attr = cut.Attr
		return rep, nil
	})
	b.limit(&out.EntryOut, told)
	return err
}

// tmpfile makes and opens a file without a name.
func (b *bridge) tmpfile(r *request, in *gofuse.CreateIn, out *gofuse.CreateOut) error {
	return b.createBy(r, in, out, func(u *fdtable.Use, fh uint64) (*xlator.CreateRep, error) {
		return u.G.Top.Icreate(&r.call, &xlator.IcreateReq{
			MakeReq: makeReq(&r.call, u.Inode, "", in.Mode, in.Umask), Flags: in.Flags &^ unix.O_TRUNC, Base: fh,
		})
	})
}

func (b *bridge) createBy(r *request, in *gofuse.CreateIn, out *gofuse.CreateOut, do func(u *fdtable.Use, fh uint64) (*xlator.CreateRep, error)) error {
	parent, err := b.node(r.node)
	if err != nil {
		return err
	}
	f := b.t.Reserve(xlator.CleanOpenFlags(in.Flags))
	n, attr, err := b.createIn(r, parent, f, do)
	if err != nil {
		b.t.Abandon(f)
		return err
	}
	if b.t.Held(n.GFID()) { // it was there, and has data on the way
		if attr, err = b.fresh(r, n); err != nil {
			b.t.Release(&r.call, f)
			r.uncounted()
			b.t.Forget(n.ID(), 1)
			return err
		}
	}
	b.fillEntry(&out.EntryOut, n, &attr)
	out.Fh, out.OpenFlags = f.FH(), b.openFlags()
	return nil
}

// createIn makes the file in the graph that serves parent, and publishes it.
func (b *bridge) createIn(r *request, parent *fdtable.Node, f *fdtable.BaseFD, do func(u *fdtable.Use, fh uint64) (*xlator.CreateRep, error)) (*fdtable.Node, xlator.Iatt, error) {
	u, err := b.t.UseNode(&r.call, parent)
	if err != nil {
		return nil, xlator.Iatt{}, err
	}
	defer u.Done()
	rep, err := do(&u, f.FH())
	if err != nil {
		return nil, xlator.Iatt{}, err
	}
	i := rep.FD.Inode()
	if err := known(r, &u, i, &rep.Attr); err != nil {
		u.G.Top.Release(rep.FD)
		return nil, xlator.Iatt{}, err
	}
	n := b.t.FoundFor(r.counting(), i.GFID(), i.Type())
	b.t.Publish(&u, f, n, rep.FD)
	return n, rep.Attr, nil
}

// release ends an open file. The number may be unknown: then it has been
// released before.
func (b *bridge) release(r *request, in *gofuse.ReleaseIn) {
	r.call.LockOwner = in.LockOwner
	if f := b.t.FD(in.Fh); f != nil {
		b.t.Release(&r.call, f)
	}
}

// flush is a close(2) of one of the descriptors of an open file: what was
// written is on its way for certain or its error is told, and the locks of the
// closing process go.
func (b *bridge) flush(r *request, in *gofuse.FlushIn) error {
	r.call.LockOwner = in.LockOwner
	f, err := b.fd(in.Fh)
	if err != nil {
		return err
	}
	err = b.flushFD(r, f)
	if e := r.tell(f); err == nil {
		err = e
	}
	if e := b.t.FlushLocks(&r.call, f); err == nil {
		err = e
	}
	return err
}

func (b *bridge) flushFD(r *request, f *fdtable.BaseFD) error {
	u, err := b.t.UseFD(&r.call, f)
	if err != nil {
		return err
	}
	defer u.Done()
	_, err = u.G.Top.Flush(&r.call, &xlator.FlushReq{FD: u.FD})
	return err
}
