package state

import (
	"sync/atomic"
	"unsafe"
)

// store and load are single stores and loads of a word, in the order of the
// program: what a kill leaves is what was stored before it. They synchronise
// nothing between goroutines.
func store(p *uint64, v uint64) { atomic.StoreUint64(p, v) }

func load(p *uint64) uint64 { return atomic.LoadUint64(p) }

func asBytes(w []uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(w))), len(w)*8)
}

// view is a record at the start of b.
func view[T any](b []byte) *T { return (*T)(unsafe.Pointer(unsafe.SliceData(b))) }

// head is the word that publishes a record: its number's generation, a check
// sum over what does not change, its type and whether it is live.
//
//	bits 0-7    state: 0 free, 1 live
//	bits 8-15   type, of a node
//	bits 16-31  check sum
//	bits 32-63  generation
type head uint64

const live = 1

func makeHead(gen uint32, sum uint16, typ uint8) uint64 {
	return uint64(gen)<<32 | uint64(sum)<<16 | uint64(typ)<<8 | live
}

func (h head) live() bool  { return uint8(h) == live }
func (h head) typ() uint8  { return uint8(h >> 8) }
func (h head) sum() uint16 { return uint16(h >> 16) }
func (h head) gen() uint32 { return uint32(h >> 32) }

// sum16 is a check sum of a few words (Fletcher's idea, folded): it finds a
// record that was overwritten, not one that was forged.
func sum16(words ...uint64) uint16 {
	s := uint64(0x9e3779b97f4a7c15)
	for _, w := range words {
		s = (s ^ w) * 0xff51afd7ed558ccd
		s ^= s >> 33
	}
	return uint16(s>>48) | 1 // never 0, as in a hole
}
