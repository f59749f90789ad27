package client

import (
	"context"
	"errors"
	"math"
	"syscall"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// Readdir implements xlator.Fops. A brick's plain listing has no gfids, which
// applications see as inode numbers, so both listings are the same fop.
func (c *Client) Readdir(ctx context.Context, r *xlator.ReaddirReq) (*xlator.ReaddirRep, error) {
	return c.Readdirp(ctx, r)
}

// Readdirp implements xlator.Fops. Offsets are the brick's, unchanged.
func (c *Client) Readdirp(ctx context.Context, r *xlator.ReaddirReq) (*xlator.ReaddirRep, error) {
	rem := c.fd(r.FD)
	size := min(max(r.Size, minListing), maxListing)
	var rep xdr.ReaddirpRep
	x := exchange{
		fop: xdr.FopReaddirp, fd: rem, rep: &rep, reserve: size*2 + roomReply + reserveFor(r.Xdata),
		req: &xdr.ReaddirpReq{GFID: rem.key.gfid, Offset: uint64(r.Offset), Size: uint32(size), Xdata: wireDict(r.Xdata)},
	}
	if err := c.do(ctx, &x, rem.key.gfid, ""); err != nil {
		return nil, err
	}
	out := &xlator.ReaddirRep{Entries: make([]xlator.DirEntry, 0, len(rep.Entries))}
	for i := range rep.Entries {
		e := &rep.Entries[i]
		d := xlator.DirEntry{Name: e.Name, Offset: int64(e.Off & math.MaxInt64), Type: typeOfDT(e.Type)}
		if e.Name != "." && e.Name != ".." && !c.describe(ctx, r.FD.Inode(), &d, &e.Stat) {
			continue
		}
		out.Entries = append(out.Entries, d)
	}
	if len(out.Entries) == 0 && len(rep.Entries) > 0 { // all were removed meanwhile; that is not the end
		next := *r
		next.Offset = int64(rep.Entries[len(rep.Entries)-1].Off & math.MaxInt64)
		return c.Readdirp(ctx, &next)
	}
	return out, nil
}

// describe fills in what an entry names. What has no gfid yet, because somebody
// has put it into the brick's folder, gets one by a lookup. It reports false if
// the name is gone.
func (c *Client) describe(ctx context.Context, dir *xlator.Inode, d *xlator.DirEntry, stat *xdr.Iatt) bool {
	d.Attr = iattOf(stat)
	if !d.Attr.Valid() {
		rep, err := c.Lookup(ctx, &xlator.LookupReq{Parent: dir, Name: d.Name})
		if err != nil {
			return !errors.Is(err, syscall.ENOENT)
		}
		d.Attr = rep.Attr
	}
	d.GFID, d.Type = d.Attr.GFID, d.Attr.Type
	d.Inode = c.env.Inodes.Get(d.GFID, d.Type)
	c.s.names.put(dir.GFID(), d.Name, d.GFID)
	c.s.saw(&d.Attr)
	return true
}

// Sizes of a listing: what the brick adds up for an entry is a little more than
// its reply has.
const (
	minListing = 1024
	maxListing = 128 << 10
)

// typeOfDT is the type that d_type says.
func typeOfDT(t uint32) xlator.FileType { return xlator.TypeOf(t << 12) }

// Fsyncdir implements xlator.Fops.
func (c *Client) Fsyncdir(ctx context.Context, r *xlator.FsyncReq) (*xlator.Empty, error) {
	rem := c.fd(r.FD)
	x := exchange{fop: xdr.FopFsyncdir, fd: rem, req: &xdr.FsyncdirReq{GFID: rem.key.gfid, Datasync: int32(flag(r.Datasync))}, rep: new(xdr.FsyncdirRep)}
	if err := c.do(ctx, &x, rem.key.gfid, ""); err != nil {
		return nil, err
	}
	return &xlator.Empty{}, nil
}
