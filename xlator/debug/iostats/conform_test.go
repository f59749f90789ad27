package iostats_test

import (
	"testing"

	"github.com/holdfast/holdfast/xlator/debug/iostats"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// io-stats only looks on.
func TestConforms(t *testing.T) {
	xlatortest.Conform(t, xlatortest.LeafOf(posix.Type(), locks.Type()), xlatortest.Above(iostats.Type(), nil))
}
