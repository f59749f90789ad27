package locks

import (
	"testing"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// brick is a leaf without a file: what features/locks asks of the one below it
// is which brick it is, and nothing else.
type brick struct {
	xlator.Default
	id string
}

func (b *brick) Identity() string { return b.id }

func newBench(t testing.TB) (*xlatortest.World, xlator.Fops) {
	w := xlatortest.NewWorld(t, nil)
	top := w.Add(Type(), nil, &brick{id: "brick"})
	w.Start()
	return w, top
}
