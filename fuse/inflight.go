package fuse

import "sync"

const (
	// resent marks the unique of a request that the kernel sends again; the
	// same request had the number without it.
	resent = uint64(1) << 63

	inflightShards = 16
	// earlyInterrupts is how many interrupts of unknown requests a shard
	// remembers. One is early only while a reader is between its read(2) and
	// enter, so there are no more of those than readers.
	earlyInterrupts = 16
)

// inflight is the requests that are being carried out, by unique without bit
// 63, so that an INTERRUPT finds its target.
type inflight struct {
	shards [inflightShards]inflightShard
	// tick gets something, if it is empty, whenever fewer requests are busy
	// after closed was set.
	tick chan struct{}
}

type inflightShard struct {
	mu sync.Mutex
	// guarded by mu
	first  *request
	n      int
	parked int  // of n: wait for a lock, and have their place in its queue
	closed bool // nobody enters any more
	// early is a ring of targets that were not known when their INTERRUPT was
	// read: answered already, or not entered yet. Numbers do not come again,
	// so what is left of the first kind does no harm.
	early   [earlyInterrupts]uint64
	at      int
	waiting bool // early has something

	_ [24]byte
}

func (t *inflight) shard(unique uint64) *inflightShard {
	return &t.shards[unique>>1%inflightShards]
}

// enter makes r known, and interrupts it if its INTERRUPT was read first. It
// reports whether r may be carried out.
func (t *inflight) enter(r *request) bool {
	s := t.shard(r.call.Unique)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	r.prev, r.next = nil, s.first
	if s.first != nil {
		s.first.prev = r
	}
	s.first = r
	s.n++
	if s.waiting && s.takeEarly(r.call.Unique) {
		r.interrupt()
	}
	return true
}

// leave makes r unknown: nobody interrupts it after that.
func (t *inflight) leave(r *request) {
	s := t.shard(r.call.Unique)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		s.first = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	}
	r.prev, r.next = nil, nil
	s.n--
	if r.parked {
		r.parked = false
		s.parked--
	}
	t.tell(s)
}

// park notes that r waits for a lock and has its place in the queue.
func (t *inflight) park(r *request) {
	s := t.shard(r.call.Unique)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.parked {
		return
	}
	r.parked = true
	s.parked++
	if e := r.slot.entry; e != nil {
		e.Forgive()
	}
	t.tell(s)
}

// forgive takes the suspicion off all that run: they have not killed the process.
func (t *inflight) forgive() {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for r := s.first; r != nil; r = r.next {
			if e := r.slot.entry; e != nil {
				e.Forgive()
			}
		}
		s.mu.Unlock()
	}
}

// tell is called with s.mu held.
func (t *inflight) tell(s *inflightShard) {
	if s.closed {
		select {
		case t.tick <- struct{}{}:
		default:
		}
	}
}

// close lets nobody enter any more.
func (t *inflight) close() {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
	}
}

// busy is how many requests are being carried out and do not wait for a lock.
func (t *inflight) busy() (n int) {
	for i := range t.shards {
		t.shards[i].mu.Lock()
		n += t.shards[i].n - t.shards[i].parked
		t.shards[i].mu.Unlock()
	}
	return n
}

// interrupt cancels the wait of the request with that unique. One that is not
// known is remembered; known is false then. The kernel wants no answer to an
// INTERRUPT; EAGAIN would have it sent again at once, and again.
func (t *inflight) interrupt(unique uint64) (known bool) {
	unique &^= resent
	s := t.shard(unique)
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := s.first; r != nil; r = r.next {
		if r.call.Unique == unique {
			r.interrupt()
			return true
		}
	}
	s.early[s.at] = unique
	s.at = (s.at + 1) % earlyInterrupts
	s.waiting = true
	return false
}

// takeEarly is called with mu held.
func (s *inflightShard) takeEarly(unique uint64) bool {
	for i, u := range s.early {
		if u == unique {
			s.early[i] = 0
			return true
		}
	}
	return false
}

// interruptAll cancels every wait: the mount has ended.
func (t *inflight) interruptAll() {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for r := s.first; r != nil; r = r.next {
			r.call.End()
		}
		s.mu.Unlock()
	}
}

// len is how many requests are being carried out.
func (t *inflight) len() (n int) {
	for i := range t.shards {
		t.shards[i].mu.Lock()
		n += t.shards[i].n
		t.shards[i].mu.Unlock()
	}
	return n
}
