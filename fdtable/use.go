package fdtable

import (
	"context"
	"fmt"
	"slices"
	"syscall"

	"github.com/holdfast/holdfast/graph"
	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/hint"
)

// Use is one request inside one graph. Nothing of it may be used after Done.
type Use struct {
	G      *graph.Graph
	Inode  *xlator.Inode
	FD     *xlator.FD // of UseFD
	unique uint64     // of the request

	b, other *BaseFD // those whose FDs it uses
}

// Done ends the use.
func (u *Use) Done() {
	u.G.Leave(u.unique >> 1)
	if u.b != nil {
		u.b.uses.end()
	}
	if u.other != nil {
		u.other.uses.end()
	}
}

// stripeOf spreads requests over a graph's counters. Uniques are even.
func stripeOf(c *xlator.Call) uint64 { return c.Unique >> 1 }

// UseNode resolves a node to an Inode of the graph that serves the file. It may
// wait, interruptibly, for a held file or for a move in progress.
func (t *Table) UseNode(call *xlator.Call, n *Node) (Use, error) {
	stripe := stripeOf(call)
	for {
		cur := t.graphs.Current()
		r := n.ref.Current()
		if r == nil || !fresh(r.Key, cur.Generation) {
			var err error
			if r, err = t.place(call, t, n, cur); err != nil {
				return Use{}, err
			}
		}
		g := r.Value.g
		g.Enter(stripe)
		if now := t.graphs.Current(); mayUse(n.ref.Current() == r, g == now, cur == now) {
			return Use{G: g, Inode: r.Value.inode, unique: call.Unique}, nil
		}
		g.Leave(stripe)
	}
}

// UseFD resolves a base fd to an FD of the graph that serves the file.
func (t *Table) UseFD(call *xlator.Call, b *BaseFD) (Use, error) {
	stripe := stripeOf(call)
	for {
		cur := t.graphs.Current()
		r := b.ref.Current()
		if r == nil || !fresh(r.Key, cur.Generation) {
			var err error
			if r, err = t.bind(call, b, cur); err != nil {
				return Use{}, err
			}
		}
		g := r.Value.g
		b.uses.begin()
		g.Enter(stripe)
		if now := t.graphs.Current(); mayUse(b.ref.Current() == r, g == now, cur == now) {
			return Use{G: g, Inode: r.Value.fd.Inode(), FD: r.Value.fd, unique: call.Unique, b: b}, nil
		}
		g.Leave(stripe)
		b.uses.end()
	}
}

// UseNodes resolves two nodes for an operation on both, which is carried out on
// the current graph whatever their open fds do; bi is b's Inode.
func (t *Table) UseNodes(call *xlator.Call, a, b *Node) (u Use, bi *xlator.Inode, err error) {
	for {
		cur := t.graphs.Current()
		for _, n := range []*Node{a, b} {
			if r := n.ref.Current(); r == nil || r.Key != cur.Generation {
				if _, err := t.place(call, t, n, cur); err != nil {
					return Use{}, nil, err
				}
			}
		}
		u := Use{G: cur, unique: call.Unique}
		cur.Enter(stripeOf(call))
		if t.graphs.Current() == cur {
			u.Inode = cur.Inodes.Get(a.gfid, a.typ)
			return u, cur.Inodes.Get(b.gfid, b.typ), nil
		}
		cur.Leave(stripeOf(call))
	}
}

// UseFDs resolves two base fds to FDs of one graph; bfd is b's. Files that live
// on different graphs for now are EXDEV.
func (t *Table) UseFDs(call *xlator.Call, a, b *BaseFD) (u Use, bfd *xlator.FD, err error) {
	for range 100 {
		u, err = t.UseFD(call, a)
		if err != nil {
			return u, nil, err
		}
		ub, err := t.UseFD(call, b)
		if err != nil {
			u.Done()
			return u, nil, err
		}
		if u.G == ub.G {
			ub.G.Leave(ub.unique >> 1) // u keeps the graph
			u.other = ub.b
			return u, ub.FD, nil
		}
		ub.Done()
		u.Done()
	}
	return Use{}, nil, fmt.Errorf("the files live on different graphs: %w", syscall.EXDEV)
}

