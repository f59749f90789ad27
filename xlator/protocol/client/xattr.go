package client

import (
	"context"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// Getxattr implements xlator.Fops.
func (c *Client) Getxattr(ctx context.Context, r *xlator.GetxattrReq) (*xlator.XattrRep, error) {
	g := r.Inode.GFID()
	var rep xdr.XattrRep
	out := &xlator.XattrRep{}
	x := c.getxattr(&rep, out)
	byFD := x
	x.fop, x.req = xdr.FopGetxattr, &xdr.GetxattrReq{GFID: g, NameLen: flag(r.Name != ""), Name: r.Name}
	err := c.orOpen(ctx, g, x, func(*remote) exchange {
		byFD.fop, byFD.req = xdr.FopFgetxattr, &xdr.FgetxattrReq{GFID: g, NameLen: flag(r.Name != ""), Name: r.Name}
		return byFD
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Fgetxattr implements xlator.Fops.
func (c *Client) Fgetxattr(ctx context.Context, r *xlator.FgetxattrReq) (*xlator.XattrRep, error) {
	rem := c.fd(r.FD)
	var rep xdr.XattrRep
	out := &xlator.XattrRep{}
	x := c.getxattr(&rep, out)
	x.fop, x.fd, x.req = xdr.FopFgetxattr, rem, &xdr.FgetxattrReq{GFID: rem.key.gfid, NameLen: flag(r.Name != ""), Name: r.Name}
	if err := c.do(ctx, &x, rem.key.gfid, ""); err != nil {
		return nil, err
	}
	return out, nil
}

func (c *Client) getxattr(rep *xdr.XattrRep, out *xlator.XattrRep) exchange {
	return exchange{rep: rep, reserve: roomXattrs, take: func([]byte) {
		out.Xattrs = xattrsOf(rep.Dict)
	}}
}

// Setxattr implements xlator.Fops.
func (c *Client) Setxattr(ctx context.Context, r *xlator.SetxattrReq) (*xlator.Empty, error) {
	g := r.Inode.GFID()
	if err := checkXattrs(r.Xattrs); err != nil {
		return nil, &fopError{xdr.FopSetxattr, g, "", c, err}
	}
	d := wireXattrs(r.Xattrs)
	x := exchange{fop: xdr.FopSetxattr, req: &xdr.SetxattrReq{GFID: g, Flags: r.Flags, Dict: d}, rep: new(xdr.SetxattrRep), times: timesChange}
	if err := c.setting(ctx, &x, g, r.Xattrs, r.Flags); err != nil {
		return nil, &fopError{xdr.FopSetxattr, g, "", c, err}
	}
	err := c.orOpen(ctx, g, x, func(*remote) exchange {
		x.fop, x.req = xdr.FopFsetxattr, &xdr.FsetxattrReq{GFID: g, Flags: r.Flags, Dict: d}
		return x
	})
	return c.xattrsChanged(ctx, g, r.Xattrs, r.KillSGID, err)
}

// Fsetxattr implements xlator.Fops.
func (c *Client) Fsetxattr(ctx context.Context, r *xlator.FsetxattrReq) (*xlator.Empty, error) {
	rem := c.fd(r.FD)
	g := rem.key.gfid
	if err := checkXattrs(r.Xattrs); err != nil {
		return nil, &fopError{xdr.FopFsetxattr, g, "", c, err}
	}
	x := exchange{
		fop: xdr.FopFsetxattr, fd: rem, req: &xdr.FsetxattrReq{GFID: g, Flags: r.Flags, Dict: wireXattrs(r.Xattrs)},
		rep: new(xdr.FsetxattrRep), times: timesChange,
	}
	if err := c.setting(ctx, &x, g, r.Xattrs, r.Flags); err != nil {
		return nil, &fopError{xdr.FopFsetxattr, g, "", c, err}
	}
	return c.xattrsChanged(ctx, g, r.Xattrs, r.KillSGID, c.do(ctx, &x, g, ""))
}

// xattrsChanged is what follows a change of attributes. A change of the access
// ACL changes the mode, and may take set-gid away.
func (c *Client) xattrsChanged(ctx context.Context, g xlator.GFID, set *xlator.Dict, killSGID bool, err error) (*xlator.Empty, error) {
	if err != nil {
		return nil, err
	}
	c.s.unsee(g)
	if killSGID && set.Has(aclAccess) {
		var rep xdr.StatRep
		x := exchange{fop: xdr.FopStat, req: &xdr.StatReq{GFID: g}, rep: &rep, own: true}
		if err := c.do(ctx, &x, g, ""); err != nil {
			return nil, err
		}
		if mode := rep.Stat.Mode; mode&unix.S_ISGID != 0 {
			req := &xdr.SetattrReq{GFID: g, Attr: xdr.Iatt{Mode: mode &^ unix.S_ISGID}, Valid: xdr.SetattrMode}
			x := exchange{fop: xdr.FopSetattr, req: req, rep: new(xdr.AttrRep), own: true, times: timesChange}
			if err := c.do(ctx, &x, g, ""); err != nil {
				return nil, err
			}
		}
	}
	return &xlator.Empty{}, nil
}

// checkXattrs refuses what a brick would take and throw away.
func checkXattrs(set *xlator.Dict) error {
	for _, p := range set.Pairs() {
		if p.Key == "trusted.gfid" || p.Key == "trusted.glusterfs.volume-id" {
			return syscall.EPERM
		}
	}
	return nil
}

const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

// removedXattr is what follows a removal. A brick goes on with an ACL that it has
// seen until it looks again, which a lookup makes it do.
func (c *Client) removedXattr(ctx context.Context, g xlator.GFID, name string, err error) (*xlator.Empty, error) {
	if err != nil {
		return nil, err
	}
	c.s.unsee(g)
	if name == aclAccess || name == aclDefault {
		x := exchange{fop: xdr.FopLookup, req: &xdr.LookupReq{GFID: g}, rep: new(xdr.LookupRep), own: true}
		if err := c.s.do(ctx, &x); err != nil {
			c.log.Debug("look at an object without its ACL", "gfid", g, "err", err)
		}
	}
	return &xlator.Empty{}, nil
}

// Removexattr implements xlator.Fops.
func (c *Client) Removexattr(ctx context.Context, r *xlator.RemovexattrReq) (*xlator.Empty, error) {
	g := r.Inode.GFID()
	x := exchange{fop: xdr.FopRemovexattr, req: &xdr.RemovexattrReq{GFID: g, Name: r.Name}, rep: new(xdr.RemovexattrRep), times: timesChange}
	if err := c.removing(ctx, &x, g, r.Name); err != nil {
		return nil, &fopError{xdr.FopRemovexattr, g, "", c, err}
	}
	err := c.orOpen(ctx, g, x, func(*remote) exchange {
		x.fop, x.req = xdr.FopFremovexattr, &xdr.FremovexattrReq{GFID: g, Name: r.Name}
		return x
	})
	return c.removedXattr(ctx, g, r.Name, err)
}

// Fremovexattr implements xlator.Fops.
func (c *Client) Fremovexattr(ctx context.Context, r *xlator.FremovexattrReq) (*xlator.Empty, error) {
	rem := c.fd(r.FD)
	g := rem.key.gfid
	x := exchange{fop: xdr.FopFremovexattr, fd: rem, req: &xdr.FremovexattrReq{GFID: g, Name: r.Name}, rep: new(xdr.FremovexattrRep), times: timesChange}
	if err := c.removing(ctx, &x, g, r.Name); err != nil {
		return nil, &fopError{xdr.FopFremovexattr, g, "", c, err}
	}
	return c.removedXattr(ctx, g, r.Name, c.do(ctx, &x, g, ""))
}

// Xattrop implements xlator.Fops.
func (c *Client) Xattrop(ctx context.Context, r *xlator.XattropReq) (*xlator.XattrRep, error) {
	g := r.Inode.GFID()
	return c.xattrop(ctx, exchange{fop: xdr.FopXattrop, req: &xdr.XattropReq{GFID: g, Flags: uint32(r.Kind), Dict: wireXattrs(r.Xattrs)}}, g, r.Kind)
}

// Fxattrop implements xlator.Fops.
func (c *Client) Fxattrop(ctx context.Context, r *xlator.FxattropReq) (*xlator.XattrRep, error) {
	rem := c.fd(r.FD)
	g := rem.key.gfid
	return c.xattrop(ctx, exchange{fop: xdr.FopFxattrop, fd: rem, req: &xdr.FxattropReq{GFID: g, Flags: uint32(r.Kind), Dict: wireXattrs(r.Xattrs)}}, g, r.Kind)
}

func (c *Client) xattrop(ctx context.Context, x exchange, g xlator.GFID, kind xlator.XattropKind) (*xlator.XattrRep, error) {
	switch kind {
	case xlator.XattropAddArray, xlator.XattropAddArray64:
		// Once too often would be worse than not: whoever counts treats a
		// brick that was lost as one that has failed.
		x.resolve = func() (bool, error) { return false, errUnknown }
	case xlator.XattropGetAndSet:
	default:
		return nil, &fopError{x.fop, g, "", c, syscall.EOPNOTSUPP}
	}
	var rep xdr.XattrRep
	out := &xlator.XattrRep{}
	x.rep, x.reserve = &rep, roomXattrs
	x.take = func([]byte) { out.Xattrs = xattrsOf(rep.Dict) }
	if err := c.do(ctx, &x, g, ""); err != nil {
		return nil, err
	}
	c.s.unsee(g)
	return out, nil
}
