package xdr

import "encoding/binary"

// GFID is the identity of an inode: 16 bytes without a length. It is the plain
// array so that a translator's own type can be assigned to it.
type GFID = [16]byte

// zeros pads to four bytes.
const zeros = "\x00\x00\x00"

// padding is how many bytes follow n bytes to reach a multiple of four.
func padding(n int) int { return -n & 3 }

// AppendUint32 appends an XDR unsigned int.
func AppendUint32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }

// AppendInt32 appends an XDR int.
func AppendInt32(b []byte, v int32) []byte { return binary.BigEndian.AppendUint32(b, uint32(v)) }

// AppendUint64 appends an XDR unsigned hyper.
func AppendUint64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

// AppendInt64 appends an XDR hyper.
func AppendInt64(b []byte, v int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(v)) }

// AppendOpaque appends a variable-length opaque: length, bytes, zeros up to a
// multiple of four (RFC 4506, 4.10).
func AppendOpaque(b, v []byte) []byte {
	b = AppendUint32(b, uint32(len(v)))
	b = append(b, v...)
	return append(b, zeros[:padding(len(v))]...)
}

// AppendString appends a string, which has the form of an opaque (RFC 4506,
// 4.11). It must not hold a NUL byte: the other side would take it for the end.
func AppendString(b []byte, v string) []byte {
	b = AppendUint32(b, uint32(len(v)))
	b = append(b, v...)
	return append(b, zeros[:padding(len(v))]...)
}

// appendGFID appends a gfid by reference, which spares a copy.
func appendGFID(b []byte, g *GFID) []byte { return append(b, g[:]...) }

// patchUint32 overwrites the word at offset at.
func patchUint32(b []byte, at int, v uint32) { binary.BigEndian.PutUint32(b[at:], v) }

// Bool words announce another entry of a list, or its end (RFC 4506, 4.19).
const (
	listMore uint32 = 1
	listEnd  uint32 = 0
)
