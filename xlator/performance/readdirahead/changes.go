package readdirahead

import (
	"context"
	"sync/atomic"

	"github.com/holdfast/holdfast/xlator"
)

// directory counts changes of names in a directory.
type directory struct {
	// atomic
	running atomic.Int64  // changes that are under way
	changes atomic.Uint64 // goes up when one starts and when it ends
}

// changes is the clock of changes of attributes.
type changes struct {
	clock      atomic.Uint64
	everything atomic.Uint64 // tick of the latest change of who knows what
	cells      [4096]cell
}

// cell is of the files whose gfids end alike.
type cell struct {
	running atomic.Int64
	last    atomic.Uint64 // tick of the latest change
}

func (c *changes) cell(g xlator.GFID) *cell {
	return &c.cells[(uint(g[14])<<8|uint(g[15]))%uint(len(c.cells))]
}

func (c *changes) tick(g xlator.GFID) { c.raise(&c.cell(g).last) }

func (c *changes) all() { c.raise(&c.everything) }

// since reports whether the file may have changed since that tick.
func (c *changes) since(g xlator.GFID, tick uint64) bool {
	x := c.cell(g)
	return x.running.Load() > 0 || x.last.Load() > tick || c.everything.Load() > tick
}

// raise ticks, and sets a cell to the new time or leaves it at a later one.
func (c *changes) raise(last *atomic.Uint64) {
	now := c.clock.Add(1)
	for old := last.Load(); old < now && !last.CompareAndSwap(old, now); old = last.Load() {
	}
}

// harmless are the fops that change no attribute and no name. One that is new
// counts as a change until it is put here.
var harmless = setOf(xlator.FopLookup, xlator.FopStat, xlator.FopFstat, xlator.FopAccess, xlator.FopOpen,
	xlator.FopFlush, xlator.FopFsync, xlator.FopFsyncdir, xlator.FopStatfs, xlator.FopGetxattr, xlator.FopFgetxattr,
	xlator.FopInodelk, xlator.FopFinodelk, xlator.FopEntrylk, xlator.FopFentrylk, xlator.FopSeek, xlator.FopIpc, xlator.FopLk)

func setOf(fops ...xlator.Fop) (s xlator.FopSet) {
	for _, f := range fops {
		s |= 1 << f
	}
	return s
}

// begin notes that a fop which may change something starts.
func (t *translator) begin(_ context.Context, f xlator.Fop, req any) int64 {
	if !harmless.Has(f) {
		t.each(req, 1)
	}
	return 0
}

// end notes that it has ended. What it did to objects that only the reply names is
// known now; after a failure it is not.
func (t *translator) end(_ context.Context, f xlator.Fop, req, rep any, _ int64, err error) {
	if r, ok := req.(*xlator.LkReq); ok && r.Cmd != xlator.LkGet {
		// Who got a lock wants to see what its last holder has done.
		t.changes.tick(r.FD.Inode().GFID())
	}
	if harmless.Has(f) {
		return
	}
	switch r := rep.(type) {
	case *xlator.UnlinkRep:
		t.named(err, func() { t.gone(r.Removed) })
	case *xlator.RenameRep:
		t.named(err, func() { t.changes.tick(r.Moved); t.gone(r.Replaced) })
	}
	t.each(req, -1)
}

func (t *translator) named(err error, do func()) {
	if err != nil {
		t.changes.all()
		return
	}
	do()
}

// gone notes that an object has lost a name, or is not there any more.
func (t *translator) gone(g xlator.GFID) {
	if !g.IsZero() {
		t.changes.tick(g)
		t.renewed(g)
	}
}

// each counts a fop in (1) or out (-1) with every inode that its request names.
func (t *translator) each(req any, n int64) {
	t.attrs(xlator.RequestInode(req), n)
	switch r := req.(type) {
	case *xlator.MknodReq:
		t.entries(r.Parent, n)
	case *xlator.MkdirReq:
		t.entries(r.Parent, n)
	case *xlator.SymlinkReq:
		t.entries(r.Parent, n)
	case *xlator.CreateReq:
		t.entries(r.Parent, n)
	case *xlator.UnlinkReq:
		t.entries(r.Parent, n)
	case *xlator.RmdirReq:
		t.entries(r.Parent, n)
	case *xlator.LinkReq:
		t.attrs(r.Parent, n)
		t.entries(r.Parent, n)
	case *xlator.RenameReq:
		t.attrs(r.NewParent, n)
		t.entries(r.OldParent, n)
		t.entries(r.NewParent, n)
	case *xlator.CopyFileRangeReq:
		t.attrs(r.Src.Inode(), n)
	}
}

// attrs counts a change of i's attributes in or out.
func (t *translator) attrs(i *xlator.Inode, n int64) {
	if i != nil {
		t.changes.tick(i.GFID()) // first: between the two a change has neither ended nor not begun
		t.changes.cell(i.GFID()).running.Add(n)
	}
}

// entries counts a change of names in i in or out.
func (t *translator) entries(i *xlator.Inode, n int64) {
	d := t.dirOf(i)
	d.changes.Add(1)
	d.running.Add(n)
}

// renewed notes that names in a directory have changed, if somebody reads it.
func (t *translator) renewed(g xlator.GFID) {
	if i := t.inodes.Find(g); i != nil {
		if d := t.dirs.Get(i); d != nil {
			d.changes.Add(1)
		}
	}
}

func (t *translator) dirOf(i *xlator.Inode) *directory {
	if d := t.dirs.Get(i); d != nil {
		return d
	}
	return t.dirs.GetOrSet(i, &directory{})
}
