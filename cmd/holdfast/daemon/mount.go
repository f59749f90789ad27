package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/fuse"
	"github.com/holdfast/holdfast/fuse/keeper"
)

func fuseOptions(cfg *Config, mountpoint string, log *slog.Logger) fuse.Options {
	o := &cfg.Options
	opts := fuse.Options{
		Source: cfg.Source, Mountpoint: mountpoint, Subtype: "holdfast", Flags: o.Flags,
		AttrTimeout: o.AttrTimeout, EntryTimeout: o.EntryTimeout, NegativeTimeout: o.NegativeTimeout,
		MaxWrite: o.MaxWrite, MaxBackground: o.MaxBackground, ReadAhead: o.ReadAhead,
		ReadOnly: o.ReadOnly(), ACL: o.ACL, DirectIO: o.DirectIO, KeepCache: o.KeepCache,
		DrainTimeout: o.DrainTimeout, RecoveryDeadline: o.RecoveryDeadline, Log: log,
	}
	if o.AllowOther {
		opts.Data = append(opts.Data, "allow_other")
	}
	if o.DefaultPermissions {
		opts.Data = append(opts.Data, "default_permissions")
	}
	return opts
}

// made is a new mount: the kernel's end of it, and the files by which commands
// find us.
type made struct {
	dev   *fuse.Device
	files *control.Files
	lis   *net.UnixListener
}

// makeMount asks the kernel for the mount. Requests wait from then on. After an
// error nothing is left behind.
func makeMount(cfg *Config, mountpoint string, log *slog.Logger) (*made, error) {
	dev, err := fuse.Mount(fuseOptions(cfg, mountpoint, log))
	if err != nil {
		return nil, err
	}
	m := &made{dev: dev}
	m.files, m.lis, err = control.Make(control.State{
		Mountpoint: mountpoint, Source: cfg.Source, LogFile: cfg.LogFile, Minor: dev.Minor,
	})
	if err != nil {
		return nil, errors.Join(err, fuse.Unmount(mountpoint), dev.Close())
	}
	if n := cfg.Options.Congestion; n > 0 {
		path := fmt.Sprintf("/sys/fs/fuse/connections/%d/congestion_threshold", dev.Minor)
		if err := os.WriteFile(path, []byte(strconv.Itoa(n)), 0); err != nil {
			log.Warn("congestion-threshold", "err", err)
		}
	}
	return m, nil
}

// socket is a copy of the listening socket's descriptor. The listener is closed.
func (m *made) socket() (int, error) {
	defer m.lis.Close()
	f, err := m.lis.File()
	if err != nil {
		return -1, fmt.Errorf("control socket: %w", err)
	}
	defer f.Close()
	return unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
}

// open gets the kernel's end of the mount, which is made if it is new, deals
// with what an earlier process has left, and answers the commands, which wait
// until then. The graph is up.
func (d *Daemon) open() (err error) {
	dev, serve, err := d.device()
	if err != nil {
		return err
	}
	opts := fuseOptions(&d.cfg, d.mountpoint, d.log)
	opts.Resend = d.renewed
	if d.link != nil {
		opts.Descriptors, opts.Notify = d.link, d.link.Notify
	}
	if d.session, err = fuse.NewSession(opts, dev, d.mem); err != nil {
		return errors.Join(err, d.giveUp(dev))
	}
	d.changes.attach(d.session)
	if d.mem.Worker() > 1 {
		d.session.ChangedAll() // a process that dies may have been told, and not have told the kernel
	}
	d.promises = guarantees(d.link, dev)
	logGuarantees(d.log, d.promises, d.mem.Worker() > 1)
	d.recordMu.Lock()
	d.since = d.earlier.Since
	d.recordMu.Unlock()
	if d.since.IsZero() {
		d.since = time.Now()
	}
	rec, err := d.session.Recover(d.table)
	if err != nil {
		return errors.Join(fmt.Errorf("requests of the process before: %w", err), d.giveUp(dev))
	}
	d.countRecovered(rec)
	if d.ctl, err = serve(); err != nil {
		return errors.Join(err, d.giveUp(dev))
	}
	return nil
}

// device makes the mount, or takes it over. serve begins to answer the
// commands.
func (d *Daemon) device() (dev *fuse.Device, serve func() (*control.Server, error), err error) {
	if d.link == nil {
		m, err := makeMount(&d.cfg, d.mountpoint, d.log)
		if err != nil {
			return nil, nil, err
		}
		d.files = m.files
		return m.dev, func() (*control.Server, error) { return control.Serve(m.lis, d.answer, d.log), nil }, nil
	}
	store := d.link.Store()
	if _, ok := store.Get(keeper.DeviceFD); !ok {
		ask := d.link.Mount
		if d.ofService() {
			ask = d.makeKept
		}
		if err := ask(); err != nil {
			return nil, nil, err
		}
	}
	init, err := d.mem.Init()
	if err != nil {
		return nil, nil, err
	}
	fd, ok, err := store.Copy(keeper.DeviceFD)
	if err != nil || !ok {
		return nil, nil, errors.Join(errors.New("the keeper has no mount"), err)
	}
	d.files = control.FilesOf(init.Connection)
	if err := d.sign(); err != nil {
		d.log.Warn("control socket", "err", err)
	}
	sock, _ := store.Get(keeper.ControlFD)
	return &fuse.Device{FD: fd, Minor: init.Connection, InitIn: init.In, InitOut: init.Out},
		func() (*control.Server, error) { return control.ServeFD(sock, d.answer, d.log) }, nil
}

// giveUp is the end of a process that cannot serve the mount: without a keeper
// it is the mount's too.
func (d *Daemon) giveUp(dev *fuse.Device) error {
	if d.ctl != nil {
		d.ctl.Close()
	}
	if d.link != nil {
		return nil
	}
	return errors.Join(fuse.Unmount(d.mountpoint), dev.Close(), d.files.Remove())
}

// openLog opens the log of a process of the mount.
func openLog(cfg *Config) (*logOutput, error) {
	if cfg.LogFile != "" {
		abs, err := filepath.Abs(cfg.LogFile)
		if err != nil {
			return nil, err
		}
		cfg.LogFile = abs
	}
	out, err := newLogOutput(cfg.LogFile)
	if err == nil && cfg.Detached {
		err = out.TakeStderr()
	}
	return out, err
}
