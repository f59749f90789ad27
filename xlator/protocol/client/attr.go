package client

import (
	"context"
	"errors"
	"math"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// orOpen carries out a fop on an object by gfid. A brick does not find by gfid
// what has lost its last name; if it is open, byFD is used instead.
func (c *Client) orOpen(ctx context.Context, g xlator.GFID, byGFID exchange, byFD func(*remote) exchange) error {
	err := c.do(ctx, &byGFID, g, "")
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ESTALE) {
		if rem := c.s.anyRemote(g); rem != nil {
			x := byFD(rem)
			x.fd = rem
			return c.do(ctx, &x, g, "")
		}
	}
	return err
}

// Stat implements xlator.Fops.
func (c *Client) Stat(ctx context.Context, r *xlator.StatReq) (*xlator.AttrRep, error) {
	g := r.Inode.GFID()
	var rep xdr.StatRep
	err := c.orOpen(ctx, g, exchange{fop: xdr.FopStat, req: &xdr.StatReq{GFID: g}, rep: &rep},
		func(*remote) exchange { return exchange{fop: xdr.FopFstat, req: &xdr.FstatReq{GFID: g}, rep: &rep} })
	if err != nil {
		if c.removed.Get(r.Inode) != nil && unlessAbsent(err) == nil {
			// Somebody's working directory. Of its attributes nothing is left.
			return &xlator.AttrRep{Attr: xlator.Iatt{GFID: g, Type: xlator.TypeDirectory}}, nil
		}
		return nil, err
	}
	out := &xlator.AttrRep{Attr: iattOf(&rep.Stat)}
	c.s.saw(&out.Attr)
	return out, nil
}

// Fstat implements xlator.Fops.
func (c *Client) Fstat(ctx context.Context, r *xlator.FstatReq) (*xlator.AttrRep, error) {
	a, err := c.fstat(ctx, c.fd(r.FD))
	if err != nil {
		return nil, err
	}
	return &xlator.AttrRep{Attr: a}, nil
}

func (c *Client) fstat(ctx context.Context, rem *remote) (xlator.Iatt, error) {
	var rep xdr.StatRep
	x := exchange{fop: xdr.FopFstat, fd: rem, req: &xdr.FstatReq{GFID: rem.key.gfid}, rep: &rep}
	if err := c.do(ctx, &x, rem.key.gfid, ""); err != nil {
		return xlator.Iatt{}, err
	}
	a := iattOf(&rep.Stat)
	rem.file.saw(&a)
	return a, nil
}

// Setattr implements xlator.Fops.
func (c *Client) Setattr(ctx context.Context, r *xlator.SetattrReq) (*xlator.AttrRep, error) {
	g := r.Inode.GFID()
	return c.setattr(ctx, g, r.Inode.Type(), &r.Setattr, func(x exchange, attr xdr.Iatt, valid int32) error {
		byGFID, byFD := x, x
		byGFID.fop, byGFID.req = xdr.FopSetattr, &xdr.SetattrReq{GFID: g, Attr: attr, Valid: valid}
		return c.orOpen(ctx, g, byGFID, func(*remote) exchange {
			byFD.fop, byFD.req = xdr.FopFsetattr, &xdr.FsetattrReq{GFID: g, Attr: attr, Valid: valid}
			return byFD
		})
	})
}

// Fsetattr implements xlator.Fops.
func (c *Client) Fsetattr(ctx context.Context, r *xlator.FsetattrReq) (*xlator.AttrRep, error) {
	rem := c.fd(r.FD)
	g := rem.key.gfid
	return c.setattr(ctx, g, r.FD.Inode().Type(), &r.Setattr, func(x exchange, attr xdr.Iatt, valid int32) error {
		x.fop, x.fd, x.req = xdr.FopFsetattr, rem, &xdr.FsetattrReq{GFID: g, Attr: attr, Valid: valid}
		return c.do(ctx, &x, g, "")
	})
}

// setattr changes attributes by one request, and takes privileges away by another
// if the reply to the first says that there are some. (The brick's kernel does so
// for a change of the owner.)
func (c *Client) setattr(ctx context.Context, g xlator.GFID, typ xlator.FileType, s *xlator.Setattr, send func(x exchange, attr xdr.Iatt, valid int32) error) (*xlator.AttrRep, error) {
	var rep xdr.AttrRep
	attr, valid := wireSetattr(typ, s)
	if err := send(exchange{rep: &rep, times: timesChange}, attr, valid); err != nil {
		return nil, err
	}
	out := &xlator.AttrRep{Attr: iattOf(&rep.Post), Pre: iattOf(&rep.Pre)}
	if s.Mask&xlator.SetKillPriv != 0 && s.Mask&xlator.SetMode == 0 && privileged(&out.Attr) {
		attr := xdr.Iatt{Mode: unprivileged(out.Attr.Mode) | typ.Mode()}
		if err := send(exchange{rep: &rep, times: timesChange, own: true}, attr, xdr.SetattrMode); err != nil {
			return nil, err
		}
		out.Attr = iattOf(&rep.Post)
	}
	c.s.saw(&out.Attr)
	return out, nil
}

