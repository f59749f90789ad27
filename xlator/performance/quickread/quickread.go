package quickread

import "github.com/holdfast/holdfast/xlator"

// Type describes performance/quick-read.
func Type() *xlator.Type {
	return xlator.Forward("performance/quick-read",
		"Would bring small files along with their lookup; forwards for now.",
		xlator.Option{Name: "priority", Help: "Which files to keep longest, as pattern:priority."},
		xlator.Option{Name: "cache-size", Kind: xlator.KindSize, Default: "128MB", Min: 0, Max: 32 << 30, Help: "How much is kept in all."},
		xlator.Option{Name: "cache-timeout", Kind: xlator.KindTime, Default: "1", Min: 0, Max: 600, Unit: " s", Help: "How long content is used without asking again."},
		xlator.Option{Name: "max-file-size", Kind: xlator.KindSize, Default: "64KB", Min: 0, Max: 1 << 20, Help: "Larger files are not brought."},
		xlator.Option{Name: "quick-read-cache-invalidation", Alias: []string{"cache-invalidation"}, Kind: xlator.KindBool, Default: "off", Help: "Drop content when the brick says that it changed."},
		xlator.Option{Name: "ctime-invalidation", Kind: xlator.KindBool, Default: "off", Help: "Drop content when ctime changed, not only mtime."},
		xlator.Option{Name: "pass-through", Kind: xlator.KindBool, Default: "off", Help: "Whether to forward every fop."},
	)
}
