package state

import (
	"fmt"
	"sync/atomic"
	"unsafe"
)

const magic = uint64(0x3154534146444c48) // "HLDFAST1" in little-endian bytes

// header is the first bytes of the memory.
//
//	0     8  magic
//	8     8  layout version
//	16    8  number of the worker that uses the memory, from 1
//	24    8  connection: the minor of the mount's st_dev
//	32    8  highest node slot used
//	40    8  highest base fd slot used
//	48    8  highest lock slot used
//	56    8  chunks of the arena
//	64    8  first unused byte of the arena
//	72    8  generation of the graph in service
//	80    8  which copy of the config counts, and its length (config.go)
//	88    8  features that the mount promises (bits, see package keeper)
//	96   16  opcodes that were answered ENOSYS, a bit each
//	112   8  requests that were found in slots and carried out or answered, in all
//	120   8  time of the last recovery in nanoseconds
//	128   8  workers that died without being asked to end
//	136   8  damage: 1 after a check failed
//	144   8  how the last worker died: a Death
//	152   8  slots that are Owed, or one more for each that was just becoming or
//	         ceasing to be
//	256 256  targets of INTERRUPTs that were read before their request (uniques)
//	1024  4+ length and bytes of the kernel's INIT, up to 1020
//	2048  4+ length and bytes of the answer to it, up to 1020
type header struct {
	magic, version           uint64
	worker, connection       uint64
	nodes, fds, locks        uint64
	chunks, arenaTop         uint64
	graph, config            uint64
	features                 uint64
	enosys                   [2]uint64
	recovered, recoveryNanos uint64
	deaths, damage           uint64
	death, owed              uint64
	_                        [12]uint64
	early                    [32]uint64
	_                        [64]uint64
	initIn, initOut          [1024]byte
}

const headerSize = int(unsafe.Sizeof(header{}))

func (m *Memory) check() error {
	h := m.header
	switch {
	case h.chunks > maxChunks, h.arenaTop < arenaAt, h.arenaTop > Size:
		return fmt.Errorf("arena: %d chunks up to %d: %w", h.chunks, h.arenaTop, ErrDamaged)
	case h.nodes > maxNodes, h.fds > maxFDs, h.locks > maxLocks:
		return fmt.Errorf("%d nodes, %d base fds, %d locks: %w", h.nodes, h.fds, h.locks, ErrDamaged)
	case h.damage != 0:
		return fmt.Errorf("an earlier process found it so: %w", ErrDamaged)
	}
	return nil
}

// Init is what was said when the mount began.
type Init struct {
	Connection int
	In, Out    []byte // the kernel's INIT and the answer
}

// SetInit records it, before there are workers.
func (m *Memory) SetInit(i Init) error {
	if len(i.In) > 1020 || len(i.Out) > 1020 {
		return fmt.Errorf("INIT of %d and %d bytes", len(i.In), len(i.Out))
	}
	put := func(to *[1024]byte, b []byte) {
		*(*uint32)(unsafe.Pointer(to)) = uint32(len(b))
		copy(to[4:], b)
	}
	put(&m.header.initIn, i.In)
	put(&m.header.initOut, i.Out)
	m.header.connection = uint64(i.Connection)
	return nil
}

// Init returns copies of what was recorded.
func (m *Memory) Init() (Init, error) {
	get := func(from *[1024]byte) []byte {
		n := *(*uint32)(unsafe.Pointer(from))
		return append([]byte(nil), from[4:][:min(n, 1020)]...)
	}
	i := Init{Connection: int(m.header.connection), In: get(&m.header.initIn), Out: get(&m.header.initOut)}
	if len(i.In) == 0 || len(i.Out) == 0 {
		return i, fmt.Errorf("no INIT in it: %w", ErrDamaged)
	}
	return i, nil
}

// Worker is the number of the worker that uses the memory, from 1.
func (m *Memory) Worker() uint64 { return load(&m.header.worker) }

