package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
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
	hangup := func() { d.hangup(ctx) }
	e := &ending{connection: d.session.Connection, log: d.log}
	if !d.ofService() {
		e.serve(ctx, ch, hangup)
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-ch:
			if s != unix.SIGHUP {
				d.log.Info("told to end; the mount stays", "signal", s.String())
				d.stop(ctx, ch)
				return
			}
			hangup()
		}
	}
}

// hangup opens the log again and reads the volfile again.
func (d *Daemon) hangup(ctx context.Context) {
	d.out.hangup(d.cfg.Detached, d.log)
	if d.link != nil {
		d.link.Reopen()
	}
	d.wg.Go(func() { d.reload(ctx, "SIGHUP", reread) })
}

// ending ends a mount because a process was told to.
type ending struct {
	connection func() int // 0: there is no mount yet
	log        *slog.Logger
}

// serve takes signals until ctx ends.
func (e *ending) serve(ctx context.Context, ch chan os.Signal, hangup func()) {
	var abort <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-abort:
			e.abort("files are still open")
		case s := <-ch:
			switch {
			case s == unix.SIGHUP:
				hangup()
			case abort != nil:
				e.abort("told a second time to end")
			default:
				abort = e.terminate(s)
			}
		}
	}
}

// terminate unmounts. A mount in use is detached: nobody new gets in, and who
// has files open has a moment to close them.
func (e *ending) terminate(s os.Signal) <-chan time.Time {
	e.log.Info("told to end", "signal", s.String())
	minor := e.connection()
	if minor == 0 {
		return nil // who mounts is told by its context
	}
	m, err := control.MountOf(minor)
	if err == nil {
		err = m.Unmount(0)
	}
	if errors.Is(err, unix.EBUSY) {
		e.log.Warn("the mount is in use: detached, and ended by force later", "after", grace)
		err = m.Unmount(unix.MNT_DETACH)
	}
	if err != nil {
		e.log.Error("unmount", "err", err)
	}
	return time.After(grace)
}

func (e *ending) abort(why string) {
	e.log.Warn("ending the connection by force", "why", why)
	if err := fuse.Abort(e.connection()); err != nil {
		e.log.Error("abort", "err", err)
	}
}

// nameProcess sets what ps(1) calls the process: at most 15 bytes. It would be
// named after the descriptor that it was started from.
func nameProcess(name string) { _ = os.WriteFile("/proc/self/comm", []byte(name), 0) }

// DropInherited has what this process was given beside standard input, output
// and error not be given to the processes that it starts.
func DropInherited() error {
	return unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
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
