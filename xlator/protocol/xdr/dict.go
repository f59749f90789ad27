package xdr

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// DictType says how a value of a Dict is encoded (wire facts, 5.2).
type DictType int32

// Types of values. A peer that meets any other number rejects the call [W].
const (
	DictTypeOld    DictType = 1 // untyped bytes, numbers as decimal text [W]
	DictTypeInt    DictType = 2 // signed, 8 bytes [W]
	DictTypeUint   DictType = 3 // unsigned, 8 bytes [W]
	DictTypeDouble DictType = 4 // IEEE 754, 8 bytes [S]
	DictTypeText   DictType = 5 // text; a NUL at its end goes with it [W]
	DictTypeBytes  DictType = 6 // binary [W]
	DictTypeGFID   DictType = 7 // 16 bytes [W]
	DictTypeIatt   DictType = 8 // an Iatt [W]
	DictTypeMdata  DictType = 9 // an Mdata [S]
)

// Dict is GlusterFS's dictionary as fops carry it (gfx_dict): typed values by
// name, in order. A nil Dict is the NULL dictionary; it and an empty one are
// both legal everywhere [W].
type Dict []DictPair

// DictPair is one entry of a Dict. Which field holds the value depends on Type.
type DictPair struct {
	Key  string
	Type DictType
	Num  uint64 // DictTypeInt (two's complement), DictTypeUint, DictTypeDouble (its bits)
	GFID GFID   // DictTypeGFID
	// Data is the value of DictTypeOld, DictTypeBytes and, without the NUL that
	// ends it on the wire, DictTypeText.
	Data  []byte
	Iatt  *Iatt  // DictTypeIatt; nil is all zero
	Mdata *Mdata // DictTypeMdata; nil is all zero
}

// DictInt makes a pair of DictTypeInt.
func DictInt(key string, v int64) DictPair {
	return DictPair{Key: key, Type: DictTypeInt, Num: uint64(v)}
}

// DictUint makes a pair of DictTypeUint.
func DictUint(key string, v uint64) DictPair {
	return DictPair{Key: key, Type: DictTypeUint, Num: v}
}

// DictDouble makes a pair of DictTypeDouble.
func DictDouble(key string, v float64) DictPair {
	return DictPair{Key: key, Type: DictTypeDouble, Num: math.Float64bits(v)}
}

// DictText makes a pair of DictTypeText. Not for values of extended attributes:
// a brick stores them with the NUL [W].
func DictText(key, v string) DictPair {
	return DictPair{Key: key, Type: DictTypeText, Data: []byte(v)}
}

// DictBytes makes a pair of DictTypeBytes, which is how values of extended
// attributes travel. It keeps v.
func DictBytes(key string, v []byte) DictPair {
	return DictPair{Key: key, Type: DictTypeBytes, Data: v}
}

// DictGFID makes a pair of DictTypeGFID.
func DictGFID(key string, g GFID) DictPair { return DictPair{Key: key, Type: DictTypeGFID, GFID: g} }

// DictIatt makes a pair of DictTypeIatt. It keeps v.
func DictIatt(key string, v *Iatt) DictPair { return DictPair{Key: key, Type: DictTypeIatt, Iatt: v} }

// DictMdata makes a pair of DictTypeMdata. It keeps v.
func DictMdata(key string, v *Mdata) DictPair {
	return DictPair{Key: key, Type: DictTypeMdata, Mdata: v}
}

// Get returns the first entry of that name, which is part of v, or nil.
func (v Dict) Get(key string) *DictPair {
	for i := range v {
		if v[i].Key == key {
			return &v[i]
		}
	}
	return nil
}

// Bytes returns the value of that name when it is bytes or text.
func (v Dict) Bytes(key string) ([]byte, bool) {
	p := v.Get(key)
	if p == nil {
		return nil, false
	}
	return p.Bytes()
}

// Text returns the value of that name as text, without a NUL at its end.
func (v Dict) Text(key string) (string, bool) {
	b, ok := v.Bytes(key)
	return string(bytes.TrimSuffix(b, []byte{0})), ok
}

// Uint returns the value of that name when it is a number, in whatever form the
// peer has chosen.
func (v Dict) Uint(key string) (uint64, bool) {
	p := v.Get(key)
	if p == nil {
		return 0, false
	}
	return p.Uint()
}

// GFID returns the value of that name when it is a gfid, or 16 bytes [W].
func (v Dict) GFID(key string) (GFID, bool) {
	p := v.Get(key)
	if p == nil {
		return GFID{}, false
	}
	return p.AsGFID()
}

// Bytes returns the value when it is bytes or text.
func (p *DictPair) Bytes() ([]byte, bool) {
	switch p.Type {
	case DictTypeOld, DictTypeText, DictTypeBytes:
		return p.Data, true
	default:
		return nil, false
	}
}

// Uint returns the value when it is a number or the decimal text of one;
// negative numbers are in two's complement. Which of the forms is used depends
// on the peer's version and on the key.
func (p *DictPair) Uint() (uint64, bool) {
	switch p.Type {
	case DictTypeInt, DictTypeUint:
		return p.Num, true
	case DictTypeOld, DictTypeText, DictTypeBytes:
		return parseNumber(p.Data)
	default:
		return 0, false
	}
}

// AsGFID returns the value when it is a gfid or 16 bytes.
func (p *DictPair) AsGFID() (GFID, bool) {
	switch {
	case p.Type == DictTypeGFID:
		return p.GFID, true
	case (p.Type == DictTypeBytes || p.Type == DictTypeOld) && len(p.Data) == len(GFID{}):
		return GFID(p.Data), true
	default:
		return GFID{}, false
	}
}