// NextWorker counts a new worker and returns its number. Called by the worker
// itself before anything else, when no other lives.
func (m *Memory) NextWorker() uint64 {
	store(&m.header.worker, m.header.worker+1)
	return m.header.worker
}

// Graph is the generation of the graph in service; SetGraph records it.
func (m *Memory) Graph() uint64       { return load(&m.header.graph) }
func (m *Memory) SetGraph(gen uint64) { store(&m.header.graph, gen) }

// Features are the bits of what the mount promises.
func (m *Memory) Features() uint64     { return load(&m.header.features) }
func (m *Memory) SetFeatures(f uint64) { store(&m.header.features, f) }

// Deaths counts the workers that ended without being asked to; the keeper adds
// to it while no worker lives.
func (m *Memory) Deaths() uint64 { return load(&m.header.deaths) }
func (m *Memory) CountDeath()    { store(&m.header.deaths, m.header.deaths+1) }

// Death is how a worker ended, as far as the requests that it left may have to
// do with it.
type Death uint64

const (
	// Blameless: it was asked to end, or killed from outside. No request did that.
	Blameless Death = iota
	// Crash: it ended by itself (an exit status, a signal of its own making, want
	// of memory).
	Crash
	// Unseen: nobody knows how.
	Unseen
)

// SetDeath records how the last worker died. Called while no worker lives. A
// request that is there at one crash after the other is suspected of having
// caused them.
func (m *Memory) SetDeath(d Death) { store(&m.header.death, uint64(d)) }

// Death is what SetDeath recorded.
func (m *Memory) Death() Death { return Death(load(&m.header.death)) }

// Recovered is how many requests workers have found in slots, and how long the
// last recovery took, in nanoseconds.
func (m *Memory) Recovered() (requests, lastNanos uint64) {
	return load(&m.header.recovered), load(&m.header.recoveryNanos)
}

// NoteRecovery adds a recovery to the counters.
func (m *Memory) NoteRecovery(requests, nanos uint64) {
	store(&m.header.recovered, m.header.recovered+requests)
	store(&m.header.recoveryNanos, nanos)
}

// Owed is how many slots should be Owed: a damaged one cannot say what it was.
// CountOwed adds to it, before a slot becomes Owed and after it ceases to be, so
// that a kill in between leaves it too high. SetOwed sets it.
func (m *Memory) Owed() int       { return int(int64(load(&m.header.owed))) }
func (m *Memory) CountOwed(n int) { atomic.AddUint64(&m.header.owed, uint64(n)) }
func (m *Memory) SetOwed(n int)   { store(&m.header.owed, uint64(n)) }

// NoteENOSYS records that an opcode (below 128) was answered ENOSYS, which the
// kernel remembers for the life of the mount. The caller serialises.
func (m *Memory) NoteENOSYS(op uint32) {
	if op < 128 {
		w := &m.header.enosys[op/64]
		store(w, *w|1<<(op%64))
	}
}

// ENOSYS reports whether an opcode was answered so.
func (m *Memory) ENOSYS(op uint32) bool {
	return op < 128 && load(&m.header.enosys[op/64])&(1<<(op%64)) != 0
}

// Early is a ring of the uniques of requests whose INTERRUPT was read before
// they were known. SetEarly writes one place; a zero is none.
func (m *Memory) Early() (uniques []uint64) {
	for i := range m.header.early {
		if u := load(&m.header.early[i]); u != 0 {
			uniques = append(uniques, u)
		}
	}
	return uniques
}

// EarlyLen is the number of places.
const EarlyLen = 32

// SetEarly writes place i, modulo EarlyLen.
func (m *Memory) SetEarly(i int, unique uint64) { store(&m.header.early[i%EarlyLen], unique) }

// Condemn marks the memory as damaged: the next process does not trust it.
func (m *Memory) Condemn() { store(&m.header.damage, 1) }
