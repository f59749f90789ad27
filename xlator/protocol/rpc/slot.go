package rpc

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"
)

// States of a slot in memory.
const (
	slotFree = 0
	// slotSent: the record's bytes are here; it exists if its end <= pub.
	slotSent = 1
	// slotKept: the reply is here, after the record's bytes.
	slotKept = 2
	// slotLost: the connection was lost; the record may have been carried out.
	slotLost = 3
)

// Offsets in a slot.
const (
	offState   = 0
	offXid     = 4
	offUnique  = 8
	offStep    = 16
	offHead    = 20
	offEnd     = 24
	offPayload = 32
	offKind    = 36
	offWhere   = 40
	offMore    = 48
	offReply   = 52
	offHanded  = 56
	offExpect  = 60

	expectWaits = 1 << 31 // in expect: the call may wait for a lock
)

// Where the payload is.
const (
	payloadNone = 0
	// payloadRegion: at an offset in the registered regions.
	payloadRegion = 1
	// payloadPrivate: in the memory of the process that made the call, which
	// no other process finds.
	payloadPrivate = 2
)

// slot is one slot's bytes in the memory.
type slot []byte

func slotAt(m Memory, i int) slot {
	off := headerSize + i*slotSize
	return slot(m.Control()[off : off+slotSize : off+slotSize])
}

func (s slot) atom(off int) *uint32 { return (*uint32)(unsafe.Pointer(&s[off])) }

func (s slot) state() uint32           { return atomic.LoadUint32(s.atom(offState)) }
func (s slot) setState(v uint32)       { atomic.StoreUint32(s.atom(offState), v) }
func (s slot) setKind(v uint32)        { atomic.StoreUint32(s.atom(offKind), v) }
func (s slot) u32(off int) uint32      { return binary.LittleEndian.Uint32(s[off:]) }
func (s slot) u64(off int) uint64      { return binary.LittleEndian.Uint64(s[off:]) }
func (s slot) put32(off int, v uint32) { binary.LittleEndian.PutUint32(s[off:], v) }
func (s slot) put64(off int, v uint64) { binary.LittleEndian.PutUint64(s[off:], v) }
func (s slot) data() []byte            { return s[slotData:] }

// align8 rounds up to a multiple of 8: where a reply begins after the record.
func align8(n int) int { return (n + 7) &^ 7 }

// slotsFor is the number of slots that n bytes need.
func slotsFor(n int) int { return max(1, (n+slotRoom-1)/slotRoom) }

// chain is the data area of a slot and of those it goes on in, as one run of
// bytes.
type chain []slot

// chainOf follows a slot's links as far as n bytes reach. ok is false if the
// memory leads nowhere.
func chainOf(m Memory, i, n int) (ch chain, idx []int32, ok bool) {
	slots := m.Layout().Slots
	for want := slotsFor(n); ; {
		s := slotAt(m, i)
		ch, idx = append(ch, s), append(idx, int32(i))
		if len(ch) == want {
			return ch, idx, true
		}
		next := int(s.u32(offMore)) - 1
		if next < 0 || next >= slots || len(ch) > slots {
			return nil, nil, false
		}
		i = next
	}
}

// pieces calls fn for each run of bytes of [off, off+n), in order.
func (ch chain) pieces(off, n int, fn func(b []byte)) {
	for n > 0 {
		s, at := ch[off/slotRoom], off%slotRoom
		k := min(n, slotRoom-at)
		fn(s[slotData+at : slotData+at+k])
		off, n = off+k, n-k
	}
}

// write stores p at off.
func (ch chain) write(off int, p []byte) {
	ch.pieces(off, len(p), func(b []byte) { p = p[copy(b, p):] })
}

// read returns the bytes of [off, off+n): those of the slot itself when they
// lie together, else a copy.
func (ch chain) read(off, n int) []byte {
	if n == 0 {
		return nil
	}
	if off/slotRoom == (off+n-1)/slotRoom {
		at := slotData + off%slotRoom
		return ch[off/slotRoom][at : at+n : at+n]
	}
	all := make([]byte, 0, n)
	ch.pieces(off, n, func(b []byte) { all = append(all, b...) })
	return all
}
