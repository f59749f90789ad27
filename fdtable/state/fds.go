package state

const maxFDs = (nodesAt - fdsAt) / fdSize

const fdSize = 64

// MaxFDSlot is the highest base fd slot there can be.
const MaxFDSlot = maxFDs - 1

// FD is the record of a base fd: an open file.
//
//	0   8  head: state, check sum over node, flags and request, generation
//	8   8  nodeid
//	16  8  open(2) flags
//	24  8  unique of the request that opened it
//	32  8  number of the last write error that it has reported
//	40 24  not used
type FD struct {
	head   uint64
	node   uint64
	flags  uint64
	unique uint64
	cursor uint64
	_      [3]uint64
}

// FDAt is the record of a base fd slot (the low half of an fh).
func (m *Memory) FDAt(slot uint32) *FD {
	return view[FD](m.bytes(fdsAt+int64(slot)*fdSize, fdSize))
}

// FDSlots is the highest base fd slot that was ever used.
func (m *Memory) FDSlots() uint32 { return uint32(load(&m.header.fds)) }

// UseFDSlots records that slots up to that one are used.
func (m *Memory) UseFDSlots(slot uint32) { store(&m.header.fds, uint64(slot)) }

// Put publishes the record. generation is the high half of the fh; unique is of
// the request that opens the file, for whose answer's sake it exists.
func (f *FD) Put(generation uint32, node uint64, flags uint32, unique, cursor uint64) {
	f.node, f.flags, f.unique, f.cursor = node, uint64(flags), unique, cursor
	store(&f.head, makeHead(generation, f.sum(), 0))
}

// Free takes the record away; generation is the next one's.
func (f *FD) Free(generation uint32) { store(&f.head, uint64(generation)<<32) }

func (f *FD) sum() uint16 { return sum16(f.node, f.flags, f.unique) }

// Get reads the record. ok is false if there is none or it is damaged;
// generation is valid in either case.
func (f *FD) Get() (generation uint32, node uint64, flags uint32, unique uint64, ok bool) {
	h := head(load(&f.head))
	return h.gen(), f.node, uint32(f.flags), f.unique, h.live() && h.sum() == f.sum()
}

// Damaged reports whether the record is live and fails its check.
func (f *FD) Damaged() bool {
	h := head(load(&f.head))
	return h != 0 && uint8(h) > live || h.live() && h.sum() != f.sum()
}

// Cursor is the number of the last write error that the base fd has reported.
func (f *FD) Cursor() uint64     { return load(&f.cursor) }
func (f *FD) SetCursor(v uint64) { store(&f.cursor, v) }
