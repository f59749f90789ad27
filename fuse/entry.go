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
		told := b.told.tell(r.node, name)
		u, rep, err := b.find(r, parent, name)
		if errors.Is(err, syscall.ENOENT) && b.negative != (timeout{}) && told {
			out.EntryValid, out.EntryValidNsec = b.negative.sec, b.negative.nsec
			return nil
		}
		if err != nil {
			b.told.untell(r.node, name)
			return err
		}
		if b.answerFound(r, &u, rep, out) {
			b.limit(out, told)
			return nil
		}
		if err := b.t.WaitHeld(&r.call, rep.Inode.GFID()); err != nil {
			return err
		}
	}
}

// answerFound ends u, and reports whether the entry could be told: of a file
// that is held, what was found may be older than what was acknowledged.
func (b *bridge) answerFound(r *request, u *fdtable.Use, rep *xlator.LookupRep, out *gofuse.EntryOut) bool {
	defer u.Done()
	if b.t.Held(rep.Inode.GFID()) {
		return false
	}
	b.fillEntry(out, b.t.SeenFor(r.counting(), u.G, rep.Inode), &rep.Attr)
	return true
}

// find looks a name up in the graph that serves the directory. Without an error
// the caller is inside that graph, and ends u.
func (b *bridge) find(r *request, parent *fdtable.Node, name string) (u fdtable.Use, rep *xlator.LookupRep, err error) {
	u, err = b.t.UseNode(&r.call, parent)
	if err != nil {
		return u, nil, err
	}
	defer func() {
		if rep == nil {
			u.Done()
		}
	}()
	r.lookupReq = xlator.LookupReq{Parent: u.Inode, Name: name}
	found, err := u.G.Top.Lookup(&r.call, &r.lookupReq)
	if err != nil {
		return u, nil, err
	}
	if err := known(r, &u, found.Inode, &found.Attr); err != nil {
		return u, nil, err
	}
	return u, found, nil
}

// again answers a lookup of a node that is known by number.
func (b *bridge) again(r *request, n *fdtable.Node, out *gofuse.EntryOut) error {
	a, err := b.fresh(r, n)
	if err != nil {
		return err
	}
	b.fillEntry(out, b.t.FoundFor(r.counting(), n.GFID(), n.Type()), &a)
	return nil
}

// forget takes back lookups; it never blocks.
func (b *bridge) forget(nodeid, lookups uint64) {
	b.t.Forget(nodeid, lookups)
	if b.told != nil && b.t.Node(nodeid) == nil {
		b.told.drop(nodeid) // with a directory the kernel forgets what is in it
	}
}
