package xlatortest

import (
	"testing"

	"github.com/holdfast/holdfast/xlator"
)

// Subject is what is put through its paces: a translator, or several.
type Subject struct {
	Name string
	Build
}

// ConformBeside is Conform for several subjects, where a play takes its time: the
// leaf alone is played once for all of them, and chapters are played beside each
// other, on as many leaves of a kind as there are. What is left behind is looked for
// at the end of all. The leaves are used by one play at a time each.
func ConformBeside(t *testing.T, leaves []Leaf, subjects []Subject) {
	t.Helper()
	free := make(chan Leaf, len(leaves))
	for _, leaf := range leaves {
		free <- leaf
	}
	beside := func(t *testing.T, name string, play func(t *testing.T, leaf Leaf)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			leaf := <-free
			defer func() { free <- leaf }()
			play(t, leaf)
		})
	}
	NoLeaks(t, func() {
		t.Run("all", func(t *testing.T) {
			for _, phase := range phases {
				for _, c := range chapters {
					beside(t, phase.String()+"/"+c.name, func(t *testing.T, leaf Leaf) { c.besideEachOther(t, phase, leaf, subjects) })
				}
			}
			beside(t, "what is learned while settling is not used while serving", func(t *testing.T, leaf Leaf) {
				for _, s := range subjects {
					t.Run(s.Name, func(t *testing.T) { fail(t, learnThenServe(t, leaf, s.Build)) })
				}
			})
		})
	})
}

// besideEachOther plays the chapter on the leaf alone and with each subject.
func (c chapter) besideEachOther(t *testing.T, phase xlator.PhaseName, leaf Leaf, subjects []Subject) {
	t.Helper()
	plain := play(t, phase, c, leaf, nil)
	fail(t, plain.faults)
	for _, s := range subjects {
		t.Run(s.Name, func(t *testing.T) { fail(t, against(plain, play(t, phase, c, leaf, s.Build))) })
	}
}