// place is the slow half of UseNode: it returns where the file lives, on cur or
// a newer graph, or on an older one where it is pinned. The move runs in a
// goroutine of own.
func (t *Table) place(ctx context.Context, own hint.Owner, n *Node, cur *graph.Graph) (*hint.Result[place], error) {
	if err := t.waitHeld(ctx, n.gfid); err != nil {
		return nil, err
	}
	if !n.isBound() {
		n.ref.Put(cur.Generation, place{cur, cur.Inodes.Get(n.gfid, n.typ)})
		if r := n.ref.Current(); r != nil && r.Key >= cur.Generation {
			return r, nil
		}
	}
	return n.ref.UsePatiently(t.patienceOf(ctx), own, cur.Generation, func() (uint64, place, error) { return t.move(n) }, letPlaceGo)
}

// letPlaceGo: an Inode is memory, which the garbage collector takes.
func letPlaceGo(*hint.Result[place]) {}

// bind is the slow half of UseFD. The file moves first, with all its fds that are
// bound. An fd that is CLOSED, or was being opened on the older graph meanwhile,
// follows by itself; a request (ctx is its Call) waits, as await says, for as long
// as one that is CLOSED cannot be opened.
func (t *Table) bind(ctx context.Context, b *BaseFD, cur *graph.Graph) (*hint.Result[binding], error) {
	n := b.node
	if n == nil {
		return nil, syscall.EBADF
	}
	p := n.ref.Current()
	if p == nil || p.Key < cur.Generation {
		var err error
		if p, err = t.place(ctx, t, n, cur); err != nil {
			return nil, err
		}
	}
	return b.ref.UsePatiently(t.patienceOf(ctx), t, p.Key, func() (uint64, binding, error) { return t.follow(b) }, letBindingGo)
}

func letBindingGo(r *hint.Result[binding]) { r.Value.g.Unbind(r.Value.fd) }

// enterCurrent enters the graph that is current.
func (t *Table) enterCurrent() *graph.Graph {
	for {
		g := t.graphs.Current()
		g.Enter(0)
		if t.graphs.Current() == g {
			return g
		}
		g.Leave(0)
	}
}

// enterPlace enters the graph on which base fds of the file serve, or the current
// one if there are none.
func (t *Table) enterPlace(n *Node) *graph.Graph {
	if r := n.ref.Current(); r != nil && r.Value.g != t.graphs.Current() {
		g := r.Value.g
		g.Enter(0)
		if n.servesOn(g) { // which is not retired then
			return g
		}
		g.Leave(0)
	}
	return t.enterCurrent()
}

// move is the attempt that brings a file with all its fds that are bound to the
// current graph: all or none.
func (t *Table) move(n *Node) (uint64, place, error) {
	if err := t.waitHeld(t.ctx, n.gfid); err != nil {
		return 0, place{}, err
	}
	g := t.enterCurrent()
	defer g.Leave(0)
	inode := g.Inodes.Get(n.gfid, n.typ)
	var opened []reopened
	for more := n.behind(g); ; {
		for _, b := range more {
			fd, err := reopen(g, inode, b)
			if err != nil {
				return 0, place{}, t.giveUp(n, g, opened, fmt.Errorf("open fd %#x of %s on graph %d: %w", b.fh, n.gfid, g.Generation, err))
			}
			opened = append(opened, reopened{b, fd})
		}
		if more = t.publish(n, place{g, inode}, opened); len(more) == 0 {
			return hint.Published, place{}, nil // under the file's lock, with what else had to change
		}
	}
}

// reopened is what was opened for a base fd on another graph.
type reopened struct {
	b  *BaseFD
	fd *xlator.FD
}

// behind lists the base fds that have to come along to g.
func (n *Node) behind(g *graph.Graph) []*BaseFD {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stillBehind(g, nil)
}

