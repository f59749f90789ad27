package contenttest

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// Phases changes a file below the subject while its graph is transparent, or
// across a change of phase, and expects it to be seen.
func Phases(t *testing.T, s Subject) {
	s.byRead()
	for _, phase := range []xlator.PhaseName{xlator.PhaseSettling, xlator.PhaseDraining} {
		t.Run(phase.String(), func(t *testing.T) {
			w := s.Build(t)
			fd := w.Open(w.Create("f", Fill(1, 5000)), unix.O_RDWR)
			defer w.X.Release(fd)
			seen := func(what string) {
				t.Helper()
				w.PutBelow(fd, 0, Fill(byte(w.mtime+2), 5000))
				if w.Read(fd, 0, 20000) != w.Truth(fd, 0, 20000) {
					t.Errorf("%s: a change below is not seen", what)
				}
			}
			s.Warm(w, fd)
			if !w.Cached(fd, 0, 5000) {
				t.Fatal("nothing was kept while serving")
			}
			w.Phase.Set(phase)
			seen("kept before")
			s.Warm(w, fd)
			seen("kept while transparent")
			w.Phase.Set(xlator.PhaseServing)
			seen("kept while transparent, used after")
			s.Warm(w, fd)
			if !w.Cached(fd, 0, 5000) {
				t.Error("nothing is kept while serving again")
			}
			for _, across := range []struct{ from, to xlator.PhaseName }{{xlator.PhaseServing, phase}, {phase, xlator.PhaseServing}} {
				w.Phase.Set(across.from)
				g := w.P.Gate(s.Fop, true)
				w.Tell(xlator.Event{Kind: xlator.ChildDown}) // forget
				read := Async(func() { s.Fetch(w, fd) })
				g.Wait(t)
				w.Phase.Set(across.to)
				g.Open()
				w.Ended(read)
				w.Phase.Set(xlator.PhaseServing)
				seen("an answer on its way while the phase changed")
			}
		})
	}
}

// Events changes a file below the subject and tells it, and expects that to count
// for answers that are on their way too.
func Events(t *testing.T, s Subject) {
	s.byRead()
	for name, event := range map[string]func(g xlator.GFID) xlator.Event{
		"invalidation": func(g xlator.GFID) xlator.Event {
			return xlator.Event{Kind: xlator.Invalidate, File: g, Stale: xlator.StaleData}
		},
		"child down": func(xlator.GFID) xlator.Event { return xlator.Event{Kind: xlator.ChildDown} },
	} {
		t.Run(name, func(t *testing.T) {
			w := s.Build(t)
			fd := w.Open(w.Create("f", Fill(1, 5000)), unix.O_RDWR)
			defer w.X.Release(fd)
			change := func(what string) {
				t.Helper()
				w.PutBelow(fd, 0, Fill(byte(w.mtime+2), 5000))
				w.Tell(event(fd.Inode().GFID()))
				if w.Read(fd, 0, 20000) != w.Truth(fd, 0, 20000) {
					t.Errorf("%s: the change is not seen", what)
				}
			}
			s.Warm(w, fd)
			if !w.Cached(fd, 0, 5000) {
				t.Fatal("nothing was kept")
			}
			change("kept before")
			w.Tell(xlator.Event{Kind: xlator.ChildDown})
			g := w.P.Gate(s.Fop, true)
			read := Async(func() { s.Fetch(w, fd) })
			g.Wait(t)
			w.PutBelow(fd, 0, Fill(99, 5000))
			w.Tell(event(fd.Inode().GFID()))
			g.Open()
			w.Ended(read)
			for range 3 {
				if w.Read(fd, 0, 20000) != w.Truth(fd, 0, 20000) {
					t.Error("an answer that was on its way was kept")
				}
			}
		})
	}
}
