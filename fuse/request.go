package fuse

import (
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/holdfast/holdfast/fdtable"
	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/xlator"
)

// fixedReply is room for a reply's header and the largest fixed part.
const fixedReply = outHeader + 288

// request is one request of the kernel from its read to its reply. The objects
// are used again, each by one request at a time.
type request struct {
	// Constant after construction.
	s *Session

	// Of the request being carried out; owned by its goroutine, call.Interrupt
	// aside.
	call   xlator.Call
	op     uint32
	unique uint64 // as read; call.Unique is without bit 63
	node   uint64
	in     []byte // the whole request, in slot
	slot   *slot
	dst    *slot           // what Grab took
	told   *fdtable.BaseFD // whose write errors the reply reports; nil: none
	size   int             // of the READ, for Grab
	pages  pages           // of a WRITE
	// deaf requests are not interrupted: close(2) must not fail because the
	// process got a signal.
	deaf bool
	back bool // its reader counts as idle again
	// Of a READDIRPLUS: where the reply lies in the slot, if that is recorded, and
	// what is counted.
	listed int
	counts state.Counts

	dec *decoder // made when it is first needed, then kept

	// What the hot operations ask of the graph, here so that it costs no
	// allocation.
	lookupReq xlator.LookupReq
	statReq   xlator.StatReq
	readReq   xlator.ReadvReq
	writeReq  xlator.WritevReq

	// Neighbours in a shard of inflight; guarded by its mu.
	prev, next *request
	parked     bool // guarded by that mu; it waits for a lock, and has its place

	onPark func() // made when it is first needed, then kept

	// out is memory for replies of fixed size, aligned for their numbers.
	out [(fixedReply + 7) / 8]uint64
}

// view returns the request's fixed part as a T, which begins with an InHeader.
// The caller has checked its length.
func view[T any](r *request) *T { return (*T)(unsafe.Pointer(unsafe.SliceData(r.in))) }

// fits reports whether the request is long enough to be a T.
func fits[T any](r *request) bool { return len(r.in) >= int(unsafe.Sizeof(*new(T))) }

// fixed returns memory for a reply's fixed part, zeroed.
func fixed[T any](r *request) *T {
	p := (*T)(unsafe.Pointer(&r.out[outHeader/8]))
	*p = *new(T)
	return p
}

func (r *request) outBytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&r.out[0])), len(r.out)*8)
}

// rest is what comes after the fixed part of size n.
func (r *request) rest(n int) []byte { return r.in[min(n, len(r.in)):] }

// interrupt is called with the lock of r's shard held, so that r is not used
// for another request meanwhile.
func (r *request) interrupt() {
	if r.deaf {
		return
	}
	if r.slot != nil && r.slot.entry != nil {
		r.slot.entry.SetInterrupted()
	}
	r.call.Interrupt()
}

// begin takes over what was read.
func (r *request) begin(sl *slot, in []byte) {
	h := (*gofuse.InHeader)(unsafe.Pointer(unsafe.SliceData(in)))
	r.slot, r.in = sl, in
	r.op, r.unique, r.node = h.Opcode, h.Unique, h.NodeId
	r.call.Unique = h.Unique &^ resent
	r.call.UID, r.call.GID, r.call.PID = h.Uid, h.Gid, h.Pid
	r.deaf = h.Opcode == opFlush || h.Opcode == opRelease || h.Opcode == opReleasedir
	if sl.entry != nil {
		r.call.Journal = journal{sl.entry}
	}
	if h.Opcode == opWrite {
		r.s.writing.begin(r)
	}
	if h.Opcode == opSetlkw {
		if r.onPark == nil {
			r.onPark = func() { r.s.running.park(r) }
		}
		r.call.OnPark = r.onPark
	}
}

// entry is where it is recorded what has been done for the request; nil: nowhere.
func (r *request) entry() *state.Entry { return r.slot.entry }

// uncounted notes that no lookup is counted for the request any more. It comes
// before that is so.
func (r *request) uncounted() {
	if e := r.entry(); e != nil {
		e.SetCounted(0, 0)
	}
}

// end gives the memory back, after the reply.
func (r *request) end() {
	r.call.Over()
	r.slot.drop()
	if r.dst != nil {
		r.dst.drop()
	}
	r.slot, r.dst, r.in, r.told, r.back, r.listed = nil, nil, nil, nil, false, 0
	r.lookupReq, r.statReq = xlator.LookupReq{}, xlator.StatReq{}
	r.readReq, r.writeReq = xlator.ReadvReq{}, xlator.WritevReq{}
	r.call.Reset()
}

// Grab implements xlator.Destination: memory for a READ's reply, taken when the
// data is there. It begins at a page, after room for the header.
func (r *request) Grab(n int) []byte {
	if r.dst != nil || n > r.size {
		return make([]byte, n)
	}
	r.dst = r.s.slots.get(pageSize + n)
	return r.dst.mem[pageSize:][:n]
}

// header fills in a reply's header at b.
func (r *request) header(b []byte, status gofuse.Status, length int) {
	*(*gofuse.OutHeader)(unsafe.Pointer(unsafe.SliceData(b))) = gofuse.OutHeader{
		Length: uint32(length), Status: -int32(status), Unique: r.unique,
	}
}

// replyStatus answers without content.
func (r *request) replyStatus(status gofuse.Status) {
	b := r.outBytes()[:outHeader]
	r.header(b, status, outHeader)
	r.s.send(r, b)
}

// replyFixed answers with the first n bytes of the fixed part.
func (r *request) replyFixed(n int) {
	b := r.outBytes()[:outHeader+n]
	r.header(b, gofuse.OK, len(b))
	r.s.send(r, b)
}

// replyData answers a READ.
func (r *request) replyData(data []byte) {
	if len(data) == 0 {
		r.replyStatus(gofuse.OK)
		return
	}
	if r.dst != nil && &data[0] == &r.dst.mem[pageSize] {
		b := r.dst.mem[pageSize-outHeader:][:outHeader+len(data)]
		r.header(b, gofuse.OK, len(b))
		r.s.send(r, b)
		return
	}
	b := r.outBytes()[:outHeader]
	r.header(b, gofuse.OK, outHeader+len(data))
	r.s.send(r, b, data)
}
