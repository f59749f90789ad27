package client

import (
	"context"
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/rpc"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// Which times a fop sets, of the object and of its directory.
const (
	timesMake   = rpc.Ctime | rpc.Mtime | rpc.Atime | rpc.ParentCtime | rpc.ParentMtime
	timesRename = rpc.Ctime | rpc.ParentCtime | rpc.ParentMtime // also unlink, rmdir and link
	timesWrite  = rpc.Ctime | rpc.Mtime
	timesChange = rpc.Ctime
)

// Lookup implements xlator.Fops.
func (c *Client) Lookup(ctx context.Context, r *xlator.LookupReq) (*xlator.LookupRep, error) {
	var rep xdr.LookupRep
	req := xdr.LookupReq{GFID: r.GFID, Xdata: wireDict(r.Xdata)}
	where := r.GFID
	if r.Parent != nil {
		where = r.Parent.GFID()
		req.GFID, req.Parent, req.Name = xdr.GFID{}, where, r.Name
	}
	out := &xlator.LookupRep{}
	x := exchange{
		fop: xdr.FopLookup, req: &req, rep: &rep, reserve: reserveFor(r.Xdata),
		take: func([]byte) { out.Xdata = dictOf(rep.Xdata) },
	}
	err := c.do(ctx, &x, where, r.Name)
	if errors.Is(err, syscall.ENODATA) && r.Parent != nil {
		// Somebody has put it into the brick's folder: it has no gfid yet.
		req.Xdata = append(req.Xdata, xdr.DictGFID("gfid-req", xdr.GFID(xlator.NewGFID())))
		err = c.do(ctx, &x, where, r.Name)
	}
	if err != nil {
		if r.Parent != nil && errors.Is(err, syscall.ENOENT) {
			c.s.names.put(where, r.Name, xlator.GFID{})
		}
		return nil, err
	}
	if out.Inode, out.Attr, err = c.object(&rep.Stat); err != nil {
		return nil, &fopError{xdr.FopLookup, where, r.Name, c, err}
	}
	if r.Parent != nil {
		c.s.names.put(where, r.Name, out.Attr.GFID)
	}
	c.s.saw(&out.Attr)
	return out, nil
}

// Rooms for replies beyond a short one.
const (
	roomXattrs  = 128 << 10
	roomReply   = 4096
	contentKey  = "glusterfs.content"
	largestRoom = 1 << 20
)

// reserveFor is the room for a reply with what xdata asks for.
func reserveFor(xdata *xlator.Dict) int {
	n := 0
	for _, p := range xdata.Pairs() {
		if p.Key == contentKey {
			n += int(p.Num)
		}
	}
	if n <= 0 {
		return 0
	}
	return min(n+roomReply, largestRoom)
}

// find looks a name up on the client's own behalf.
func (s *session) find(dir xlator.GFID, name string) (xdr.LookupRep, error) {
	var rep xdr.LookupRep
	x := exchange{fop: xdr.FopLookup, req: &xdr.LookupReq{Parent: dir, Name: name}, rep: &rep, own: true}
	err := s.do(xlator.Internal(), &x)
	return rep, err
}

// heal is find for a name that has no gfid: it gets this one. A brick that was
// killed while it made something leaves such names, and so does who puts files
// into a brick's folder.
func (s *session) heal(dir xlator.GFID, name string, g xlator.GFID) (xdr.LookupRep, error) {
	var rep xdr.LookupRep
	req := &xdr.LookupReq{Parent: dir, Name: name, Xdata: xdr.Dict{xdr.DictGFID("gfid-req", xdr.GFID(g))}}
	err := s.do(xlator.Internal(), &exchange{fop: xdr.FopLookup, req: req, rep: &rep, own: true})
	return rep, err
}

// madeBefore looks whether the name is that of the object g, which a request whose
// outcome is unknown was to make. A brick that was killed over it may not have come
// to giving it to its owner.
func (s *session) madeBefore(ctx context.Context, dir xlator.GFID, name string, g xlator.GFID) (found xdr.LookupRep, ours bool, err error) {
	found, err = s.find(dir, name)
	if errors.Is(err, syscall.ENODATA) {
		found, err = s.heal(dir, name, g)
	}
	if err != nil || found.Stat.GFID != g {
		return found, false, unlessAbsent(err)
	}
	s.counts.resolved.Add(1)
	call := xlator.CallFrom(ctx)
	uid, gid := call.UID, call.GID
	if found.Postparent.Mode&unix.S_ISGID != 0 {
		gid = found.Postparent.GID
	}
	if found.Stat.UID == uid && found.Stat.GID == gid {
		return found, true, nil
	}
	var rep xdr.AttrRep
	req := &xdr.SetattrReq{GFID: g, Attr: xdr.Iatt{UID: uid, GID: gid}, Valid: xdr.SetattrUID | xdr.SetattrGID}
	if err := s.do(xlator.Internal(), &exchange{fop: xdr.FopSetattr, req: req, rep: &rep, own: true, times: timesChange}); err != nil {
		return found, false, err
	}
	found.Stat = rep.Post
	return found, true, nil
}

// made carries out what makes an object that is not opened.
func (c *Client) made(ctx context.Context, fop xdr.Fop, r *xlator.MakeReq, g xlator.GFID, req xdr.Message) (*xlator.EntryRep, error) {
	dir := r.Parent.GFID()
	return c.named(ctx, fop, dir, r.Name, g, timesMake, req, func() (xdr.LookupRep, bool, error) { return c.s.madeBefore(ctx, dir, r.Name, g) })
}

// named carries out what gives an object a name. before looks whether a request
// whose outcome is unknown has done so.
func (c *Client) named(ctx context.Context, fop xdr.Fop, dir xlator.GFID, name string, g xlator.GFID, times rpc.TimeFlags, req xdr.Message,
	before func() (xdr.LookupRep, bool, error)) (*xlator.EntryRep, error) {
	var rep xdr.EntryRep
	x := exchange{fop: fop, req: req, rep: &rep, times: times, intent: xlator.Intent{A: g}}
	x.resolve = func() (bool, error) {
		found, ours, err := before()
		if ours {
			rep = xdr.EntryRep{Stat: found.Stat, Postparent: found.Postparent}
		}
		return ours, err
	}
	err := c.doHealing(ctx, &x, dir, name)
	if err != nil {
		return nil, err
	}
	i, attr, err := c.object(&rep.Stat)
	if err != nil {
		return nil, &fopError{fop, dir, name, c, err}
	}
	c.s.names.put(dir, name, attr.GFID)
	c.s.saw(&attr)
	return &xlator.EntryRep{Inode: i, Attr: attr, PostParent: iattOf(&rep.Postparent)}, nil
}

// doHealing is do for what makes a name. A name without a gfid that is in the way
// gets one, so that it is a name like others.
func (c *Client) doHealing(ctx context.Context, x *exchange, dir xlator.GFID, name string) error {
	err := c.do(ctx, x, dir, name)
	if errors.Is(err, syscall.ENODATA) {
		if _, e := c.s.heal(dir, name, xlator.NewGFID()); e == nil {
			err = c.do(ctx, x, dir, name)
		}
	}
	return err
}

// unlessAbsent is err, or nil if it says that something is not there.
func unlessAbsent(err error) error {
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ESTALE) {
		return nil
	}
	return err
}

