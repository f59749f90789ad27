package mountopt

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// Arg says whether an option takes a value.
type Arg uint8

// Kinds of Arg.
const (
	NoArg Arg = iota
	NeedsArg
	MayArg
)

// Group is where an option comes from; the help is ordered by it.
type Group string

// Groups.
const (
	Own     Group = "holdfast"
	Gluster Group = "mount.glusterfs(8)"
	Mount8  Group = "mount(8)"
)

// Option is one row of the table.
type Option struct {
	// Option declares name, kind of value, default, bounds and help.
	xlator.Option
	Group   Group
	Arg     Arg
	Refused string // why, if the option is known and not supported

	bare   string // the value of a MayArg option without one
	prefix bool   // every name that begins with Name
	apply  func(*Options, xlator.Value) error
}

// Table returns all options, in the order in which people are shown them.
func Table() []Option { return table }

func find(name string) *Option {
	for i := range table {
		d := &table[i]
		if d.Name == name || d.prefix && strings.HasPrefix(name, d.Name) {
			return d
		}
		for _, a := range d.Alias {
			if a == name {
				return d
			}
		}
	}
	return nil
}

var table = append(append(ownOptions(), glusterOptions()...), mountOptions()...)

func ownOptions() []Option {
	return []Option{
		{Option: xlator.Option{Name: "allow-foreign-brick", Kind: xlator.KindBool, Default: "off",
			Help: "mount a directory that is a brick of a volume of another making"},
			Arg: MayArg, bare: "on", apply: setBool(func(o *Options) *bool { return &o.AllowForeignBrick })},
		{Option: xlator.Option{Name: "drain-timeout", Kind: xlator.KindTime, Default: "5", Min: 0.01, Max: 3600, Unit: " seconds",
			Help: "how long a switch waits for queued writes before it holds the files that still have some"},
			Arg: NeedsArg, apply: func(o *Options, v xlator.Value) error { o.DrainTimeout = seconds(v); return nil }},
		{Option: xlator.Option{Name: "max-write", Kind: xlator.KindSize, Default: "1MB", Min: 4096, Max: 1 << 20, Unit: " bytes",
			Help: "largest write that the kernel sends in one request"},
			Arg: NeedsArg, apply: func(o *Options, v xlator.Value) error { o.MaxWrite = int(v.Int); return nil }},
		{Option: xlator.Option{Name: "read-ahead", Kind: xlator.KindSize, Default: "1MB", Min: 4096, Max: 1 << 30, Unit: " bytes",
			Help: "how far the kernel reads ahead in a file that is read from front to back"},
			Arg: NeedsArg, apply: func(o *Options, v xlator.Value) error { o.ReadAhead = int(v.Int); return nil }},
		{Option: xlator.Option{Name: "keeper", Kind: xlator.KindString, Default: "on",
			Help: "on: a small process of its own keeps the mount, so that it survives the death of the process that serves it; off: one process, and the mount dies with it; unix:/PATH: the service there keeps it (holdfast keeper)"},
			Arg: NeedsArg, apply: setKeeper},
		{Option: xlator.Option{Name: "recovery-deadline", Kind: xlator.KindTime, Default: "60", Min: 1, Max: 86400, Unit: " seconds",
			Help: "how long applications wait, for a process to serve the mount again or for a file to be opened again, before they get an error"},
			Arg: NeedsArg, apply: func(o *Options, v xlator.Value) error { o.RecoveryDeadline = seconds(v); return nil }},
		{Option: xlator.Option{Name: "idle-timeout", Kind: xlator.KindTime, Default: "0", Min: 0, Max: 86400 * 365, Unit: " seconds",
			Help: "close a file on its brick that applications hold open and have not used for that long; it is opened again when they do. Files with locks, without a name or with data on their way stay open. 0: only when the process has used up three quarters of the descriptors it may have"},
			Arg: NeedsArg, apply: func(o *Options, v xlator.Value) error { o.IdleTimeout = seconds(v); return nil }},
		{Option: xlator.Option{Name: "lock-loss", Kind: xlator.KindString, Values: []string{"check", "fail", "drop"},
			Help: "what becomes of locks when the connection to a brick is lost. check: they are taken again, and an open file whose lock somebody else has got, or that was changed meanwhile, is lost (EIO); fail: every open file with locks is lost; drop: the locks are gone and nobody is told, as with the stock client. Without it the volfile's strict-locks counts, then check"},
			Arg: NeedsArg, apply: func(o *Options, v xlator.Value) error { o.LockLoss = v.Text; return nil }},
		{Option: xlator.Option{Name: "metrics", Kind: xlator.KindString,
			Help: "serve Prometheus metrics at HOST:PORT or unix:/PATH; off if not given"},
			Arg: NeedsArg, apply: func(o *Options, v xlator.Value) error { o.Metrics = v.Text; return nil }},
	}
}

