package contenttest

import (
	"testing"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// Phases changes a file below the subject while its graph is transparent, or
// across a change of phase, and expects it to be seen.
func Phases(t *testing.T, s Subject) {
	s.byRead()
	for _, phase := range []xlator.PhaseName{xlator.PhaseSettling, xlator.PhaseDraining} {
		t.Run(phase.String(), func(t *testing.T) {
			w := s.Build(t)
			fd := s.open(w)
			defer w.Release(fd)
			seen := func(what string) {
				t.Helper()
				w.PutBelow(fd, s.Base, Fill(byte(w.mtime+2), 5000))
				s.right(w, fd, what)
			}
			s.Warm(w, fd)
			if !w.Cached(fd, s.Base, 5000) {
				t.Fatal("nothing was kept while serving")
			}
			w.Phase.Set(phase)
			seen("kept before")
			s.Warm(w, fd)
			seen("kept while transparent")
			w.Phase.Set(xlator.PhaseServing)
			seen("kept while transparent, used after")
			s.Warm(w, fd)
			if !w.Cached(fd, s.Base, 5000) {
				t.Error("nothing is kept while serving again")
			}
			for _, across := range []struct{ from, to xlator.PhaseName }{{xlator.PhaseServing, phase}, {phase, xlator.PhaseServing}} {
				w.Phase.Set(across.from)
				g := s.gate(w)
				w.Tell(xlator.Event{Kind: xlator.ChildDown}) // forget
				read := xlatortest.Async(func() { s.Fetch(w, fd) })
				g.Wait(t)
				w.Phase.Set(across.to)
				close(g.Open)
				xlatortest.Ended(w.T(), read)
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
			fd := s.open(w)
			defer w.Release(fd)
			change := func(what string) {
				t.Helper()
				w.PutBelow(fd, s.Base, Fill(byte(w.mtime+2), 5000))
				w.Tell(event(fd.Inode().GFID()))
				s.right(w, fd, what)
			}
			s.Warm(w, fd)
			if !w.Cached(fd, s.Base, 5000) {
				t.Fatal("nothing was kept")
			}
			change("kept before")
			w.Tell(xlator.Event{Kind: xlator.ChildDown})
			g := s.gate(w)
			read := xlatortest.Async(func() { s.Fetch(w, fd) })
			g.Wait(t)
			w.PutBelow(fd, s.Base, Fill(99, 5000))
			w.Tell(event(fd.Inode().GFID()))
			close(g.Open)
			xlatortest.Ended(w.T(), read)
			for range 3 {
				s.right(w, fd, "an answer that was on its way")
			}
		})
	}
}
