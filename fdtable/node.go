package fdtable

import (
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/graph"
	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/hint"
)

// Node is a file as the kernel knows it: one number for the life of the mount,
// whatever graph serves it.
type Node struct {
	// Constant after construction.
	t    *Table
	id   uint64
	gfid xlator.GFID
	typ  xlator.FileType
	rec  *state.Node // nil: nothing is recorded

	recent int // guarded by Table.recent.mu; its place there, from 1; 0: none

	lookups uint64 // guarded by the shard's mu
	opens   int    // guarded by the shard's mu

	ref hint.Ref[place] // where the file lives

	mu     sync.Mutex
	fds    []*BaseFD    // guarded by mu; INVARIANT: none of them is closed
	astray *graph.Graph // guarded by mu; the older graph that the file is pinned to
	gone   int64        // guarded by mu; nanoseconds of the table's life when attempts began to find it gone, or 0
	errs   errseq
	locks  record // guarded by mu
}

// place is a node on a graph.
type place struct {
	g     *graph.Graph
	inode *xlator.Inode
}

// ID is the nodeid.
func (n *Node) ID() uint64 { return n.id }

// GFID is the file's identity.
func (n *Node) GFID() xlator.GFID { return n.gfid }

// Type is the file's type.
func (n *Node) Type() xlator.FileType { return n.typ }

func (n *Node) number() uint64 { return n.id }

// setLookups is called with the shard's mu held.
func (n *Node) setLookups(v uint64) {
	n.lookups = v
	if n.rec != nil {
		n.rec.SetLookups(v)
	}
}

// isBound reports whether base fds of the file serve or are being opened. What
// is CLOSED lives on no graph; it is opened where the file lives when it is used
// next.
func (n *Node) isBound() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hasBound()
}

// hasBound is isBound with mu held.
func (n *Node) hasBound() bool {
	for _, b := range n.fds {
		if b.isBound() {
			return true
		}
	}
	return false
}

// servesOn reports whether base fds of the file are bound to g.
func (n *Node) servesOn(g *graph.Graph) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, b := range n.fds {
		if r := b.ref.Current(); r != nil && r.Value.g == g {
			return true
		}
	}
	return false
}

func (b *BaseFD) isBound() bool {
	if b.ref.Current() != nil {
		return true
	}
	s, _ := b.ref.State()
	return s.Phase == hint.Reopening
}

// setAstray says whether the file is served by an older graph because it could
// not move. Called with mu held.
func (n *Node) setAstray(on *graph.Graph) {
	if n.astray == on {
		return
	}
	if n.astray != nil {
		n.t.pinned.Add(-1)
		n.t.graphs.Home(n.astray)
	}
	n.astray = on
	if on != nil {
		n.t.pinned.Add(1)
		n.t.graphs.Astray()
	}
}

// BaseFD is an open file as the kernel knows it: one fh from open to release.
type BaseFD struct {
	// Constant after construction, node and rec after Publish.
	fh    uint64
	flags uint32
	node  *Node
	rec   *state.FD // nil: nothing is recorded
	// inherited: an earlier process has opened it.
	inherited bool

	ref  hint.Ref[binding]
	uses uses

	seen   uint64        // guarded by Table.idleMu; its uses when they changed last
	seenAt time.Duration // guarded by Table.idleMu; when that was seen, in the table's life

	closed  bool     // guarded by node.mu
	cursor  uint64   // guarded by node.errs.mu; errors up to it were reported
	lockers []locker // guarded by node.mu; who locked through this fd
}

// binding is a base fd on a graph.
type binding struct {
	g  *graph.Graph
	fd *xlator.FD
}

// FH is the number that the kernel holds, and the Base of requests to open.
func (b *BaseFD) FH() uint64 { return b.fh }

// Flags are the open(2) flags of the application's open.
func (b *BaseFD) Flags() uint32 { return b.flags }

// Node is the file; nil before Publish.
func (b *BaseFD) Node() *Node { return b.node }

