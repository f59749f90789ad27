package iothreads

import "github.com/holdfast/holdfast/xlator"

// Type describes performance/io-threads.
func Type() *xlator.Type {
	return xlator.Forward("performance/io-threads",
		"Would order fops by priority; forwards for now, since every fop is a goroutine already.",
		xlator.Option{Name: "thread-count", Kind: xlator.KindInt, Default: "16", Min: 1, Max: 64, Help: "How many threads at most."},
		xlator.Option{Name: "high-prio-threads", Kind: xlator.KindInt, Default: "16", Min: 1, Max: 64, Help: "For lookup, stat, open and the like."},
		xlator.Option{Name: "normal-prio-threads", Kind: xlator.KindInt, Default: "16", Min: 1, Max: 64, Help: "For create, unlink, locks, flush and the like."},
		xlator.Option{Name: "low-prio-threads", Kind: xlator.KindInt, Default: "16", Min: 1, Max: 64, Help: "For reads and writes."},
		xlator.Option{Name: "least-prio-threads", Kind: xlator.KindInt, Default: "1", Min: 1, Max: 64, Help: "For internal work."},
		xlator.Option{Name: "enable-least-priority", Kind: xlator.KindBool, Default: "on", Help: "Whether internal work comes last."},
		xlator.Option{Name: "idle-time", Kind: xlator.KindTime, Default: "120", Min: 1, Max: 0x7fffffff, Unit: " s", Help: "When an idle thread ends."},
		xlator.Option{Name: "watchdog-secs", Kind: xlator.KindTime, Default: "0", Min: 0, Max: 0x7fffffff, Unit: " s", Help: "Add a thread when nothing moves for so long."},
		xlator.Option{Name: "cleanup-disconnected-reqs", Kind: xlator.KindBool, Default: "off", Help: "Drop what waits for a client that went away."},
		xlator.Option{Name: "pass-through", Kind: xlator.KindBool, Default: "off", Help: "Whether to forward every fop."},
	)
}
