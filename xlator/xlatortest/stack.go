package xlatortest

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast/holdfast/xlator"
)

// Plan says what a Stack is made of.
type Plan[X xlator.Fops] struct {
	Type *xlator.Type
	// New is Type's, with a clock of the test's; nil: as Type has it.
	New func(e *xlator.Env, now func() time.Duration) (X, error)
	// Options are as in a volfile.
	Options map[string]string
	// Leaf makes the brick.
	Leaf Leaf
	// Between, if not nil, puts something between the probe and the brick.
	Between func(*World, xlator.Fops) xlator.Fops
}

// Stack is a translator under test above a Probe above a brick, in a World that
// serves.
type Stack[X xlator.Fops] struct {
	*World
	// Constant after construction.
	X    X
	P    *Probe
	Leaf xlator.Fops // the brick
	Root *xlator.Inode

	Clock atomic.Int64 // nanoseconds; X's, if it was made by New

	typ  *xlator.Type
	base atomic.Uint64
}

// Build makes the Stack.
func (p Plan[X]) Build(t testing.TB) *Stack[X] {
	t.Helper()
	s := &Stack[X]{World: NewWorld(t, nil), typ: p.Type}
	s.Leaf = p.Leaf(s.World, t.TempDir())
	below := s.Leaf
	if p.Between != nil {
		below = p.Between(s.World, below)
	}
	s.P = NewProbe(t, below)
	typ := *p.Type
	if p.New != nil {
		typ.New = func(e *xlator.Env) (xlator.Fops, error) {
			return p.New(e, func() time.Duration { return time.Duration(s.Clock.Load()) })
		}
	}
	s.X = s.Add(&typ, p.Options, s.P).(X)
	s.Start()
	s.Root = s.World.Root(s.X)
	return s
}

// Must fails the test.
func (s *Stack[X]) Must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// NextBase is the number of a base fd that no other has.
func (s *Stack[X]) NextBase() uint64 { return s.base.Add(1) }

// Pass lets time go by.
func (s *Stack[X]) Pass(d time.Duration) { s.Clock.Add(int64(d)) }

// Reconfigure puts options in force, the others at their defaults.
func (s *Stack[X]) Reconfigure(opts map[string]string) {
	s.t.Helper()
	s.Must(any(s.X).(xlator.Reconfigurer).Reconfigure(Values(s.t, s.typ, opts)))
}
