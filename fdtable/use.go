package fdtable

import (
	"context"
	"fmt"
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
}

// Done ends the use.
func (u *Use) Done() { u.G.Leave(u.unique >> 1) }

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
		if mayUse(n.ref.Current() == r, g == cur, g == t.graphs.Current()) {
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
		g.Enter(stripe)
		if mayUse(b.ref.Current() == r, g == cur, g == t.graphs.Current()) {
			return Use{G: g, Inode: r.Value.fd.Inode(), FD: r.Value.fd, unique: call.Unique}, nil
		}
		g.Leave(stripe)
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
			ub.Done() // u keeps the graph
			return u, ub.FD, nil
		}
		ub.Done()
		u.Done()
	}
	return Use{}, nil, fmt.Errorf("the files live on different graphs: %w", syscall.EXDEV)
}

// place is the slow half of UseNode: it returns where the file lives, on cur or
// a newer graph, or on an older one where it is pinned. A request (ctx is its
// Call) waits, as await says, for as long as the file is CLOSED and cannot be
// opened. The move runs in a goroutine of own.
func (t *Table) place(ctx context.Context, own hint.Owner, n *Node, cur *graph.Graph) (*hint.Result[place], error) {
	if err := t.waitHeld(ctx, n.gfid); err != nil {
		return nil, err
	}
	if !n.isOpen() {
		n.ref.Put(cur.Generation, place{cur, cur.Inodes.Get(n.gfid, n.typ)})
		if r := n.ref.Current(); r != nil && r.Key >= cur.Generation {
			return r, nil
		}
	}
	return n.ref.UsePatiently(t.patienceOf(ctx), own, cur.Generation, func() (uint64, place, error) { return t.move(n) }, letPlaceGo)
}

// letPlaceGo: an Inode is memory, which the garbage collector takes.
func letPlaceGo(*hint.Result[place]) {}

// bind is the slow half of UseFD. The file moves first, with all its fds; an fd
// that was being opened on the older graph meanwhile follows by itself.
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

// enterPlace enters the graph on which the file lives, or the current one if it
// lives nowhere.
func (t *Table) enterPlace(n *Node) *graph.Graph {
	for {
		r := n.ref.Current()
		if r == nil {
			return t.enterCurrent()
		}
		cur, g := t.graphs.Current(), r.Value.g
		g.Enter(0)
		if mayUse(n.ref.Current() == r, g == cur, g == t.graphs.Current()) {
			return g
		}
		g.Leave(0)
	}
}

// move is the attempt that brings a file with all its open fds to the current
// graph, or opens all that are CLOSED: all or none.
func (t *Table) move(n *Node) (uint64, place, error) {
	if err := t.waitHeld(t.ctx, n.gfid); err != nil {
		return 0, place{}, err
	}
	g := t.enterCurrent()
	defer g.Leave(0)
	n.mu.Lock()
	fds := append([]*BaseFD(nil), n.fds...)
	n.mu.Unlock()
	inode := g.Inodes.Get(n.gfid, n.typ)
	opened := make([]*xlator.FD, len(fds))
	for i, b := range fds {
		if r := b.ref.Current(); r != nil && r.Key >= g.Generation {
			continue
		}
		fd, err := reopen(g, inode, b)
		if err != nil {
			for _, fd := range opened {
				if fd != nil {
					g.Top.Release(fd)
				}
			}
			err = fmt.Errorf("open fd %#x of %s on graph %d: %w", b.fh, n.gfid, g.Generation, err)
			n.mu.Lock()
			defer n.mu.Unlock()
			if r := n.ref.Current(); r == nil {
				err = n.failed(err)
			} else if len(n.fds) > 0 {
				n.setAstray(r.Value.g)
			}
			return 0, place{}, err
		}
		opened[i] = fd
	}
	late := t.publish(n, g, fds, opened)
	for _, fd := range late {
		g.Top.Release(fd)
	}
	return g.Generation, place{g, inode}, nil
}

// publish makes the base fds serve what was opened for them, and returns what
// is not needed because its base fd was closed meanwhile.
func (t *Table) publish(n *Node, g *graph.Graph, fds []*BaseFD, opened []*xlator.FD) (late []*xlator.FD) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gone = 0
	moved := false
	for i, fd := range opened {
		if fd == nil {
			continue
		}
		if fds[i].closed {
			late = append(late, fd)
			continue
		}
		g.Bind()
		if fds[i].ref.Current() == nil {
			t.reopened.Add(1)
		} else {
			moved = true
		}
		if old := fds[i].ref.Put(g.Generation, binding{g, fd}); old != nil {
			letBindingGo(old)
		}
	}
	n.setAstray(nil)
	if moved {
		t.moved.Add(1)
	}
	return late
}

// follow is the attempt that brings one base fd to where its file lives.
func (t *Table) follow(b *BaseFD) (uint64, binding, error) {
	n := b.node
	g := t.enterPlace(n)
	defer g.Leave(0)
	fd, err := reopen(g, g.Inodes.Get(n.gfid, n.typ), b)
	n.mu.Lock()
	defer n.mu.Unlock()
	if !g.Out() {
		n.setAstray(nil)
	}
	old := b.ref.Current()
	if err != nil {
		err = fmt.Errorf("open fd %#x of %s on graph %d: %w", b.fh, n.gfid, g.Generation, err)
		switch {
		case b.closed:
		case old == nil:
			err = n.failed(err)
		default:
			n.setAstray(old.Value.g)
		}
		return 0, binding{}, err
	}
	if b.closed {
		t.Go(func() { g.Top.Release(fd) })
		return 0, binding{}, syscall.EBADF
	}
	n.gone = 0
	if old == nil {
		t.reopened.Add(1)
	}
	g.Bind()
	return g.Generation, binding{g, fd}, nil
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
