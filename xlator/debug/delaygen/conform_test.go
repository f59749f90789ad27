package delaygen_test

import (
	"testing"

	"github.com/holdfast/holdfast/xlator/debug/delaygen"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// With a share of nothing, delay-gen changes nothing.
func TestConforms(t *testing.T) {
	xlatortest.Conform(t, xlatortest.LeafOf(posix.Type(), locks.Type()), xlatortest.Above(delaygen.Type(), map[string]string{"delay-percentage": "0"}))
}
