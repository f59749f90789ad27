package fdtable

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/graph"
	"github.com/holdfast/holdfast/xlator"
)

// Graphs is what the table needs of the mount's graph.Manager.
type Graphs interface {
	Current() *graph.Graph
	Astray()
	Home(from *graph.Graph)
}

// Table is the nodes and base fds of one mount.
type Table struct {
	graphs Graphs // constant after Attach
	// Constant after construction.
	log      *slog.Logger
	mem      *state.Memory // nil: nothing is recorded
	patience time.Duration // how long a failing reopen is repeated
	idle     time.Duration // how long a base fd may be unused; 0: for as long as there are descriptors
	began    time.Time
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	nodes  slab[Node, *Node]
	fds    slab[BaseFD, *BaseFD]
	shards [64]shard
	root   *Node

	restored     restored
	ready        chan struct{} // closed when the locks are restored
	restoredOnce func()        // closes it
	index        index
	damagedNodes atomic.Int64 // records that the index passed over

	holdMu sync.Mutex
	holds  map[xlator.GFID]*hold // guarded by holdMu
	nholds atomic.Int32          // len(holds), readable without the lock

	idleMu sync.Mutex // one looks for idle base fds at a time

	errMu  sync.Mutex
	orphan map[xlator.GFID]error // guarded by errMu; errors of files that the kernel has forgotten

	recent recent

	swept       atomic.Uint64 // generation that every open file has reached, but for strays
	strays      atomic.Int64  // files on their way by themselves
	moved       atomic.Uint64
	reopened    atomic.Uint64 // base fds that were CLOSED and are open again
	idled       atomic.Uint64 // times that a base fd was closed because nobody used it
	lost        atomic.Uint64 // files that were gone when they were to be opened again
	pinned      atomic.Int64
	locksHeld   atomic.Int64
	locksWaited atomic.Int64
}

type shard struct {
	mu sync.Mutex
	m  map[xlator.GFID]*Node // guarded by mu, as are Node.lookups and Node.opens
}

// DefaultRecoveryDeadline is how long requests wait for a file that cannot be
// opened again.
const DefaultRecoveryDeadline = 60 * time.Second

// Option is something that New may be told.
type Option func(*Table)

// RecoveryDeadline is how long the reopening of a file is repeated before the
// requests that wait for it get the error; 0 means 60 s.
func RecoveryDeadline(d time.Duration) Option {
	return func(t *Table) {
		if d > 0 {
			t.patience = d
		}
	}
}

