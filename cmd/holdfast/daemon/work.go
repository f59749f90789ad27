package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/fuse/keeper"
)

// Layouts are those of the state memory that this program knows.
func Layouts() []uint64 { return []uint64{state.Version} }

// Job is what a keeper tells its workers: the command line of the mount.
type Job struct {
	Source     string   `json:"source"`
	Mountpoint string   `json:"mountpoint"`
	Options    []string `json:"options,omitempty"` // lists as after -o
	Sloppy     bool     `json:"sloppy,omitempty"`
	LogFile    string   `json:"log_file,omitempty"`
	Detached   bool     `json:"detached,omitempty"`
}

func (c *Config) job(mountpoint string) (json.RawMessage, error) {
	return json.Marshal(Job{c.Source, mountpoint, c.Words, c.Sloppy, c.LogFile, c.Detached})
}

// Work serves a mount for the keeper that has started this process, until the
// mount is gone or another process takes over.
func Work(cfg Config, link *keeper.Link) error {
	sig := catchSignals()
	defer signal.Stop(sig)
	nameProcess("holdfast-worker")
	d, err := newDaemon(cfg, cfg.Mountpoint, link)
	if err == nil {
		err = link.Prepared()
	}
	if err == nil {
		err = d.openMemory()
	}
	if err == nil {
		err = d.work(context.Background(), sig, func(r Ready) { link.Ready(r.Missing) })
	}
	return leave(link, err)
}

// leave tells the keeper how it ended.
func leave(link *keeper.Link, err error) error {
	if errors.Is(err, errDrained) {
		link.Drained()
		return nil // and leave everything as it stands
	}
	link.End(err)
	link.Close()
	return err
}

// work serves under a keeper.
func (d *Daemon) work(ctx context.Context, sig chan os.Signal, ready func(Ready)) error {
	d.mem.NextWorker()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	heeding, stop := context.WithCancel(context.Background())
	var heed sync.WaitGroup
	heed.Go(func() { d.heed(heeding, cancel) })
	defer heed.Wait()
	defer stop()
	return d.run(ctx, sig, ready)
}

// openMemory maps the state memory, another one if it is damaged.
func (d *Daemon) openMemory() error {
	err := d.mapMemory()
	if !errors.Is(err, state.ErrDamaged) {
		return err
	}
	d.log.Error("the state memory is damaged: what was open is lost", "err", err)
	if err := d.link.Renew(); err != nil {
		return fmt.Errorf("another state memory: %w", err)
	}
	d.renewed = true
	return d.mapMemory()
}

func (d *Daemon) mapMemory() error {
	fd, ok, err := d.link.Store().Copy(keeper.StateFD)
	if err != nil || !ok {
		return errors.Join(errors.New("the keeper has no state memory"), err)
	}
	f := os.NewFile(uintptr(fd), "holdfast-state")
	if d.mem, err = state.Open(f); err != nil {
		f.Close()
		return err
	}
	if _, mounted := d.link.Store().Get(keeper.DeviceFD); mounted {
		_, err = d.mem.Init()
	}
	return err
}

// heed does what the keeper says, and what its end asks for.
func (d *Daemon) heed(ctx context.Context, cancelStart func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-d.link.News():
			switch n {
			case keeper.DrainNow:
				d.drain(ctx)
			case keeper.KeeperOff:
				if _, mounted := d.link.Store().Get(keeper.DeviceFD); !mounted {
					d.log.Error("the keeper ended before there was a mount")
					cancelStart()
					continue
				}
				if d.ofService() {
					d.log.Error("the keeper service is gone: looking for the next one")
					continue
				}
				d.log.Error("the keeper is gone; the mount goes on, but would not survive this process: `holdfast mount --adopt` gives it a new one")
			case keeper.KeeperOn:
				pid, _ := d.link.Keeper()
				d.log.Info("a new keeper", "pid", pid)
			}
		}
	}
}

// drainLimit is how long requests that run may take to end; the keeper has a
// limit of its own.
const drainLimit = 30 * time.Second

// drain leaves the mount to the next process.
func (d *Daemon) drain(ctx context.Context) {
	if d.leaving.Swap(true) {
		return
	}
	d.log.Info("another process is to serve the mount: finishing what is running")
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	if err := d.session.Drain(ctx); err != nil {
		d.log.Warn("leaving requests to the next process", "err", err)
	}
	close(d.drained)
}

// adopt offers the mount to a new keeper.
func (d *Daemon) adopt(r *control.Request) error {
	if d.link == nil {
		return errors.New("the mount was made without a keeper (-o keeper=off), and its state is in its process: unmount and mount again")
	}
	if len(r.FDs) != 1 {
		return errors.New("no connection to a keeper was given")
	}
	conn, err := keeper.NewConn(r.FDs[0])
	r.FDs = nil
	if err != nil {
		return err
	}
	return d.link.Adopt(conn)
}

// kept reports whether a process of the mount ends after this one, and removes
// its files.
func (d *Daemon) kept() bool {
	if d.link == nil || d.ofService() {
		return false
	}
	pid, _ := d.link.Keeper()
	return pid != 0
}

// connected reports whether the kernel's end of the mount is still of use.
func (d *Daemon) connected() bool {
	fd, ok := d.link.Store().Get(keeper.DeviceFD)
	return ok && keeper.Connected(fd)
}

// goesOn reports whether the mount outlives this process: then everything is
// left to the next one as it stands, and no graph is closed, since that tells
// the bricks that the mount is over.
func (d *Daemon) goesOn() bool { return d.link != nil && d.connected() }

// dropForgotten has the keeper let go of what a dead process of the mount has
// kept for a graph that this one does not have, such as one that was being
// switched to. What a switch begun by that process may yet ask for is left some
// time.
func (d *Daemon) dropForgotten(ctx context.Context) {
	if d.link == nil {
		return
	}
	select {
	case <-ctx.Done():
		return
	case <-time.After(d.cfg.Options.RecoveryDeadline):
	}
	names, err := d.link.DropForgotten()
	if err != nil {
		d.log.Warn("descriptors that nobody needs", "err", err)
	}
	if len(names) > 0 {
		d.log.Info("let go of what an earlier process of the mount had kept", "names", names)
	}
}

// passOnUpgrade has the keeper answer who asks for another program.
func (d *Daemon) passOnUpgrade(r *control.Request) error {
	if d.link == nil {
		return errors.New("the mount has no keeper (-o keeper=off): unmount and mount again")
	}
	if d.ofService() {
		return fmt.Errorf("its workers are not the keeper's children: `holdfast mount --keeper %s --replace` with the new program takes this one's place", d.cfg.Options.Keeper)
	}
	if len(r.FDs) != 1 {
		return errors.New("no program was given")
	}
	client, err := r.TakeConn()
	if err != nil {
		return err
	}
	defer unix.Close(client)
	if err := d.link.Upgrade(client, r.FDs[0], r.Limit); err != nil {
		r.Untake()
		return err
	}
	return nil
}
