package graph

import (
	"slices"
	"testing"

	"github.com/holdfast/holdfast/xlator"
)

// ear is a translator that listens.
type ear struct {
	xlator.Default
	heard []xlator.Event
	stop  bool
}

func (e *ear) Notified(_ xlator.Fops, ev xlator.Event) bool {
	e.heard = append(e.heard, ev)
	return !e.stop
}

func TestEventsGoUpUntilSomebodyKeepsThem(t *testing.T) {
	var top []xlator.Event
	low, mid, high := &ear{}, &ear{}, &ear{}
	leaf := &notifier{self: low}
	middle := &notifier{self: mid}
	upper := &notifier{self: high, top: func(e xlator.Event) { top = append(top, e) }}
	leaf.parents, middle.parents = []*notifier{middle}, []*notifier{upper}

	first, second := xlator.Event{Kind: xlator.ChildUp}, xlator.Event{Kind: xlator.Invalidate, Stale: xlator.StaleData}
	leaf.notify(first)
	mid.stop = true
	leaf.notify(second)
	if !slices.Equal(mid.heard, []xlator.Event{first, second}) || !slices.Equal(high.heard, []xlator.Event{first}) || !slices.Equal(top, []xlator.Event{first}) {
		t.Fatalf("middle heard %v, the next %v, the top %v", mid.heard, high.heard, top)
	}
	if len(low.heard) != 0 {
		t.Fatal("a translator heard its own event")
	}
}
