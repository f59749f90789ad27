package xdr

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
)

// OldDict is a dictionary in GlusterFS's older form, which handshake, portmap,
// management and callbacks carry inside an opaque: untyped values by name
// (wire facts, 5.1) [W]. A nil OldDict is an opaque of length zero.
type OldDict []OldPair

// OldPair is one entry of an OldDict.
type OldPair struct {
	Key string
	// Value is the bytes on the wire. Text carries the NUL that ends it;
	// numbers are decimal text; uuids are 16 raw bytes or text.
	Value []byte
}

// OldText makes a pair whose value is text, or the decimal text of a number.
func OldText(key, v string) OldPair { return OldPair{Key: key, Value: append([]byte(v), 0)} }

// OldInt makes a pair whose value is a number.
func OldInt(key string, v int64) OldPair { return OldText(key, strconv.FormatInt(v, 10)) }

// Bytes returns the value of the first entry of that name, as on the wire.
func (v OldDict) Bytes(key string) ([]byte, bool) {
	for i := range v {
		if v[i].Key == key {
			return v[i].Value, true
		}
	}
	return nil, false
}

// Text returns the value of that name without the NUL that ends it.
func (v OldDict) Text(key string) (string, bool) {
	b, ok := v.Bytes(key)
	return string(bytes.TrimSuffix(b, []byte{0})), ok
}

// Int returns the value of that name when it is the decimal text of a number.
func (v OldDict) Int(key string) (int64, bool) {
	b, ok := v.Bytes(key)
	if !ok {
		return 0, false
	}
	n, ok := parseNumber(b)
	return int64(n), ok
}

// minOldPair is the length of the shortest pair: two lengths and the key's NUL.
const minOldPair = 4 + 4 + 1

// AppendTo appends the opaque: its length, count, and the pairs, each key
// length (without NUL), value length, key, NUL, value. Nothing inside is padded.
func (v OldDict) AppendTo(b []byte) []byte {
	b = AppendUint32(b, 0)
	if v == nil {
		return b
	}
	start := len(b)
	b = AppendUint32(b, uint32(len(v)))
	for i := range v {
		b = AppendUint32(b, uint32(len(v[i].Key)))
		b = AppendUint32(b, uint32(len(v[i].Value)))
		b = append(b, v[i].Key...)
		b = append(b, 0)
		b = append(b, v[i].Value...)
	}
	n := len(b) - start
	patchUint32(b, start-4, uint32(n))
	return append(b, zeros[:padding(n)]...)
}

// oldDict reads the opaque and the dictionary in it. Values are parts of the
// message.
func (d *Decoder) oldDict(field string) OldDict {
	b := d.Opaque(field, math.MaxInt32)
	if b == nil {
		return nil
	}
	if len(b) < 4 {
		d.fail(field, "%d bytes are no dictionary", len(b))
		return nil
	}
	n := binary.BigEndian.Uint32(b)
	b = b[4:]
	if n > MaxDictPairs || uint64(n)*minOldPair > uint64(len(b)) {
		d.fail(field, "%d pairs cannot be in %d bytes, or are over the limit of %d", n, len(b), MaxDictPairs)
		return nil
	}
	v := make(OldDict, n)
	for i := range v {
		var problem string
		if b, problem = v[i].cut(b); problem != "" {
			d.fail(field, "pair %d: %s", i, problem)
			return nil
		}
	}
	if len(b) != 0 {
		d.fail(field, "%d bytes behind the last pair", len(b))
		return nil
	}
	return v
}

// cut takes one pair off the front of b and returns the rest, or what is wrong.
func (p *OldPair) cut(b []byte) (rest []byte, problem string) {
	if len(b) < minOldPair {
		return nil, "cut short"
	}
	key := uint64(binary.BigEndian.Uint32(b))
	value := uint64(binary.BigEndian.Uint32(b[4:]))
	b = b[8:]
	if key+1+value > uint64(len(b)) {
		return nil, "lengths of " + strconv.FormatUint(key, 10) + " and " + strconv.FormatUint(value, 10) +
			" bytes, " + strconv.Itoa(len(b)) + " left"
	}
	if bytes.IndexByte(b[:key+1], 0) != int(key) {
		return nil, "key does not end in its only NUL"
	}
	p.Key = string(b[:key])
	if b = b[key+1:]; value > 0 {
		p.Value = b[:value:value]
	}
	return b[value:], ""
}
