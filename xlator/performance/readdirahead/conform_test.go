package readdirahead

import (
	"testing"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/performance/writebehind"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// Whatever is listed through readdir-ahead, in any phase of the graph, says the
// same as without it.
func TestSaysTheSameAsItsChild(t *testing.T) {
	leaf := xlatortest.LeafOf(posix.Type(), locks.Type())
	small := map[string]string{"rda-request-size": "4096", "rda-high-wmark": "8KB"}
	t.Run("alone", func(t *testing.T) { xlatortest.Conform(t, leaf, xlatortest.Above(Type(), nil)) })
	t.Run("in small pieces, above write-behind", func(t *testing.T) {
		xlatortest.Conform(t, leaf, func(w *xlatortest.World, leaf xlator.Fops) xlator.Fops {
			return w.Add(Type(), small, w.Add(writebehind.Type(), nil, leaf))
		})
	})
}
