package state

import (
	"slices"
	"sync"
)

const maxLocks = (fdsAt - locksAt) / lockSize

const lockSize = 64

// Lock is a lock that an application holds, as recorded.
type Lock struct {
	Node       uint64 // nodeid
	Owner      uint64
	Start, End int64  // inclusive
	FH         uint64 // base fd through which it was taken
	PID        uint32
	Type       int16 // F_RDLCK or F_WRLCK
	Flock      bool
}

// lockRecord is a Lock in the memory.
//
//	0   8  head: state, type, check sum over the rest, order of recording
//	8   8  nodeid
//	16  8  owner
//	24  8  first byte
//	32  8  last byte
//	40  8  fh
//	48  8  bits 0-31 pid, bit 32 flock
//	56  8  not used
//
// A change of an owner's locks in a file writes the new records and then takes
// the old ones away. A kill in between leaves both: read in the order of
// recording, the later ones win where they overlap, and the request that made
// the change is carried out again.
type lockRecord struct {
	head       uint64
	node       uint64
	owner      uint64
	start, end uint64
	fh         uint64
	pidFlags   uint64
	_          uint64
}

func (r *lockRecord) sum() uint16 {
	return sum16(r.node, r.owner, r.start, r.end, r.fh, r.pidFlags)
}

// lockSlots is which records are free.
type lockSlots struct {
	mu    sync.Mutex
	free  []uint32 // guarded by mu
	order uint32   // guarded by mu
}

func (m *Memory) lockAt(slot uint32) *lockRecord {
	return view[lockRecord](m.bytes(locksAt+int64(slot)*lockSize, lockSize))
}

func (s *lockSlots) recover(m *Memory) {
	for i := uint32(1); i <= uint32(m.header.locks); i++ {
		h := head(load(&m.lockAt(i).head))
		if !h.live() {
			s.free = append(s.free, i)
		} else if int32(h.gen()-s.order) > 0 {
			s.order = h.gen()
		}
	}
}

// ReplaceLocks records with, in place of the records of old (what the previous
// call for the same owner and file returned), and returns the new records. It
// must not be called for the same owner and file twice at once. With plain
// memory it does nothing.
func (m *Memory) ReplaceLocks(old []uint32, with []Lock) (records []uint32) {
	if !m.Durable() {
		return nil
	}
	s := &m.locks
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range with {
		var slot uint32
		if n := len(s.free); n > 0 {
			slot, s.free = s.free[n-1], s.free[:n-1]
		} else if m.header.locks+1 < maxLocks {
			slot = uint32(m.header.locks) + 1
			store(&m.header.locks, uint64(slot))
		} else {
			continue // four million locks: the rest is not recorded
		}
		s.order++
		r := m.lockAt(slot)
		r.node, r.owner, r.start, r.end, r.fh = l.Node, l.Owner, uint64(l.Start), uint64(l.End), l.FH
		r.pidFlags = uint64(l.PID)
		if l.Flock {
			r.pidFlags |= 1 << 32
		}
		store(&r.head, makeHead(s.order, r.sum(), uint8(l.Type)))
		records = append(records, slot)
	}
	for _, slot := range old {
		store(&m.lockAt(slot).head, 0)
		s.free = append(s.free, slot)
	}
	return records
}

// RecordedLock is a Lock and where it is recorded.
type RecordedLock struct {
	Lock
	Record uint32
}

// Locks returns all recorded locks in the order of recording, and how many
// records are damaged.
func (m *Memory) Locks() (all []RecordedLock, damaged int) {
	type ordered struct {
		RecordedLock
		order uint32
	}
	var found []ordered
	for i := uint32(1); i <= uint32(m.header.locks); i++ {
		r := m.lockAt(i)
		h := head(load(&r.head))
		if h == 0 {
			continue
		}
		if !h.live() || h.sum() != r.sum() {
			damaged++
			continue
		}
		found = append(found, ordered{RecordedLock{Lock{
			Node: r.node, Owner: r.owner, Start: int64(r.start), End: int64(r.end), FH: r.fh,
			PID: uint32(r.pidFlags), Type: int16(h.typ()), Flock: r.pidFlags>>32&1 != 0,
		}, i}, h.gen()})
	}
	slices.SortFunc(found, func(a, b ordered) int { return int(int32(a.order - b.order)) })
	for _, f := range found {
		all = append(all, f.RecordedLock)
	}
	return all, damaged
}
