package rpc

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// layoutVersion is stored in the header; a process takes over only a memory of
// its own version.
const (
	layoutMagic   = 0x43505248 // "HRPC", little-endian
	layoutVersion = 1

	headerSize = 4096
	slotSize   = 4096
	slotData   = 64 // where the record's bytes begin in a slot
	slotRoom   = slotSize - slotData
	noteOff    = 1024
	noteSize   = 1024
)

// Offsets in the header. doc.go says what they mean.
const (
	hdrMagic    = 0
	hdrVersion  = 4
	hdrSlots    = 8
	hdrSlotSize = 12
	hdrRing     = 16
	hdrCookie   = 24
	hdrBaseSend = 32
	hdrBaseRecv = 40
	hdrEpoch    = 48
	hdrPub      = 64
	hdrXid      = 72
	hdrNumber   = 80
	hdrBegan    = 88
	hdrDone     = 128
	hdrOrigin   = 136
)

// Layout says how large a connection's memory is.
type Layout struct {
	// Slots is the number of RPCs that may be in flight or kept, at least 16:
	// requests in flight times their steps, and a quarter more, since new
	// requests leave a quarter to those that have begun.
	Slots int
	// Ring is the size of the receive ring in bytes, a multiple of the page
	// size. Twice that much address space is used.
	Ring int
}

// DefaultLayout has room for requests of several steps on a busy mount. Slots
// that were never used cost no memory.
func DefaultLayout() Layout { return Layout{Slots: 1024, Ring: 8 << 20} }

// Size is the length of the memory in bytes: header, slots and one ring.
func (l Layout) Size() int { return l.control() + l.Ring }

func (l Layout) control() int { return headerSize + l.Slots*slotSize }

func (l Layout) check() error {
	if l.Slots < 16 || l.Slots > 1<<20 {
		return fmt.Errorf("rpc: %d slots: %w (16 to 1048576)", l.Slots, syscall.EINVAL)
	}
	if l.Ring < 1<<16 || l.Ring > 1<<30 || l.Ring%os.Getpagesize() != 0 || slotSize%os.Getpagesize() != 0 {
		return fmt.Errorf("rpc: receive ring of %d bytes: %w (64 KiB to 1 GiB, whole pages of at most %d bytes)", l.Ring, syscall.EINVAL, slotSize)
	}
	return nil
}

// maxRecord is the longest record that is received, its mark included.
func (l Layout) maxRecord() int { return l.Ring }

// smallReserve is the part of the ring that replies may need for which nobody
// waits for room.
func (l Layout) smallReserve() int { return min(l.Slots*smallReply, l.Ring/4) }

// header is the first page of the memory. Words that decide something after a
// crash are written by one atomic store, which also keeps the compiler from
// moving other stores over it.
type header []byte

func (h header) word(off int) *uint64    { return (*uint64)(unsafe.Pointer(&h[off])) }
func (h header) half(off int) *uint32    { return (*uint32)(unsafe.Pointer(&h[off])) }
func (h header) load(off int) uint64     { return atomic.LoadUint64(h.word(off)) }
func (h header) store(off int, v uint64) { atomic.StoreUint64(h.word(off), v) }

var errNotOurs = errors.New("the memory was not made by this version")

// checkHeader compares what the memory says about itself with its size.
func checkHeader(m Memory) error {
	h, l := header(m.Control()), m.Layout()
	switch {
	case *h.half(hdrMagic) != layoutMagic:
		return fmt.Errorf("rpc: magic %#x: %w: %w", *h.half(hdrMagic), errNotOurs, syscall.EINVAL)
	case *h.half(hdrVersion) != layoutVersion:
		return fmt.Errorf("rpc: layout version %d, want %d: %w: %w", *h.half(hdrVersion), layoutVersion, errNotOurs, syscall.EINVAL)
	case int(*h.half(hdrSlots)) != l.Slots || *h.half(hdrSlotSize) != slotSize || h.load(hdrRing) != uint64(l.Ring):
		return fmt.Errorf("rpc: %d slots of %d bytes and a ring of %d bytes, want %d, %d, %d: %w: %w", *h.half(hdrSlots), *h.half(hdrSlotSize), h.load(hdrRing),
			l.Slots, slotSize, l.Ring, errNotOurs, syscall.EINVAL)
	}
	return nil
}

// format makes a memory a fresh one.
func format(m Memory) {
	h, l := header(m.Control()), m.Layout()
	atomic.StoreUint32(h.half(hdrMagic), 0)
	clear(m.Control()[:headerSize])
	for i := range l.Slots {
		slotAt(m, i).setState(slotFree)
	}
	*h.half(hdrVersion) = layoutVersion
	*h.half(hdrSlots) = uint32(l.Slots)
	*h.half(hdrSlotSize) = slotSize
	h.store(hdrRing, uint64(l.Ring))
	atomic.StoreUint32(h.half(hdrMagic), layoutMagic)
}
