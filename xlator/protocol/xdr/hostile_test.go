package xdr

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// sample returns a message of that kind with something in every field.
func sample(empty func() Message, seed int) []byte {
	return rapid.Custom(func(t *rapid.T) []byte {
		rapid.Byte().Draw(t, "for messages without fields")
		v := empty()
		draw(t, v)
		return v.AppendTo(nil)
	}).Example(seed)
}

// requireError fails unless err is an *Error that names the struct.
func requireError(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error", err)
	}
	if e.Struct == "" || e.Struct == "message" || e.Problem == "" {
		t.Fatalf("%q does not say what is wrong with what", e)
	}
}

func TestMessagesCutShortOrLongAreRefused(t *testing.T) {
	forEach(t, func(t *testing.T, empty func() Message) {
		for seed := range 20 {
			wire := sample(empty, seed)
			for n := range wire {
				requireError(t, Decode(wire[:n:n], empty()))
			}
			requireError(t, Decode(append(wire, 0, 0, 0, 0), empty()))
			requireError(t, Decode(append(wire, 1), empty()))
		}
	})
}

// TestAbsurdLengthsAllocateLittle puts numbers that a length must not be into
// every word of every message.
func TestAbsurdLengthsAllocateLittle(t *testing.T) {
	words := []uint32{0xffffffff, 0x80000000, 0x7fffffff, 0x7ffffffc, 0x40000000, 0x01000000, 0x00010000, 0x1000, 7, 1, 0}
	forEach(t, func(t *testing.T, empty func() Message) {
		var before, after runtime.MemStats
		for seed := range 5 {
			wire := sample(empty, seed)
			if len(wire) < 4 {
				continue
			}
			v := empty()
			runtime.ReadMemStats(&before)
			decodes := 0
			for at := 0; at+4 <= len(wire); at += 4 {
				old := binary.BigEndian.Uint32(wire[at:])
				for _, w := range words {
					patchUint32(wire, at, w)
					_ = Decode(wire, v) // some words may be anything
					decodes++
				}
				patchUint32(wire, at, old)
			}
			runtime.ReadMemStats(&after)
			perDecode := (after.TotalAlloc - before.TotalAlloc) / uint64(decodes)
			if most := uint64(8*len(wire) + 1024); perDecode > most {
				t.Errorf("%d bytes allocated for %d", perDecode, len(wire))
			}
		}
	})
}

