package xdr

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// readVectors returns the hex of a file by name.
func readVectors(t *testing.T, file string) map[string][]byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	vectors := map[string][]byte{}
	s := bufio.NewScanner(f)
	for s.Scan() {
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
	if err := s.Err(); err != nil {
		t.Fatal(err)
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
	vectors := readVectors(t, "testdata/vectors.txt")
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

// TestWhatGlusterFSSaidIsReproduced: every byte of real requests and replies is
// understood, and written again.
func TestWhatGlusterFSSaidIsReproduced(t *testing.T) {
	vectors := readVectors(t, "testdata/brick-10.3.txt")
	reproduce(t, vectors)
	for f := range fopMax + 1 {
		if NewRequest(f) == nil || f == FopNamelink || f == FopPut {
			continue
		}
		if vectors[f.String()+" request"] == nil || vectors[f.String()+" reply"] == nil {
			t.Errorf("nothing was recorded of %s", f)
		}
	}
	vectors = readVectors(t, "testdata/management-10.3.txt")
	reproduce(t, vectors)
	var begun SetvolumeRep
	if err := Decode(vectors["SETVOLUME reply"], &begun); err != nil {
		t.Fatal(err)
	}
	text, _ := begun.Dict.Text("ERROR")
	if up, ok := begun.Dict.Int("child_up"); text != "Success" || up != 1 || !ok || begun.Err() != nil {
		t.Errorf("SETVOLUME: %+v", begun)
	}
	var port PortByBrickRep
	if err := Decode(vectors["PORTBYBRICK reply"], &port); err != nil || port.Port != 53848 {
		t.Errorf("PORTBYBRICK: %+v %v", port, err)
	}
}

func reproduce(t *testing.T, vectors map[string][]byte) {
	t.Helper()
	all := messages()
	for name, wire := range vectors {
		empty := all[name]
		if empty == nil {
			t.Errorf("no message is called %q", name)
			continue
		}
		v := empty()
		var err error
		if p, ok := v.(PayloadMessage); ok {
			var data []byte
			data, err = DecodePayload(wire, p)
			wire = wire[:len(wire)-len(data)]
		} else {
			err = Decode(wire, v)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := v.AppendTo(nil); !bytes.Equal(got, wire) {
			t.Errorf("%s: encoded\n%x, want\n%x", name, got, wire)
		}
		if got := reference(v); !bytes.Equal(got, wire) {
			t.Errorf("%s: the reference encodes\n%x, want\n%x", name, got, wire)
		}
	}
}

// TestWhatABrickSaidIsInTheRightFields looks at values that are known.
func TestWhatABrickSaidIsInTheRightFields(t *testing.T) {
	vectors := readVectors(t, "testdata/brick-10.3.txt")
	file := GFID{0xaa, 1, 2, 3, 4, 5, 0x46, 7, 0x88, 9, 15: 3}

	var read ReadRep
	data, err := DecodePayload(vectors["READ reply"], &read)
	if err != nil || string(data) != "hello world!" || read.Ret != 12 || read.Stat.Size != 12 || read.Stat.GFID != file {
		t.Errorf("READ: %q %+v %v", data, read, err)
	}

	var dev MknodRep
	if err := Decode(vectors["MKNOD reply"], &dev); err != nil || dev.Stat.Mode != 0o20644 || RdevToDev(dev.Stat.Rdev) != 0x803 ||
		dev.Stat.Flags != IattKnows || dev.Stat.Nlink != 1 || dev.Postparent.Mode != 0o40755 {
		t.Errorf("MKNOD: %+v %v", dev, err)
	}

	var lookup LookupRep
	if err := Decode(vectors["LOOKUP reply"], &lookup); err != nil {
		t.Error(err)
	}
	if content, _ := lookup.Xdata.Bytes("glusterfs.content"); string(content) != "hello world!" {
		t.Errorf("LOOKUP: content %q", content)
	}
	if n, ok := lookup.Xdata.Uint("glusterfs.open-fd-count"); n != 1 || !ok {
		t.Errorf("LOOKUP: %d open fds", n)
	}

	var list ReaddirpRep
	if err := Decode(vectors["READDIRP reply"], &list); err != nil {
		t.Error(err)
	}
	names := map[string]DirEntryPlus{}
	for _, e := range list.Entries {
		names[e.Name] = e
	}
	if e := names["f"]; len(names) != 6 || e.Type != unix.DT_REG || e.Stat.GFID != file || e.Stat.Nlink != 2 || e.Dict.Get("trusted.x") == nil {
		t.Errorf("READDIRP: %+v", list)
	}

	var locks GetactivelkRep
	if err := Decode(vectors["GETACTIVELK reply"], &locks); err != nil || len(locks.Locks) != 1 {
		t.Fatalf("GETACTIVELK: %+v %v", locks, err)
	}
	if l := locks.Locks[0].Flock; l.Type != LockWrite || l.Start != 5 || l.Len != 10 || l.PID != 9 || len(l.Owner) != 8 {
		t.Errorf("GETACTIVELK: %+v", l)
	}

	var changed CacheInvalidation
	if err := Decode(vectors["CACHE_INVALIDATION call"], &changed); err != nil || changed.Expire != 60 ||
		changed.GFID != "aa010203-0405-4607-8809-000000000003" {
		t.Errorf("CACHE_INVALIDATION: %+v %v", changed, err)
	}
}
