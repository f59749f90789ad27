package fuse

import (
	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/holdfast/holdfast/xlator"
)

// decode decodes the request, carries it out and answers it.
func (r *request) decode() {
	switch r.op {
	case opRead:
		decodeFixed(r, (*request).doRead)
	case opWrite:
		decodeFixed(r, (*request).doWrite)
	case opGetattr:
		decodeFixed(r, (*request).doGetattr)
	case opLookup:
		r.doLookup()
	case opDestroy:
		r.replyStatus(gofuse.OK)
	case opIoctl:
		r.replyStatus(gofuse.Status(errNoTTY))
	case opPoll, opBmap, opSyncfs, opStatx, opCopyFileRange64:
		// What the kernel then does without, for the life of the mount.
		r.replyStatus(gofuse.ENOSYS)
	default:
		if r.op >= opCount || opNames[r.op] == "" || r.op == opInit {
			r.replyStatus(gofuse.ENOSYS)
			return
		}
		if !r.decodeMeta() {
			r.decodeByServer()
		}
	}
}

// decodeFixed calls do with the fixed part of the request, if it is all there.
func decodeFixed[T any](r *request, do func(*request, *T)) {
	if !fits[T](r) {
		r.replyStatus(gofuse.EIO)
		return
	}
	do(r, view[T](r))
}

func (r *request) doRead(in *gofuse.ReadIn) {
	r.size = int(in.Size)
	data, err := r.s.bridge.read(r, in)
	if err != nil {
		r.replyStatus(r.fail(err))
		return
	}
	r.replyData(data[:min(len(data), int(in.Size))])
}

func (r *request) doWrite(in *gofuse.WriteIn) {
	data := r.rest(headSize)
	if len(data) != int(in.Size) {
		r.replyStatus(gofuse.EIO)
		return
	}
	n, err := r.s.bridge.write(r, in, xlator.Payload{Bytes: data, Owner: r.slot})
	fixed[gofuse.WriteOut](r).Size = uint32(n)
	answer[gofuse.WriteOut](r, err)
}

func (r *request) doGetattr(in *gofuse.GetAttrIn) {
	answer[gofuse.AttrOut](r, r.s.bridge.getattr(r, in, fixed[gofuse.AttrOut](r)))
}

func (r *request) doLookup() {
	var name string
	if names[gofuse.InHeader](r, &name) {
		answer[gofuse.EntryOut](r, r.s.bridge.lookup(r, name, fixed[gofuse.EntryOut](r)))
	}
}

// cString returns the text up to the first NUL, which must be there.
func cString(b []byte) (string, bool) {
	for i, c := range b {
		if c == 0 {
			return string(b[:i]), true
		}
	}
	return "", false
}

// decodeByServer has a ProtocolServer decode the request and encode the reply.
func (r *request) decodeByServer() {
	if uintptr(len(r.in)) < opFixed[r.op] {
		r.replyStatus(gofuse.EIO)
		return
	}
	if r.dec == nil {
		d := newDecoder(r.s)
		if _, err := r.s.prime(d); err != nil {
			r.replyStatus(r.fail(err))
			return
		}
		d.r, r.dec = r, d
	}
	out := r.outBytes()
	if n := r.payloadRoom(); n > 0 {
		out = r.listing(n)
	}
	if n := r.payloadRoom(); n > 0 && out == nil {
		sl := r.s.slots.get(entrySize + fixedReply + n)
		if sl == nil {
			r.replyStatus(gofuse.Status(errTooBig))
			return
		}
		defer sl.drop()
		out = sl.mem[entrySize:]
	}
	r.dec.in[0], r.dec.out[0] = r.in, out
	n, status := r.dec.server.HandleRequest(r.dec.in[:], r.dec.out[:])
	r.dec.in[0], r.dec.out[0] = nil, nil
	if status != gofuse.OK || n < outHeader {
		r.replyStatus(gofuse.EIO)
		return
	}
	r.s.send(r, out[:n])
}

// payloadRoom is how many bytes beside the fixed part the reply may have.
func (r *request) payloadRoom() int {
	switch r.op {
	case opReaddir, opReaddirplus:
		if fits[gofuse.ReadIn](r) {
			return int(view[gofuse.ReadIn](r).Size)
		}
	case opGetxattr, opListxattr:
		if fits[gofuse.GetXAttrIn](r) {
			return int(view[gofuse.GetXAttrIn](r).Size)
		}
	case opReadlink:
		return pageSize
	}
	return 0
}
