package fuse

import (
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/holdfast/holdfast/fdtable"
	"github.com/holdfast/holdfast/fdtable/state"
)

// A READDIRPLUS counts a lookup of each file that it tells of, and its reply may be
// long. Both are recorded in its own slot, which is as large as that takes:
//
//	entry | request | counts | reply
//
// So a process that finds it either has the reply, and writes it again, or takes
// back what was counted before it carries the request out again.

// entryPlusMin is what an entry of a READDIRPLUS takes at least, in bytes: 128 of
// attributes, 24 of fixed part, a name, up to a multiple of 8.
const entryPlusMin = 160

// isListing reports whether what was read is a READDIRPLUS.
func isListing(in []byte) bool {
	return len(in) >= int(unsafe.Sizeof(gofuse.ReadIn{})) && readIn(in).Opcode == opReaddirplus
}

func readIn(in []byte) *gofuse.ReadIn { return (*gofuse.ReadIn)(unsafe.Pointer(unsafe.SliceData(in))) }

// listingSlot is a slot for a READDIRPLUS; nil if it is best left where it is. There
// it may be able to count fewer files than its reply would take; others are left for
// the next request.
func (s *Session) listingSlot(in []byte) *slot {
	n := int(readIn(in).Size)
	return s.slots.get(entrySize + len(in) + n/entryPlusMin*state.CountSize + 8 + outHeader + n)
}

// listing returns memory in the request's slot for a reply with n bytes beside its
// header, and begins to record what is counted; nil if there is no room, or
// nothing is recorded.
func (r *request) listing(n int) []byte {
	if r.op != opReaddirplus || r.slot.entry == nil {
		return nil
	}
	at, length := r.slot.entry.Place(r.slot.mem)
	counts := (at + length + 7) &^ 7
	reply := (len(r.slot.mem) - outHeader - n) &^ 7
	if length == 0 || reply-counts < state.CountSize {
		return nil
	}
	r.counts.Begin(r.slot.mem, counts, reply)
	r.listed = reply
	return r.slot.mem[reply:]
}

// counting is where it is recorded what the request counts; nil: nowhere.
func (r *request) counting() fdtable.Counting {
	switch {
	case r.listed != 0:
		return &r.counts
	case r.entry() != nil && entryOps[r.op]:
		return r.entry()
	}
	return nil
}
