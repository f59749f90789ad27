package fuse

import (
	"errors"
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/holdfast/holdfast/fdtable"
	"github.com/holdfast/holdfast/xlator"
)

// lookup finds an entry of the request's node. A name that is not there may be
// kept by the kernel as such: that is nodeid 0.
func (b *bridge) lookup(r *request, name string, out *gofuse.EntryOut) error {
	if err := checkName(name); err != nil {
		return err
	}
	parent, err := b.node(r.node)
	if err != nil {
		return err
	}
	if name == "." { // a file handle that the kernel has forgotten
		return b.again(r, parent, out)
	}
	for {
		inode, attr, err := b.find(r, parent, name)
		if errors.Is(err, syscall.ENOENT) && b.negative != (timeout{}) {
			out.EntryValid, out.EntryValidNsec = b.negative.sec, b.negative.nsec
			return nil
		}
		if err != nil {
			return err
		}
		if b.t.Held(inode.GFID()) { // what was found may be older than what was acknowledged
			if err := b.t.WaitHeld(&r.call, inode.GFID()); err != nil {
				return err
			}
			continue
		}
		b.fillEntry(out, b.t.Found(inode.GFID(), inode.Type()), &attr)
		return nil
	}
}

// find looks a name up in the graph that serves the directory.
func (b *bridge) find(r *request, parent *fdtable.Node, name string) (*xlator.Inode, xlator.Iatt, error) {
	u, err := b.t.UseNode(&r.call, parent)
	if err != nil {
		return nil, xlator.Iatt{}, err
	}
	defer u.Done()
	r.lookupReq = xlator.LookupReq{Parent: u.Inode, Name: name}
	rep, err := u.G.Top.Lookup(&r.call, &r.lookupReq)
	if err != nil {
		return nil, xlator.Iatt{}, err
	}
	if err := known(r, &u, rep.Inode, &rep.Attr); err != nil {
		return nil, xlator.Iatt{}, err
	}
	return rep.Inode, rep.Attr, nil
}

// again answers a lookup of a node that is known by number.
func (b *bridge) again(r *request, n *fdtable.Node, out *gofuse.EntryOut) error {
	a, err := b.fresh(r, n)
	if err != nil {
		return err
	}
	b.fillEntry(out, b.t.Found(n.GFID(), n.Type()), &a)
	return nil
}

// forget takes back lookups; it never blocks.
func (b *bridge) forget(nodeid, lookups uint64) { b.t.Forget(nodeid, lookups) }