func (b *BaseFD) number() uint64 { return b.fh }

// Reserve gives out a number for an open that is about to be made.
func (t *Table) Reserve(flags uint32) *BaseFD {
	return t.fds.add(func(fh uint64) *BaseFD { return &BaseFD{fh: fh, flags: flags} })
}

// Abandon takes the number back: the open failed.
func (t *Table) Abandon(b *BaseFD) { t.fds.remove(b.fh) }

// Publish makes b serve fd, which was opened on node n in u's graph.
func (t *Table) Publish(u *Use, b *BaseFD, n *Node, fd *xlator.FD) {
	t.countOpen(n, +1)
	b.node = n
	b.cursor = n.errs.open()
	if t.mem != nil {
		b.rec = t.mem.FDAt(uint32(b.fh))
		b.rec.Put(uint32(b.fh>>32), n.id, b.flags, u.unique, b.cursor)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ref.Put(u.G.Generation, place{u.G, fd.Inode()})
	u.G.Bind()
	b.ref.Put(u.G.Generation, binding{u.G, fd})
	n.fds = append(n.fds, b)
	if u.G.Out() { // no sweep may see it any more
		t.fetch(n)
	}
}

// Release ends a base fd: locks that were taken through it and are still held
// go, then the FD, then the number. There are no other requests with it.
func (t *Table) Release(call *xlator.Call, b *BaseFD) {
	n := b.node
	if n == nil {
		t.Abandon(b)
		return
	}
	t.releaseLocks(call, b)
	n.mu.Lock()
	if b.closed {
		n.mu.Unlock()
		return
	}
	b.closed = true
	for i, x := range n.fds {
		if x == b {
			n.fds = append(n.fds[:i], n.fds[i+1:]...)
			break
		}
	}
	if n.astray != nil && !n.hasBound() { // nothing keeps the older graph any more
		n.ref.Drop()
		n.setAstray(nil)
	}
	last := len(n.fds) == 0
	n.mu.Unlock()
	was, _ := b.ref.State()
	r := b.ref.Lose(syscall.EBADF)
	var u Use
	closed := r == nil && (last || b.inherited) && was.Phase != hint.Lost && t.openForLast(call, b, &u)
	t.countOpen(n, -1) // the leaf asks HasOpen when its last FD ends
	switch {
	case closed:
		t.CloseApart(u)
	case r != nil:
		g := r.Value.g
		g.Enter(stripeOf(call))
		g.Top.Release(r.Value.fd)
		g.Leave(stripeOf(call))
		g.Unbind(nil)
	}
	t.fds.remove(b.fh)
	t.dropUnused(n)
}

// openForLast opens a file that is CLOSED whose last base fd is being released: if
// it has lost its name meanwhile, the leaf has to see the end of it. So it has if
// an earlier process has opened the base fd, which a leaf may still have open. It reports
// false if there is nothing to see the end of, or it cannot be opened for too
// long; what is left then goes at the next start.
func (t *Table) openForLast(call *xlator.Call, b *BaseFD, u *Use) bool {
	var ref hint.Ref[Use] // of this attempt alone
	r, err := ref.UsePatiently(t.patienceOf(call), t, 1, func() (uint64, Use, error) {
		u, err := t.OpenApart(b)
		if e := xlator.Errno(err); e == syscall.ESTALE || e == syscall.ENOENT {
			err = &hint.ErrGone{Err: err}
		}
		return 1, u, err
	}, func(r *hint.Result[Use]) { t.CloseApart(r.Value) })
	if err != nil {
		ref.Lose(err) // what is still being opened is let go
		if gone := (*hint.ErrGone)(nil); !errors.As(err, &gone) {
			t.log.Warn("a file could not be opened for its last close; if it has no name its data is removed at the next start",
				"gfid", b.node.gfid, "err", err)
		}
		return false
	}
	*u = r.Value
	return true
}
