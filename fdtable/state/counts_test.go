package state

import (
	"slices"
	"testing"
)

// admitted is a slot of 2048 bytes with a request of 80 in it.
func admitted(t *testing.T) (slot []byte, e *Entry) {
	t.Helper()
	c, err := Plain().NewChunk(2048, 1)
	if err != nil {
		t.Fatal(err)
	}
	slot = c.Slot(0)
	e = EntryOf(slot)
	e.Admit(1, EntrySize, 80)
	return slot, e
}

func TestCountsAreFoundInTheSlot(t *testing.T) {
	slot, e := admitted(t)
	found := func() (all [][2]uint64) {
		e.EachCounted(slot, func(c Counted) {
			n, _ := c.Lookups()
			all = append(all, [2]uint64{c.Node(), n})
		})
		return all
	}
	if f := found(); f != nil {
		t.Errorf("found %v before anything was counted", f)
	}
	var counts Counts
	at := EntrySize + 80
	counts.Begin(slot, at, at+3*CountSize+8)
	want := [][2]uint64{{7, 1}, {8, 5}, {7, 2}}
	for i, w := range want {
		if counts.Full() {
			t.Fatalf("full after %d", i)
		}
		counts.SetCounted(w[0], w[1])
	}
	if f := found(); !slices.Equal(f, want) || !counts.Full() {
		t.Errorf("found %v, full: %v", f, counts.Full())
	}
	for _, bad := range [][2]uint64{{1000, uint64(at)}, {1, 2048}, {1, 8}, {1, uint64(at) + 1}, {1 << 60, uint64(at)}} {
		*e.counts() = bad
		if f := found(); f != nil {
			t.Errorf("found %v with the impossible %v", f, bad)
		}
	}
	e.SetCounted(0, 0)
	if f := found(); f != nil {
		t.Errorf("found %v that was taken back", f)
	}
}

func TestLongReplyLiesInTheSlot(t *testing.T) {
	slot, e := admitted(t)
	copy(slot[1000:], "a reply of a thousand bytes")
	e.SetReplyAt(1000, 1000)
	if r := e.Reply(slot); len(r) != 1000 || string(r[:7]) != "a reply" {
		t.Errorf("%d bytes", len(r))
	}
	for _, bad := range [][2]int{{1000, 1049}, {8, 100}, {2048, 16}, {1 << 20, 16}, {1000, 15}} {
		e.SetReplyAt(bad[0], bad[1])
		if r := e.Reply(slot); r != nil {
			t.Errorf("%d bytes at the impossible %v", len(r), bad)
		}
	}
	e.SetReply([]byte("a short one of 24 bytes."))
	if r := e.Reply(slot); string(r) != "a short one of 24 bytes." {
		t.Errorf("%q", r)
	}
}
