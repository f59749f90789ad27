package content

import (
	"container/list"

	"github.com/holdfast/holdfast/xlator"
)

// Forget drops what is kept of a file.
func (s *Store) Forget(g xlator.GFID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.files[g]; r != nil {
		s.drop(r)
	}
}

// ForgetAll drops everything, and lets nothing be kept that was asked for before.
func (s *Store) ForgetAll() {
	s.changes.All()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.files {
		s.dropped.Add(uint64(len(r.pieces)))
	}
	clear(s.files)
	clear(s.names)
	s.shelves, s.bytes = nil, 0
}

func (p *piece) cost() int64 {
	if p.number < 0 {
		return recordCost
	}
	return pieceCost + int64(len(p.data))
}

// shelve puts a piece in front. mu is held.
func (s *Store) shelve(p *piece) {
	for len(s.shelves) <= p.of.weight {
		s.shelves = append(s.shelves, list.New())
	}
	p.place = s.shelves[p.of.weight].PushFront(p)
	s.bytes += p.cost()
}

// evict makes room: first of the smallest weight, what was not used for longest.
// mu is held.
func (s *Store) evict() {
	for _, shelf := range s.shelves {
		for s.bytes > s.set.Limit && shelf.Len() > 0 {
			if p := shelf.Back().Value.(*piece); p.number < 0 {
				s.drop(p.of)
			} else {
				s.remove(p)
			}
		}
	}
}

// remove takes a piece of content away. mu is held.
func (s *Store) remove(p *piece) {
	s.shelves[p.of.weight].Remove(p.place)
	s.bytes -= p.cost()
	delete(p.of.pieces, p.number)
	s.dropped.Add(1)
}

// drop takes a record away with all its pieces. mu is held.
func (s *Store) drop(r *record) {
	for _, p := range r.pieces {
		s.remove(p)
	}
	s.shelves[r.weight].Remove(r.self.place)
	s.bytes -= r.self.cost()
	s.leave(r)
	delete(s.files, r.file)
}

// Hit and Miss count a read that was answered from memory, or was not; Check counts
// a stamp that was asked for because it was too old.
func (s *Store) Hit() { s.hits.Add(1) }

// Miss is described at Hit.
func (s *Store) Miss() { s.misses.Add(1) }

// Check is described at Hit.
func (s *Store) Check() { s.checks.Add(1) }

// Dump shows what is kept, and what became of reads.
func (s *Store) Dump() map[string]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	pieces := 0
	for _, r := range s.files {
		pieces += len(r.pieces)
	}
	return map[string]uint64{
		"hits": s.hits.Load(), "misses": s.misses.Load(), "checks": s.checks.Load(),
		"dropped": s.dropped.Load(), "refused": s.refused.Load(),
		"files": uint64(len(s.files)), "pieces": uint64(pieces), "bytes": uint64(s.bytes),
	}
}
