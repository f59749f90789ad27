package writebehind

import (
	"testing"

	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// Whatever is asked through write-behind, in any phase of the graph and with any
// options, says the same as without it.
func TestSaysTheSameAsItsChild(t *testing.T) {
	leaf := xlatortest.LeafOf(posix.Type(), locks.Type())
	for name, opts := range map[string]map[string]string{
		"defaults":        nil,
		"one at a time":   {"aggregate-size": "0", "strict-write-ordering": "on"},
		"without trickle": {"trickling-writes": "off", "cache-size": "512KB"},
		"passing through": {"pass-through": "on"},
	} {
		t.Run(name, func(t *testing.T) { xlatortest.Conform(t, leaf, xlatortest.Above(Type(), opts)) })
	}
}
