package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Dir is where mounts leave their sockets.
const Dir = "/run/holdfast"

func socketPath(dir string, minor int) string {
	return filepath.Join(dir, strconv.Itoa(minor)+".sock")
}

func statePath(dir string, minor int) string {
	return filepath.Join(dir, strconv.Itoa(minor)+".json")
}

func endingPath(dir string, pid int) string {
	return filepath.Join(dir, "ending-"+strconv.Itoa(pid)+".json")
}

// lockDir keeps others from making and removing files in dir meanwhile.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}

// Ending lists the processes whose mount is gone, and that live still.
func Ending() []State { return ending(Dir) }

func ending(dir string) []State {
	files, _ := filepath.Glob(filepath.Join(dir, "ending-*.json"))
	var all []State
	for _, f := range files {
		if s, err := readState(f); err == nil && s.Alive() {
			all = append(all, s)
		}
	}
	return all
}

// FindState returns what is known of a mount's process.
func FindState(m Mount) (State, error) {
	s, err := readState(statePath(Dir, m.Minor))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, fmt.Errorf("%s: no process is known for this mount", m.Mountpoint)
	case err != nil:
		return s, err
	case !s.Alive() && s.Service != "":
		return s, s.waiting()
	case !s.Alive():
		return s, fmt.Errorf("%s: the process of this mount (%d) is gone; unmount it with `umount -l`", m.Mountpoint, s.PID)
	}
	return s, nil
}

func readState(path string) (State, error) {
	var s State
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return s, fmt.Errorf("read mount state %s: %w", path, err)
	}
	return s, nil
}

// Alive reports whether a process that the state names lives.
func (s State) Alive() bool { return s.Process.Alive() || s.Worker.Alive() }

// waiting is the error for a mount that a service keeps and nobody serves.
func (s State) waiting() error {
	return fmt.Errorf("%s: no process serves this mount; the keeper service at %s keeps it for the next `holdfast mount --keeper unix:%[2]s`", s.Mountpoint, s.Service)
}

// Self is the calling process.
func Self() (Process, error) {
	t, err := StartTime(os.Getpid())
	return Process{os.Getpid(), t}, err
}

// Alive reports whether it is this one that lives under its number.
func (p Process) Alive() bool {
	if p.PID == 0 {
		return false
	}
	t, err := StartTime(p.PID)
	return err == nil && t == p.Started
}

// WaitGone waits until the processes of the state have ended, or ctx.
func WaitGone(ctx context.Context, s State) error {
	for _, p := range []Process{s.Worker, s.Process} {
		if err := p.waitGone(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (p Process) waitGone(ctx context.Context) error {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil || !p.Alive() {
		if err == nil {
			unix.Close(fd)
		}
		return nil
	}
	defer unix.Close(fd)
	for {
		// In short steps: poll(2) knows nothing of ctx.
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 100)
		switch {
		case n > 0:
			return nil
		case err != nil && err != unix.EINTR:
			return fmt.Errorf("wait for process %d: %w", p.PID, err)
		case ctx.Err() != nil:
			return fmt.Errorf("process %d has not ended in time", p.PID)
		}
	}
}

// StartTime is when a process began, in clock ticks since boot (proc(5)).
func StartTime(pid int) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold anything.
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat: %q is short", pid, b)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return 0, fmt.Errorf("process %d has ended", pid)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// prepare removes what dead processes left. Called with the directory locked.
func prepare(dir string) error {
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.json"))
	for _, f := range files {
		s, err := readState(f)
		if errors.Is(err, fs.ErrNotExist) || err == nil && s.Alive() {
			continue
		}
		os.Remove(strings.TrimSuffix(f, ".json") + ".sock")
		os.Remove(f)
	}
	return nil
}
