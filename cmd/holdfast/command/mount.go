package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/cmd/holdfast/daemon"
	"github.com/holdfast/holdfast/cmd/holdfast/mountopt"
	"github.com/holdfast/holdfast/cmd/holdfast/source"
	"github.com/holdfast/holdfast/fuse/keeper"
	"github.com/holdfast/holdfast/xlator/all"
)

// helperName is what mount(8) calls for -t holdfast.
const helperName = "mount.holdfast"

// mounting is one request to mount.
type mounting struct {
	types              Types
	source, mountpoint string
	options            []string // lists as after -o
	foreground         bool
	adopt              bool // a mount that is there
	replace            bool // who serves it for a keeper service
	sloppy             bool
	fake               bool // check only
	quiet              bool
}

func newMount(types Types) *cobra.Command {
	m := &mounting{types: types}
	var logFile, logLevel, metrics, kept string
	var alone bool
	c := &cobra.Command{
		Use:   "mount [--adopt | SOURCE] MOUNTPOINT",
		Short: "Mount a directory, a volume of a GlusterFS server or the graph of a .vol file",
		Long: `Mount SOURCE on MOUNTPOINT. SOURCE is a directory, which is served through the
default graph; HOST:/VOLUME[/DIRECTORY], a volume of a GlusterFS server, which
hands the graph out and tells when it has changed (several hosts separated by
commas are tried in turn); or a .vol file with a graph, which is watched for
changes. A local path with a colon in front of its first slash is written with ./

It returns when the mount answers, and leaves two processes in the background
that end with the mount: a worker that serves it, and a small keeper that starts
the next worker should this one die.

` + mountopt.Help(),
		Example: "  holdfast mount /data /mnt/data\n  holdfast mount server:/home /home\n  holdfast mount -o ro,acl /etc/holdfast/home.vol /home",
		Args: func(c *cobra.Command, args []string) error {
			if m.adopt {
				return cobra.ExactArgs(1)(c, args)
			}
			return cobra.ExactArgs(2)(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if m.adopt {
				m.mountpoint = args[0]
				return m.runAdopt(c.Context())
			}
			m.source, m.mountpoint = args[0], args[1]
			if alone {
				m.options = append(m.options, "keeper=off")
			}
			for _, f := range []struct{ flag, value string }{{"log-file", logFile}, {"log-level", logLevel}, {"metrics", metrics}, {"keeper", kept}} {
				if !c.Flags().Changed(f.flag) {
					continue
				}
				word, err := asOption(f.flag, f.value)
				if err != nil {
					return err
				}
				m.options = append(m.options, word)
			}
			return m.run(c.Context())
		},
	}
	f := c.Flags()
	f.StringArrayVarP(&m.options, "options", "o", nil, "mount options, comma-separated; see below")
	f.BoolVar(&m.foreground, "foreground", false, "stay in the foreground")
	f.StringVar(&logFile, "log-file", "", "where to log (default "+daemon.LogDir+"/<mount point with dashes>.log; standard error in the foreground)")
	f.StringVar(&logLevel, "log-level", "INFO", "TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL or NONE")
	f.StringVar(&metrics, "metrics", "", "serve Prometheus metrics at HOST:PORT or unix:/PATH")
	f.BoolVar(&m.adopt, "adopt", false, "give the mount at MOUNTPOINT, which has lost its keeper, a new one; there is no SOURCE then")
	f.BoolVar(&m.replace, "replace", false, "with --keeper unix:/PATH: take the place of a process that serves the mount")
	f.BoolVar(&alone, "no-keeper", false, "one process: the mount does not survive it (-o keeper=off)")
	f.StringVar(&kept, "keeper", "on", "on, off, or unix:/PATH of a keeper service (-o keeper=...)")
	f.BoolVar(&m.sloppy, "sloppy", false, "ignore unknown mount options")
	return c
}

// asOption writes a flag as a mount option.
func asOption(name, value string) (string, error) {
	if name == "log-file" {
		abs, err := filepath.Abs(value)
		if err != nil {
			return "", err
		}
		value = abs
	}
	if strings.Contains(value, `"`) {
		return "", fmt.Errorf("--%s: no double quotes, please", name)
	}
	return fmt.Sprintf(`%s="%s"`, name, value), nil
}

func newMountHelper(types Types) *cobra.Command {
	m := &mounting{types: types}
	var noMtab, verbose bool
	var namespace, fstype string
	c := &cobra.Command{
		Use:           helperName + " SOURCE MOUNTPOINT [-sfnv] [-o options] [-t type]",
		Short:         "Helper of mount(8) for -t holdfast",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			m.source, m.mountpoint = args[0], args[1]
			m.quiet = !verbose
			if fstype != "" && fstype != "holdfast" && fstype != "fuse.holdfast" {
				return fmt.Errorf("type %s is not holdfast", fstype)
			}
			if namespace != "" {
				return errors.New("-N: a mount namespace of another process is not supported; use nsenter(1)")
			}
			return m.run(c.Context())
		},
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	f := c.Flags()
	f.StringArrayVarP(&m.options, "options", "o", nil, "mount options, comma-separated")
	f.BoolVarP(&m.sloppy, "sloppy", "s", false, "ignore unknown mount options")
	f.BoolVarP(&m.fake, "fake", "f", false, "check, and do not mount")
	f.BoolVarP(&noMtab, "no-mtab", "n", false, "changes nothing: there is no mtab to write")
	f.BoolVarP(&verbose, "verbose", "v", false, "say what was done")
	f.StringVarP(&namespace, "namespace", "N", "", "not supported")
	f.StringVarP(&fstype, "types", "t", "", "holdfast")
	return c
}

// run mounts, in the background unless told otherwise.
func (m *mounting) run(ctx context.Context) error {
	opts, err := mountopt.Parse(m.options, m.sloppy)
	if err != nil {
		return err
	}
	src, err := source.Open(m.source)
	if err == nil {
		src, err = src.Below(opts.Subdir)
	}
	if err != nil {
		return mountFailed(err)
	}
	mountpoint, err := filepath.Abs(m.mountpoint)
	if err != nil {
		return mountFailed(err)
	}
	if m.replace && opts.KeeperService() == "" {
		return errors.New("--replace is for a mount that a keeper service keeps (--keeper unix:/PATH)")
	}
	if os.Geteuid() != 0 {
		return mountFailed(errors.New("mounting needs root"))
	}
	if m.fake {
		return nil
	}
	m.source, m.mountpoint = src.String(), mountpoint
	cfg := configOf(m.types, m.source, m.mountpoint, opts)
	cfg.Words, cfg.Sloppy = m.options, m.sloppy
	if cfg.LogFile == "" && !m.foreground {
		cfg.LogFile = daemon.LogPath(m.mountpoint)
	}
	switch {
	case isChild():
		return runChild(ctx, cfg, m.serve)
	case m.foreground:
		manager, err := keeper.NewNotifier() // it may be a service
		if err != nil {
			return mountFailed(err)
		}
		return mountFailed(m.serve(ctx, cfg, func(r daemon.Ready) {
			fmt.Printf("mounted %s on %s\n", m.source, r.Mountpoint)
			warn(r)
			if err := manager.Ready("mounted"); err != nil {
				fmt.Fprintln(os.Stderr, "warning:", err)
			}
		}))
	}
	return mountFailed(m.background(ctx, cfg))
}

// runAdopt becomes the keeper of a mount, in the background unless told
// otherwise.
func (m *mounting) runAdopt(ctx context.Context) error {
	mnt, err := control.FindMount(m.mountpoint)
	if err != nil {
		return mountFailed(err)
	}
	m.source, m.mountpoint = mnt.Source, mnt.Mountpoint
	cfg := daemon.Config{Source: mnt.Source, Mountpoint: mnt.Mountpoint}
	st, err := control.FindState(mnt)
	if err != nil {
		return mountFailed(err)
	}
	if cfg.LogFile = st.LogFile; cfg.LogFile == "" {
		cfg.LogFile = daemon.LogPath(mnt.Mountpoint)
	}
	switch {
	case isChild():
		return runChild(ctx, cfg, m.becomeKeeper)
	case m.foreground:
		return mountFailed(m.becomeKeeper(ctx, cfg, func(r daemon.Ready) { fmt.Printf("%s has a keeper again\n", r.Mountpoint) }))
	}
	return mountFailed(m.background(ctx, cfg))
}

func (m *mounting) becomeKeeper(ctx context.Context, cfg daemon.Config, ready func(daemon.Ready)) error {
	job := func(b json.RawMessage) (daemon.Config, error) { return jobConfig(m.types, b) }
	return daemon.Adopt(ctx, cfg.Mountpoint, job, ready)
}

func configOf(types Types, source, mountpoint string, opts mountopt.Options) daemon.Config {
	return daemon.Config{
		Source: source, Mountpoint: mountpoint, Options: opts, LogFile: opts.LogFile,
		Version: version().Version, Types: types, Refused: all.Refused,
	}
}

// serve is the process of a mount that stays.
func (m *mounting) serve(ctx context.Context, cfg daemon.Config, ready func(daemon.Ready)) error {
	switch {
	case cfg.Options.Keeper == "off":
		return daemon.Run(ctx, cfg, ready)
	case cfg.Options.KeeperService() != "":
		return daemon.Join(ctx, cfg, m.replace, ready)
	}
	return daemon.Keep(ctx, cfg, ready)
}

// warn says what the mount does not promise here.
func warn(r daemon.Ready) {
	for _, m := range r.Missing {
		fmt.Fprintln(os.Stderr, "warning:", m)
	}
}
