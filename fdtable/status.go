package fdtable

import (
	"fmt"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/hint"
)

// Status is what there is to know of the files at a glance.
type Status struct {
	Nodes int `json:"nodes"` // files the kernel knows
	Open  int `json:"open"`  // base fds
	// Pending counts files with open fds that do not live on the current
	// graph yet; of those Held wait for old data to be written, and Pinned
	// could not move when they were tried last.
	Pending int    `json:"pending"`
	Held    int    `json:"held"`
	Pinned  int    `json:"pinned"`
	Moved   uint64 `json:"moved"` // moves of files since the mount

	// Closed counts base fds that are open for the application and not below:
	// an earlier process had them open and nobody has used them since, or they
	// were closed to save descriptors.
	Closed   int    `json:"closed"`
	Restored int    `json:"restored"` // base fds that an earlier process had open
	Reopened uint64 `json:"reopened"` // times that a base fd was CLOSED and was opened again
	Idled    uint64 `json:"idled"`    // times that a base fd was closed to save descriptors
	Lost     uint64 `json:"lost"`     // base fds of files that were gone when they were to be opened again

	LocksHeld    int `json:"locks_held"`
	LocksWaiting int `json:"locks_waiting"`
	LocksLost    int `json:"locks_lost"`
}

// Status returns it.
func (t *Table) Status() Status {
	s := Status{
		Nodes: t.nodes.len(), Open: t.fds.len(),
		Held: int(t.nholds.Load()), Pinned: int(t.pinned.Load()), Moved: t.moved.Load(),
		Restored: t.restored.fds, Reopened: t.reopened.Load(), Idled: t.idled.Load(), Lost: t.lost.Load(),
		LocksHeld: int(t.locksHeld.Load()), LocksWaiting: int(t.locksWaited.Load()),
	}
	if g := t.graphs.Current(); g != nil {
		t.nodes.each(func(n *Node) {
			bound, closed := n.count()
			s.Closed += closed
			if r := n.ref.Current(); bound > 0 && (r == nil || r.Key < g.Generation) {
				s.Pending++
			}
		})
	}
	return s
}

// count says how many base fds are bound and how many are CLOSED.
func (n *Node) count() (bound, closed int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, b := range n.fds {
		switch s, _ := b.ref.State(); s.Phase {
		case hint.Closed:
			closed++
		case hint.Open, hint.Reopening:
			bound++
		}
	}
	return bound, closed
}

// NodeDump is a node in a dump.
type NodeDump struct {
	NodeID  uint64              `json:"nodeid"`
	GFID    xlator.GFID         `json:"gfid"`
	Type    string              `json:"type"`
	Lookups uint64              `json:"lookups"`
	Graph   uint64              `json:"graph,omitempty"` // where it lives
	State   string              `json:"state"`
	Pinned  bool                `json:"pinned,omitempty"`
	Held    bool                `json:"held,omitempty"`
	Error   string              `json:"error,omitempty"`
	FDs     []FDDump            `json:"fds,omitempty"`
	Locks   map[string][]string `json:"locks,omitempty"`
}

// FDDump is a base fd in a dump.
type FDDump struct {
	FH    uint64 `json:"fh"`
	Flags string `json:"flags"`
	Graph uint64 `json:"graph,omitempty"` // what it is bound to
	State string `json:"state"`
}

// Dump returns all nodes with their base fds and locks.
func (t *Table) Dump() []NodeDump {
	t.wakeAll()
	var all []NodeDump
	t.nodes.each(func(n *Node) { all = append(all, t.dumpNode(n)) })
	return all
}

func (t *Table) dumpNode(n *Node) NodeDump {
	st, err := n.ref.State()
	d := NodeDump{NodeID: n.id, GFID: n.gfid, Type: n.typ.String(), Graph: st.Have, State: st.Phase.String(), Held: t.Held(n.gfid)}
	if err != nil {
		d.Error = err.Error()
	}
	s := t.shard(n.gfid)
	s.mu.Lock()
	d.Lookups = n.lookups
	s.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	d.Pinned = n.astray != nil
	for _, b := range n.fds {
		bst, _ := b.ref.State()
		d.FDs = append(d.FDs, FDDump{FH: b.fh, Flags: fmt.Sprintf("%#o", b.flags), Graph: bst.Have, State: bst.Phase.String()})
	}
	for k, ls := range n.locks.held {
		if d.Locks == nil {
			d.Locks = map[string][]string{}
		}
		kind := "posix"
		if k.flock {
			kind = "flock"
		}
		for _, l := range ls {
			name := fmt.Sprintf("%s owner %#x", kind, k.owner)
			d.Locks[name] = append(d.Locks[name], fmt.Sprintf("type %d %d-%d pid %d", l.Type, l.Start, l.End, l.PID))
		}
	}
	return d
}
