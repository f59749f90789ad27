package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/fuse/keeper"
)

// adoptLimit bounds how long a worker may take to offer its mount.
const adoptLimit = 30 * time.Second

// Adopt becomes the keeper of a mount that has lost its own, and returns when
// the mount is gone. configOf reads what the worker says of the mount.
func Adopt(ctx context.Context, path string, configOf func(json.RawMessage) (Config, error), ready func(Ready)) error {
	sig := catchSignals()
	defer signal.Stop(sig)
	nameProcess("holdfast-keeper")
	c, err := control.Open(path)
	if err != nil {
		return err
	}
	if err := refuseOwnFiles(c.Mount()); err != nil {
		return err
	}
	o, err := askForMount(ctx, c)
	if err != nil {
		return err
	}
	cfg, err := configOf(o.Job)
	if err != nil {
		o.Close()
		return err
	}
	minor := c.Mount().Minor
	p := &keeping{cfg: cfg, mountpoint: cfg.Mountpoint, minor: minor, files: control.FilesOf(minor)}
	if err := p.prepare(); err != nil {
		o.Close()
		return err
	}
	defer p.out.Close()
	if p.k, err = keeper.Adopt(p.config(func([]string) {}), o); err != nil {
		o.Close()
		return err
	}
	self, err := control.Self()
	if err == nil {
		err = p.files.Sign(func(s *control.State) { s.Process = self })
	}
	if err != nil {
		p.log.Warn("control socket", "err", err)
	}
	p.log.Info("adopted", "mountpoint", p.mountpoint, "worker", o.PID, "keeper", os.Getpid())
	ready(Ready{Mountpoint: p.mountpoint, Minor: minor, PID: os.Getpid()})
	return p.run(ctx, sig)
}

// refuseOwnFiles refuses to serve or keep a mount in which this process has a
// file open, from its parent: when it dies, the kernel has that file flushed
// first, by a process that waits for this one's end.
func refuseOwnFiles(m control.Mount) error {
	fds, err := m.OpenHere()
	if err != nil {
		return err
	}
	if len(fds) > 0 {
		return fmt.Errorf("descriptor %d of this process is a file in %s, which would wait for itself; run it without (`%[1]d>&-` in a shell)", fds[0], m.Mountpoint)
	}
	return nil
}

// askForMount asks the worker of a mount for everything that it has.
func askForMount(ctx context.Context, c *control.Client) (*keeper.Offered, error) {
	conn, far, err := keeper.Pair()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, adoptLimit)
	defer cancel()
	asked := make(chan error, 1)
	go func() { // ends with ctx, at the latest
		asked <- c.Ask(ctx, control.Request{Op: control.OpAdopt, FDs: []int{int(far.Fd())}}, nil)
		far.Close()
	}()
	o, err := keeper.Accept(conn)
	if err == nil {
		return o, nil // the answer comes when we have taken it
	}
	if aerr := <-asked; aerr != nil {
		return nil, aerr
	}
	return nil, fmt.Errorf("%s: %w", c.Mount().Mountpoint, errors.Join(err, unix.ENOTCONN))
}
