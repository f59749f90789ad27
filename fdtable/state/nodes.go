package state

import "unsafe"

const maxNodes = (arenaAt - nodesAt) / nodeSize

const nodeSize = 64

// MaxNodeSlot is the highest node slot there can be.
const MaxNodeSlot = maxNodes - 1

// Node is the record of a node: a file that the kernel knows or that is open.
//
//	0   8  head: state, type, check sum over gfid, generation
//	8  16  gfid
//	24  8  lookups that the kernel has not taken back
//	32  8  write errors: bits 0-31 number of the last, 32-47 its errno, 48 seen
//	40 24  not used
type Node struct {
	head    uint64
	gfid    [16]byte
	lookups uint64
	errors  uint64
	_       [3]uint64
}

// NodeAt is the record of a node slot (the low half of a nodeid).
func (m *Memory) NodeAt(slot uint32) *Node {
	return view[Node](m.bytes(nodesAt+int64(slot)*nodeSize, nodeSize))
}

// NodeSlots is the highest node slot that was ever used.
func (m *Memory) NodeSlots() uint32 { return uint32(load(&m.header.nodes)) }

// UseNodeSlots records that slots up to that one are used.
func (m *Memory) UseNodeSlots(slot uint32) { store(&m.header.nodes, uint64(slot)) }

// Put publishes the record. generation is the high half of the nodeid.
func (n *Node) Put(generation uint32, gfid [16]byte, typ uint8) {
	n.gfid = gfid
	n.lookups, n.errors = 0, 0
	store(&n.head, makeHead(generation, n.sum(), typ))
}

// Free takes the record away; generation is the next one's.
func (n *Node) Free(generation uint32) { store(&n.head, uint64(generation)<<32) }

func (n *Node) sum() uint16 {
	w := (*[2]uint64)(unsafe.Pointer(&n.gfid))
	return sum16(w[0], w[1])
}

// Get reads the record. ok is false if there is none or it is damaged;
// generation is valid in either case.
func (n *Node) Get() (generation uint32, gfid [16]byte, typ uint8, ok bool) {
	h := head(load(&n.head))
	return h.gen(), n.gfid, h.typ(), h.live() && h.sum() == n.sum()
}

// Damaged reports whether the record is live and fails its check.
func (n *Node) Damaged() bool {
	h := head(load(&n.head))
	return h != 0 && uint8(h) > live || h.live() && h.sum() != n.sum()
}

// Lookups is the count that SetLookups recorded.
func (n *Node) Lookups() uint64     { return load(&n.lookups) }
func (n *Node) SetLookups(v uint64) { store(&n.lookups, v) }

// Errors is the write error of the file: how many there were, the last, and
// whether somebody has reported that.
func (n *Node) Errors() (seq uint32, errno uint16, seen bool) {
	w := load(&n.errors)
	return uint32(w), uint16(w >> 32), w>>48&1 != 0
}

// SetErrors records it.
func (n *Node) SetErrors(seq uint32, errno uint16, seen bool) {
	w := uint64(seq) | uint64(errno)<<32
	if seen {
		w |= 1 << 48
	}
	store(&n.errors, w)
}
