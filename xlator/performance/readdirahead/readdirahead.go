package readdirahead

import "github.com/holdfast/holdfast/xlator"

// Type describes performance/readdir-ahead.
func Type() *xlator.Type {
	return xlator.Forward("performance/readdir-ahead",
		"Would read ahead of whoever lists a directory; forwards for now.",
		xlator.Option{Name: "rda-request-size", Kind: xlator.KindSize, Default: "131072", Min: 4096, Max: 131072, Help: "How much to ask for at once."},
		xlator.Option{Name: "rda-low-wmark", Kind: xlator.KindSize, Default: "4096", Min: 0, Max: 10 << 20, Help: "Read ahead when less than this is left."},
		xlator.Option{Name: "rda-high-wmark", Kind: xlator.KindSize, Default: "128KB", Min: 0, Max: 100 << 20, Help: "Stop when more than this is there."},
		xlator.Option{Name: "rda-cache-limit", Kind: xlator.KindSize, Default: "10MB", Help: "How much is kept in all."},
		xlator.Option{Name: "parallel-readdir", Kind: xlator.KindBool, Default: "off", Help: "One below each child of cluster/distribute."},
		xlator.Option{Name: "performance.readdir-ahead", Kind: xlator.KindBool, Default: "on", Help: "Written by glusterd together with parallel-readdir."},
		xlator.Option{Name: "pass-through", Kind: xlator.KindBool, Default: "off", Help: "Whether to forward every fop."},
	)
}
