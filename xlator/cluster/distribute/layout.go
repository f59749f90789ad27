package distribute

import (
	"context"

	"github.com/holdfast/holdfast/xlator"
)

// layoutSize is the length in bytes of a layout: commit hash, type, first and
// last hash of the subvolume's range, each a big-endian uint32.
const layoutSize = 16

// wholeRing is what a 10.3 client writes with one subvolume: commit hash 0,
// whatever the volume's is, and every hash there is.
func wholeRing() []byte {
	return []byte{
		0, 0, 0, 0,
		0, 0, 0, 0,
		0, 0, 0, 0,
		0xff, 0xff, 0xff, 0xff,
	}
}

// Mkdir sends the layout along: the brick stores it with the directory.
func (d *Distribute) Mkdir(ctx context.Context, r *xlator.MkdirReq) (*xlator.EntryRep, error) {
	with := *r
	with.Xdata = &xlator.Dict{}
	for _, p := range r.Xdata.Pairs() {
		with.Xdata.Set(p)
	}
	with.Xdata.SetBytes(d.layoutKey, wholeRing())
	return free(d, r.Parent, r.Name, func() (*xlator.EntryRep, error) { return d.Next.Mkdir(ctx, &with) })
}
