package xdr

import (
	"os"
	"strings"
	"testing"
)

// TestFieldsAreThoseOfTheWire compares every message with the table of the wire
// facts, so that nobody moves a field unseen.
func TestFieldsAreThoseOfTheWire(t *testing.T) {
	text, err := os.ReadFile("testdata/layout.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, fields, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " | "); ok {
			want[strings.TrimSpace(name)] = strings.TrimSpace(fields)
		}
	}
	for name, empty := range messages() {
		fields, ok := want[name]
		if !ok {
			t.Errorf("%s is not in the table", name)
		}
		if got := layout(empty()); got != fields {
			t.Errorf("%s is %q, the table says %q", name, got, fields)
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s is in the table only", name)
	}
}