// chosen is the identity of what the request makes.
func chosen(ctx context.Context, r *xlator.MakeReq) xlator.GFID {
	if !r.GFID.IsZero() {
		return r.GFID
	}
	return xlator.CallFrom(ctx).NewGFID()
}

// Mkdir implements xlator.Fops.
func (c *Client) Mkdir(ctx context.Context, r *xlator.MkdirReq) (*xlator.EntryRep, error) {
	g := chosen(ctx, &r.MakeReq)
	mode := r.Mode | unix.S_IFDIR
	return c.made(ctx, xdr.FopMkdir, &r.MakeReq, g, &xdr.MkdirReq{
		Parent: r.Parent.GFID(), Mode: mode, Umask: r.Umask, Name: r.Name, Xdata: makeXdata(r.Xdata, g, mode, r.Umask),
	})
}

// Mknod implements xlator.Fops.
func (c *Client) Mknod(ctx context.Context, r *xlator.MknodReq) (*xlator.EntryRep, error) {
	switch r.Type {
	case xlator.TypeRegular, xlator.TypeFIFO, xlator.TypeSocket, xlator.TypeBlock, xlator.TypeChar:
	case xlator.TypeDirectory:
		return nil, &fopError{xdr.FopMknod, r.Parent.GFID(), r.Name, c, syscall.EPERM}
	default:
		return nil, &fopError{xdr.FopMknod, r.Parent.GFID(), r.Name, c, syscall.EINVAL}
	}
	g := chosen(ctx, &r.MakeReq)
	mode := r.Mode | r.Type.Mode()
	rep, err := c.made(ctx, xdr.FopMknod, &r.MakeReq, g, &xdr.MknodReq{
		Parent: r.Parent.GFID(), Dev: r.Rdev, Mode: mode, Umask: r.Umask, Name: r.Name, Xdata: makeXdata(r.Xdata, g, mode, r.Umask),
	})
	if err == nil {
		c.setID(ctx, rep.Inode, r.Mode, &rep.Attr)
	}
	return rep, err
}

