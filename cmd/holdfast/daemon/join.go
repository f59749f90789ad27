package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/fuse"
	"github.com/holdfast/holdfast/fuse/keeper"
)

// Join serves a mount that a keeper service keeps: it goes on with the one that
// is there, or makes it. It returns when the mount is gone, or when the process
// was told to end, which leaves the mount to the next one. replace takes the place of a
// process that serves it.
func Join(ctx context.Context, cfg Config, replace bool, ready func(Ready)) error {
	sig := catchSignals()
	defer signal.Stop(sig)
	nameProcess("holdfast-worker")
	job, err := cfg.job(cfg.Mountpoint)
	if err != nil {
		return err
	}
	want := keeper.Message{
		Mountpoint: cfg.Mountpoint, Program: cfg.Version, Layouts: Layouts(), Job: job, Replace: replace, Limit: cfg.Options.RecoveryDeadline,
	}
	// What is mounted there may hang: it is not touched.
	var refused error
	if m, ferr := control.FindMount(cfg.Mountpoint); ferr == nil {
		if err := refuseOwnFiles(m); err != nil {
			return err
		}
		_, refused = checkMountpoint(cfg.Mountpoint)
		want.ID, want.Mountpoint = fmt.Sprint(m.Minor), m.Mountpoint
	} else if real, cerr := checkMountpoint(cfg.Mountpoint); cerr == nil {
		want.Mountpoint = real
	} else {
		refused = cerr
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	link, found, err := keeper.Join(ctx, cfg.Options.KeeperService(), want)
	if err != nil {
		return err
	}
	if !found && refused != nil {
		link.Close()
		return refused
	}
	d, err := newDaemon(cfg, want.Mountpoint, link)
	if err != nil {
		link.Close()
		return err
	}
	defer d.out.Close()
	err = d.join(found)
	if err == nil {
		err = d.work(ctx, sig, func(r Ready) { link.Ready(r.Missing); ready(r) })
	}
	return leave(link, err)
}

// join gets the state memory, or makes it.
func (d *Daemon) join(found bool) error {
	if found {
		if err := d.link.Prepared(); err != nil {
			return fmt.Errorf("waiting for the mount: %w", err)
		}
		return d.openMemory()
	}
	var err error
	if d.mem, err = state.Create(); err != nil {
		return err
	}
	return d.link.Store().PutCopy(keeper.StateFD, int(d.mem.File().Fd()))
}

// makeKept makes the mount, and gives it to the service.
func (d *Daemon) makeKept() error {
	m, err := makeMount(&d.cfg, d.mountpoint, d.log)
	if err != nil {
		return err
	}
	fd, err := m.socket()
	if err == nil {
		d.link.Store().Put(keeper.ControlFD, fd)
		err = d.mem.SetInit(state.Init{Connection: m.dev.Minor, In: m.dev.InitIn, Out: m.dev.InitOut})
	}
	if err == nil {
		err = d.link.Store().PutCopy(keeper.DeviceFD, m.dev.FD)
	}
	if err == nil {
		err = m.files.Sign(func(s *control.State) { s.Service = d.cfg.Options.KeeperService() })
	}
	if err == nil {
		err = d.link.Offer()
	}
	if err != nil {
		return errors.Join(err, fuse.Unmount(d.mountpoint), m.dev.Close(), m.files.Remove())
	}
	return m.dev.Close()
}

// sign tells the commands that this process serves now.
func (d *Daemon) sign() error {
	self, err := control.Self()
	if err != nil {
		return err
	}
	if !d.ofService() {
		return d.files.Sign(func(s *control.State) { s.Worker = self })
	}
	err = d.files.Sign(func(s *control.State) { s.Process, s.Worker = self, control.Process{} })
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The worker before had a /run of its own.
	init, err := d.mem.Init()
	if err != nil {
		return err
	}
	files, lis, err := control.Make(control.State{
		Mountpoint: d.mountpoint, Source: d.cfg.Source, LogFile: d.cfg.LogFile, Minor: init.Connection, Service: d.cfg.Options.KeeperService(),
	})
	if err != nil {
		return err
	}
	fd, err := (&made{files: files, lis: lis}).socket()
	if err != nil {
		return err
	}
	d.link.Store().Put(keeper.ControlFD, fd)
	return nil
}

// ofService reports whether the keeper is a service, whose workers come and go
// while the mount stays.
func (d *Daemon) ofService() bool { return d.cfg.Options.KeeperService() != "" && d.link != nil }

// stop ends this process and not the mount: the next one goes on with it.
func (d *Daemon) stop(ctx context.Context, ch chan os.Signal) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.wg.Go(func() { d.drain(ctx) })
	for {
		select {
		case <-d.drained:
			return
		case <-ctx.Done():
			return
		case s := <-ch:
			if s != unix.SIGHUP {
				cancel() // a second time: now
			}
		}
	}
}