// stillBehind lists the base fds that are bound to older graphs than g, or are
// being opened, and not among those opened. Called with mu held.
func (n *Node) stillBehind(g *graph.Graph, opened []reopened) (more []*BaseFD) {
	for _, b := range n.fds {
		if r := b.ref.Current(); r != nil && r.Key >= g.Generation || !b.isBound() {
			continue
		}
		if !slices.ContainsFunc(opened, func(o reopened) bool { return o.b == b }) {
			more = append(more, b)
		}
	}
	return more
}

// giveUp ends a move that has failed: the file stays where it is.
func (t *Table) giveUp(n *Node, g *graph.Graph, opened []reopened, err error) error {
	for _, o := range opened {
		g.Top.Release(o.fd)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if r := n.ref.Current(); r != nil && r.Key < g.Generation && n.hasBound() {
		n.setAstray(r.Value.g)
	}
	return err
}

// publish makes the file live at a place, and the base fds serve what was opened
// for them there, unless there are more by now that have to come along; it
// returns those. What is not needed, because its base fd was closed meanwhile, is
// released.
func (t *Table) publish(n *Node, at place, opened []reopened) (more []*BaseFD) {
	var late []*xlator.FD
	n.mu.Lock()
	if more = n.stillBehind(at.g, opened); len(more) > 0 {
		n.mu.Unlock()
		return more
	}
	moved := false
	for _, o := range opened {
		if o.b.closed {
			late = append(late, o.fd)
		} else {
			moved = t.bindTo(o.b, at.g, o.fd) || moved
		}
	}
	n.ref.Put(at.g.Generation, at)
	n.gone = 0
	n.setAstray(nil)
	n.mu.Unlock()
	if moved {
		t.moved.Add(1)
	}
	for _, fd := range late {
		at.g.Top.Release(fd)
	}
	return nil
}

// bindTo makes a base fd serve fd, and reports whether it served another. Called
// with the node's mu held.
func (t *Table) bindTo(b *BaseFD, g *graph.Graph, fd *xlator.FD) (moved bool) {
	was := b.ref.Current()
	g.Bind()
	if old := b.ref.Put(g.Generation, binding{g, fd}); old != nil {
		letBindingGo(old)
	}
	if was == nil {
		t.reopened.Add(1)
	}
	return was != nil
}

// follow is the attempt that brings one base fd to where its file lives.
func (t *Table) follow(b *BaseFD) (uint64, binding, error) {
	n := b.node
	g := t.enterPlace(n)
	defer g.Leave(0)
	fd, err := reopen(g, g.Inodes.Get(n.gfid, n.typ), b)
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("open fd %#x of %s on graph %d: %w", b.fh, n.gfid, g.Generation, err)
		if old := b.ref.Current(); b.closed {
			return 0, binding{}, err
		} else if old == nil {
			err = n.failed(err)
		} else if old.Key < g.Generation {
			n.setAstray(old.Value.g)
		}
		return 0, binding{}, err
	}
	if b.closed {
		t.Go(func() { g.Top.Release(fd) })
		return 0, binding{}, syscall.EBADF
	}
	t.bindTo(b, g, fd)
	n.gone = 0
	if g.Out() {
		t.fetch(n) // no sweep may see it any more
	} else if len(n.stillBehind(g, []reopened{{b: b}})) == 0 {
		n.setAstray(nil)
	}
	return hint.Published, binding{}, nil
}

// reopen opens on g what an application has open.
func reopen(g *graph.Graph, inode *xlator.Inode, b *BaseFD) (*xlator.FD, error) {
	req := &xlator.OpenReq{Inode: inode, Flags: xlator.CleanOpenFlags(b.flags), Base: b.fh, Reopen: true}
	open := g.Top.Open
	if inode.Type() == xlator.TypeDirectory {
		open = g.Top.Opendir
	}
	rep, err := open(xlator.Internal(), req)
	if err != nil {
		return nil, err
	}
	return rep.FD, nil
}
