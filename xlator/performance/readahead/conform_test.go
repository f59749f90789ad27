package readahead_test

import (
	"testing"

	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/performance/readahead"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// A type that forwards changes nothing.
func TestConforms(t *testing.T) {
	xlatortest.Conform(t, xlatortest.LeafOf(posix.Type(), locks.Type()), xlatortest.Above(readahead.Type(), nil))
}
