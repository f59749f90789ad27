package xdr

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// checkMessage draws a message and holds it against the reference encoder, and
// against itself decoded.
func checkMessage(t *rapid.T, empty func() Message) {
	v := empty()
	draw(t, v)
	wire := v.AppendTo(nil)
	if want := reference(v); !bytes.Equal(wire, want) {
		t.Fatalf("%T encoded\n%x, want\n%x", v, wire, want)
	}
	if got := v.AppendTo([]byte("before"))[6:]; !bytes.Equal(got, wire) {
		t.Fatalf("%T depends on what is in the buffer", v)
	}
	got := empty()
	if err := Decode(wire, got); err != nil {
		t.Fatal(err)
	}
	requireSame(t, v, got)
}

func TestEveryMessageSurvivesTheWire(t *testing.T) {
	forEach(t, func(t *testing.T, empty func() Message) {
		rapid.Check(t, func(t *rapid.T) { checkMessage(t, empty) })
	})
}
