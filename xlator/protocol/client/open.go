package client

import (
	"context"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// typeError is what open(2) says of something that is no regular file.
func typeError(t xlator.FileType) error {
	switch t {
	case xlator.TypeRegular:
		return nil
	case xlator.TypeDirectory:
		return syscall.EISDIR
	case xlator.TypeSymlink:
		return syscall.ELOOP
	}
	return syscall.ENXIO
}

// Open implements xlator.Fops. What the base fd has open already is adopted,
// without a call to the brick.
func (c *Client) Open(ctx context.Context, r *xlator.OpenReq) (*xlator.OpenRep, error) {
	if err := typeError(r.Inode.Type()); err != nil {
		return nil, &fopError{xdr.FopOpen, r.Inode.GFID(), "", c, err}
	}
	return c.open(ctx, r, xdr.FopOpen)
}

// Opendir implements xlator.Fops.
func (c *Client) Opendir(ctx context.Context, r *xlator.OpenReq) (*xlator.OpenRep, error) {
	if r.Inode.Type() != xlator.TypeDirectory {
		return nil, &fopError{xdr.FopOpendir, r.Inode.GFID(), "", c, syscall.ENOTDIR}
	}
	return c.open(ctx, r, xdr.FopOpendir)
}

func (c *Client) open(ctx context.Context, r *xlator.OpenReq, fop xdr.Fop) (*xlator.OpenRep, error) {
	key := remoteKey{r.Base, r.Inode.GFID(), xlator.CleanOpenFlags(r.Flags)}
	rem := c.s.adopt(key)
	if rem == nil && r.Reopen {
		rem = c.s.keepLost(key)
	}
	if rem == nil {
		dir := fop == xdr.FopOpendir
		session, number, err := c.s.openRemote(ctx, key, dir, r.Reopen)
		if err != nil {
			return nil, &fopError{fop, key.gfid, "", c, err}
		}
		rem = c.s.keep(key, dir, session, number)
		if r.Reopen {
			if err := c.s.takeLocks(key.gfid); err != nil {
				c.s.letGo(rem)
				return nil, &fopError{fop, key.gfid, "", c, err}
			}
		}
	}
	return &xlator.OpenRep{FD: c.newFD(r.Inode, rem)}, nil
}

func (c *Client) newFD(i *xlator.Inode, r *remote) *xlator.FD {
	f := c.env.Inodes.NewFD(i, r.key.flags, r.key.base)
	c.fds.Set(f, r)
	return f
}

// fd is what an FD stands for.
func (c *Client) fd(f *xlator.FD) *remote { return c.fds.Get(f) }

// Release implements xlator.Fops.
func (c *Client) Release(f *xlator.FD) { c.s.letGo(c.fd(f)) }

// Create implements xlator.Fops. A brick opens what is there already, which keeps
// its gfid.
func (c *Client) Create(ctx context.Context, r *xlator.CreateReq) (*xlator.CreateRep, error) {
	g := r.GFID
	if g.IsZero() {
		g = xlator.CallFrom(ctx).NewGFID()
	}
	var rep xdr.CreateRep
	x := exchange{
		fop: xdr.FopCreate, rep: &rep, times: timesMake, intent: xlator.Intent{A: g},
		req: &xdr.CreateReq{
			Parent: r.Parent.GFID(), Flags: c.s.openFlags(r.Flags), Mode: r.Mode | unix.S_IFREG, Umask: r.Umask, Name: r.Name,
			Xdata: makeXdata(r.Xdata, g, r.Mode|unix.S_IFREG, r.Umask),
		},
	}
	x.resolve = func() (bool, error) { return c.createdBefore(ctx, r, g, &x, &rep) }
	x.take = func([]byte) {
		c.s.opens(&x, remoteKey{r.Base, rep.Stat.GFID, xlator.CleanOpenFlags(r.Flags)}, false, rep.FD)
	}
	if err := c.doHealing(ctx, &x, r.Parent.GFID(), r.Name); err != nil {
		return nil, err
	}
	i, attr, err := c.object(&rep.Stat)
	if err == nil {
		err = checkNumber(rep.FD)
	}
	if err == nil {
		err = typeError(i.Type())
	}
	if err != nil {
		return nil, &fopError{xdr.FopCreate, r.Parent.GFID(), r.Name, c, err}
	}
	c.s.names.put(r.Parent.GFID(), r.Name, i.GFID())
	rem := c.s.keep(remoteKey{r.Base, i.GFID(), xlator.CleanOpenFlags(r.Flags)}, false, x.number, rep.FD)
	if i.GFID() != g {
		// A 10.3 brick answers with the times that it would have set.
		return &xlator.CreateRep{FD: c.newFD(i, rem)}, nil
	}
	c.setID(ctx, i, r.Mode, &attr)
	return &xlator.CreateRep{FD: c.newFD(i, rem), Attr: attr, PostParent: iattOf(&rep.Postparent), Made: true}, nil
}

// Icreate implements xlator.Fops. A 10.3 brick has no use for files without a name:
// it cannot open them, and giving them one kills it.
func (c *Client) Icreate(_ context.Context, r *xlator.IcreateReq) (*xlator.CreateRep, error) {
	return nil, &fopError{xdr.FopIcreate, r.Parent.GFID(), "", c, syscall.EOPNOTSUPP}
}

// Flush implements xlator.Fops. Data is with the brick when a write returns, and
// locks are dropped by the unlock that comes with a close: there is nothing to ask
// of the brick. An open file that is lost says so.
func (c *Client) Flush(ctx context.Context, r *xlator.FlushReq) (*xlator.Empty, error) {
	if err := lostReason(c.fd(r.FD)); err != nil {
		return nil, &fopError{xdr.FopFlush, r.FD.Inode().GFID(), "", c, err}
	}
	return &xlator.Empty{}, nil
}
