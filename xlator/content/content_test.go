package content

import (
	"context"
	"testing"
	"time"

	"github.com/holdfast/holdfast/xlator"
)

func TestAnswerHoldsOnlyWhileNothingChanges(t *testing.T) {
	phase := &xlator.Phase{}
	c := NewChanges(phase)
	if _, ok := c.Now(); ok {
		t.Error("may keep while settling")
	}
	phase.Set(xlator.PhaseServing)
	f := xlator.NewGFID()
	for name, op := range map[string]struct {
		before, after func()
		holds         bool
	}{
		"nothing":               {func() {}, func() {}, true},
		"a change before":       {func() { c.Begin(f); c.End(f) }, func() {}, true},
		"a change after":        {func() {}, func() { c.Begin(f); c.End(f) }, false},
		"one that has begun":    {func() {}, func() { c.Begin(f) }, false},
		"one that was running":  {func() {}, func() { c.End(f) }, false},
		"another's change":      {func() {}, func() { c.Changed(f) }, false},
		"everything":            {func() {}, func() { c.All() }, false},
		"another phase":         {func() {}, func() { phase.Set(xlator.PhaseDraining) }, false},
		"another phase, passed": {func() { phase.Set(xlator.PhaseServing) }, func() { phase.Set(xlator.PhaseDraining); phase.Set(xlator.PhaseServing) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			c = NewChanges(phase)
			phase.Set(xlator.PhaseServing)
			if name == "one that was running" {
				c.Begin(f)
			}
			op.before()
			m, _ := c.Now()
			op.after()
			if c.Holds(f, m) != op.holds {
				t.Errorf("holds: %v", !op.holds)
			}
		})
	}
}

func TestChangeThatRunsHoldsNothing(t *testing.T) {
	phase := &xlator.Phase{}
	phase.Set(xlator.PhaseServing)
	c := NewChanges(phase)
	f := xlator.NewGFID()
	c.Begin(f)
	m, _ := c.Now()
	if c.Holds(f, m) {
		t.Error("what was asked for during a change holds")
	}
}

// What a cache asks for by itself is not a step of the request, and ends with it.
func TestOwnCallIsNoStepOfTheRequest(t *testing.T) {
	r := &xlator.Call{Unique: 7, UID: 1, GID: 2, PID: 3, LockOwner: 4, Groups: []uint32{5}}
	ctx := Own(r)
	c := xlator.CallFrom(ctx)
	if c.Unique != 0 || c.UID != 1 || c.GID != 2 || c.PID != 3 || c.LockOwner != 4 || len(c.Groups) != 1 {
		t.Errorf("%+v", c)
	}
	if ctx.Err() != nil {
		t.Error("ended already")
	}
	r.Interrupt()
	if <-ctx.Done(); ctx.Err() != context.Canceled {
		t.Error("not interrupted")
	}
}

func TestPrioritiesGoByName(t *testing.T) {
	ps, err := ParsePriorities("*.jpg:3, a*:2,*.tmp:0")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"x.jpg": 3, "a": 2, "a.jpg": 3, "b": 1, "b.tmp": 0} {
		if got := ps.Of(name); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
}

// A piece and a stamp that were asked for at the same time say nothing of each
// other: the stamp may be of after a change that the piece does not have.
func TestPieceIsKeptUnderAStampFromBefore(t *testing.T) {
	e := &xlator.Env{Slots: &xlator.Slots{}, Phase: &xlator.Phase{}}
	e.Phase.Set(xlator.PhaseServing)
	s := newStore(e, NewChanges(e.Phase), 10, func() time.Duration { return 0 })
	s.Reconfigure(Settings{On: true, Timeout: time.Second, Limit: 1 << 20, Max: 100})
	i := xlator.NewInodeTable(e.Slots).Get(xlator.NewGFID(), xlator.TypeRegular)
	attr := &xlator.Iatt{Type: xlator.TypeRegular, Size: 20}
	stamp, _ := s.Ask()
	piece, _ := s.Ask()
	s.See(stamp, i, attr)
	if s.Put(piece, i, 0, 20, make([]byte, 20)) || s.Has(i.GFID()) {
		t.Error("kept under a stamp that came after it was asked for")
	}
	piece, _ = s.Ask()
	if !s.Put(piece, i, 5, 12, make([]byte, 12)) || s.Has(i.GFID()) {
		t.Error("half a piece was kept")
	}
	if !s.Put(piece, i, 5, 20, make([]byte, 15)) || !s.Has(i.GFID()) {
		t.Error("the last piece was not kept")
	}
	s.See(stamp, i, attr) // seen again
	if f := s.Find(i.GFID(), 12, 5, Never); !f.Fresh || len(f.Pieces) != 1 || f.Pieces[0] == nil {
		t.Errorf("%+v", f)
	}
	if s.Put(piece, i, 0, 10, make([]byte, 9)) || s.Has(i.GFID()) {
		t.Error("kept what is not as long as its stamp says")
	}
}
