package xdr

import (
	"bytes"
	"testing"
)

// payloads are the messages that data follows, with dictionaries of every size.
func payloads(data []byte) map[string]PayloadMessage {
	size := uint32(len(data))
	some := Dict{DictUint("glusterfs.open-fd-count", 1), DictBytes("odd", []byte("12345"))}
	return map[string]PayloadMessage{
		"read, no xdata":    &ReadRep{Result: Result{Ret: int32(size)}, Size: size},
		"read, empty xdata": &ReadRep{Result: Result{Ret: int32(size)}, Size: size, Xdata: Dict{}},
		"read, some xdata":  &ReadRep{Result: Result{Ret: int32(size)}, Size: size, Xdata: some},
		"write, no xdata":   &WriteReq{Size: size},
		"write, some xdata": &WriteReq{Size: size, Xdata: some},
		"put, some of each": &PutReq{Name: "n", Size: size, Xattr: some, Xdata: some},
	}
}

func TestPayloadIsFoundAndNotCopied(t *testing.T) {
	for _, data := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("data"), 1000)} {
		for name, v := range payloads(data) {
			wire := v.AppendTo(nil)
			size := len(wire)
			wire = append(wire, data...)
			got, err := DecodePayload(wire, v)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if !bytes.Equal(got, data) || len(data) > 0 && &got[0] != &wire[size] {
				t.Errorf("%s: the payload is not the end of the message", name)
			}
			switch v.(type) {
			case *ReadRep:
				if n := ReadRepLen((*[ReadRepFixed]byte)(wire)); n != int64(size) {
					t.Errorf("%s: payload at %d, want %d", name, n, size)
				}
			case *WriteReq:
				if n := WriteReqLen((*[WriteReqFixed]byte)(wire)); n != int64(size) {
					t.Errorf("%s: payload at %d, want %d", name, n, size)
				}
			}
		}
	}
}

func TestPayloadOfAnotherSizeIsRefused(t *testing.T) {
	data := []byte("0123456789")
	for name, v := range payloads(data) {
		wire := append(v.AppendTo(nil), data...)
		_, err := DecodePayload(wire[:len(wire)-1], v)
		requireError(t, err)
		_, err = DecodePayload(append(wire, 0), v)
		requireError(t, err)
		if err := Decode(wire, v); err == nil {
			t.Errorf("%s: payload is accepted as part of the message", name)
		}
	}
}

// TestFailedReadHasNoPayload: whatever its size field says.
func TestFailedReadHasNoPayload(t *testing.T) {
	v := &ReadRep{Result: Result{Ret: -1, Errno: 9}, Size: 4096}
	if _, err := DecodePayload(v.AppendTo(nil), v); err != nil {
		t.Error(err)
	}
}

// TestPayloadBeginsAtAMultipleOfFour: even if the dictionary's length is none.
func TestPayloadBeginsAtAMultipleOfFour(t *testing.T) {
	wire := (&ReadRep{}).AppendTo(nil)
	for size, want := range map[uint32]int64{0: 172, 5: 180, 8: 180, 0xffffffff: 172 + 1<<32} {
		patchUint32(wire, readRepSize, size)
		if got := ReadRepLen((*[ReadRepFixed]byte)(wire)); got != want {
			t.Errorf("with %d bytes of pairs payload begins at %d, want %d", size, got, want)
		}
	}
}
