package readahead

import (
	"testing"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/performance/writebehind"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// Whatever is read through read-ahead, in any phase of the graph, is the same as
// without it.
func TestSaysTheSameAsItsChild(t *testing.T) {
	leaf := xlatortest.LeafOf(posix.Type(), locks.Type())
	opts := map[string]string{"page-size": "4096", "page-count": "16"}
	t.Run("alone", func(t *testing.T) { xlatortest.Conform(t, leaf, xlatortest.Above(Type(), opts)) })
	t.Run("above write-behind", func(t *testing.T) {
		xlatortest.Conform(t, leaf, func(w *xlatortest.World, leaf xlator.Fops) xlator.Fops {
			return w.Add(Type(), opts, w.Add(writebehind.Type(), nil, leaf))
		})
	})
}
