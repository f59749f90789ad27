package fdtable

import (
	"math"
	"sync"
	"sync/atomic"
)

const (
	chunkBits = 12
	chunkLen  = 1 << chunkBits
	maxChunks = 1 << 14

	// lastGeneration is not given out: a slot that has come so far is not used
	// again.
	lastGeneration = math.MaxUint32
)

// numbered is something that lives under a number of a slab.
type numbered interface{ number() uint64 }

// records is where a slab's numbers are recorded for the next process.
type records struct {
	use        func(slot uint32)             // slots up to that one are used
	free       func(slot, generation uint32) // nothing lives there; generation comes next
	generation func(slot uint32) uint32      // of a slot that nothing lives in
}

// slab gives out numbers: slot | generation<<32. No number is given out twice;
// a number whose generation is over finds nothing. Finding takes no lock.
//
// Slots that an earlier process has used are known by their records: what lives
// in them is put there when it is asked for, and what is free is found by a
// scan.
type slab[T any, P interface {
	*T
	numbered
}] struct {
	chunks [maxChunks]atomic.Pointer[[chunkLen]slot[T]]

	// Constant after construction.
	max    uint32   // highest slot
	rec    *records // nil: nothing is recorded
	before uint32   // slots up to it may have been used by an earlier process

	mu      sync.Mutex
	next    uint32   // guarded by mu; slots up to it have been used
	free    []uint32 // guarded by mu
	live    int      // guarded by mu
	scanned uint32   // guarded by mu; of the slots up to before, these have been looked at
	asleep  int      // guarded by mu; of those, live but not put in yet
}

type slot[T any] struct {
	p   atomic.Pointer[T]
	gen uint32 // guarded by slab.mu; what lives here has it, or comes next
}

// at is the slot i, which must have been used.
func (s *slab[T, P]) at(i uint32) *slot[T] {
	return &s.chunks[i>>chunkBits].Load()[i&(chunkLen-1)]
}

// room makes the memory for slot i. Called with mu held.
func (s *slab[T, P]) room(i uint32) *slot[T] {
	if s.chunks[i>>chunkBits].Load() == nil {
		s.chunks[i>>chunkBits].Store(new([chunkLen]slot[T]))
	}
	return s.at(i)
}

// add makes something under a new number. Slot 0 is never used.
func (s *slab[T, P]) add(mk func(number uint64) *T) *T {
	s.mu.Lock()
	defer s.mu.Unlock()
	var i uint32
	if n := len(s.free); n > 0 {
		i, s.free = s.free[n-1], s.free[:n-1]
	} else {
		if s.next >= s.max {
			panic("fdtable: out of numbers")
		}
		s.next++
		i = s.next
		if s.rec != nil {
			s.rec.use(i)
		}
	}
	sl := s.room(i)
	if s.rec != nil {
		if i <= s.before {
			sl.gen = s.rec.generation(i)
		}
		s.rec.free(i, sl.gen+1) // until it is recorded: the next process does not give it out again
	}
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

// put enters what an earlier process has recorded under that number, unless it
// is there already.
func (s *slab[T, P]) put(number uint64, v *T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := uint32(number)
	sl := s.room(i)
	if sl.p.Load() != nil {
		return
	}
	sl.gen = uint32(number >> 32)
	sl.p.Store(v)
	s.live++
	if i <= s.scanned {
		s.asleep--
	}
}

// remove ends a number.
func (s *slab[T, P]) remove(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := uint32(number)
	sl := s.at(i)
	v := sl.p.Load()
	if v == nil || P(v).number() != number {
		return
	}
	sl.p.Store(nil)
	sl.gen++
	s.live--
	if s.rec != nil {
		s.rec.free(i, sl.gen)
	}
	// A slot that the scan has yet to come to is entered by it.
	if sl.gen != lastGeneration && (i > s.before || i <= s.scanned) {
		s.free = append(s.free, i)
	}
}

// scan looks at up to n slots of an earlier process more and reports whether
// there are any left. look says what a record is, for a slot that nothing has
// been put in.
func (s *slab[T, P]) scan(n uint32, look func(slot uint32) recordState) (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for end := s.scanned + min(n, s.before-s.scanned); s.scanned < end; {
		s.scanned++
		i := s.scanned
		if c := s.chunks[i>>chunkBits].Load(); c != nil && c[i&(chunkLen-1)].p.Load() != nil {
			continue
		}
		switch look(i) {
		case recordLive:
			s.asleep++
		case recordFree:
			if s.rec.generation(i) != lastGeneration {
				s.free = append(s.free, i)
			}
		}
	}
	return s.scanned < s.before
}

// recordState is what is known of a record.
type recordState uint8

const (
	recordFree recordState = iota
	recordLive
	recordDamaged
)

// each calls fn for everything there is at some moment of the call, but for
// what an earlier process has recorded and nobody has asked for.
func (s *slab[T, P]) each(fn func(*T)) {
	s.mu.Lock()
	last := s.next
	s.mu.Unlock()
	for i := uint32(1); i <= last; i++ {
		c := s.chunks[i>>chunkBits].Load()
		if c == nil {
			i |= chunkLen - 1
			continue
		}
		if v := c[i&(chunkLen-1)].p.Load(); v != nil {
			fn(v)
		}
	}
}

func (s *slab[T, P]) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live + s.asleep
}
