package mountopt

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// Options is what the words after -o amount to.
type Options struct {
	// Flags are mount(2)'s MS_ flags.
	Flags uintptr
	// AllowOther and DefaultPermissions are the kernel's options of that
	// name. Without the second every user may do everything that root may.
	AllowOther, DefaultPermissions bool
	// LogFile is empty for the default place.
	LogFile  string
	LogLevel slog.Level
	// LogLevelGiven says that the level was asked for, so that the volfile's
	// does not matter.
	LogLevelGiven bool
	Metrics       string

	// How long the kernel may keep what it was told.
	AttrTimeout, EntryTimeout, NegativeTimeout time.Duration

	DirectIO, KeepCache, ACL bool
	MaxWrite, ReadAhead      int // bytes
	MaxBackground            int
	Congestion               int // 0: the kernel's choice
	AllowForeignBrick        bool
	DrainTimeout             time.Duration

	// Keeper is "on", "off" or "unix:" and the path of a service.
	Keeper           string
	RecoveryDeadline time.Duration
	// IdleTimeout is after what time without use a file that stays open is closed
	// below; 0: only when descriptors run short.
	IdleTimeout time.Duration
	// LockLoss is what becomes of the locks of a lost brick's session: check,
	// fail or drop; "" leaves it to the volfile.
	LockLoss string

	// BackupServers are asked for the volfile after those of the source, at
	// ServerPort as those.
	BackupServers []string
	ServerPort    int
	// Subdir is the directory of the volume that is to be the root, as /a/b; "" is
	// what the source says.
	Subdir string

	// Ignored lists the options that were accepted and change nothing.
	Ignored []string
}

// Default returns the options of a mount without any.
func Default() Options {
	o := Options{AllowOther: true, DefaultPermissions: true}
	for i := range table {
		d := &table[i]
		if d.Default == "" || d.apply == nil {
			continue
		}
		v, err := d.Parse(d.Default)
		if err == nil {
			err = d.apply(&o, v)
		}
		if err != nil {
			panic("mountopt: default of " + d.Name + ": " + err.Error())
		}
	}
	o.LogLevelGiven = false
	return o
}

// ReadOnly reports whether the mount is read-only.
func (o *Options) ReadOnly() bool { return o.Flags&unix.MS_RDONLY != 0 }

// KeeperService is the path of the service that keeps the mount; "" if none does.
func (o *Options) KeeperService() string {
	path, _ := strings.CutPrefix(o.Keeper, "unix:")
	if path == o.Keeper {
		return ""
	}
	return path
}

// Parse reads the lists of comma-separated options, the later ones winning. In
// a sloppy parse unknown options are ignored.
func Parse(lists []string, sloppy bool) (Options, error) {
	o := Default()
	var errs []error
	for _, list := range lists {
		words, err := split(list)
		errs = append(errs, err)
		for _, w := range words {
			if w == "" {
				continue
			}
			if err := o.set(w, sloppy); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return o, errors.Join(errs...)
}

func (o *Options) set(word string, sloppy bool) error {
	name, arg, hasArg := strings.Cut(word, "=")
	d := find(name)
	switch {
	case d == nil && sloppy:
		o.Ignored = append(o.Ignored, name)
		return nil
	case d == nil:
		return fmt.Errorf("unknown mount option %s%s", name, didYouMean(name))
	case d.Refused != "":
		return fmt.Errorf("mount option %s is not supported: %s", name, d.Refused)
	case d.prefix:
		o.Ignored = append(o.Ignored, name)
		return nil
	case d.Arg == NoArg && hasArg:
		return fmt.Errorf("mount option %s takes no value", name)
	case d.Arg == NeedsArg && !hasArg:
		return fmt.Errorf("mount option %s needs a value: %s=%s", name, name, d.placeholder())
	}
	v := xlator.Value{Text: arg}
	if d.Arg != NoArg {
		if !hasArg {
			arg = d.bare
		}
		var err error
		if v, err = d.Parse(arg); err != nil {
			return fmt.Errorf("mount %w", err)
		}
	}
	if d.apply == nil {
		o.Ignored = append(o.Ignored, name)
		return nil
	}
	if err := d.apply(o, v); err != nil {
		return fmt.Errorf("mount option %s: %w", name, err)
	}
	return nil
}

// split cuts a list at its commas. A value in double quotes keeps its commas,
// as in context="a,b" of mount(8).
func split(list string) ([]string, error) {
	var words []string
	var w strings.Builder
	quoted := false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			words = append(words, w.String())
			w.Reset()
		default:
			w.WriteByte(c)
		}
	}
	if quoted {
		return nil, fmt.Errorf("mount options %q: a double quote is not closed", list)
	}
	return append(words, w.String()), nil
}

// ParseLevel reads the name of a log level, GlusterFS's or slog's.
func ParseLevel(s string) (slog.Level, error) {
	switch strings.ToUpper(s) {
	case "TRACE":
		return slog.LevelDebug - 4, nil
	case "DEBUG":
		return slog.LevelDebug, nil
	case "INFO", "NOTICE":
		return slog.LevelInfo, nil
	case "WARNING", "WARN":
		return slog.LevelWarn, nil
	case "ERROR":
		return slog.LevelError, nil
	case "CRITICAL":
		return slog.LevelError + 4, nil
	case "NONE":
		return slog.LevelError + 100, nil
	}
	return 0, fmt.Errorf("%q is not a log level: TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL or NONE", s)
}
