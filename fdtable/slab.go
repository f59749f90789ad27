package fdtable

import (
	"sync"
	"sync/atomic"
)

const (
	chunkBits = 12
	chunkLen  = 1 << chunkBits
	maxChunks = 1 << 14
)

// numbered is something that lives under a number of a slab.
type numbered interface{ number() uint64 }

// slab gives out numbers: slot | generation<<32. No number is given out twice;
// a number whose generation is over finds nothing. Finding takes no lock.
type slab[T any, P interface {
	*T
	numbered
}] struct {
	chunks [maxChunks]atomic.Pointer[[chunkLen]slot[T]]

	mu   sync.Mutex
	next uint32   // guarded by mu; slots below have been used
	free []uint32 // guarded by mu
	live int      // guarded by mu
}

type slot[T any] struct {
	p   atomic.Pointer[T]
	gen uint32 // guarded by slab.mu
}

// add makes something under a new number. Slot 0 is never used.
func (s *slab[T, P]) add(mk func(number uint64) *T) *T {
	s.mu.Lock()
	defer s.mu.Unlock()
	var i uint32
	if n := len(s.free); n > 0 {
		i, s.free = s.free[n-1], s.free[:n-1]
	} else {
		s.next++
		i = s.next
		if i>>chunkBits >= maxChunks {
			panic("fdtable: out of numbers")
		}
		if s.chunks[i>>chunkBits].Load() == nil {
			s.chunks[i>>chunkBits].Store(new([chunkLen]slot[T]))
		}
	}
	sl := &s.chunks[i>>chunkBits].Load()[i&(chunkLen-1)]
	v := mk(uint64(i) | uint64(sl.gen)<<32)
	sl.p.Store(v)
	s.live++
	return v
}

// get finds what has that number, or nil.
func (s *slab[T, P]) get(number uint64) *T {
	i := uint32(number)
	if i>>chunkBits >= maxChunks {
		return nil
	}
	c := s.chunks[i>>chunkBits].Load()
	if c == nil {
		return nil
	}
	v := c[i&(chunkLen-1)].p.Load()
	if v == nil || P(v).number() != number {
		return nil
	}
	return v
}

// remove ends a number.
func (s *slab[T, P]) remove(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := uint32(number)
	sl := &s.chunks[i>>chunkBits].Load()[i&(chunkLen-1)]
	v := sl.p.Load()
	if v == nil || P(v).number() != number {
		return
	}
	sl.p.Store(nil)
	sl.gen++
	s.live--
	if sl.gen != 0 { // a slot whose generations are used up is not used again
		s.free = append(s.free, i)
	}
}

// each calls fn for everything there is at some moment of the call.
func (s *slab[T, P]) each(fn func(*T)) {
	s.mu.Lock()
	last := s.next
	s.mu.Unlock()
	for i := uint32(1); i <= last; i++ {
		if v := s.chunks[i>>chunkBits].Load()[i&(chunkLen-1)].p.Load(); v != nil {
			fn(v)
		}
	}
}

func (s *slab[T, P]) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live
}
