package iostats

import "github.com/holdfast/holdfast/xlator"

// options are GlusterFS 10's.
func options() []xlator.Option {
	const (
		noThreads = "Accepted; there are no threads to configure here."
		noLog     = "Accepted; logging is configured for the mount (--log-level, --log-file)."
		noDump    = "Accepted; see holdfast status, holdfast dump and --metrics."
	)
	ignored := func(name string, kind xlator.OptionKind, def, help string) xlator.Option {
		return xlator.Option{Name: name, Kind: kind, Default: def, Help: help, Live: true, Ignored: true}
	}
	levels := []string{"DEBUG", "WARNING", "ERROR", "INFO", "CRITICAL", "NONE", "TRACE"}
	level := ignored("log-level", xlator.KindString, "", noLog)
	sysLevel := ignored("sys-log-level", xlator.KindString, "", noLog)
	level.Values, sysLevel.Values = levels, levels
	logger := ignored("logger", xlator.KindString, "", noLog)
	logger.Values = []string{"gluster-log", "syslog"}
	format := ignored("log-format", xlator.KindString, "", noLog)
	format.Values = []string{"no-msg-id", "with-msg-id"}
	buf := ignored("log-buf-size", xlator.KindInt, "5", noLog)
	buf.Min, buf.Max = 0, 20
	flush := ignored("log-flush-timeout", xlator.KindTime, "120", noLog)
	flush.Min, flush.Max = 30, 300
	dumpFormat := ignored("ios-dump-format", xlator.KindString, "json", noDump)
	dumpFormat.Values = []string{"json", "text", "dict", "samples"}
	threads := ignored("threads", xlator.KindInt, "16", noThreads)
	threads.Min, threads.Max = 0, 64
	return []xlator.Option{
		{Name: "latency-measurement", Kind: xlator.KindBool, Default: "on", Live: true,
			Help: "Measure how long fops take. Without it, counts go on and quantiles stand still."},
		ignored("count-fop-hits", xlator.KindBool, "on", "Accepted; fops are always counted."),
		ignored("dump-fd-stats", xlator.KindBool, "off", noDump),
		ignored("ios-dump-interval", xlator.KindInt, "0", noDump),
		dumpFormat,
		ignored("ios-sample-interval", xlator.KindInt, "0", noDump),
		ignored("ios-sample-buf-size", xlator.KindInt, "65535", noDump),
		ignored("ios-dnscache-ttl-sec", xlator.KindInt, "86400", noDump),
		level, sysLevel, logger, format, buf, flush,
		ignored("unique-id", xlator.KindString, "", "Accepted; the volume's name tells one io-stats from another."),
		ignored("volume-id", xlator.KindString, "", "Accepted; the brick's own volume-id counts."),
		ignored("global-threading", xlator.KindBool, "off", noThreads),
		threads,
		ignored("brick-threads", xlator.KindInt, "16", noThreads),
		ignored("client-threads", xlator.KindInt, "16", noThreads),
	}
}
