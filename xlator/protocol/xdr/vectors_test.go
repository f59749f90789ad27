package xdr

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

// readVectors returns the hex of testdata/vectors.txt by name.
func readVectors(t *testing.T) map[string][]byte {
	t.Helper()
	f, err := os.Open("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	vectors := map[string][]byte{}
	for s := bufio.NewScanner(f); s.Scan(); {
		name, text, ok := strings.Cut(s.Text(), ":")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		vectors[name] = b
	}
	return vectors
}

var root = GFID{15: 1}

// bare puts a dictionary alone on the wire.
type bare struct{ d Dict }

func (v *bare) AppendTo(b []byte) []byte { return v.d.AppendTo(b) }
func (v *bare) DecodeFrom(d *Decoder)    { v.d = d.dict("dict") }

// TestVectorsFromTheWireAreReproduced: bytes that GlusterFS 10.3 sent or took.
func TestVectorsFromTheWireAreReproduced(t *testing.T) {
	vectors := readVectors(t)
	for name, c := range map[string]struct {
		skip        int // bytes of record mark and RPC header
		value, zero Message
	}{
		"dict null":  {0, &bare{nil}, &bare{}},
		"dict empty": {0, &bare{Dict{}}, &bare{}},
		"dict int":   {0, &bare{Dict{DictInt("i", -5)}}, &bare{}},
		"dict text":  {0, &bare{Dict{DictText("s", "abc")}}, &bare{}},
		"dict bytes": {0, &bare{Dict{DictBytes("p", []byte("abc"))}}, &bare{}},
		"dict gfid":  {0, &bare{Dict{DictGFID("gfid-req", root)}}, &bare{}},
		"old dict": {0, &SetvolumeReq{Dict: OldDict{OldText("fops-version", "1298437"), OldText("a", "")}},
			&SetvolumeReq{}},
		"stat root call":      {96, &StatReq{GFID: root}, &StatReq{}},
		"lookup enoent reply": {24, &LookupRep{Result: Result{Ret: -1, Errno: 2}}, &LookupRep{}},
		"ping reply":          {0, &PingRep{}, &PingRep{}},
	} {
		t.Run(name, func(t *testing.T) {
			wire, ok := vectors[name]
			if !ok {
				t.Fatal("no such vector")
			}
			delete(vectors, name)
			wire = wire[c.skip:]
			if got := c.value.AppendTo(nil); !bytes.Equal(got, wire) {
				t.Errorf("encoded\n%x, want\n%x", got, wire)
			}
			if err := Decode(wire, c.zero); err != nil {
				t.Fatal(err)
			}
			if got := c.zero.AppendTo(nil); !bytes.Equal(got, wire) {
				t.Errorf("decoded and encoded\n%x, want\n%x", got, wire)
			}
			requireSame(t, c.value, c.zero)
		})
	}
	for name := range vectors {
		t.Errorf("vector %q is not used", name)
	}
}

// TestRepliesHaveTheSizesSeenOnTheWire: the bodies of wire facts, 7, with NULL
// dictionaries.
func TestRepliesHaveTheSizesSeenOnTheWire(t *testing.T) {
	for _, c := range []struct {
		v    Message
		size int
	}{
		{&CommonRep{}, 20},
		{&StatRep{}, 168},
		{&AttrRep{}, 316},
		{&LookupRep{}, 316},
		{&EntryRep{}, 464},
		{&ReadRep{}, 172},
		{&StatfsRep{}, 20 + 88},
		{&PingRep{}, 12},
	} {
		if n := len(c.v.AppendTo(nil)); n != c.size {
			t.Errorf("%T has %d bytes, want %d", c.v, n, c.size)
		}
	}
	if n := len((&Iatt{}).AppendTo(nil)); n != 148 {
		t.Errorf("attributes have %d bytes", n)
	}
	if n := len((&OldIatt{}).AppendTo(nil)); n != 100 {
		t.Errorf("old attributes have %d bytes", n)
	}
	if n := len((&Mdata{}).AppendTo(nil)); n != 36 {
		t.Errorf("times have %d bytes", n)
	}
}