func glusterOptions() []Option {
	opts := []Option{
		{Option: xlator.Option{Name: "log-file", Kind: xlator.KindPath,
			Help: "where to log; /var/log/holdfast/ and the mount point's name if not given"},
			Arg: NeedsArg, apply: func(o *Options, v xlator.Value) error { o.LogFile = v.Text; return nil }},
		{Option: xlator.Option{Name: "log-level", Kind: xlator.KindString, Default: "INFO",
			Help: "TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL or NONE"},
			Arg: NeedsArg, apply: func(o *Options, v xlator.Value) (err error) {
				o.LogLevel, err = ParseLevel(v.Text)
				o.LogLevelGiven = true
				return err
			}},
		timeout("attribute-timeout", "1", "how long the kernel may keep attributes. On a volume with features.cache-invalidation on, this and the next two may be long: see docs/translators/protocol-client.md", func(o *Options, v xlator.Value) error { o.AttrTimeout = seconds(v); return nil }),
		timeout("entry-timeout", "1", "how long the kernel may keep a name", func(o *Options, v xlator.Value) error { o.EntryTimeout = seconds(v); return nil }),
		timeout("negative-timeout", "0", "how long the kernel may keep that a name does not exist", func(o *Options, v xlator.Value) error { o.NegativeTimeout = seconds(v); return nil }),
		{Option: xlator.Option{Name: "direct-io-mode", Kind: xlator.KindString, Values: []string{"enable", "disable", "auto"}, Default: "auto",
			Help: "enable: the kernel keeps no data, and files cannot be mapped shared; auto is disable"},
			Arg: NeedsArg, apply: func(o *Options, v xlator.Value) error { o.DirectIO = v.Text == "enable"; return nil }},
		{Option: xlator.Option{Name: "fopen-keep-cache", Kind: xlator.KindBool, Default: "off",
			Help: "keep a file's data in the kernel from one open to the next; only right if nobody else changes it"},
			Arg: MayArg, bare: "on", apply: setBool(func(o *Options) *bool { return &o.KeepCache })},
		{Option: xlator.Option{Name: "acl", Help: "POSIX ACLs (noacl switches them off again)"}, apply: func(o *Options, _ xlator.Value) error { o.ACL = true; return nil }},
		{Option: xlator.Option{Name: "noacl", Help: "no POSIX ACLs"}, apply: func(o *Options, _ xlator.Value) error { o.ACL = false; return nil }},
		{Option: xlator.Option{Name: "use-readdirp", Kind: xlator.KindBool, Ignored: true,
			Help: "accepted, changes nothing: listings carry attributes when the kernel asks for them"}, Arg: NeedsArg},
		{Option: xlator.Option{Name: "background-qlen", Kind: xlator.KindInt, Default: "64", Min: 1, Max: 65535,
			Help: "how many requests that nobody waits for (readahead, asynchronous I/O) may be in flight"},
			Arg: NeedsArg, apply: func(o *Options, v xlator.Value) error { o.MaxBackground = int(v.Int); return nil }},
		{Option: xlator.Option{Name: "congestion-threshold", Kind: xlator.KindInt, Min: 1, Max: 65535,
			Help: "from how many of those the kernel holds back; three quarters of background-qlen if not given"},
			Arg: NeedsArg, apply: func(o *Options, v xlator.Value) error { o.Congestion = int(v.Int); return nil }},
	}
	opts = append(opts, serverOptions()...)
	for i := range opts {
		opts[i].Group = Gluster
	}
	ignored := func(why string, arg Arg, names ...string) {
		for _, n := range names {
			opts = append(opts, Option{Option: xlator.Option{Name: n, Ignored: true, Help: why}, Group: Gluster, Arg: arg})
		}
	}
	ignored("accepted, changes nothing: there are no 64-bit inode numbers to shorten for 64-bit programs", MayArg, "enable-ino32")
	ignored("accepted, changes nothing: groups are resolved by the kernel's default_permissions", MayArg, "resolve-gids", "gid-timeout")
	ignored("accepted, changes nothing: it tunes parts that are not there", NeedsArg,
		"reader-thread-count", "lru-limit", "invalidate-limit", "event-history", "fuse-dev-eperm-ratelimit-ns", "fuse-flush-handle-interrupt", "io-engine")
	ignored("accepted, changes nothing: a mount asks each server once, and goes on asking while it is mounted", NeedsArg, "fetch-attempts", "volfile-max-fetch-attempts")
	ignored("accepted, changes nothing: an option that a translator does not know is a line in the log", MayArg, "volfile-check")
	ignored("accepted, changes nothing: processes have names of their own", NeedsArg, "process-name")
	ignored("accepted, changes nothing: the kernel's cache follows the mtime that each reply carries", NeedsArg, "auto-invalidation", "fuse-auto-invalidation")
	ignored("accepted, changes nothing: memory is accounted for by the Go runtime", MayArg, "mem-accounting")
	ignored("accepted, changes nothing: the log has the local time and its offset", MayArg, "localtime-logging")
	refused := func(why string, names ...string) {
		for _, n := range names {
			opts = append(opts, Option{Option: xlator.Option{Name: n}, Group: Gluster, Arg: MayArg, Refused: why})
		}
	}
	refused("what is mounted is the top of the graph; for another part of it write a .vol file", "volume-name")
	refused("the source names the volume: HOST:/VOLUME", "volume-id", "volfile-id")
	refused("use `gluster volume set`, or `holdfast set`, or write the option into a .vol file", "xlator-option")
	refused("write the options themselves after -o", "fuse-mountopts")
	refused("there is no kernel write-back cache: with several clients it would be wrong without leases", "kernel-writeback-cache", "attr-times-granularity")
	refused("there is no such translator yet", "worm", "aux-gfid-mount", "root-squash", "no-root-squash", "thin-client", "global-threading", "halo-max-latency", "halo-max-replicas", "halo-min-replicas")
	refused("there is no dump of the kernel's requests; the log level TRACE and `holdfast dump` show what goes on", "dump-fuse")
	refused("the kernel mount has no SELinux labels", "selinux", "capability", "context", "fscontext", "defcontext", "rootcontext")
	refused("set oom_score_adj from outside (systemd's OOMScoreAdjust=, choom(1))", "oom-score-adj")
	return opts
}

