package nlcache

import (
	"testing"

	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// Whatever is asked through nl-cache, in any phase of the graph, says the same as
// without it. With the longest timeout, so that time does not put things right.
func TestSaysTheSameAsItsChild(t *testing.T) {
	leaf := xlatortest.LeafOf(posix.Type(), locks.Type())
	for name, opts := range map[string]map[string]string{
		"absent names":         {"nl-cache-timeout": "600", "nl-cache-limit": "100MB"},
		"complete directories": {"nl-cache-timeout": "600", "nl-cache-limit": "100MB", "nl-cache-positive-entry": "on"},
		"little memory":        {"nl-cache-timeout": "600", "nl-cache-limit": "1KB", "nl-cache-positive-entry": "on"},
	} {
		t.Run(name, func(t *testing.T) { xlatortest.Conform(t, leaf, xlatortest.Above(Type(), opts)) })
	}
}