// New returns a table that records what it knows in mem, and knows what an
// earlier process of the mount has recorded there; without durable memory (mem
// nil or plain) it knows only the root. Attach comes before the first request.
func New(log *slog.Logger, mem *state.Memory, options ...Option) *Table {
	t := &Table{log: log, began: time.Now(), patience: DefaultRecoveryDeadline, holds: map[xlator.GFID]*hold{}, orphan: map[xlator.GFID]error{}}
	t.nodes.max, t.fds.max = min(chunkLen*maxChunks-1, state.MaxNodeSlot), min(chunkLen*maxChunks-1, state.MaxFDSlot)
	t.index.ready, t.ready = make(chan struct{}), make(chan struct{})
	t.restoredOnce = sync.OnceFunc(func() { close(t.ready) })
	for _, o := range options {
		o(t)
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	for i := range t.shards {
		t.shards[i].m = map[xlator.GFID]*Node{}
	}
	if mem.Durable() {
		t.mem = mem
		t.keepRecords()
		t.restore()
	}
	if t.root == nil {
		t.root = t.Found(xlator.RootGFID, xlator.TypeDirectory)
	}
	return t
}

// Attach tells the table where the graphs are.
func (t *Table) Attach(g Graphs) {
	t.graphs = g
	t.Go(t.closeIdle)
}

// Close ends the attempts that are still made on behalf of open files. There
// are no more requests.
func (t *Table) Close() {
	t.cancel()
	t.wg.Wait()
}

// Go runs f in a goroutine of the table (see hint.Owner).
func (t *Table) Go(f func()) { t.wg.Go(f) }

// Root is the root directory; its number is 1.
func (t *Table) Root() *Node { return t.root }

// Node finds the node of that nodeid, or nil.
func (t *Table) Node(nodeid uint64) *Node { return t.revive(nodeid) }

// FD finds the base fd of that fh, or nil.
func (t *Table) FD(fh uint64) *BaseFD { return t.fds.get(fh) }

func (t *Table) shard(g xlator.GFID) *shard { return &t.shards[g[15]%64] }

// Found returns the node of that gfid, making it if the kernel does not know
// it, and counts one lookup more.
func (t *Table) Found(g xlator.GFID, typ xlator.FileType) *Node { return t.FoundFor(nil, g, typ) }

// Counting is where a request records what it has counted: a *state.Entry, or a
// *state.Counts.
type Counting interface {
	// SetCounted records that a node's lookups are about to become n.
	SetCounted(node, n uint64)
}

// FoundFor is Found for a request that another process may have to carry out
// again, and that records what it counts (nil: it does not): see Uncount.
func (t *Table) FoundFor(c Counting, g xlator.GFID, typ xlator.FileType) *Node {
	s := t.shard(g)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := t.known(s, g)
	if n == nil {
		n = t.nodes.add(func(id uint64) *Node { return &Node{t: t, id: id, gfid: g, typ: typ} })
		if t.mem != nil {
			n.rec = t.mem.NodeAt(uint32(n.id))
			n.rec.Put(uint32(n.id>>32), g, uint8(typ))
			n.errs.rec = n.rec
		}
		n.errs.adopt(t.takeOrphan(g))
		s.m[g] = n
	}
	if c != nil {
		c.SetCounted(n.id, n.lookups+1)
	}
	n.setLookups(n.lookups + 1)
	return n
}

// Uncount takes back the lookups that a dead process has counted for requests
// which are going to count them again. Called before anything is counted, with all
// of them. Should this process die over it, the next one goes on.
func (t *Table) Uncount(all []state.Counted) {
	slices.SortFunc(all, state.Counted.Compare)
	for _, c := range all {
		t.uncount(c)
		c.Clear()
	}
}

// uncount takes one back: the node's lookups were about to become n. If they are
// fewer it was not counted, or something was taken back since; then nothing is done,
// since one too many does no harm.
func (t *Table) uncount(c state.Counted) {
	nd := t.revive(c.Node())
	if nd == nil || nd == t.root {
		return
	}
	s := t.shard(nd.gfid)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch n, taken := c.Lookups(); {
	case taken: // a process died over it
		nd.setLookups(n)
	case n > 0 && nd.lookups >= n:
		c.Take(nd.lookups - 1)
		nd.setLookups(nd.lookups - 1)
	default:
		return
	}
	t.dropIfUnused(s, nd)
}

// known returns the node of that gfid if there is one. Called with s.mu held, s
// being the gfid's shard.
func (t *Table) known(s *shard, g xlator.GFID) *Node {
	if n := s.m[g]; n != nil {
		return n
	}
	return t.reviveGFID(s, g)
}

// HasOpen implements xlator.Opens.
func (t *Table) HasOpen(g xlator.GFID) bool {
	s := t.shard(g)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.m[g] // what is open is there from the start
	return n != nil && n.opens > 0
}

// EachOpen implements xlator.Opens. No lock is held while fn runs.
func (t *Table) EachOpen(fn func(xlator.GFID) bool) {
	for i := range t.shards {
		s := &t.shards[i]
		var open []xlator.GFID
		s.mu.Lock()
		for g, n := range s.m {
			if n.opens > 0 {
				open = append(open, g)
			}
		}
		s.mu.Unlock()
		for _, g := range open {
			if !fn(g) {
				return
			}
		}
	}
}

// Known returns the node of that gfid if the kernel knows it, or nil.
func (t *Table) Known(g xlator.GFID) *Node { return t.find(g) }

// EachKnown calls fn with the nodeids that the kernel knows, but for those that it
// knows from an earlier process and has not used since. No lock is held meanwhile.
func (t *Table) EachKnown(fn func(nodeid uint64)) {
	for i := range t.shards {
		s := &t.shards[i]
		var all []uint64
		s.mu.Lock()
		for _, n := range s.m {
			all = append(all, n.id)
		}
		s.mu.Unlock()
		for _, id := range all {
			fn(id)
		}
	}
}

// find returns the node of that gfid if there is one.
func (t *Table) find(g xlator.GFID) *Node {
	s := t.shard(g)
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.known(s, g)
}

// Forget takes back n lookups. Unknown numbers are ignored.
func (t *Table) Forget(nodeid, n uint64) {
	nd := t.revive(nodeid)
	if nd == nil || nd == t.root {
		return
	}
	s := t.shard(nd.gfid)
	s.mu.Lock()
	nd.setLookups(nd.lookups - min(n, nd.lookups))
	t.dropIfUnused(s, nd)
	s.mu.Unlock()
}

// countOpen counts an open base fd of n in or out. Its end does not drop the
// node: the base fd's record names it (see dropUnused).
func (t *Table) countOpen(n *Node, delta int) {
	s := t.shard(n.gfid)
	s.mu.Lock()
	n.opens += delta
	s.mu.Unlock()
}

// dropUnused ends the node if neither the kernel nor a base fd has it.
func (t *Table) dropUnused(n *Node) {
	s := t.shard(n.gfid)
	s.mu.Lock()
	t.dropIfUnused(s, n)
	s.mu.Unlock()
}

// dropIfUnused is called with s.mu held.
func (t *Table) dropIfUnused(s *shard, n *Node) {
	if n.lookups > 0 || n.opens > 0 || n == t.root || s.m[n.gfid] != n {
		return
	}
	delete(s.m, n.gfid)
	t.recent.remove(n)
	t.nodes.remove(n.id)
	if err := n.errs.unseen(); err != nil {
		t.keepOrphan(n.gfid, err)
	}
}