func mountOptions() []Option {
	var opts []Option
	flag := func(name string, clear, set uintptr, help string) {
		opts = append(opts, Option{Option: xlator.Option{Name: name, Help: help}, Group: Mount8,
			apply: func(o *Options, _ xlator.Value) error { o.Flags = o.Flags&^clear | set; return nil }})
	}
	const atime = unix.MS_NOATIME | unix.MS_RELATIME | unix.MS_STRICTATIME
	flag("defaults", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_SYNCHRONOUS, 0, "rw, suid, dev, exec, async")
	flag("ro", 0, unix.MS_RDONLY, "read-only")
	flag("rw", unix.MS_RDONLY, 0, "read and write")
	flag("nosuid", 0, unix.MS_NOSUID, "set-user-id bits have no effect")
	flag("suid", unix.MS_NOSUID, 0, "set-user-id bits have their effect")
	flag("nodev", 0, unix.MS_NODEV, "device files cannot be opened")
	flag("dev", unix.MS_NODEV, 0, "device files can be opened")
	flag("noexec", 0, unix.MS_NOEXEC, "nothing can be executed")
	flag("exec", unix.MS_NOEXEC, 0, "programs can be executed")
	flag("noatime", atime, unix.MS_NOATIME, "the kernel does not ask for access times to be set")
	flag("atime", unix.MS_NOATIME, 0, "the kernel's default for access times")
	flag("relatime", atime, unix.MS_RELATIME, "as atime")
	flag("norelatime", unix.MS_RELATIME, 0, "as atime")
	flag("strictatime", atime, unix.MS_STRICTATIME, "as atime")
	flag("nostrictatime", unix.MS_STRICTATIME, 0, "as atime")
	flag("nodiratime", 0, unix.MS_NODIRATIME, "as noatime, for directories")
	flag("diratime", unix.MS_NODIRATIME, 0, "undoes nodiratime")
	flag("sync", 0, unix.MS_SYNCHRONOUS, "each write returns when its data are on disk")
	flag("async", unix.MS_SYNCHRONOUS, 0, "undoes sync")
	flag("dirsync", 0, unix.MS_DIRSYNC, "changes of directories are on disk when they return")
	flag("nosymfollow", 0, unix.MS_NOSYMFOLLOW, "symbolic links are not followed")
	flag("symfollow", unix.MS_NOSYMFOLLOW, 0, "undoes nosymfollow")
	flag("silent", 0, unix.MS_SILENT, "the kernel says less")
	flag("loud", unix.MS_SILENT, 0, "undoes silent")

	opts = append(opts,
		Option{Option: xlator.Option{Name: "allow_other", Help: "all users may use the mount; always so"}, Group: Mount8,
			apply: func(o *Options, _ xlator.Value) error { o.AllowOther = true; return nil }},
		Option{Option: xlator.Option{Name: "default_permissions", Help: "the kernel checks permissions; always so"}, Group: Mount8,
			apply: func(o *Options, _ xlator.Value) error { o.DefaultPermissions = true; return nil }})
	note := func(help string, arg Arg, names ...string) {
		for _, n := range names {
			opts = append(opts, Option{Option: xlator.Option{Name: n, Ignored: true, Help: help}, Group: Mount8, Arg: arg})
		}
	}
	note("for fstab; changes nothing here", NoArg, "_netdev", "nofail", "auto", "noauto", "group", "nogroup", "owner", "noowner", "nouser", "users", "nousers")
	note("for fstab; changes nothing here", MayArg, "user", "comment")
	note("changes nothing here", NoArg, "mand", "nomand", "iversion", "noiversion", "lazytime", "nolazytime")
	opts = append(opts,
		Option{Option: xlator.Option{Name: "x-", Ignored: true, Help: "x-systemd.automount and the like: for others, changes nothing here"}, Group: Mount8, prefix: true, Arg: MayArg},
		Option{Option: xlator.Option{Name: "X-", Ignored: true, Help: "as x-"}, Group: Mount8, prefix: true, Arg: MayArg},
		Option{Option: xlator.Option{Name: "remount"}, Group: Mount8, Refused: "unmount and mount again, or change the graph with `holdfast set` and `holdfast reload`"},
		Option{Option: xlator.Option{Name: "bind"}, Group: Mount8, Refused: "bind an existing mount with mount(8)"})
	return opts
}

func timeout(name, def, help string, apply func(*Options, xlator.Value) error) Option {
	return Option{Option: xlator.Option{Name: name, Kind: xlator.KindTime, Default: def, Min: 0, Max: 86400 * 365, Unit: " seconds", Help: help},
		Arg: NeedsArg, apply: apply}
}

func setKeeper(o *Options, v xlator.Value) error {
	path, isPath := strings.CutPrefix(v.Text, "unix:")
	switch {
	case v.Text == "on", v.Text == "off", isPath && strings.HasPrefix(path, "/"):
		o.Keeper = v.Text
		return nil
	}
	return fmt.Errorf("%q is not on, off or unix:/PATH", v.Text)
}

func setBool(field func(*Options) *bool) func(*Options, xlator.Value) error {
	return func(o *Options, v xlator.Value) error {
		*field(o) = v.Num != 0
		return nil
	}
}
