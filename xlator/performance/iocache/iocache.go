package iocache

import "github.com/holdfast/holdfast/xlator"

// Type describes performance/io-cache.
func Type() *xlator.Type {
	return xlator.Forward("performance/io-cache",
		"Would keep pages that were read; forwards for now.",
		xlator.Option{Name: "priority", Help: "Which files to keep longest, as pattern:priority."},
		xlator.Option{Name: "cache-timeout", Alias: []string{"force-revalidate-timeout"}, Kind: xlator.KindTime, Default: "1", Min: 0, Max: 60, Unit: " s", Help: "How long a page is used without asking again."},
		xlator.Option{Name: "cache-size", Kind: xlator.KindSize, Default: "32MB", Min: 4 << 20, Max: 32 << 30, Help: "How much is kept in all."},
		xlator.Option{Name: "min-file-size", Kind: xlator.KindSize, Default: "0", Help: "Smaller files are not kept."},
		xlator.Option{Name: "max-file-size", Kind: xlator.KindSize, Default: "0", Help: "Larger files are not kept; 0: no limit."},
		xlator.Option{Name: "pass-through", Kind: xlator.KindBool, Default: "off", Help: "Whether to forward every fop."},
	)
}
