package fdtable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/xlator"
)

// restored is what a table has taken over from an earlier process.
type restored struct {
	// Constant after New.
	fds      int // base fds
	files    int // they belong to
	locks    int
	dropped  int // base fds whose open was never answered, locks without an open file
	damaged  int // records that fail their checks, or name what is not there
	lockedOn []*Node
	via      map[*Node]map[locker]uint64 // the base fd that a locker's locks were taken through
	// unanswered are the requests that the earlier process has not answered.
	unanswered map[uint64]bool

	endersMu sync.Mutex
	enders   map[uint64][]xlator.Ender // guarded by endersMu; of unanswered requests
}

// resent is set in the unique of a request that the kernel sends again.
const resent = 1 << 63

// keepRecords makes the slabs record their numbers.
func (t *Table) keepRecords() {
	m := t.mem
	t.nodes.rec = &records{
		use:  m.UseNodeSlots,
		free: func(i, generation uint32) { m.NodeAt(i).Free(generation) },
		generation: func(i uint32) uint32 {
			generation, _, _, _ := m.NodeAt(i).Get()
			return generation
		},
	}
	t.nodes.before = m.NodeSlots()
	t.nodes.next = t.nodes.before
	t.fds.rec = &records{
		use:  m.UseFDSlots,
		free: func(i, generation uint32) { m.FDAt(i).Free(generation) },
		generation: func(i uint32) uint32 {
			generation, _, _, _, _ := m.FDAt(i).Get()
			return generation
		},
	}
	t.fds.before = m.FDSlots()
	t.fds.next = t.fds.before
}

// restore takes over what is recorded: base fds with their files, and locks, at
// once; other nodes when they are asked for, by number or, through an index that
// is made in the background, by gfid.
func (t *Table) restore() {
	if t.nodes.before == 0 {
		close(t.index.ready)
		return
	}
	began := time.Now()
	t.restoreRoot()
	t.restoreFDs()
	t.restoreLocks()
	t.Go(t.indexNodes)
	r := &t.restored
	if r.damaged > 0 {
		t.log.Error("records of the state memory are damaged; what named them is lost", "damaged", r.damaged)
	}
	t.log.Info("state restored", "files", r.files, "fds", r.fds, "locks", r.locks, "dropped", r.dropped,
		"took", time.Since(began).Round(time.Microsecond))
}

// restoreRoot takes over the root, which has number 1 whatever its record says.
func (t *Table) restoreRoot() {
	if t.root = t.revive(1); t.root != nil {
		return
	}
	t.restored.damaged++
	rec := t.mem.NodeAt(1)
	rec.Put(0, xlator.RootGFID, uint8(xlator.TypeDirectory))
	s := t.shard(xlator.RootGFID)
	s.mu.Lock()
	t.root = t.reviveSlot(s, 1, xlator.RootGFID)
	s.mu.Unlock()
}

// restoreFDs takes over the base fds, CLOSED.
func (t *Table) restoreFDs() {
	unanswered := unansweredRequests(t.mem)
	t.restored.unanswered = unanswered
	for i := uint32(1); i <= t.fds.before; i++ {
		rec := t.mem.FDAt(i)
		generation, nodeid, flags, unique, ok := rec.Get()
		if !ok {
			if rec.Damaged() {
				t.restored.damaged++
			}
			continue
		}
		if unique != 0 && unanswered[unique] {
			// The open is going to be carried out again, under another number.
			rec.Free(generation + 1)
			t.restored.dropped++
			continue
		}
		n := t.revive(nodeid)
		if n == nil {
			rec.Free(generation + 1)
			t.restored.damaged++
			continue
		}
		b := &BaseFD{fh: uint64(i) | uint64(generation)<<32, flags: flags, node: n, rec: rec, cursor: rec.Cursor(), inherited: true}
		t.fds.put(b.fh, b)
		n.fds = append(n.fds, b)
		n.opens++
		t.restored.fds++
		if n.opens == 1 {
			t.restored.files++
		}
	}
	for t.fds.scan(1<<16, func(i uint32) recordState {
		if t.mem.FDAt(i).Damaged() {
			return recordDamaged
		}
		return recordFree
	}) {
	}
}

// unansweredRequests are the uniques of the requests that an earlier process has
// read and not answered: those without a reply in their slot.
func unansweredRequests(m *state.Memory) map[uint64]bool {
	open, answered := map[uint64]bool{}, map[uint64]bool{}
	for c := range m.Chunks() {
		for i := range c.Slots {
			slot := c.Slot(i)
			e := state.EntryOf(slot)
			kind, ok := e.Kind()
			req := e.Request(slot)
			if !ok || kind != state.Reading && kind != state.Request || len(req) < 16 {
				continue
			}
			unique := binary.NativeEndian.Uint64(req[8:]) &^ resent
			if kind == state.Request && e.Reply(slot) != nil {
				answered[unique] = true // also if a copy lies in the slot it was read into
			} else {
				open[unique] = true
			}
		}
	}
	for u := range answered {
		delete(open, u)
	}
	return open
}

