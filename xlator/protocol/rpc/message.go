package rpc

import "encoding/binary"

// RFC 5531.
const (
	rpcVersion = 2
	msgCall    = 0
	msgReply   = 1

	msgAccepted = 0
	msgDenied   = 1

	denyMismatch = 0
	denyAuth     = 1

	lastFragment = 1 << 31
	minRecord    = 12 // the shortest message: a denial without its reason
)

// Places in a call's record as we build it, after the mark.
const (
	recXid  = 4
	recProg = 16
	recVers = 20
	recProc = 24
	recCred = 28
)

// appendCall adds a call's record, mark included, up to its arguments. Mark and
// xid are filled in when they are known.
func appendCall(b []byte, r *Request) []byte {
	be := binary.BigEndian
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	b = be.AppendUint32(b, msgCall)
	b = be.AppendUint32(b, rpcVersion)
	b = be.AppendUint32(b, r.Prog)
	b = be.AppendUint32(b, r.Vers)
	b = be.AppendUint32(b, r.Proc)
	b = r.Cred.append(b)
	return append(b, 0, 0, 0, 0, 0, 0, 0, 0) // verifier: none
}

// words reads big-endian words off a message; after the first that is not
// there, everything is zero and bad.
type words struct {
	b   []byte
	bad bool
}

func (w *words) u32() uint32 {
	if len(w.b) < 4 {
		w.b, w.bad = nil, true
		return 0
	}
	v := binary.BigEndian.Uint32(w.b)
	w.b = w.b[4:]
	return v
}

// auth skips flavor and body of a credential or verifier.
func (w *words) auth() {
	w.u32()
	n := w.u32()
	if n > maxCred || int(n+3)&^3 > len(w.b) {
		w.b, w.bad = nil, true
		return
	}
	w.b = w.b[(n+3)&^3:]
}

// parseReply returns the part of an accepted reply from accept_stat on. rec
// begins after the xid and the message type.
func parseReply(rec []byte) (result []byte, err error) {
	w := words{b: rec}
	switch stat := w.u32(); {
	case w.bad:
	case stat == msgDenied:
		return nil, parseDenial(&w)
	case stat != msgAccepted:
		return nil, protocolError("reply status %d", stat)
	default:
		w.auth()
	}
	if w.bad || len(w.b) < 4 {
		return nil, protocolError("a reply's header is cut off")
	}
	if stat := binary.BigEndian.Uint32(w.b); stat > uint32(SystemErr) {
		return nil, protocolError("accept_stat %d", stat)
	}
	return w.b, nil
}

// parseDenial says why a call was denied. A denial concerns the whole
// connection: our version or our credential is not what the server wants.
func parseDenial(w *words) error {
	switch stat := w.u32(); {
	case w.bad:
		return protocolError("a denial is cut off")
	case stat == denyMismatch:
		low, high := w.u32(), w.u32()
		return protocolError("the server speaks RPC versions %d to %d, we speak %d", low, high, rpcVersion)
	case stat == denyAuth:
		return protocolError("the server refuses our credential (auth_stat %d)", w.u32())
	default:
		return protocolError("reject status %d", stat)
	}
}

// parseCallback reads a server's call. rec begins after the xid and the message
// type.
func parseCallback(rec []byte) (cb Callback, err error) {
	w := words{b: rec}
	if v := w.u32(); !w.bad && v != rpcVersion {
		return cb, protocolError("a callback of RPC version %d", v)
	}
	cb.Prog, cb.Vers, cb.Proc = w.u32(), w.u32(), w.u32()
	w.auth()
	w.auth()
	if w.bad {
		return cb, protocolError("a callback's header is cut off")
	}
	cb.Args = w.b
	return cb, nil
}
