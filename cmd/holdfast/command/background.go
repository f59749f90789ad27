package command

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/cmd/holdfast/daemon"
)

// readyEnv names the descriptor over which a process in the background tells
// the command that started it how it went.
const readyEnv = "HOLDFAST_READY_FD"

const (
	// mountLimit bounds the whole mount, as the user sees it.
	mountLimit = 90 * time.Second
	// probeLimit bounds the first request through the mount.
	probeLimit = 15 * time.Second
	// endLimit is how long a process has to end after SIGTERM.
	endLimit = 15 * time.Second
)

// report is what goes over that descriptor: one line of JSON.
type report struct {
	Error string `json:"error,omitempty"`
	daemon.Ready
}

func isChild() bool { return os.Getenv(readyEnv) != "" }

// runChild is the process in the background.
func runChild(ctx context.Context, cfg daemon.Config, serve func(context.Context, daemon.Config, func(daemon.Ready)) error) error {
	fd, err := strconv.Atoi(os.Getenv(readyEnv))
	if err != nil {
		return fmt.Errorf("%s: %w", readyEnv, err)
	}
	os.Unsetenv(readyEnv)
	syscall.CloseOnExec(fd)
	pipe := os.NewFile(uintptr(fd), "ready")
	syscall.Umask(0)
	told := false
	tell := func(r report) {
		if told {
			return
		}
		told = true
		b, err := json.Marshal(r)
		if err == nil {
			pipe.Write(append(b, '\n'))
		}
		pipe.Close()
	}
	cfg.Detached = true
	err = serve(ctx, cfg, func(r daemon.Ready) { tell(report{Ready: r}) })
	if err != nil {
		tell(report{Error: err.Error()})
	}
	return mountFailed(err)
}

// background starts the process and waits until the mount answers.
func (m *mounting) background(ctx context.Context, cfg daemon.Config) error {
	log, err := daemon.OpenLog(cfg.LogFile)
	if err != nil {
		return err
	}
	defer log.Close()
	child, reports, err := m.start(log, cfg.LogFile)
	if err != nil {
		return err
	}
	defer reports.Close()
	ctx, cancel := context.WithTimeout(ctx, mountLimit)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { reports.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()

	r, err := readReport(reports)
	switch {
	case r.Error != "":
		child.Wait()
		return errors.New(r.Error)
	case err != nil && ctx.Err() != nil:
		endChild(child)
		return fmt.Errorf("%s was not mounted in time, see %s", m.source, cfg.LogFile)
	case err != nil:
		endChild(child)
		return fmt.Errorf("the process ended while it mounted, see %s", cfg.LogFile)
	}
	if err := probe(ctx, m.mountpoint); err != nil {
		endChild(child)
		return fmt.Errorf("%s was mounted but did not answer: %w, see %s", m.source, err, cfg.LogFile)
	}
	warn(r.Ready)
	switch {
	case m.adopt:
		fmt.Printf("%s has a keeper again, process %d\n", m.mountpoint, r.PID)
	case !m.quiet:
		fmt.Printf("mounted %s on %s; log %s\n", m.source, m.mountpoint, cfg.LogFile)
	}
	return child.Process.Release()
}

// start runs this program again, as a process of its own session.
func (m *mounting) start(log *os.File, logFile string) (*exec.Cmd, *os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer w.Close()
	args := []string{"holdfast", "mount", m.source, m.mountpoint}
	if m.adopt {
		args = []string{"holdfast", "mount", "--adopt", m.mountpoint}
	}
	for _, o := range m.options {
		args = append(args, "-o", o)
	}
	if m.sloppy {
		args = append(args, "--sloppy")
	}
	if m.replace {
		args = append(args, "--replace")
	}
	// A file in some other mount is nothing to keep open as long as this one
	// stands. (Old kernels cannot say so in one call; then they stay.)
	_ = daemon.DropInherited()
	c := exec.Command("/proc/self/exe")
	c.Args = args
	c.Env = append(os.Environ(), readyEnv+"=3")
	c.ExtraFiles = []*os.File{w}
	c.Dir = "/"
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		r.Close()
		return nil, nil, fmt.Errorf("start the process in the background: %w", err)
	}
	return c, r, nil
}

func readReport(f *os.File) (r report, err error) {
	line, err := bufio.NewReader(f).ReadBytes('\n')
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(line, &r)
}

// probe asks the mount something, through the kernel.
func probe(ctx context.Context, mountpoint string) error {
	answered := make(chan error, 1)
	go func() { // ends with the mount, at the latest: endChild sees to that
		var st unix.Statfs_t
		answered <- unix.Statfs(mountpoint, &st)
	}()
	select {
	case err := <-answered:
		return err
	case <-time.After(probeLimit):
		return fmt.Errorf("nothing within %s", probeLimit)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// endChild ends a process whose mount came to nothing: asked first, so that it
// unmounts.
func endChild(c *exec.Cmd) {
	gone := make(chan struct{})
	go func() { c.Wait(); close(gone) }()
	for _, sig := range []os.Signal{unix.SIGTERM, unix.SIGTERM, unix.SIGKILL} {
		c.Process.Signal(sig)
		select {
		case <-gone:
			return
		case <-time.After(endLimit / 2):
		}
	}
	<-gone
}
