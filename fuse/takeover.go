package fuse

import (
	"github.com/holdfast/holdfast/fdtable/state"
)

// takeOver makes pools of the chunks that an earlier process has left and
// returns the slots that it was using. Called before anything else.
func (s *slots) takeOver() (used []*slot) {
	if !s.mem.Durable() {
		return nil
	}
	for c := range s.mem.Chunks() {
		used = append(used, s.poolFor(c).adopt(c)...)
	}
	return used
}

// poolFor is the pool with slots like those of c. Slots of a size that only an
// earlier version of the program used get a pool that is never asked for any,
// and frees what comes back.
func (s *slots) poolFor(c *state.Chunk) *slotPool {
	for _, p := range s.pools {
		if p.size == c.Size && p.chunk == c.Slots {
			return p
		}
	}
	p := &slotPool{owner: s, size: c.Size, chunk: c.Slots, closed: true}
	s.strange = append(s.strange, p)
	return p
}

// adopt makes slots of a chunk and returns those that are in use. A chunk of
// which nobody needs anything is freed.
func (p *slotPool) adopt(c *state.Chunk) (used []*slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	idle := 0
	for i := range c.Slots {
		if k, ok := state.EntryOf(c.Slot(i)).Kind(); ok && k == state.Free {
			idle++
		}
	}
	if idle == c.Slots && (p.closed || p.chunk == 1 && len(p.free) >= p.keep) {
		p.owner.mem.FreeChunk(c)
		return nil
	}
	p.owner.mem.Adopt(c)
	from := chunk{c, nil}
	for i := range c.Slots {
		sl := p.cut(from, i)
		if k, ok := sl.entry.Kind(); ok && k == state.Free {
			p.free = append(p.free, sl)
			continue
		}
		sl.refs.Store(1)
		used = append(used, sl)
	}
	if p.chunk > 1 {
		p.chunks = append(p.chunks, from)
	}
	p.made += p.chunk
	return used
}
