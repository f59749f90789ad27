package errorgen_test

import (
	"testing"

	"github.com/holdfast/holdfast/xlator/debug/errorgen"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// With a share of nothing, error-gen changes nothing.
func TestConforms(t *testing.T) {
	xlatortest.Conform(t, xlatortest.LeafOf(posix.Type(), locks.Type()), xlatortest.Above(errorgen.Type(), map[string]string{"failure": "0"}))
}
