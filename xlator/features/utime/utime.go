package utime

import "github.com/holdfast/holdfast/xlator"

// Type describes features/utime.
func Type() *xlator.Type {
	return xlator.Forward("features/utime",
		"Would stamp the time of a change on the client; forwards for now: the brick stamps it.",
		xlator.Option{Name: "noatime", Kind: xlator.KindBool, Default: "on", Help: "Do not stamp atime."},
	)
}
