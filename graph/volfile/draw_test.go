package volfile

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

const drawn = `volume "le\"af" type storage/posix option directory "/a b" option auth.password s3cret end-volume
volume l type performance/io-cache subvolumes "le\"af" option cache-size 32MB end-volume
volume r type performance/io-cache subvolumes "le\"af" option cache-size 64MB end-volume
volume top type cluster/distribute subvolumes l r end-volume
`

func TestTreeShowsTheGraphFromTheTop(t *testing.T) {
	var b strings.Builder
	if err := Tree(&b, mustParse(t, drawn)); err != nil {
		t.Fatal(err)
	}
	want := `top  cluster/distribute
  l  performance/io-cache  [cache-size 32MB]
    "le\"af"  storage/posix  [directory "/a b", auth.password ***]
  r  performance/io-cache  [cache-size 64MB]
    "le\"af"  storage/posix  (see above)
`
	if b.String() != want {
		t.Errorf("got:\n%s", b.String())
	}
}

func TestDotQuotesWhatItMust(t *testing.T) {
	var b strings.Builder
	d := Drawing{Hide: func(v *Volume, o Option) bool { return o.Key == "cache-size" && o.Value == "32MB" }}
	if err := d.Dot(&b, mustParse(t, drawn)); err != nil {
		t.Fatal(err)
	}
	want := `digraph "top" {
  rankdir=TB;
  node [shape=box, fontname="monospace"];
  n3 [label="top\ncluster/distribute"];
  n3 -> n1;
  n3 -> n2;
  n1 [label="l\nperformance/io-cache"];
  n1 -> n0;
  n0 [label="le\"af\nstorage/posix\ndirectory \"/a b\"\nauth.password ***"];
  n2 [label="r\nperformance/io-cache\ncache-size 64MB"];
  n2 -> n0;
}
`
	if b.String() != want {
		t.Errorf("got:\n%s", b.String())
	}
}

func TestDotEscape(t *testing.T) {
	for in, want := range map[string]string{
		`a`: `a`, `"`: `\"`, `\`: `\\`, `\"`: `\\\"`, "\t": `\\x09`, "\xff": `\\xff`, "é": "é", "a&lt;": "a&amp;lt;",
	} {
		if got := dotEscape(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

// A graph of diamonds has 2^50 paths; each volume is drawn a bounded number of
// times all the same.
func TestDrawingIsNotExponential(t *testing.T) {
	var src strings.Builder
	src.WriteString("volume v0 type t end-volume\n")
	for i := 1; i <= 50; i++ {
		n := func(k int) string { return strings.Repeat("i", k) + "v" }
		sub := "v0"
		if i > 1 {
			sub = n(i - 1)
		}
		src.WriteString("volume " + n(i) + " type t subvolumes " + sub + " " + sub + " end-volume\n")
	}
	f := mustParse(t, src.String())
	var b strings.Builder
	if err := Tree(&b, f); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\n"); n != 101 {
		t.Errorf("%d lines", n)
	}
}

// A large hostile file is read, compared and drawn in a moment.
func TestLargeFilesTakeNoLongerThanTheirSize(t *testing.T) {
	chain := func() string {
		var b strings.Builder
		b.WriteString("volume 0 type t end-volume ")
		for i := 1; b.Len() < 1<<20; i++ {
			fmt.Fprintf(&b, "volume %d type t subvolumes %d end-volume ", i, i-1)
		}
		return b.String()
	}
	options := func() string {
		var b strings.Builder
		b.WriteString("volume 0 type t ")
		for i := 0; b.Len() < 1<<20; i++ {
			fmt.Fprintf(&b, "option %d %d ", i, i)
		}
		return b.String() + "end-volume"
	}
	for name, src := range map[string]string{"chain": chain(), "options": options()} {
		f := mustParse(t, src)
		if d := Diff(f, mustParse(t, string(f.Format()))); d.Kind != Same {
			t.Errorf("%s: %s", name, d.Reason)
		}
		if err := Tree(io.Discard, f); err != nil {
			t.Error(err)
		}
		if err := Dot(io.Discard, f); err != nil {
			t.Error(err)
		}
	}
}