// TestWellFormedBombsAllocateLittle decodes the messages that make the most of
// their bytes.
func TestWellFormedBombsAllocateLittle(t *testing.T) {
	const n = 40000
	pairs := make(Dict, n)
	old := make(OldDict, n)
	for i := range pairs {
		pairs[i].Type = DictTypeBytes
	}
	for name, v := range map[string]Message{
		"dictionary":      &CommonRep{Xdata: pairs},
		"old dictionary":  &SetvolumeRep{Dict: old},
		"names":           &ReaddirRep{Entries: make([]DirEntry, n)},
		"names plus":      &ReaddirpRep{Entries: make([]DirEntryPlus, n)},
		"names announced": &ReaddirpRep{Result: Result{Ret: 1 << 30}, Entries: make([]DirEntryPlus, n)},
		"locks":           &GetactivelkRep{Locks: make([]ActiveLock, n)},
		"programs":        &DumpRep{Programs: make([]ProgramInfo, n)},
	} {
		t.Run(name, func(t *testing.T) {
			wire := v.AppendTo(nil)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := Decode(wire, v)
			runtime.ReadMemStats(&after)
			if err != nil {
				t.Fatal(err)
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > 16*uint64(len(wire)) {
				t.Errorf("%d bytes allocated for %d", got, len(wire))
			}
		})
	}
}

func TestErrorsSayWhatIsWrongWhere(t *testing.T) {
	const null = "00000000 ffffffff 00000000"
	gfid := strings.Repeat("00", 16)
	for _, c := range []struct {
		into Message
		wire string
		want string
	}{
		{new(StatReq), gfid, `malformed GFIDReq: xdata: 4 bytes wanted, 0 left`},
		{new(StatReq), "0011", `malformed GFIDReq: gfid: 16 bytes wanted, 2 left`},
		{new(StatReq), gfid + null + "00", `malformed GFIDReq: 1 bytes behind its end`},
		{new(LookupReq), gfid + gfid + "00000000 ffffffff", `malformed LookupReq: bname: length 4294967295 is over the limit of 4096`},
		{new(LookupReq), gfid + gfid + "00000000 00000005 6162", `malformed LookupReq: bname: 5 bytes wanted, 2 left`},
		{new(LookupReq), gfid + gfid + "00000000 00000001 61", `malformed LookupReq: bname: 3 bytes wanted, 0 left`},
		{new(LookupReq), gfid + gfid + "00000000 00000001 61000001", `malformed LookupReq: bname: padding is not zero`},
		{new(LookupReq), gfid + gfid + "00000000 00000003 61006200", `malformed LookupReq: bname: a NUL byte inside a string`},
		{new(CommonRep), "00000000 00000000 00000000 fffffffe 00000000", `malformed CommonRep: xdata: count is -2, number of pairs 0`},
		{new(CommonRep), "00000000 00000000 00000000 00000002 00000001", `malformed CommonRep: xdata: count is 2, number of pairs 1`},
		{new(CommonRep), "00000000 00000000 00000010 00000001 00000001 00000000",
			`malformed CommonRep: xdata: 16 bytes announced, 4 left`},
		{new(CommonRep), "00000000 00000000 00000004 00000001 00000001 00000000",
			`malformed CommonRep: xdata: 1 pairs cannot be in 4 bytes, or are over the limit of 65536`},
		{new(CommonRep), "00000000 00000000 00000014 00000001 00000001 00000002 6b000000 0000000a 00000000 00000000",
			`malformed CommonRep: xdata: pair 0 ("k"): there is no type 10`},
		{new(CommonRep), "00000000 00000000 00000014 00000001 00000001 00000002 6b6b0000 00000006 00000000 00000000",
			`malformed CommonRep: xdata: pair 0: key does not end in its only NUL`},
		{new(CommonRep), "00000000 00000000 00000014 00000001 00000001 00000004 6b006b00 00000006 00000000 00000000",
			`malformed CommonRep: xdata: pair 0: key does not end in its only NUL`},
		{new(CommonRep), "00000000 00000000 00000014 00000001 00000001 00000002 6b000000 00000006 ffffffff 00000000",
			`malformed CommonRep: xdata: pair 0 ("k"): length 4294967295 is over the limit of 2147483647`},
		{new(CommonRep), "00000000 00000000 00000014 00000001 00000001 00000002 6b000000 00000006 00000000 00000000",
			`malformed CommonRep: xdata: 20 bytes announced, 16 there`},
		{new(ReaddirRep), "00000000 00000000" + null + "00000002", `malformed ReaddirRep: reply: list word is 2, neither 0 nor 1`},
		{new(LkRep), "00000000 00000000" + null + strings.Repeat("00", 28) + "00000401",
			`malformed LkRep: flock: length 1025 is over the limit of 1024`},
		{new(SetvolumeRep), "00000000 00000000 00000002 00010000", `malformed SetvolumeRep: dict: 2 bytes are no dictionary`},
		{new(SetvolumeRep), "00000000 00000000 00000004 ffffffff",
			`malformed SetvolumeRep: dict: 4294967295 pairs cannot be in 0 bytes, or are over the limit of 65536`},
		{new(SetvolumeRep), "00000000 00000000 0000000e 00000001 ffffffff 00000001 6100 0000",
			`malformed SetvolumeRep: dict: pair 0: lengths of 4294967295 and 1 bytes, 2 left`},
		{new(SetvolumeRep), "00000000 00000000 0000000e 00000001 00000001 00000000 6161 0000",
			`malformed SetvolumeRep: dict: pair 0: key does not end in its only NUL`},
		{new(SetvolumeRep), "00000000 00000000 00000010 00000001 00000003 00000000 61006100",
			`malformed SetvolumeRep: dict: pair 0: key does not end in its only NUL`},
		{new(SetvolumeRep), "00000000 00000000 00000010 00000001 00000001 00000000 61000000",
			`malformed SetvolumeRep: dict: 2 bytes behind the last pair`},
	} {
		wire, err := hex.DecodeString(strings.ReplaceAll(c.wire, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if err := Decode(wire, c.into); err == nil || err.Error() != c.want {
			t.Errorf("%x: got %v\nwant %s", wire, err, c.want)
		}
	}
}

// TestDictionariesAreLimited: in either form, even where the bytes are there.
func TestDictionariesAreLimited(t *testing.T) {
	for n, want := range map[int]bool{MaxDictPairs: true, MaxDictPairs + 1: false} {
		pairs := make(Dict, n)
		for i := range pairs {
			pairs[i].Type = DictTypeBytes
		}
		for _, v := range []Message{&CommonRep{Xdata: pairs}, &SetvolumeRep{Dict: make(OldDict, n)}} {
			if err := Decode(v.AppendTo(nil), v); (err == nil) != want {
				t.Errorf("%T with %d pairs: %.100v", v, n, err)
			}
		}
	}
}

// TestDecodedBytesCannotGrowIntoTheMessage: appending to them copies them.
func TestDecodedBytesCannotGrowIntoTheMessage(t *testing.T) {
	v := RchecksumRep{Xdata: Dict{DictBytes("k", []byte("abcd")), DictText("t", "abc")}, Strong: []byte("efgh")}
	wire := v.AppendTo(nil)
	if err := Decode(wire, &v); err != nil {
		t.Fatal(err)
	}
	var set SetvolumeReq
	old := (&SetvolumeReq{Dict: OldDict{OldText("a", "b"), OldText("c", "d")}}).AppendTo(nil)
	if err := Decode(old, &set); err != nil {
		t.Fatal(err)
	}
	before := string(wire) + string(old)
	for _, b := range [][]byte{v.Xdata[0].Data, v.Xdata[1].Data, v.Strong, set.Dict[0].Value} {
		_ = append(b, '!')
	}
	if string(wire)+string(old) != before {
		t.Error("the message has changed")
	}
}

// TestFirstErrorSticks: what is read after an error is zero, and changes nothing.
func TestFirstErrorSticks(t *testing.T) {
	d := NewDecoder([]byte{1, 2, 3, 4, 5, 6})
	d.In("Some")
	d.Uint64("first")
	if v := d.Uint32("second"); v != 0 || d.Rest() != nil {
		t.Errorf("read %d and have %d left after an error", v, len(d.Rest()))
	}
	d.In("Other")
	d.GFID("third")
	if _, err := d.FinishPayload(7); err == nil || err.Error() != "malformed Some: first: 8 bytes wanted, 6 left" {
		t.Errorf("got %v", err)
	}
}

// TestTextWithoutNulIsUnderstood: what we are liberal about.
func TestTextWithoutNulIsUnderstood(t *testing.T) {
	with := (&CommonRep{Xdata: Dict{DictText("k", "abc")}}).AppendTo(nil)
	without := bytes.Replace(with, []byte("\x00\x00\x00\x04abc"), []byte("\x00\x00\x00\x03abc"), 1)
	var v CommonRep
	if err := Decode(without, &v); err != nil {
		t.Fatal(err)
	}
	if got, ok := v.Xdata.Text("k"); !ok || got != "abc" || bytes.Equal(with, without) {
		t.Errorf("got %q", got)
	}
}
