package fuse

import (
	"sync"
	"sync/atomic"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
)

const (
	pageSize = 4096
	// headSize is a WRITE's header with its fixed part.
	headSize = int(unsafe.Sizeof(gofuse.WriteIn{}))
	// requestAt is where a request begins in a slot, so that the payload of a
	// WRITE begins at a page: the kernel copies whole pages then, and a leaf
	// may write it with O_DIRECT.
	requestAt = pageSize - headSize
	outHeader = int(unsafe.Sizeof(gofuse.OutHeader{}))

	tinySize  = 512
	smallSize = 2 * pageSize
)

// memory is where slots come from.
type memory interface {
	// alloc returns n zeroed bytes that begin at a page.
	alloc(n int) []byte
	// free takes back what alloc returned; nobody uses it any more.
	free(b []byte)
}

// heapPages returns n bytes of the heap that begin at a page.
func heapPages(n int) []byte {
	b := make([]byte, n+pageSize)
	at := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (pageSize - 1)
	return b[at:][:n:n]
}

// slots is the memory of a session: pools of slots of a few sizes.
type slots struct {
	pools []*slotPool // by size, ascending; the last holds any request
	early budget      // bytes of slots that outlive their request's reply
}

func newSlots(mem memory, maxWrite int, early int64) *slots {
	s := &slots{early: budget{max: early}}
	add := func(size, chunk, keep int) {
		s.pools = append(s.pools, &slotPool{owner: s, mem: mem, size: size, chunk: chunk, keep: keep})
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

// get returns a slot of at least n bytes; nil if n is more than any holds.
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
	for _, p := range s.pools {
		p.close()
	}
}

// bytes is how much memory the slots have, and how much of it is in use.
func (s *slots) bytes() (total, used int64) {
	for _, p := range s.pools {
		p.mu.Lock()
		total += int64(p.made) * int64(p.size)
		used += int64(p.made-len(p.free)) * int64(p.size)
		p.mu.Unlock()
	}
	return total, used
}

// slotPool is the slots of one size.
type slotPool struct {
	// Constant after construction.
	owner *slots
	mem   memory
	size  int
	chunk int // slots made at once; more than one are never freed alone
	keep  int // idle slots that are kept, if they can be freed

	mu     sync.Mutex
	free   []*slot  // guarded by mu
	made   int      // guarded by mu
	chunks [][]byte // guarded by mu; what slots were cut from
	closed bool     // guarded by mu
}

// slot is a piece of memory for one request or one reply.
type slot struct {
	// Constant after construction.
	mem  []byte
	pool *slotPool

	refs atomic.Int32 // the request's, and one per Retain
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
	b := p.mem.alloc(p.size * p.chunk)
	if p.chunk > 1 {
		p.chunks = append(p.chunks, b)
	}
	for range p.chunk {
		p.free = append(p.free, &slot{mem: b[:p.size:p.size], pool: p})
		b = b[p.size:]
	}
	p.made += p.chunk
}

func (p *slotPool) put(s *slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.chunk == 1 && (p.closed || len(p.free) >= p.keep) {
		p.mem.free(s.mem)
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
		p.mem.free(s.mem)
	}
	p.made -= len(p.free)
	p.free = nil
}

// freeChunks frees all chunks once every slot is back. Called with mu held.
func (p *slotPool) freeChunks() {
	if len(p.free) < p.made {
		return
	}
	for _, b := range p.chunks {
		p.mem.free(b)
	}
	p.free, p.chunks, p.made = nil, nil, 0
}

// Retain implements xlator.PayloadOwner: the slot keeps its content beyond the
// reply, if the budget has room for it.
func (s *slot) Retain() bool {
	if !s.pool.owner.early.take(int64(len(s.mem))) {
		return false
	}
	s.refs.Add(1)
	return true
}

// Release implements xlator.PayloadOwner.
func (s *slot) Release() {
	s.pool.owner.early.give(int64(len(s.mem)))
	s.drop()
}

// drop undoes the reference that get gave, or a Retain's.
func (s *slot) drop() {
	switch n := s.refs.Add(-1); {
	case n == 0:
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
