package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/fuse"
	"github.com/holdfast/holdfast/fuse/keeper"
	"github.com/holdfast/holdfast/xlator/protocol/client"
)

// keeping is the process that keeps a mount: everything in it that is not
// package keeper's.
type keeping struct {
	// Constant after construction.
	cfg        Config
	mountpoint string
	out        *logOutput
	log        *slog.Logger
	k          *keeper.Keeper
	wg         sync.WaitGroup

	mu    sync.Mutex
	files *control.Files // guarded by mu; nil before there is a mount
	minor int            // guarded by mu
}

// Keep mounts, and keeps the mount through the deaths of the processes that
// serve it, until it is gone. It returns as Run does.
func Keep(ctx context.Context, cfg Config, ready func(Ready)) error {
	sig := catchSignals()
	defer signal.Stop(sig)
	nameProcess("holdfast-keeper")
	mountpoint, err := checkMountpoint(cfg.Mountpoint)
	if err != nil {
		return err
	}
	p := &keeping{cfg: cfg, mountpoint: mountpoint}
	if err := p.prepare(); err != nil {
		return err
	}
	defer p.out.Close()
	kc := p.config(func(missing []string) {
		ready(Ready{Mountpoint: mountpoint, Minor: p.connection(), PID: os.Getpid(), Missing: missing})
	})
	if kc.Program, err = keeper.OpenProgram("/proc/self/exe"); err != nil {
		return err
	}
	if kc.Job, err = p.cfg.job(mountpoint); err != nil {
		return err
	}
	if p.k, err = keeper.New(kc); err != nil {
		return err
	}
	return p.run(ctx, sig)
}

func (p *keeping) config(ready func(missing []string)) keeper.Config {
	return keeper.Config{
		Log: p.log, Args: workerArgs(p.mountpoint), Output: os.Stderr, Deadline: p.cfg.Options.RecoveryDeadline,
		Mount: p.mount, Unmount: p.unmount, Ready: ready, Answer: p.answer, Reply: replyUpgrade, Reopen: p.reopen, Tend: client.Tend,
	}
}

// workerArgs is the command line of a worker; the mount point is for people.
func workerArgs(mountpoint string) []string { return []string{"holdfast", "worker", mountpoint} }

// prepare opens the log, and makes sure that this process and its workers never
// need their own mount.
func (p *keeping) prepare() (err error) {
	_ = DropInherited() // best effort: old kernels have no such call
	if f := p.cfg.LogFile; f != "" {
		dir, err := filepath.Abs(filepath.Dir(f))
		if err == nil {
			dir, err = filepath.EvalSymlinks(dir)
		}
		if err == nil && (dir == p.mountpoint || within(dir, p.mountpoint)) {
			return fmt.Errorf("the log %s is inside the mount point %s; its process would wait for itself", f, p.mountpoint)
		}
	}
	if p.out, err = openLog(&p.cfg); err != nil {
		return err
	}
	level := &slog.LevelVar{}
	level.Set(p.cfg.Options.LogLevel)
	p.log = newLogger(p.out, level)
	return os.Chdir("/")
}

// run keeps the mount to its end.
func (p *keeping) run(ctx context.Context, sig chan os.Signal) error {
	over, cancel := context.WithCancel(context.Background())
	p.wg.Go(func() { p.signals(over, sig) })
	err := p.k.Run(ctx)
	cancel()
	p.wg.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.files == nil {
		return err
	}
	removeDead(p.minor, p.cfg.Source, p.log)
	if rerr := p.files.Remove(); rerr != nil {
		p.log.Warn("control socket", "err", rerr)
	}
	p.log.Info("the keeper ends")
	return err
}

// signals waits for the mount, if there is none yet, and serves signals.
func (p *keeping) signals(ctx context.Context, ch chan os.Signal) {
	e := &ending{connection: p.connection, log: p.log}
	e.serve(ctx, ch, func() { p.k.Hangup(); p.reopen() })
}

func (p *keeping) connection() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.minor
}

func (p *keeping) mount() (*fuse.Device, map[string]int, error) {
	m, err := makeMount(&p.cfg, p.mountpoint, p.log)
	if err != nil {
		return nil, nil, err
	}
	fd, err := m.socket()
	if err != nil {
		return nil, nil, errors.Join(err, fuse.Unmount(p.mountpoint), m.dev.Close(), m.files.Remove())
	}
	p.mu.Lock()
	p.files, p.minor = m.files, m.dev.Minor
	p.mu.Unlock()
	return m.dev, map[string]int{keeper.ControlFD: fd}, nil
}

func (p *keeping) unmount() {
	if err := fuse.Unmount(p.mountpoint); err != nil {
		p.log.Error("unmount", "err", err)
	}
}

func (p *keeping) reopen() { p.out.hangup(p.cfg.Detached, p.log) }

// answer serves the commands while nobody serves the mount.
func (p *keeping) answer(t keeper.Trouble) (stop func()) {
	s, err := control.ServeFD(t.Control, func(ctx context.Context, r *control.Request) (any, error) {
		switch r.Op {
		case control.OpStatus:
			return p.troubled(t), nil
		case control.OpVersion:
			return p.cfg.Version, nil
		case control.OpUpgrade:
			return nil, p.upgrade(r)
		}
		return nil, fmt.Errorf("no process serves the mount, and everything is answered with EIO (%s); unmount it, or `holdfast upgrade` it", t.Error)
	}, p.log)
	if err != nil {
		p.log.Error("control socket", "err", err)
		return func() {}
	}
	return s.Close
}

// troubled is the status of a mount that nobody serves.
func (p *keeping) troubled(t keeper.Trouble) Status {
	s := Status{Fops: map[string]FopStatus{}}
	s.Mount = MountStatus{Source: p.cfg.Source, Mountpoint: p.mountpoint, ReadOnly: p.cfg.Options.ReadOnly(), Connection: p.connection(), Since: t.Since, LogFile: p.cfg.LogFile}
	s.Keeper = KeeperStatus{PID: os.Getpid(), State: "failed", Error: t.Error, Since: &t.Since}
	s.Worker = WorkerStatus{Generation: t.Workers, Restarts: restarts(t.Workers), Deaths: t.Deaths}
	s.Graph.State = "none"
	s.Process.Version = p.cfg.Version
	return s
}

func restarts(workers uint64) uint64 { return max(workers, 1) - 1 }

// upgrade is asked for while there is no worker.
func (p *keeping) upgrade(r *control.Request) error {
	if len(r.FDs) != 1 {
		return errors.New("no program was given")
	}
	program, err := keeper.NewProgram(r.FDs[0])
	r.FDs = nil
	if err != nil {
		return err
	}
	client, err := r.TakeConn()
	if err != nil {
		return err
	}
	p.k.Upgrade(program, r.Limit, func(o keeper.Outcome) { replyUpgrade(client, o) })
	return nil
}

// replyUpgrade answers who asked for an upgrade.
func replyUpgrade(client int, o keeper.Outcome) {
	f := os.NewFile(uintptr(client), "client")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return // it is gone
	}
	defer conn.Close()
	_ = control.WriteReply(conn, o, nil)
}
