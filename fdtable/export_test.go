package fdtable

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/holdfast/holdfast/xlator"
)

// View says all of a table that has to be the same in the next process, in a
// form that can be compared.
func (t *Table) View() string {
	t.wakeAll()
	var nodes []*Node
	t.nodes.each(func(n *Node) { nodes = append(nodes, n) })
	slices.SortFunc(nodes, func(a, b *Node) int { return cmp.Compare(a.id, b.id) })
	var out strings.Builder
	for _, n := range nodes {
		s := t.shard(n.gfid)
		s.mu.Lock()
		fmt.Fprintf(&out, "node %#x %s %d lookups %d opens %d", n.id, n.gfid, n.typ, n.lookups, n.opens)
		s.mu.Unlock()
		n.errs.mu.Lock()
		fmt.Fprintf(&out, " errors %d %v %v", n.errs.seq, xlator.Errno(n.errs.err), n.errs.seen)
		n.errs.mu.Unlock()
		n.mu.Lock()
		fds := slices.Clone(n.fds)
		slices.SortFunc(fds, func(a, b *BaseFD) int { return cmp.Compare(a.fh, b.fh) })
		for _, b := range fds {
			fmt.Fprintf(&out, "\n  fd %#x flags %#o cursor %d", b.fh, b.flags, b.cursor)
		}
		var lockers []locker
		for k := range n.locks.held {
			lockers = append(lockers, k)
		}
		slices.SortFunc(lockers, func(a, b locker) int {
			return cmp.Or(cmp.Compare(a.owner, b.owner), cmp.Compare(fmt.Sprint(a.flock), fmt.Sprint(b.flock)))
		})
		for _, k := range lockers {
			fmt.Fprintf(&out, "\n  locks of %v %v", k, n.locks.held[k])
		}
		n.mu.Unlock()
		out.WriteByte('\n')
	}
	return out.String()
}

// Indexed returns when the index of what an earlier process has recorded is
// there.
func (t *Table) Indexed() { <-t.index.ready }

// Restored is what the table has taken over.
func (t *Table) Restored() (fds, files, locks, dropped, damaged int) {
	r := &t.restored
	return r.fds, r.files, r.locks, r.dropped, r.damaged + int(t.damagedNodes.Load())
}

// HeldLocks returns the locks of a file that an earlier process has recorded, as
// RestoreLocks tells them.
func (n *Node) HeldLocks() []xlator.Lock {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.locks.all()
}

// AsleepAndFree are the nodes that nobody has asked for yet, and the slots that
// can be used again.
func (t *Table) AsleepAndFree() (asleep, free int) {
	t.nodes.mu.Lock()
	defer t.nodes.mu.Unlock()
	return t.nodes.asleep, len(t.nodes.free)
}

// ByGFID returns the node of that gfid, or nil.
func (t *Table) ByGFID(g xlator.GFID) *Node { return t.find(g) }

// Inside is what a node is to know in the next process, too.
type Inside struct {
	Lookups uint64
	Seq     uint64
	Errno   syscall.Errno
	Seen    bool
	FDs     []*BaseFD
	Locks   []xlator.Lock
}

// Inside returns it.
func (n *Node) Inside() (in Inside) {
	s := n.t.shard(n.gfid)
	s.mu.Lock()
	in.Lookups = n.lookups
	s.mu.Unlock()
	n.errs.mu.Lock()
	in.Seq, in.Errno, in.Seen = n.errs.seq, xlator.Errno(n.errs.err), n.errs.seen
	n.errs.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	in.FDs = slices.Clone(n.fds)
	in.Locks = n.locks.all()
	return in
}

// LockOwners are the owners of those who locked through b.
func (b *BaseFD) LockOwners() (owners []uint64) {
	b.node.mu.Lock()
	defer b.node.mu.Unlock()
	for _, k := range b.lockers {
		owners = append(owners, k.owner)
	}
	return owners
}

// CloseShort is what happens every few seconds while descriptors are short.
func (t *Table) CloseShort() { t.closeShort() }