// wireSetattr is a change of attributes as it travels. A brick takes no notice of
// "now" but for the question whether that is allowed: it gets our time.
func wireSetattr(typ xlator.FileType, s *xlator.Setattr) (a xdr.Iatt, valid int32) {
	has := func(m xlator.SetattrMask, bit int32) bool {
		if s.Mask&m == 0 {
			return false
		}
		valid |= bit
		return true
	}
	if has(xlator.SetMode, xdr.SetattrMode) {
		a.Mode = s.Mode&0o7777 | typ.Mode()
	}
	if has(xlator.SetUID, xdr.SetattrUID) {
		a.UID = s.UID
	}
	if has(xlator.SetGID, xdr.SetattrGID) {
		a.GID = s.GID
	}
	if has(xlator.SetCtime, xdr.SetattrCtime) {
		a.Ctime, a.CtimeNsec = s.Ctime.Sec, s.Ctime.Nsec
	}
	now := time.Now()
	switch {
	case has(xlator.SetAtimeNow, xdr.SetattrAtime|xdr.SetattrAtimeNow):
		a.Atime, a.AtimeNsec = now.Unix(), uint32(now.Nanosecond())
	case has(xlator.SetAtime, xdr.SetattrAtime):
		a.Atime, a.AtimeNsec = s.Atime.Sec, s.Atime.Nsec
	}
	switch {
	case has(xlator.SetMtimeNow, xdr.SetattrMtime|xdr.SetattrMtimeNow):
		a.Mtime, a.MtimeNsec = now.Unix(), uint32(now.Nanosecond())
	case has(xlator.SetMtime, xdr.SetattrMtime):
		a.Mtime, a.MtimeNsec = s.Mtime.Sec, s.Mtime.Nsec
	}
	return a, valid
}

// Truncate implements xlator.Fops.
func (c *Client) Truncate(ctx context.Context, r *xlator.TruncateReq) (*xlator.AttrRep, error) {
	g := r.Inode.GFID()
	if r.Size > math.MaxInt64 {
		return nil, &fopError{xdr.FopTruncate, g, "", c, syscall.EINVAL}
	}
	var rep xdr.AttrRep
	x := exchange{fop: xdr.FopTruncate, req: &xdr.TruncateReq{GFID: g, Offset: r.Size}, rep: &rep, times: timesWrite}
	c.cutting(&x, g, r.Size, &rep)
	err := c.orOpen(ctx, g, x, func(*remote) exchange {
		x.fop, x.req = xdr.FopFtruncate, &xdr.FtruncateReq{GFID: g, Offset: r.Size}
		return x
	})
	if err != nil {
		return nil, err
	}
	out := &xlator.AttrRep{Attr: iattOf(&rep.Post), Pre: iattOf(&rep.Pre)}
	if r.KillPriv && privileged(&out.Attr) {
		return c.setattr(ctx, g, r.Inode.Type(), &xlator.Setattr{Mask: xlator.SetMode, Mode: unprivileged(out.Attr.Mode)},
			func(x exchange, attr xdr.Iatt, valid int32) error {
				x.fop, x.req, x.own = xdr.FopSetattr, &xdr.SetattrReq{GFID: g, Attr: attr, Valid: valid}, true
				return c.do(ctx, &x, g, "")
			})
	}
	c.s.saw(&out.Attr)
	return out, nil
}

// Access implements xlator.Fops.
func (c *Client) Access(ctx context.Context, r *xlator.AccessReq) (*xlator.Empty, error) {
	g := r.Inode.GFID()
	x := exchange{fop: xdr.FopAccess, req: &xdr.AccessReq{GFID: g, Mask: r.Mask}, rep: new(xdr.AccessRep)}
	if err := c.do(ctx, &x, g, ""); err != nil {
		return nil, err
	}
	return &xlator.Empty{}, nil
}

// Statfs implements xlator.Fops.
func (c *Client) Statfs(ctx context.Context, r *xlator.StatfsReq) (*xlator.StatfsRep, error) {
	g := r.Inode.GFID()
	var rep xdr.StatfsRep
	x := exchange{fop: xdr.FopStatfs, req: &xdr.StatfsReq{GFID: g}, rep: &rep}
	if err := c.do(ctx, &x, g, ""); err != nil {
		return nil, err
	}
	f := &rep.Statfs
	return &xlator.StatfsRep{
		Bsize: f.Bsize, Frsize: f.Frsize, Blocks: f.Blocks, Bfree: f.Bfree, Bavail: f.Bavail, Files: f.Files, Ffree: f.Ffree, NameMax: f.Namemax,
	}, nil
}

// Ipc implements xlator.Fops.
func (c *Client) Ipc(ctx context.Context, r *xlator.IpcReq) (*xlator.IpcRep, error) {
	var rep xdr.IpcRep
	out := &xlator.IpcRep{}
	x := exchange{
		fop: xdr.FopIpc, req: &xdr.IpcReq{Op: r.Op, Xdata: wireDict(r.Xdata)}, rep: &rep,
		take: func([]byte) { out.Xdata = dictOf(rep.Xdata) },
	}
	if err := c.do(ctx, &x, xlator.GFID{}, ""); err != nil {
		return nil, err
	}
	return out, nil
}
