package readahead

import "github.com/holdfast/holdfast/xlator"

// Type describes performance/read-ahead.
func Type() *xlator.Type {
	return xlator.Forward("performance/read-ahead",
		"Would read ahead of a sequential reader; forwards for now.",
		xlator.Option{Name: "force-atime-update", Kind: xlator.KindBool, Default: "off", Help: "Tell the brick about reads that were answered from memory."},
		xlator.Option{Name: "page-count", Kind: xlator.KindInt, Default: "4", Min: 1, Max: 16, Help: "How many pages to read ahead."},
		xlator.Option{Name: "page-size", Kind: xlator.KindSize, Default: "131072", Min: 4096, Max: 64 << 20, Help: "How large a page is."},
		xlator.Option{Name: "pass-through", Kind: xlator.KindBool, Default: "off", Help: "Whether to forward every fop."},
	)
}
