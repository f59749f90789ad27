package fdtable_test

import (
	"slices"
	"testing"

	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/xlator"
)

type ender int

func (ender) EndCall(uint64) {}

func TestEndersOfARequestThatComesBackAreGivenOutOnce(t *testing.T) {
	k := newKeeper(t)
	k.worker(t.TempDir(), variants[0])
	mem := k.open()
	defer mem.Close()
	chunk, err := mem.NewChunk(8192, 2)
	if err != nil {
		t.Fatal(err)
	}
	const unanswered, answered = 1000, 1002
	for i, unique := range []uint64{unanswered, answered} {
		e := state.EntryOf(chunk.Slot(i))
		e.Admit(1, state.EntrySize, 48)
		header(chunk.Slot(i)[state.EntrySize:], 48, unique)
		if unique == answered {
			e.SetReply(make([]byte, 32))
		}
	}
	table, end := k.table()
	defer end()
	for _, e := range []ender{1, 2, 1} {
		if !table.ComesBack(unanswered, e) || table.ComesBack(answered, e) {
			t.Errorf("%d: what comes back is the request that was not answered", e)
		}
	}
	if got := table.Enders(unanswered); !slices.Equal(got, []xlator.Ender{ender(1), ender(2)}) {
		t.Errorf("%v hear of its end", got)
	}
	if got := append(table.Enders(unanswered), table.Enders(answered)...); len(got) != 0 {
		t.Errorf("%v hear of its end again", got)
	}
}
