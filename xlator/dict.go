package xlator

import "encoding/binary"

// DictType is how a value is marked on the wire.
type DictType uint8

// Types of values in a Dict.
const (
	DictBytes DictType = iota
	DictString
	DictInt
	DictUint
	DictGFID
	DictIatt
)

// Dict is a small ordered map from names to typed values: the xdata of a fop,
// or a set of extended attributes. The zero Dict and a nil *Dict are empty.
// A Dict is owned by whoever made it and is not changed once passed on.
type Dict struct {
	pairs []Pair
}

// Pair is one entry of a Dict. Numbers are kept in Num, everything else in Data.
type Pair struct {
	Key  string
	Type DictType
	Num  int64
	Data []byte
	Iatt *Iatt
}

// Len is the number of entries.
func (d *Dict) Len() int {
	if d == nil {
		return 0
	}
	return len(d.pairs)
}

// Pairs returns the entries in order; the caller must not change them.
func (d *Dict) Pairs() []Pair {
	if d == nil {
		return nil
	}
	return d.pairs
}

// Get returns the entry of that name.
func (d *Dict) Get(key string) (Pair, bool) {
	for _, p := range d.Pairs() {
		if p.Key == key {
			return p, true
		}
	}
	return Pair{}, false
}

// Has reports whether the name is there.
func (d *Dict) Has(key string) bool { _, ok := d.Get(key); return ok }

// Bytes returns the value of that name as bytes; numbers are eight bytes,
// big-endian.
func (d *Dict) Bytes(key string) ([]byte, bool) {
	p, ok := d.Get(key)
	if !ok {
		return nil, false
	}
	if p.Type == DictInt || p.Type == DictUint {
		return binary.BigEndian.AppendUint64(nil, uint64(p.Num)), true
	}
	return p.Data, true
}

// Set puts an entry in, replacing one of the same name.
func (d *Dict) Set(p Pair) {
	for i := range d.pairs {
		if d.pairs[i].Key == p.Key {
			d.pairs[i] = p
			return
		}
	}
	d.pairs = append(d.pairs, p)
}

// SetBytes, SetString and SetInt put an entry of that type in. SetBytes keeps v.
func (d *Dict) SetBytes(key string, v []byte) { d.Set(Pair{Key: key, Type: DictBytes, Data: v}) }

// SetString puts a string in.
func (d *Dict) SetString(key, v string) { d.Set(Pair{Key: key, Type: DictString, Data: []byte(v)}) }

// SetInt puts a signed number in.
func (d *Dict) SetInt(key string, v int64) { d.Set(Pair{Key: key, Type: DictInt, Num: v}) }
