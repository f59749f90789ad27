package distribute_test

import (
	"testing"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/cluster/distribute"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

var leaf = xlatortest.LeafOf(posix.Type(), locks.Type())

func TestConformsOnAVolumeOfOneBrick(t *testing.T) {
	xlatortest.Conform(t, leaf, xlatortest.Above(distribute.Type(), nil))
}

// Where there may be link files every name and listing is looked at.
func TestConformsOnAVolumeThatWasShrunk(t *testing.T) {
	xlatortest.Conform(t, leaf, func(w *xlatortest.World, x xlator.Fops) xlator.Fops {
		return w.Add(distribute.Type(), nil, &brick{Default: xlator.Default{Next: x}, layout: true})
	})
}
