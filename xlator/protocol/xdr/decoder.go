package xdr

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Message is a request, a reply or a callback of this package.
type Message interface {
	// AppendTo appends the XDR form to b and returns the longer slice.
	AppendTo(b []byte) []byte
	// DecodeFrom sets every field from d. Errors stay in d: the fields are
	// meaningless unless d.Err, d.Finish or d.FinishPayload return nil.
	DecodeFrom(d *Decoder)
}

// PayloadMessage is a Message whose XDR part is followed by data.
type PayloadMessage interface {
	Message
	// PayloadSize is how many bytes follow the XDR part.
	PayloadSize() int
}

// Decode sets m from b, all of which must be the XDR form of m. The error is an
// *Error. It allocates a Decoder; who cannot afford that has a Decoder on the
// stack and a message whose type is known, or reuses one.
func Decode(b []byte, m Message) error {
	d := NewDecoder(b)
	m.DecodeFrom(&d)
	return d.Finish()
}

// DecodePayload sets m from the beginning of b and returns the rest of b, which
// is m's payload, of exactly the size that m says. The error is an *Error.
func DecodePayload(b []byte, m PayloadMessage) ([]byte, error) {
	d := NewDecoder(b)
	m.DecodeFrom(&d)
	return d.FinishPayload(m.PayloadSize())
}

// Error says what is wrong with a message: the peer is broken, or the stream
// is out of step. Nothing after it on the same connection can be trusted more
// than the message itself.
type Error struct {
	Struct  string // the message, for example LookupRep
	Field   string // its field; empty where it is about the whole
	Problem string
}

func (e *Error) Error() string {
	if e.Field == "" {
		return "malformed " + e.Struct + ": " + e.Problem
	}
	return "malformed " + e.Struct + ": " + e.Field + ": " + e.Problem
}

// Decoder reads XDR items off the front of a message. The first error sticks:
// every later read returns zero, so a decoder checks once, at the end. A
// Decoder is a value for one goroutine; it copies nothing of the message but
// strings.
type Decoder struct {
	b    []byte // INVARIANT: nil once err is set
	name string // of the struct being decoded
	err  *Error
}

// NewDecoder returns a decoder of b. The message stays the caller's, and must
// not change while what was decoded from it is in use.
func NewDecoder(b []byte) Decoder { return Decoder{b: b, name: "message"} }

// In names the struct that the following fields belong to, for errors.
func (d *Decoder) In(name string) { d.name = name }

// Err returns the first error, or nil.
func (d *Decoder) Err() error {
	if d.err == nil {
		return nil
	}
	return d.err
}

// Rest returns what has not been read, which is nothing after an error.
func (d *Decoder) Rest() []byte { return d.b }

// Finish returns the first error; bytes that were not read are one.
func (d *Decoder) Finish() error {
	if len(d.b) != 0 {
		d.fail("", "%d bytes behind its end", len(d.b))
	}
	return d.Err()
}

// FinishPayload returns what has not been read, which must be size bytes, or
// the first error.
func (d *Decoder) FinishPayload(size int) ([]byte, error) {
	if d.err == nil && len(d.b) != size {
		d.fail("payload", "%d bytes announced, %d there", size, len(d.b))
	}
	return d.b, d.Err()
}

// fail keeps the first error and makes every later read fail too.
func (d *Decoder) fail(field, format string, args ...any) {
	if d.err == nil {
		d.err = &Error{Struct: d.name, Field: field, Problem: fmt.Sprintf(format, args...)}
	}
	d.b = nil
}

// short is fail for a message that ends too early.
func (d *Decoder) short(field string, want int) {
	d.fail(field, "%d bytes wanted, %d left", want, len(d.b))
}

// take returns the next n bytes, or nil after an error.
func (d *Decoder) take(field string, n int) []byte {
	if n > len(d.b) {
		d.short(field, n)
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

// Uint32 reads an XDR unsigned int.
func (d *Decoder) Uint32(field string) uint32 {
	if len(d.b) < 4 {
		d.short(field, 4)
		return 0
	}
	v := binary.BigEndian.Uint32(d.b)
	d.b = d.b[4:]
	return v
}

// Int32 reads an XDR int.
func (d *Decoder) Int32(field string) int32 { return int32(d.Uint32(field)) }

// Uint64 reads an XDR unsigned hyper.
func (d *Decoder) Uint64(field string) uint64 {
	if len(d.b) < 8 {
		d.short(field, 8)
		return 0
	}
	v := binary.BigEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

// Int64 reads an XDR hyper.
func (d *Decoder) Int64(field string) int64 { return int64(d.Uint64(field)) }

// GFID reads 16 bytes.
func (d *Decoder) GFID(field string) (g GFID) {
	if len(d.b) < len(g) {
		d.short(field, len(g))
		return g
	}
	copy(g[:], d.b)
	d.b = d.b[len(g):]
	return g
}

// Opaque reads a variable-length opaque of at most limit bytes. The result is
// part of the message, and nil when it is empty.
func (d *Decoder) Opaque(field string, limit int) []byte {
	n := d.Uint32(field)
	if d.err != nil {
		return nil
	}
	if uint64(n) > uint64(limit) {
		d.fail(field, "length %d is over the limit of %d", n, limit)
		return nil
	}
	v := d.take(field, int(n))
	for _, c := range d.take(field, padding(int(n))) {
		if c != 0 {
			d.fail(field, "padding is not zero")
		}
	}
	if d.err != nil || n == 0 {
		return nil
	}
	return v
}

// String reads a string of at most limit bytes, which must not hold a NUL.
func (d *Decoder) String(field string, limit int) string {
	s := string(d.Opaque(field, limit))
	if strings.IndexByte(s, 0) >= 0 {
		d.fail(field, "a NUL byte inside a string")
		return ""
	}
	return s
}

// more reads the word before an entry of a list: whether there is one.
func (d *Decoder) more(field string) bool {
	switch w := d.Uint32(field); {
	case d.err != nil || w == listEnd:
		return false
	case w == listMore:
		return true
	default:
		d.fail(field, "list word is %d, neither 0 nor 1", w)
		return false
	}
}
