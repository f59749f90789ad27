package volfile

import (
	"bytes"
	"io"
	"testing"
)

// FuzzParse: Parse never panics, what it accepts prints to a fixed point that
// means the same, and every complaint has a line of the text.
func FuzzParse(f *testing.F) {
	for _, src := range samples(f) {
		f.Add(src)
	}
	for _, s := range []string{
		"", leaf, drawn, diffBase, "volume \"\" type \"\" option \"\" \"\" end-volume",
		"volume a#b type t # c\r\nend-volume", `volume "a\\\"" type t end-volume`,
		"volume \"\\`\" type t option \"x\\\\\\`\" y end-volume", "volume a type t option k v option k w end-volume",
		"volume \"#\" type \"volume\" end-volume", "volume a type b subvolumes a end-volume", "volume \"a",
		"volume a type t end-volume volume b type t subvolumes a a a end-volume", "\xff\x00`", "\\",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		file, err := Parse("f", src)
		if err != nil {
			errs := Errors(err)
			if len(errs) == 0 {
				t.Fatalf("%T: %v", err, err)
			}
			for _, e := range errs {
				if e.Line < 1 || e.Line > 1+bytes.Count(src, []byte{'\n'}) {
					t.Fatalf("line %d of %q", e.Line, src)
				}
			}
			return
		}
		text := file.Format()
		again, err := Parse("f", text)
		if err != nil {
			t.Fatalf("%q printed as %q: %v", src, text, err)
		}
		if twice := again.Format(); !bytes.Equal(text, twice) {
			t.Fatalf("%q printed as %q, then as %q", src, text, twice)
		}
		if d := Diff(file, again); d.Kind != Same {
			t.Fatalf("%q printed as %q: %s", src, text, d.Reason)
		}
		if err := Tree(io.Discard, file); err != nil {
			t.Fatal(err)
		}
		if err := Dot(io.Discard, file); err != nil {
			t.Fatal(err)
		}
	})
}
