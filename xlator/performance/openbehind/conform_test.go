package openbehind

import (
	"testing"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/performance/writebehind"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// Whatever is asked through open-behind, in any phase of the graph, says the same
// as without it.
func TestSaysTheSameAsItsChild(t *testing.T) {
	leaf := xlatortest.LeafOf(posix.Type(), locks.Type())
	t.Run("alone", func(t *testing.T) {
		xlatortest.Conform(t, leaf, xlatortest.Above(Type(), map[string]string{"use-anonymous-fd": "on"}))
	})
	t.Run("in the background, above write-behind", func(t *testing.T) {
		xlatortest.Conform(t, leaf, func(w *xlatortest.World, leaf xlator.Fops) xlator.Fops {
			return w.Add(Type(), map[string]string{"lazy-open": "off"}, w.Add(writebehind.Type(), nil, leaf))
		})
	})
}
