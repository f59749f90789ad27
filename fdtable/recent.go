package fdtable

import (
	"sync"

	"github.com/holdfast/holdfast/graph"
	"github.com/holdfast/holdfast/xlator"
)

// maxRecent bounds how many files keep their Inode, and with it what the
// translators know of them, only because the kernel has looked them up. Of the
// others it is made again when they are used.
const maxRecent = 1 << 16

// recent is the files that were looked up last.
type recent struct {
	mu   sync.Mutex
	ring []*Node // guarded by mu, as is Node.recent; nil: has been removed
	next int     // guarded by mu; where the oldest is once the ring is full
}

// add puts n in, and takes the oldest out where there are too many.
func (r *recent) add(n *Node) {
	if oldest := r.replace(n); oldest != nil {
		oldest.leave()
	}
}

func (r *recent) replace(n *Node) (oldest *Node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n.recent > 0 {
		return nil
	}
	if len(r.ring) < maxRecent {
		r.ring = append(r.ring, n)
		n.recent = len(r.ring)
		return nil
	}
	if oldest = r.ring[r.next]; oldest != nil {
		oldest.recent = 0
	}
	r.ring[r.next], n.recent = n, r.next+1
	r.next = (r.next + 1) % maxRecent
	return oldest
}

// remove takes n out: it is a file no more.
func (r *recent) remove(n *Node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n.recent > 0 {
		r.ring[n.recent-1], n.recent = nil, 0
	}
}

// Seen is Found of an Inode of g, which the request is inside: the file is known
// to live there, unless it is open.
func (t *Table) Seen(g *graph.Graph, i *xlator.Inode) *Node { return t.SeenFor(nil, g, i) }

// SeenFor is Seen as FoundFor is Found.
func (t *Table) SeenFor(c Counting, g *graph.Graph, i *xlator.Inode) *Node {
	n := t.FoundFor(c, i.GFID(), i.Type())
	if r := n.ref.Current(); (r == nil || r.Key < g.Generation) && n.settleOn(g, i) {
		t.recent.add(n)
	}
	return n
}

// settleOn makes g the place of a file, unless it is open.
func (n *Node) settleOn(g *graph.Graph, i *xlator.Inode) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.fds) > 0 {
		return false
	}
	n.ref.Put(g.Generation, place{g, i})
	return true
}

// leave gives up the place of a file, unless it is open.
func (n *Node) leave() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.fds) == 0 {
		n.ref.Drop()
	}
}
