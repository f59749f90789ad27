package state

import "cmp"

// Counts is where a request that is answered with the numbers of many files
// records its lookups with each of them: in its slot, behind its bytes. The Entry
// says where, and how many there are.
//
//	0  8  node
//	8  8  its lookups with the request's
type Counts struct {
	e    *Entry
	room []byte
}

// CountSize is what each file takes, in bytes.
const CountSize = 16

// Begin begins an empty record in slot[at:end], whose bytes nobody else uses; at is
// a multiple of 8.
func (c *Counts) Begin(slot []byte, at, end int) {
	c.e, c.room = EntryOf(slot), slot[at:end]
	w := c.e.counts()
	store(&w[0], 0)
	store(&w[1], uint64(at))
}

// Full reports whether there is no room for another.
func (c *Counts) Full() bool { return int(load(&c.e.counts()[0])+1)*CountSize > len(c.room) }

// SetCounted records that a node's lookups are about to become n because of the
// request. Called with the lock held that guards the count; there is room.
func (c *Counts) SetCounted(node, n uint64) {
	w := c.e.counts()
	k := load(&w[0])
	p := view[[2]uint64](c.room[k*CountSize:])
	store(&p[0], node)
	store(&p[1], n)
	store(&w[0], k+1) // a kill before leaves what it was
}

// EachCounted calls fn with what Counts has recorded.
func (e *Entry) EachCounted(slot []byte, fn func(Counted)) {
	w := e.counts()
	k, at := load(&w[0]), load(&w[1])
	if at < uint64(entrySize) || at%8 != 0 || at > uint64(len(slot)) || k > (uint64(len(slot))-at)/CountSize {
		return
	}
	for i := range k {
		fn(Counted{view[[2]uint64](slot[at+i*CountSize:])})
	}
}

// Counted is the record of one lookup that a request has counted.
type Counted struct{ w *[2]uint64 }

// isTaken is set in the lookups of a record whose lookup is being taken back.
const isTaken = 1 << 63

// Node is the node; 0: nothing is recorded.
func (c Counted) Node() uint64 { return load(&c.w[0]) }

// Lookups is what the node's were about to become by the request; taken: what they
// were about to become when it was taken back.
func (c Counted) Lookups() (n uint64, taken bool) {
	n = load(&c.w[1])
	return n &^ isTaken, n&isTaken != 0
}

// Take records that the node's lookups are about to become n, since this one is
// taken back.
func (c Counted) Take(n uint64) { store(&c.w[1], n|isTaken) }

// Clear ends the record.
func (c Counted) Clear() { store(&c.w[0], 0) }

// Compare is the order in which lookups are taken back: first the one that a dead
// process was taking back, then from the last that was counted.
func (c Counted) Compare(d Counted) int { return cmp.Compare(load(&d.w[1]), load(&c.w[1])) }

func (e *Entry) counts() *[2]uint64 { return view[[2]uint64](e.file[:]) }
