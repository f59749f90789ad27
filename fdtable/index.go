package fdtable

import (
	"encoding/binary"
	"math/bits"

	"github.com/holdfast/holdfast/xlator"
)

// index finds by gfid the nodes that an earlier process has recorded and nobody
// has asked for yet. It is made once, in the background, and never changed: what
// it says is believed only if the record says so, too.
type index struct {
	ready chan struct{} // closed when the rest is constant
	slots []uint32      // open addressing; a power of two of them
}

// indexBatch is how many records are read while numbers cannot be given out.
const indexBatch = 4096

// indexNodes makes the index, finds the slots that are free, and drops the nodes
// that the kernel does not know: it was told of them in replies that were never
// written.
func (t *Table) indexNodes() {
	found := make([]uint32, 0, t.nodes.before)
	var unknown []uint64
	damaged := 0
	look := func(i uint32) recordState {
		rec := t.mem.NodeAt(i)
		generation, _, _, ok := rec.Get()
		switch {
		case ok:
			found = append(found, i)
			if rec.Lookups() == 0 {
				unknown = append(unknown, uint64(i)|uint64(generation)<<32)
			}
			return recordLive
		case rec.Damaged():
			damaged++
			return recordDamaged
		}
		return recordFree
	}
	for t.nodes.scan(indexBatch, look) && t.ctx.Err() == nil {
	}
	x := &t.index
	x.slots = make([]uint32, 1<<bits.Len(uint(2*len(found))))
	for _, i := range found {
		_, g, _, ok := t.mem.NodeAt(i).Get()
		if !ok {
			continue // dropped meanwhile
		}
		at := hashOf(g) & uint64(len(x.slots)-1)
		for x.slots[at] != 0 {
			at = (at + 1) & uint64(len(x.slots)-1)
		}
		x.slots[at] = i
	}
	close(x.ready)
	if damaged > 0 {
		t.log.Error("node records of the state memory are damaged; the files have to be looked up again", "damaged", damaged)
	}
	t.damagedNodes.Store(int64(damaged))
	for _, id := range unknown {
		if n := t.revive(id); n != nil {
			t.dropUnused(n)
		}
	}
}

// reviveGFID returns the node of that gfid that an earlier process has recorded,
// or nil. Called with s.mu held; the index is made without it.
func (t *Table) reviveGFID(s *shard, g xlator.GFID) *Node {
	if t.nodes.before == 0 {
		return nil
	}
	x := &t.index
	<-x.ready
	for at := hashOf(g) & uint64(len(x.slots)-1); x.slots[at] != 0; at = (at + 1) & uint64(len(x.slots)-1) {
		if n := t.reviveSlot(s, x.slots[at], g); n != nil {
			return n
		}
	}
	return nil
}

func hashOf(g xlator.GFID) uint64 {
	hi, lo := bits.Mul64(binary.NativeEndian.Uint64(g[:])^0x9e3779b97f4a7c15, binary.NativeEndian.Uint64(g[8:])^0xd6e8feb86659fd93)
	return hi ^ lo
}
