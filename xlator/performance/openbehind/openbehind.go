package openbehind

import "github.com/holdfast/holdfast/xlator"

// Type describes performance/open-behind.
func Type() *xlator.Type {
	return xlator.Forward("performance/open-behind",
		"Would answer an open before the brick has; forwards for now.",
		xlator.Option{Name: "use-anonymous-fd", Kind: xlator.KindBool, Default: "off", Help: "Read without opening."},
		xlator.Option{Name: "lazy-open", Kind: xlator.KindBool, Default: "on", Help: "Open only when the first fop needs it."},
		xlator.Option{Name: "read-after-open", Kind: xlator.KindBool, Default: "on", Help: "Open before the first read."},
		xlator.Option{Name: "pass-through", Kind: xlator.KindBool, Default: "off", Help: "Whether to forward every fop."},
	)
}
