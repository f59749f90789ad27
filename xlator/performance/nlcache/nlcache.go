package nlcache

import "github.com/holdfast/holdfast/xlator"

// Type describes performance/nl-cache.
func Type() *xlator.Type {
	return xlator.Forward("performance/nl-cache",
		"Would remember names that do not exist; forwards for now.",
		xlator.Option{Name: "nl-cache-positive-entry", Kind: xlator.KindBool, Default: "off", Help: "Remember names that do exist, too."},
		xlator.Option{Name: "nl-cache-limit", Kind: xlator.KindSize, Default: "131072", Min: 0, Max: 100 << 20, Help: "How much is kept in all."},
		xlator.Option{Name: "nl-cache-timeout", Kind: xlator.KindTime, Default: "60", Min: 0, Max: 600, Unit: " s", Help: "How long a name is remembered."},
		xlator.Option{Name: "pass-through", Kind: xlator.KindBool, Default: "off", Help: "Whether to forward every fop."},
	)
}
