package utime

import (
	"github.com/holdfast/holdfast/xlator"
)

// Type describes features/utime.
func Type() *xlator.Type {
	return &xlator.Type{
		Name:    "features/utime",
		Summary: "Says which times a brick is to keep: that of an access only if it is asked to.",
		Options: []xlator.Option{
			{Name: "noatime", Kind: xlator.KindBool, Default: "on", Live: true, Help: "Do not have the brick note when a file was read (ctime.noatime)."},
		},
		MinChildren: 1, MaxChildren: 1,
		New: newUtime,
	}
}

// Utime is one graph's features/utime.
type Utime struct{ xlator.Default }

var _ interface {
	xlator.Fops
	xlator.Reconfigurer
} = (*Utime)(nil)

func newUtime(e *xlator.Env) (xlator.Fops, error) {
	u := &Utime{xlator.Default{Next: e.Children[0]}}
	return u, u.Reconfigure(e.Options)
}

// Reconfigure implements xlator.Reconfigurer.
func (u *Utime) Reconfigure(v xlator.Values) error {
	u.StampAccess(!v.Bool("noatime"))
	return nil
}
