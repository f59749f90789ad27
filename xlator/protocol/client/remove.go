package client

import (
	"context"
	"errors"
	"syscall"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// Unlink implements xlator.Fops.
func (c *Client) Unlink(ctx context.Context, r *xlator.UnlinkReq) (*xlator.UnlinkRep, error) {
	dir := r.Parent.GFID()
	return c.remove(ctx, xdr.FopUnlink, dir, r.Name, r.Victim, &xdr.UnlinkReq{Parent: dir, Name: r.Name, Xdata: wireDict(r.Xdata)})
}

// Rmdir implements xlator.Fops.
func (c *Client) Rmdir(ctx context.Context, r *xlator.RmdirReq) (*xlator.UnlinkRep, error) {
	dir := r.Parent.GFID()
	return c.remove(ctx, xdr.FopRmdir, dir, r.Name, r.Victim, &xdr.RmdirReq{Parent: dir, Name: r.Name})
}

// remove takes a name away. What is removed has to be known: by whom it is cached,
// and for the case that the reply is lost. The attributes afterwards are not in a
// brick's reply.
func (c *Client) remove(ctx context.Context, fop xdr.Fop, dir xlator.GFID, name string, only xlator.GFID, req xdr.Message) (*xlator.UnlinkRep, error) {
	before, again := intended(xlator.CallFrom(ctx), fop)
	victim := before.A
	if !again {
		var err error
		if victim, err = c.victim(fop, dir, name, only); err != nil {
			return nil, err
		}
	}
	var rep xdr.ParentRep
	x := exchange{fop: fop, req: req, rep: &rep, times: timesRename, intent: xlator.Intent{A: victim}}
	x.resolve = func() (bool, error) {
		found, err := c.s.find(dir, name)
		switch {
		case err != nil && unlessAbsent(err) != nil:
			return false, err
		case err == nil && found.Stat.GFID == victim:
			return false, nil
		}
		// It is gone, or the name is another object's by now.
		c.s.counts.resolved.Add(1)
		rep = xdr.ParentRep{}
		return true, nil
	}
	if err := c.do(ctx, &x, dir, name); err != nil {
		return nil, err
	}
	c.s.names.put(dir, name, xlator.GFID{})
	c.s.unsee(victim)
	if i := c.env.Inodes.Find(victim); i != nil && fop == xdr.FopRmdir {
		c.removed.Set(i, &struct{}{})
	}
	return &xlator.UnlinkRep{Removed: victim, PostParent: iattOf(&rep.Postparent)}, nil
}

// victim is the object that has the name. only, if not zero, is the one that may
// be removed.
func (c *Client) victim(fop xdr.Fop, dir xlator.GFID, name string, only xlator.GFID) (xlator.GFID, error) {
	if g, ok := c.s.names.get(dir, name); ok && only.IsZero() && !g.IsZero() {
		return g, nil
	}
	found, err := c.s.find(dir, name)
	if err == nil && !only.IsZero() && found.Stat.GFID != only {
		err = syscall.ENOENT
	}
	if err != nil {
		return xlator.GFID{}, &fopError{fop, dir, name, c, err}
	}
	return found.Stat.GFID, nil
}

// Rename implements xlator.Fops. GlusterFS has no flags for it.
func (c *Client) Rename(ctx context.Context, r *xlator.RenameReq) (*xlator.RenameRep, error) {
	from, to := r.OldParent.GFID(), r.NewParent.GFID()
	if r.Flags != 0 {
		return nil, &fopError{xdr.FopRename, from, r.OldName, c, syscall.EINVAL}
	}
	it, replaced, err := c.renamed(ctx, r)
	if err != nil {
		return nil, err
	}
	var rep xdr.RenameRep
	x := exchange{
		fop: xdr.FopRename, rep: &rep, times: timesRename, intent: xlator.Intent{A: it, B: replaced},
		req: &xdr.RenameReq{OldParent: from, NewParent: to, OldName: r.OldName, NewName: r.NewName},
	}
	x.resolve = func() (bool, error) {
		found, err := c.s.find(to, r.NewName)
		if err != nil || found.Stat.GFID != it {
			return false, unlessAbsent(err)
		}
		c.s.counts.resolved.Add(1)
		rep = xdr.RenameRep{Stat: found.Stat, Postnewparent: found.Postparent}
		return true, nil
	}
	if err := c.do(ctx, &x, from, r.OldName); err != nil {
		return nil, err
	}
	attr := iattOf(&rep.Stat)
	if attr.Valid() {
		it = attr.GFID
		c.s.saw(&attr)
	}
	if replaced == it { // two names of one object: nothing happened
		replaced = xlator.GFID{}
	} else {
		c.s.names.put(from, r.OldName, xlator.GFID{})
		c.s.unsee(replaced)
	}
	c.s.names.put(to, r.NewName, it)
	return &xlator.RenameRep{
		Moved: it, Attr: attr, Replaced: replaced,
		PostOldParent: iattOf(&rep.Postoldparent), PostNewParent: iattOf(&rep.Postnewparent),
	}, nil
}

// renamed is what a rename moves, and what it replaces.
func (c *Client) renamed(ctx context.Context, r *xlator.RenameReq) (it, replaced xlator.GFID, err error) {
	if before, again := intended(xlator.CallFrom(ctx), xdr.FopRename); again {
		return before.A, before.B, nil
	}
	if it, err = c.victim(xdr.FopRename, r.OldParent.GFID(), r.OldName, xlator.GFID{}); err != nil {
		return it, replaced, err
	}
	to := r.NewParent.GFID()
	replaced, known := c.s.names.get(to, r.NewName)
	if known {
		return it, replaced, nil
	}
	found, err := c.s.find(to, r.NewName)
	if err != nil && !errors.Is(err, syscall.ENOENT) {
		return it, replaced, &fopError{xdr.FopRename, to, r.NewName, c, err}
	}
	return it, found.Stat.GFID, nil
}
