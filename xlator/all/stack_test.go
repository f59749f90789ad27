package all_test

import (
	"testing"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/all"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// clientGraph is the order of a client's translators, from below, with
// everything on.
var clientGraph = []string{
	"debug/error-gen", "debug/delay-gen",
	"features/utime", "performance/write-behind", "performance/read-ahead", "performance/readdir-ahead", "performance/io-cache",
	"performance/open-behind", "performance/quick-read", "performance/nl-cache", "performance/md-cache", "performance/io-threads",
	"debug/io-stats",
}

// What each translator holds alone, all hold together.
func TestWholeClientGraphConforms(t *testing.T) {
	neutral := map[string]map[string]string{
		"debug/error-gen": {"failure": "0"},
		"debug/delay-gen": {"delay-percentage": "0"},
	}
	xlatortest.Conform(t, xlatortest.LeafOf(posix.Type(), locks.Type()), func(w *xlatortest.World, x xlator.Fops) xlator.Fops {
		for _, name := range clientGraph {
			x = w.Add(all.Find(name), neutral[name], x)
		}
		return x
	})
}
