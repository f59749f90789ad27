package fuse

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/holdfast/holdfast/fdtable/state"
)

const (
	pageSize = 4096
	// headSize is a WRITE's header with its fixed part.
	headSize = int(unsafe.Sizeof(gofuse.WriteIn{}))
	// entrySize is what the record of its request takes at the start of a slot.
	entrySize = state.EntrySize
	// requestAt is where a request begins in a slot, so that the payload of a
	// WRITE begins at a page: the kernel copies whole pages then, and a leaf
	// may write it with O_DIRECT.
	requestAt = pageSize - headSize
	outHeader = int(unsafe.Sizeof(gofuse.OutHeader{}))

	tinySize  = 2 * entrySize
	smallSize = 2 * pageSize
)

// slots is the memory of a session: pools of slots of a few sizes, cut from the
// state memory.
type slots struct {
	// Constant after construction.
	mem     *state.Memory
	log     *slog.Logger
	pools   []*slotPool // by size, ascending; the last holds any request
	strange []*slotPool // of sizes that only an earlier process used
	early   budget      // bytes of slots that outlive their request's reply

	full sync.Once // the state memory was full: said once
}

func newSlots(mem *state.Memory, log *slog.Logger, maxWrite int, early int64) *slots {
	s := &slots{mem: mem, log: log, early: budget{max: early}}
	add := func(size, chunk, keep int) {
		s.pools = append(s.pools, &slotPool{owner: s, size: size, chunk: chunk, keep: keep})
	}
	add(tinySize, 128, 0)
	add(smallSize, 16, 0)
	for _, payload := range []int{32 << 10, 128 << 10, 256 << 10} {
		if payload < maxWrite {
			add(payload+pageSize, 1, (8<<20)/payload)
		}
	}
	// The kernel wants room for a WRITE of max_write and a page more.
	add(maxWrite+2*pageSize, 1, 16)
	return s
}

// get returns a slot of at least n bytes, its entry's included; nil if n is more
// than any holds.
func (s *slots) get(n int) *slot {
	for _, p := range s.pools {
		if n <= p.size {
			return p.get()
		}
	}
	return nil
}

// big returns a slot that any request can be read into, from requestAt.
func (s *slots) big() *slot { return s.pools[len(s.pools)-1].get() }

// close frees what is not in use, and has the rest freed when it comes back.
func (s *slots) close() {
	for _, p := range slices.Concat(s.pools, s.strange) {
		p.close()
	}
}

// bytes is how much memory the slots have, and how much of it is in use.
func (s *slots) bytes() (total, used int64) {
	for _, p := range slices.Concat(s.pools, s.strange) {
		p.mu.Lock()
		total += int64(p.made) * int64(p.size)
		used += int64(p.made-len(p.free)) * int64(p.size)
		p.mu.Unlock()
	}
	return total, used
}

// newChunk makes memory for slots. Should there be no room in the state memory,
// the heap has to do: what is in flight there does not survive the process.
func (s *slots) newChunk(size, n int) chunk {
	c, err := s.mem.NewChunk(size, n)
	if err == nil {
		return chunk{c, nil}
	}
	s.full.Do(func() { s.log.Error("requests in flight will not survive this process", "err", err) })
	return chunk{nil, heapPages(size * n)}
}

// heapPages returns n bytes of the heap that begin at a page.
func heapPages(n int) []byte {
	b := make([]byte, n+pageSize)
	at := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (pageSize - 1)
	return b[at:][:n:n]
}

// chunk is memory for one slot or several.
type chunk struct {
	c    *state.Chunk // nil: heap
	heap []byte
}

func (c chunk) slot(i, size int) []byte {
	if c.c == nil {
		return c.heap[i*size:][:size:size]
	}
	return c.c.Slot(i)
}

func (s *slots) freeChunk(c chunk) {
	if c.c != nil {
		s.mem.FreeChunk(c.c)
	}
}