// restoreLocks takes over the record of the locks.
func (t *Table) restoreLocks() {
	all, damaged := t.mem.Locks()
	t.restored.damaged += damaged
	via := map[*Node]map[locker]uint64{}
	t.restored.via = via
	for i, l := range all {
		n, b := t.revive(l.Node), t.fds.get(l.FH)
		if n == nil || b == nil || b.node != n {
			// It went with its open file, and its record was about to.
			t.mem.ReplaceLocks([]uint32{l.Record}, nil)
			t.restored.dropped++
			continue
		}
		k := locker{l.Owner, l.Flock}
		t.locksHeld.Add(int64(n.locks.set(xlator.Lock{Type: l.Type, Start: l.Start, End: l.End, Owner: l.Owner, PID: l.PID, Flock: l.Flock})))
		n.locks.touch(k)
		kept := n.locks.recorded(k)
		kept.slots, kept.order = append(kept.slots, l.Record), i
		b.noteLocker(k)
		t.restored.locks++
		if via[n] == nil {
			via[n] = map[locker]uint64{}
			t.restored.lockedOn = append(t.restored.lockedOn, n)
		}
		via[n][k] = l.FH
	}
}

// RestoreLocks tells the current graph's translators, after Start and before the
// first request, which locks applications hold since an earlier process. An
// error names the files whose locks a translator has not taken; the others have
// theirs.
func (t *Table) RestoreLocks() error {
	defer t.restoredOnce()
	var errs []error
	g := t.graphs.Current()
	for _, n := range t.restored.lockedOn {
		n.mu.Lock()
		locks := n.locks.all()
		n.mu.Unlock()
		for i := range locks {
			locks[i].Base = t.restored.via[n][locker{locks[i].Owner, locks[i].Flock}]
		}
		if err := g.RestoreLocks(n.gfid, locks); err != nil {
			errs = append(errs, fmt.Errorf("locks of %s: %w", n.gfid, err))
		}
	}
	return errors.Join(errs...)
}

// revive returns the node of that number, from its record if it has to; nil if
// there is none.
func (t *Table) revive(nodeid uint64) *Node {
	if n := t.nodes.get(nodeid); n != nil {
		return n
	}
	i := uint32(nodeid)
	if i == 0 || i > t.nodes.before {
		return nil
	}
	// Read without the lock to learn which lock it is.
	generation, gfid, _, ok := t.mem.NodeAt(i).Get()
	if !ok || generation != uint32(nodeid>>32) {
		return nil
	}
	s := t.shard(gfid)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := t.reviveSlot(s, i, gfid)
	if n == nil || n.id != nodeid {
		return nil
	}
	return n
}

// reviveSlot returns the node of that gfid if it is what slot i records. Called
// with s.mu held, s being the gfid's shard: records of its gfids are put and
// freed under it.
func (t *Table) reviveSlot(s *shard, i uint32, gfid xlator.GFID) *Node {
	rec := t.mem.NodeAt(i)
	generation, g, typ, ok := rec.Get()
	if !ok || g != gfid {
		return nil
	}
	if n := s.m[gfid]; n != nil {
		return n // also if damage has made two records of it
	}
	n := &Node{t: t, id: uint64(i) | uint64(generation)<<32, gfid: gfid, typ: xlator.FileType(typ), rec: rec, lookups: rec.Lookups()}
	n.errs.restore(rec)
	t.nodes.put(n.id, n)
	s.m[gfid] = n
	return n
}

// wakeAll puts in every node that an earlier process has recorded.
func (t *Table) wakeAll() {
	for i := uint32(1); i <= t.nodes.before; i++ {
		if generation, _, _, ok := t.mem.NodeAt(i).Get(); ok {
			t.revive(uint64(i) | uint64(generation)<<32)
		}
	}
}

// restore reads the write errors that are recorded. Called before the node is
// published.
func (e *errseq) restore(rec *state.Node) {
	e.rec = rec
	seq, errno, seen := rec.Errors()
	if seq != 0 {
		e.seq, e.err, e.seen = uint64(seq), syscall.Errno(errno), seen
	}
}

// ComesBack implements xlator.Recovery.
func (t *Table) ComesBack(unique uint64, e xlator.Ender) bool {
	select {
	case <-t.ready:
		return false // what had to come back is there
	default:
	}
	if !t.restored.unanswered[unique] {
		return false
	}
	r := &t.restored
	r.endersMu.Lock()
	defer r.endersMu.Unlock()
	if r.enders == nil {
		r.enders = map[uint64][]xlator.Ender{}
	}
	if !slices.Contains(r.enders[unique], e) {
		r.enders[unique] = append(r.enders[unique], e)
	}
	return true
}

// Enders are who has to hear that a request is over which an earlier process has
// begun. They are given out once, to who carries it out again, or does not.
func (t *Table) Enders(unique uint64) []xlator.Ender {
	r := &t.restored
	r.endersMu.Lock()
	defer r.endersMu.Unlock()
	all := r.enders[unique]
	delete(r.enders, unique)
	return all
}

// LocksRestored implements xlator.Recovery.
func (t *Table) LocksRestored() <-chan struct{} { return t.ready }

// HasBase implements xlator.Recovery.
func (t *Table) HasBase(base uint64) bool {
	b := t.FD(base)
	if b == nil || b.node == nil {
		return false
	}
	b.node.mu.Lock()
	defer b.node.mu.Unlock()
	return !b.closed
}