// setID gives a new file the set-id bits that were asked for: a brick makes it as
// root, and loses them when it gives it to its owner. That this fails is no reason
// to say that the file was not made.
func (c *Client) setID(ctx context.Context, i *xlator.Inode, mode uint32, a *xlator.Iatt) {
	missing := mode & (unix.S_ISUID | unix.S_ISGID) &^ a.Mode
	if missing == 0 || !a.Valid() {
		return
	}
	rep, err := c.Setattr(ctx, &xlator.SetattrReq{Inode: i, Setattr: xlator.Setattr{Mask: xlator.SetMode, Mode: a.Mode | missing}})
	if err != nil {
		c.log.Warn("set-id bits of a new file", "gfid", i.GFID(), "err", err)
		return
	}
	*a = rep.Attr
}

// Symlink implements xlator.Fops.
func (c *Client) Symlink(ctx context.Context, r *xlator.SymlinkReq) (*xlator.EntryRep, error) {
	g := chosen(ctx, &r.MakeReq)
	return c.made(ctx, xdr.FopSymlink, &r.MakeReq, g, &xdr.SymlinkReq{
		Parent: r.Parent.GFID(), Name: r.Name, Umask: r.Umask, Target: r.Target,
		Xdata: append(wireDict(r.Xdata), xdr.DictGFID("gfid-req", xdr.GFID(g))),
	})
}

// Link implements xlator.Fops.
func (c *Client) Link(ctx context.Context, r *xlator.LinkReq) (*xlator.EntryRep, error) {
	g, dir := r.Inode.GFID(), r.Parent.GFID()
	if r.Inode.Type() == xlator.TypeDirectory {
		return nil, &fopError{xdr.FopLink, dir, r.Name, c, syscall.EPERM}
	}
	return c.named(ctx, xdr.FopLink, dir, r.Name, g, timesRename, &xdr.LinkReq{GFID: g, Parent: dir, Name: r.Name}, func() (xdr.LookupRep, bool, error) {
		found, err := c.s.find(dir, r.Name)
		if err != nil || found.Stat.GFID != g {
			return found, false, unlessAbsent(err)
		}
		c.s.counts.resolved.Add(1)
		return found, true, nil
	})
}

// createdBefore looks whether a create whose outcome is unknown was carried out:
// the file bears our gfid then, and is opened by it.
func (c *Client) createdBefore(ctx context.Context, r *xlator.CreateReq, g xlator.GFID, x *exchange, rep *xdr.CreateRep) (bool, error) {
	found, ours, err := c.s.madeBefore(ctx, r.Parent.GFID(), r.Name, g)
	if !ours {
		return false, err
	}
	session, number, err := c.s.openRemote(xlator.Internal(), remoteKey{r.Base, g, xlator.CleanOpenFlags(r.Flags)}, false, true)
	if err != nil {
		return false, err
	}
	x.number = session
	*rep = xdr.CreateRep{Stat: found.Stat, FD: number, Postparent: found.Postparent}
	return true, nil
}

// Readlink implements xlator.Fops.
func (c *Client) Readlink(ctx context.Context, r *xlator.ReadlinkReq) (*xlator.ReadlinkRep, error) {
	g := r.Inode.GFID()
	if r.Inode.Type() != xlator.TypeSymlink {
		return nil, &fopError{xdr.FopReadlink, g, "", c, syscall.EINVAL}
	}
	var rep xdr.ReadlinkRep
	x := exchange{fop: xdr.FopReadlink, req: &xdr.ReadlinkReq{GFID: g, Size: unix.PathMax}, rep: &rep, reserve: unix.PathMax + roomReply}
	if err := c.do(ctx, &x, g, ""); err != nil {
		return nil, err
	}
	return &xlator.ReadlinkRep{Target: rep.Target}, nil
}
