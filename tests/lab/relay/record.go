package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Record marking (RFC 5531, section 11): a word whose top bit says "last
// fragment" and whose rest is the fragment's length, then that many bytes.
const (
	markSize     = 4
	lastFragment = 1 << 31
)

// maxRecord is far above what a client sends; a larger one means that this is
// no stream of records.
const maxRecord = 256 << 20

// errStream says that what came is not a stream of records.
var errStream = errors.New("not a stream of RPC records")

// record is one RPC message.
type record struct {
	wire []byte // as it came: marks and fragments
	body []byte // the fragments' contents; may share memory with wire
}

// readRecord reads one record. The error is io.EOF only between two records.
func readRecord(r io.Reader) (record, error) {
	var wire, body []byte
	for first := true; ; first = false {
		var mark [markSize]byte
		if _, err := io.ReadFull(r, mark[:]); err != nil {
			if err == io.EOF && !first {
				err = io.ErrUnexpectedEOF
			}
			return record{}, err
		}
		word := binary.BigEndian.Uint32(mark[:])
		size := int(word &^ lastFragment)
		if len(wire)+size > maxRecord {
			return record{}, fmt.Errorf("a record of %d bytes: %w", len(wire)+size, errStream)
		}
		at := len(wire) + markSize
		wire = append(append(wire, mark[:]...), make([]byte, size)...)
		if _, err := io.ReadFull(r, wire[at:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return record{}, err
		}
		if first && word&lastFragment != 0 {
			return record{wire: wire, body: wire[markSize:]}, nil
		}
		body = append(body, wire[at:]...)
		if word&lastFragment != 0 {
			return record{wire: wire, body: body}, nil
		}
	}
}

// newRecord marks body as one fragment.
func newRecord(body []byte) record {
	wire := binary.BigEndian.AppendUint32(make([]byte, 0, markSize+len(body)), uint32(len(body))|lastFragment)
	wire = append(wire, body...)
	return record{wire: wire, body: wire[markSize:]}
}

// message is what the relay wants to know of a record.
type message struct {
	xid   uint32
	reply bool
	call  Call // of a call
	// payload is where the arguments or, of a successful reply, the results
	// begin; 0 where there are none.
	payload int
}

// parse reads an RPC message's header (RFC 5531, section 9).
func parse(body []byte) (message, error) {
	w := words{rest: body}
	m := message{xid: w.next()}
	switch w.next() {
	case 0: // CALL
		w.next() // RPC version
		program := w.next()
		w.next() // program version
		m.call = Of(program, w.next())
		w.auth()
		w.auth()
		m.payload = len(body) - len(w.rest)
	case 1: // REPLY
		m.reply = true
		if w.next() != 0 { // MSG_DENIED
			break
		}
		w.auth()
		if w.next() == 0 { // SUCCESS
			m.payload = len(body) - len(w.rest)
		}
	default:
		w.short = true
	}
	if w.short {
		return message{}, fmt.Errorf("a message of %d bytes has no RPC header: %w", len(body), errStream)
	}
	return m, nil
}

// words takes XDR items off a buffer; short says that it was too short.
type words struct {
	rest  []byte
	short bool
}

func (w *words) next() uint32 {
	if len(w.rest) < 4 {
		w.short = true
		return 0
	}
	v := binary.BigEndian.Uint32(w.rest)
	w.rest = w.rest[4:]
	return v
}

// auth passes over an opaque_auth.
func (w *words) auth() {
	w.next() // flavour
	n := (int(w.next()) + 3) &^ 3
	if n > len(w.rest) {
		w.short = true
		return
	}
	w.rest = w.rest[n:]
}
