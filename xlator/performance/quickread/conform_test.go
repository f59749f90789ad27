package quickread

import (
	"testing"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/performance/writebehind"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// Whatever is read through quick-read, in any phase of the graph, is the same as
// without it. With the longest timeout, so that time does not put things right.
func TestSaysTheSameAsItsChild(t *testing.T) {
	opts := map[string]string{"cache-timeout": "600", "max-file-size": "1MB"}
	bringing := func(w *xlatortest.World, dir string) xlator.Fops {
		return bring(xlatortest.LeafOf(posix.Type(), locks.Type())(w, dir))
	}
	t.Run("alone", func(t *testing.T) { xlatortest.Conform(t, bringing, xlatortest.Above(Type(), opts)) })
	t.Run("above write-behind", func(t *testing.T) {
		xlatortest.Conform(t, bringing, func(w *xlatortest.World, leaf xlator.Fops) xlator.Fops {
			return w.Add(Type(), opts, w.Add(writebehind.Type(), nil, leaf))
		})
	})
}