// parseNumber reads decimal text with or without a NUL at its end.
func parseNumber(b []byte) (uint64, bool) {
	s := string(bytes.TrimSuffix(b, []byte{0}))
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return uint64(n), true
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}

// Before the pairs: their length in bytes, count, number of pairs.
const dictHeader = 12

// minPair is the length of the shortest pair: a key of its NUL alone, the type,
// an empty value.
const minPair = 4 + 4 + 4 + 4

// AppendTo appends the dictionary (wire facts, 5.2) [W]. The first word is the
// exact length of the pairs: receivers of READ and WRITE find the payload by it.
func (v Dict) AppendTo(b []byte) []byte {
	if v == nil {
		b = AppendUint32(b, 0)
		b = AppendInt32(b, -1)
		return AppendUint32(b, 0)
	}
	start := len(b) + dictHeader
	b = AppendUint32(b, 0)
	b = AppendUint32(b, uint32(len(v)))
	b = AppendUint32(b, uint32(len(v)))
	for i := range v {
		b = v[i].appendTo(b)
	}
	n := len(b) - start
	patchUint32(b, start-dictHeader, uint32(n))
	return b
}

// appendTo appends one pair. A Type that is none is written as it is, without a
// value: the peer will reject it.
func (p *DictPair) appendTo(b []byte) []byte {
	b = appendTerminated(b, p.Key)
	b = AppendInt32(b, int32(p.Type))
	switch p.Type {
	case DictTypeInt, DictTypeUint, DictTypeDouble:
		return AppendUint64(b, p.Num)
	case DictTypeOld, DictTypeBytes:
		return AppendOpaque(b, p.Data)
	case DictTypeText:
		return appendTerminated(b, p.Data)
	case DictTypeGFID:
		return appendGFID(b, &p.GFID)
	case DictTypeIatt:
		if p.Iatt == nil {
			return append(b, make([]byte, IattSize)...)
		}
		return p.Iatt.AppendTo(b)
	case DictTypeMdata:
		if p.Mdata == nil {
			return append(b, make([]byte, MdataSize)...)
		}
		return p.Mdata.AppendTo(b)
	default:
		return b
	}
}

// appendTerminated appends an opaque that is s and a NUL.
func appendTerminated[T string | []byte](b []byte, s T) []byte {
	n := len(s) + 1
	b = AppendUint32(b, uint32(n))
	b = append(b, s...)
	b = append(b, 0)
	return append(b, zeros[:padding(n)]...)
}

// dict reads a dictionary. Values are parts of the message.
func (d *Decoder) dict(field string) Dict {
	size := d.Uint32(field)
	count := d.Int32(field)
	n := d.Uint32(field)
	switch {
	case d.err != nil:
		return nil
	case count == -1 && n == 0 && size == 0:
		return nil
	case count < 0 || uint32(count) != n:
		d.fail(field, "count is %d, number of pairs %d", count, n)
		return nil
	case uint64(size) > uint64(len(d.b)):
		d.fail(field, "%d bytes announced, %d left", size, len(d.b))
		return nil
	case n > MaxDictPairs || uint64(n)*minPair > uint64(size):
		d.fail(field, "%d pairs cannot be in %d bytes, or are over the limit of %d", n, size, MaxDictPairs)
		return nil
	}
	left := len(d.b) - int(size)
	v := make(Dict, n)
	for i := range v {
		d.pair(field, i, &v[i])
		if d.err != nil {
			return nil
		}
	}
	if len(d.b) != left {
		d.fail(field, "%d bytes announced, %d there", size, int(size)+left-len(d.b))
		return nil
	}
	return v
}

// pair reads one entry.
func (d *Decoder) pair(field string, i int, p *DictPair) {
	key, ok := d.terminated(field)
	if !ok {
		d.locate(i, "")
		return
	}
	p.Key = string(key)
	p.Type = DictType(d.Int32(field))
	switch p.Type {
	case DictTypeInt, DictTypeUint, DictTypeDouble:
		p.Num = d.Uint64(field)
	case DictTypeOld, DictTypeBytes:
		p.Data = d.Opaque(field, math.MaxInt32)
	case DictTypeText:
		// Nobody is known to leave the NUL out, and nothing is lost by
		// understanding it.
		p.Data = slices.Clip(bytes.TrimSuffix(d.Opaque(field, math.MaxInt32), []byte{0}))
		if len(p.Data) == 0 {
			p.Data = nil
		}
	case DictTypeGFID:
		p.GFID = d.GFID(field)
	case DictTypeIatt:
		p.Iatt = new(Iatt)
		d.iatt(field, p.Iatt)
	case DictTypeMdata:
		p.Mdata = new(Mdata)
		d.mdata(field, p.Mdata)
	default:
		d.fail(field, "there is no type %d", p.Type)
	}
	d.locate(i, p.Key)
}

// terminated reads an opaque that is text and a NUL, and returns the text.
func (d *Decoder) terminated(field string) ([]byte, bool) {
	b := d.Opaque(field, math.MaxInt32)
	if d.err != nil {
		return nil, false
	}
	if end := bytes.IndexByte(b, 0); end < 0 || end != len(b)-1 {
		d.fail(field, "key does not end in its only NUL")
		return nil, false
	}
	return b[:len(b)-1], true
}

// locate adds to an error which pair it is about.
func (d *Decoder) locate(i int, key string) {
	if d.err == nil {
		return
	}
	where := fmt.Sprintf("pair %d", i)
	if key != "" {
		where += fmt.Sprintf(" (%.64q)", key)
	}
	if !strings.HasPrefix(d.err.Problem, "pair ") {
		d.err.Problem = where + ": " + d.err.Problem
	}
}
