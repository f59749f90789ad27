package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/fuse"
)

// grace is how long open files may go on after SIGTERM.
const grace = 10 * time.Second

// catchSignals is called before there is a mount that a signal could leave
// behind.
func catchSignals() chan os.Signal {
	ch := make(chan os.Signal, 4)
	signal.Notify(ch, unix.SIGHUP, unix.SIGTERM, unix.SIGINT)
	return ch
}

// signals serves SIGHUP, SIGTERM and SIGINT until ctx ends.
func (d *Daemon) signals(ctx context.Context, ch chan os.Signal) {
	var abort <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-abort:
			d.abort("files are still open")
		case s := <-ch:
			switch {
			case s == unix.SIGHUP:
				d.hangup(ctx)
			case abort != nil:
				d.abort("told a second time to end")
			default:
				abort = d.terminate(s)
			}
		}
	}
}

// hangup opens the log again and reads the volfile again.
func (d *Daemon) hangup(ctx context.Context) {
	if err := d.out.Reopen(); err != nil {
		d.log.Error("SIGHUP", "err", err)
	} else if d.cfg.Detached {
		if err := d.out.TakeStderr(); err != nil {
			d.log.Error("SIGHUP", "err", err)
		}
	}
	d.wg.Go(func() { d.reload(ctx, "SIGHUP", reread) })
}

// terminate unmounts. A mount in use is detached: nobody new gets in, and who
// has files open has a moment to close them.
func (d *Daemon) terminate(s os.Signal) <-chan time.Time {
	d.log.Info("told to end", "signal", s.String())
	m, err := control.MountOf(d.session.Connection())
	if err == nil {
		err = m.Unmount(0)
	}
	if errors.Is(err, unix.EBUSY) {
		d.log.Warn("the mount is in use: detached, and ended by force later", "after", grace)
		err = m.Unmount(unix.MNT_DETACH)
	}
	if err != nil {
		d.log.Error("unmount", "err", err)
	}
	return time.After(grace)
}

func (d *Daemon) abort(why string) {
	d.log.Warn("ending the connection by force", "why", why)
	if err := fuse.Abort(d.session.Connection()); err != nil {
		d.log.Error("abort", "err", err)
	}
}

// raiseFileLimit lets the process have as many descriptors as the kernel
// grants: an embedded brick has one for each open file.
func raiseFileLimit() error {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return err
	}
	if b, err := os.ReadFile("/proc/sys/fs/nr_open"); err == nil {
		if n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64); err == nil {
			lim.Max = max(lim.Max, n)
		}
	}
	lim.Cur = lim.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err == nil {
		return nil
	}
	// Not allowed to raise the hard limit: up to it, then.
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return err
	}
	lim.Cur = lim.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return fmt.Errorf("raise it to %d: %w", lim.Max, err)
	}
	return nil
}