// slotPool is the slots of one size.
type slotPool struct {
	// Constant after construction.
	owner *slots
	size  int
	chunk int // slots made at once; more than one are never freed alone
	keep  int // idle slots that are kept, if they can be freed

	mu     sync.Mutex
	free   []*slot // guarded by mu
	made   int     // guarded by mu
	chunks []chunk // guarded by mu; what slots were cut from, if not freed alone
	closed bool    // guarded by mu
}

// slot is a piece of memory for one request or one reply.
type slot struct {
	// Constant after construction.
	mem   []byte
	from  chunk
	pool  *slotPool
	entry *state.Entry // nil if nothing outlives the process

	refs atomic.Int32 // the request's, and one per Retain

	mu       sync.Mutex
	retained int // guarded by mu; counted only with an entry

	// INVARIANT: the entry is Owed while retained is not 0.
}

func (p *slotPool) cut(c chunk, i int) *slot {
	s := &slot{mem: c.slot(i, p.size), from: c, pool: p}
	if p.owner.mem.Durable() && c.c != nil {
		s.entry = state.EntryOf(s.mem)
	}
	return s
}

func (p *slotPool) get() *slot {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) == 0 {
		p.make()
	}
	n := len(p.free) - 1
	s := p.free[n]
	p.free = p.free[:n]
	s.refs.Store(1)
	return s
}

// make makes more slots. Called with mu held.
func (p *slotPool) make() {
	c := p.owner.newChunk(p.size, p.chunk)
	if p.chunk > 1 {
		p.chunks = append(p.chunks, c)
	}
	for i := range p.chunk {
		p.free = append(p.free, p.cut(c, i))
	}
	p.made += p.chunk
}

func (p *slotPool) put(s *slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.chunk == 1 && (p.closed || len(p.free) >= p.keep) {
		p.owner.freeChunk(s.from)
		p.made--
		return
	}
	p.free = append(p.free, s)
	if p.closed {
		p.freeChunks()
	}
}

func (p *slotPool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.chunk > 1 {
		p.freeChunks()
		return
	}
	for _, s := range p.free {
		p.owner.freeChunk(s.from)
	}
	p.made -= len(p.free)
	p.free = nil
}

// freeChunks frees all chunks once every slot is back. Called with mu held.
func (p *slotPool) freeChunks() {
	if len(p.free) < p.made {
		return
	}
	for _, c := range p.chunks {
		p.owner.freeChunk(c)
	}
	p.free, p.chunks, p.made = nil, nil, 0
}

// Retain implements xlator.PayloadOwner: the slot keeps its content beyond the
// reply, if the budget has room for it. It is recorded before the reply is: from
// now on the next process owes the data to the file.
func (s *slot) Retain() bool {
	if !s.pool.owner.early.take(int64(len(s.mem))) {
		return false
	}
	s.retain()
	return true
}

func (s *slot) retain() {
	s.refs.Add(1)
	if s.entry == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retained++; s.retained == 1 {
		s.pool.owner.mem.CountOwed(1)
		s.entry.Owe()
	}
}

// Release implements xlator.PayloadOwner. When it returns nothing is owed any
// more, whether or not the request has ended: a write that comes later must not
// be overwritten by the next process.
func (s *slot) Release() {
	if s.entry != nil {
		s.mu.Lock()
		if s.retained--; s.retained == 0 {
			s.entry.Settle()
			s.pool.owner.mem.CountOwed(-1)
		}
		s.mu.Unlock()
	}
	s.pool.owner.early.give(int64(len(s.mem)))
	s.drop()
}

// drop undoes the reference that get gave, or a Retain's. After the last nothing
// is recorded of the request any more.
func (s *slot) drop() {
	switch n := s.refs.Add(-1); {
	case n == 0:
		if s.entry != nil {
			s.entry.Clear()
		}
		s.pool.put(s)
	case n < 0:
		panic("fuse: a slot was released twice")
	}
}

// budget is a number of bytes that may be taken.
type budget struct {
	max  int64
	used atomic.Int64
}

func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.max {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.used.Add(-n) }
