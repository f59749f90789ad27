package distribute

import (
	"context"
	"fmt"

	"github.com/holdfast/holdfast/xlator"
)

// Type describes cluster/distribute.
func Type() *xlator.Type {
	return &xlator.Type{
		Name:        "cluster/distribute",
		Summary:     "Spreads files over bricks by their names; one brick so far.",
		MinChildren: 1, MaxChildren: 1,
		TooMany: "volumes spread over several bricks come next",
		Options: options(),
		New:     newTranslator,
	}
}

func options() []xlator.Option {
	os := []xlator.Option{
		{Name: "xattr-name", Kind: xlator.KindString, Default: "trusted.glusterfs.dht",
			Help: "Extended attribute that holds a directory's layout; names of others begin with it."},
		{Name: "pass-through", Kind: xlator.KindBool, Default: "off", Live: true, Ignored: true,
			Help: "Accepted and without effect: with one subvolume nearly everything passes through."},
	}
	// GlusterFS's, all about the choice between subvolumes or about moving files
	// between them.
	for _, o := range []struct {
		name string
		kind xlator.OptionKind
	}{
		{"lookup-unhashed", xlator.KindString}, {"lookup-optimize", xlator.KindBool},
		{"min-free-disk", xlator.KindString}, {"min-free-inodes", xlator.KindString},
		{"unhashed-sticky-bit", xlator.KindBool}, {"use-readdirp", xlator.KindBool}, {"readdir-optimize", xlator.KindBool},
		{"assert-no-child-down", xlator.KindBool}, {"directory-layout-spread", xlator.KindInt},
		{"decommissioned-bricks", xlator.KindString}, {"rebalance-cmd", xlator.KindInt}, {"commit-hash", xlator.KindString},
		{"node-uuid", xlator.KindString}, {"rebalance-stats", xlator.KindBool}, {"rebalance-filter", xlator.KindString},
		{"rebal-throttle", xlator.KindString}, {"rsync-hash-regex", xlator.KindString}, {"extra-hash-regex", xlator.KindString},
		{"randomize-hash-range-by-gfid", xlator.KindBool}, {"weighted-rebalance", xlator.KindBool},
		{"lock-migration", xlator.KindBool}, {"force-migration", xlator.KindBool},
	} {
		os = append(os, xlator.Option{Name: o.name, Kind: o.kind, Live: true, Ignored: true,
			Help: "Accepted and without effect: with one subvolume there is nothing to choose and nothing to move."})
	}
	return os
}

// Distribute is the translator. The attribute names are derived from the option
// xattr-name: the layout has that name, the target of a link file that name and
// ".linkto".
type Distribute struct {
	xlator.Default

	// Constant after construction.
	layoutKey, linktoKey string

	// spread says that the volume had more bricks once, so that there may be
	// link files. Constant after Start.
	spread bool
}

var _ interface {
	xlator.Fops
	xlator.Starter
	xlator.Reconfigurer
} = (*Distribute)(nil)

func newTranslator(e *xlator.Env) (xlator.Fops, error) {
	key := e.Options.String("xattr-name")
	return &Distribute{Default: xlator.Default{Next: e.Children[0]}, layoutKey: key, linktoKey: key + ".linkto"}, nil
}

// Start asks whether the root has a layout. Every client of a volume of several
// bricks gives it one before it makes a link file; no client of a volume of one
// brick does, and nobody ever takes it away.
func (d *Distribute) Start(context.Context) error {
	ask := &xlator.Dict{}
	ask.SetInt(d.layoutKey, layoutSize)
	rep, err := d.Next.Lookup(xlator.Internal(), &xlator.LookupReq{GFID: xlator.RootGFID, Xdata: ask})
	if err != nil {
		return fmt.Errorf("lookup of the root: %w", err)
	}
	d.spread = rep.Xdata.Has(d.layoutKey)
	return nil
}

// Reconfigure implements xlator.Reconfigurer: what can change has no effect.
func (*Distribute) Reconfigure(xlator.Values) error { return nil }
