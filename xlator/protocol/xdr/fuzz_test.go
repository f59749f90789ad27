package xdr

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// FuzzDecode gives any bytes to any message. What is accepted is the same after
// another way over the wire, and is the bytes themselves where there is only
// one way to write it.
func FuzzDecode(f *testing.F) {
	all := messages()
	names := slices.Sorted(maps.Keys(all))
	for i, name := range names {
		for seed := range 3 {
			f.Add(uint8(i), sample(all[name], seed))
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, wire []byte) {
		empty := all[names[int(kind)%len(names)]]
		v := empty()
		if err := Decode(wire, v); err != nil {
			requireError(t, err)
			return
		}
		again := v.AppendTo(nil)
		if oneWay(reflect.ValueOf(v).Elem()) && !bytes.Equal(again, wire) {
			t.Fatalf("%T: decoded and encoded\n%x, was\n%x", v, again, wire)
		}
		got := empty()
		if err := Decode(again, got); err != nil {
			t.Fatal(err)
		}
		requireSame(t, v, got)
	})
}

// oneWay reports whether there is one way only to write v: text may end in a
// NUL or not, and the length of a name in a directory is ignored.
func oneWay(v reflect.Value) bool {
	switch x := v.Interface().(type) {
	case Dict:
		for i := range x {
			if x[i].Type == DictTypeText {
				return false
			}
		}
		return true
	case DirEntry:
		return false
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if !oneWay(v.Field(i)) {
				return false
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			if !oneWay(v.Index(i)) {
				return false
			}
		}
	}
	return true
}

// FuzzPayload gives any bytes to the messages that data follows.
func FuzzPayload(f *testing.F) {
	for _, v := range payloads([]byte("data")) {
		wire := append(v.AppendTo(nil), "data"...)
		for kind := range uint8(3) {
			f.Add(kind, wire)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, wire []byte) {
		v := [...]PayloadMessage{new(ReadRep), new(WriteReq), new(PutReq)}[kind%3]
		data, err := DecodePayload(wire, v)
		if err != nil {
			requireError(t, err)
			return
		}
		size := len(wire) - len(data)
		switch v.(type) {
		case *ReadRep:
			if n := ReadRepLen((*[ReadRepFixed]byte)(wire)); n != int64(size) {
				t.Fatalf("payload found at %d and at %d", n, size)
			}
		case *WriteReq:
			if n := WriteReqLen((*[WriteReqFixed]byte)(wire)); n != int64(size) {
				t.Fatalf("payload found at %d and at %d", n, size)
			}
		}
	})
}

// FuzzMessage is TestEveryMessageSurvivesTheWire with the fuzzer's choices.
func FuzzMessage(f *testing.F) {
	all := messages()
	names := slices.Sorted(maps.Keys(all))
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) {
		checkMessage(t, all[rapid.SampledFrom(names).Draw(t, "kind")])
	}))
}
