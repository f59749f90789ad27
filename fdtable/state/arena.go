package state

import (
	"fmt"
	"iter"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	pageSize  = 4096
	maxChunks = (locksAt - chunksAt) / 16
)

// chunk is the record of a piece of the arena.
//
//	0  8  offset in the memory
//	8  4  size of a slot in bytes
//	12 4  number of slots
//
// Records are only added; the count of them in the header is stored last. The
// memory of a chunk whose slots are all idle may be given back (the pages become
// holes); its place stays and is used again for slots of the same size.
type chunk struct {
	at          uint64
	size, slots uint32
}

// arena is which chunks there are.
type arena struct {
	mu    sync.Mutex
	spare map[uint64][]*Chunk // guarded by mu; without memory, by size and number
	all   []*Chunk            // guarded by mu
}

// Chunk is a piece of memory that is cut into slots.
type Chunk struct {
	// Constant after construction.
	Size, Slots int
	at          int64
	mem         []byte // all of it
}

// Slot is the memory of slot i.
func (c *Chunk) Slot(i int) []byte { return c.mem[i*c.Size:][:c.Size:c.Size] }

// Offset is where slot i lies in the memory file.
func (c *Chunk) Offset(i int) int64 { return c.at + int64(i*c.Size) }

func key(size, slots int) uint64 { return uint64(size)<<32 | uint64(uint32(slots)) }

// NewChunk makes slots of that size, zeroed and resident.
func (m *Memory) NewChunk(size, slots int) (*Chunk, error) {
	a := &m.arena
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.spare[key(size, slots)]; len(s) > 0 {
		c := s[len(s)-1]
		a.spare[key(size, slots)] = s[:len(s)-1]
		m.populate(c)
		return c, nil
	}
	length := (int64(size)*int64(slots) + pageSize - 1) &^ (pageSize - 1)
	at := int64(m.header.arenaTop)
	if at+length > Size || m.header.chunks >= maxChunks {
		return nil, fmt.Errorf("the state memory is full: %w", unix.ENOMEM)
	}
	c := &Chunk{Size: size, Slots: slots, at: at}
	c.mem = m.chunkMemory(at, int(length))
	m.populate(c)
	if m.durable {
		r := m.chunkAt(m.header.chunks)
		*r = chunk{uint64(at), uint32(size), uint32(slots)}
	}
	store(&m.header.arenaTop, uint64(at+length))
	store(&m.header.chunks, m.header.chunks+1)
	a.all = append(a.all, c)
	return c, nil
}

func (m *Memory) chunkMemory(at int64, n int) []byte {
	if m.mapping != nil {
		return m.mapping[at:][:n:n]
	}
	b := make([]byte, n+pageSize)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (pageSize - 1)
	return b[skip:][:n:n]
}

func (m *Memory) chunkAt(i uint64) *chunk {
	return view[chunk](m.bytes(chunksAt+int64(i)*16, 16))
}

// populate makes the chunk resident: a page that is not when the process is
// killed costs an application an EIO. Locked as far as the limits allow.
func (m *Memory) populate(c *Chunk) {
	if m.mapping == nil {
		return
	}
	if err := unix.Madvise(c.mem, unix.MADV_POPULATE_WRITE); err != nil {
		for i := 0; i < len(c.mem); i += pageSize { // kernels before 5.14
			p := (*uint64)(unsafe.Pointer(&c.mem[i]))
			store(p, load(p))
		}
	}
	_ = unix.Mlock(c.mem)
}

// FreeChunk gives the memory of a chunk back, whose slots nobody uses.
func (m *Memory) FreeChunk(c *Chunk) {
	a := &m.arena
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case m.mapping == nil:
		clear(c.mem)
	case m.file != nil:
		_ = unix.Munlock(c.mem)
		if err := unix.Madvise(c.mem, unix.MADV_REMOVE); err != nil {
			clear(c.mem)
		}
	default:
		_ = unix.Munlock(c.mem)
		_ = unix.Madvise(c.mem, unix.MADV_DONTNEED)
	}
	m.spare(c)
}

// spare is called with arena.mu held.
func (m *Memory) spare(c *Chunk) {
	if m.arena.spare == nil {
		m.arena.spare = map[uint64][]*Chunk{}
	}
	k := key(c.Size, c.Slots)
	m.arena.spare[k] = append(m.arena.spare[k], c)
}

// recover reads the chunks that an earlier process made.
func (a *arena) recover(m *Memory) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range m.header.chunks {
		r := m.chunkAt(i)
		length := (int64(r.size)*int64(r.slots) + pageSize - 1) &^ (pageSize - 1)
		if r.at < arenaAt || length == 0 || length > Size || int64(r.at) > Size-length || int(r.size) < entrySize {
			m.Condemn()
			continue
		}
		a.all = append(a.all, &Chunk{Size: int(r.size), Slots: int(r.slots), at: int64(r.at), mem: m.mapping[r.at:][:length:length]})
	}
}

// Chunks are the chunks that an earlier process made. The first call of a
// process's life; each is either taken over with Adopt or given up with
// FreeChunk.
func (m *Memory) Chunks() iter.Seq[*Chunk] {
	m.arena.mu.Lock()
	all := append([]*Chunk(nil), m.arena.all...)
	m.arena.mu.Unlock()
	return func(yield func(*Chunk) bool) {
		for _, c := range all {
			if !yield(c) {
				return
			}
		}
	}
}

// Adopt makes a chunk of an earlier process resident in this one.
func (m *Memory) Adopt(c *Chunk) { m.populate(c) }
