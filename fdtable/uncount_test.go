package fdtable_test

import (
	"testing"

	"github.com/holdfast/holdfast/fdtable"
	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/xlator"
)

// TestLookupsAreTakenBackOnceWhereverAProcessDies: also where it was taking them
// back.
func TestLookupsAreTakenBackOnceWhereverAProcessDies(t *testing.T) {
	const none = 0
	for _, c := range []struct {
		name    string
		lookups uint64
		counted []uint64 // by requests that are carried out again
		taking  int      // the first that many are taken back, or about to be, from the last one on
		leaves  uint64   // what the last of them was to leave
		want    uint64
	}{
		{"two of seven", 7, []uint64{7, 5}, 0, none, 5},
		{"in the order of the slots", 7, []uint64{5, 7}, 0, none, 5},
		{"all", 2, []uint64{1, 2}, 0, none, 0},
		{"one was not counted yet", 6, []uint64{7, 5}, 0, none, 5},
		{"none was counted yet", 4, []uint64{5}, 0, none, 4},
		{"died before the first was taken back", 7, []uint64{7, 5}, 1, 6, 5},
		{"died after the first was taken back", 6, []uint64{7, 5}, 1, 6, 5},
		{"died before the last was taken back", 6, []uint64{7, 5}, 2, 5, 5},
		{"died after the last was taken back", 5, []uint64{7, 5}, 2, 5, 5},
		{"died after all were taken back", 0, []uint64{1}, 1, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKeeper(t)
			table, end := k.table()
			defer end()
			table.Indexed()
			g := xlator.NewGFID()
			id := table.Found(g, xlator.TypeRegular).ID()
			table.Found(g, xlator.TypeRegular) // it stays while its lookups are made fewer
			for range c.lookups {
				table.Found(g, xlator.TypeRegular)
			}
			const more = 2

			chunk, err := state.Plain().NewChunk(2048, 1)
			if err != nil {
				t.Fatal(err)
			}
			slot := chunk.Slot(0)
			e := state.EntryOf(slot)
			e.Admit(1, state.EntrySize, 80)
			var counts state.Counts
			counts.Begin(slot, state.EntrySize+80, len(slot))
			for _, n := range c.counted {
				counts.SetCounted(id, n+more)
			}
			all := func() (all []state.Counted) {
				e.EachCounted(slot, func(c state.Counted) { all = append(all, c) })
				return all
			}
			for i := range c.taking {
				if i < c.taking-1 {
					all()[i].Clear()
				} else {
					all()[i].Take(c.leaves + more)
				}
			}
			table.Uncount(all())
			table.Uncount(all()) // nothing is left to do
			if n := table.Node(id); n == nil {
				t.Fatal("the kernel's node is gone")
			}
			if got := lookups(t, table, id) - more; got != c.want {
				t.Errorf("%d lookups, want %d", got, c.want)
			}
		})
	}
}

// lookups has a node forgotten, one lookup after the other.
func lookups(t *testing.T, table *fdtable.Table, id uint64) (n uint64) {
	t.Helper()
	for ; table.Node(id) != nil; n++ {
		table.Forget(id, 1)
	}
	return n
}
