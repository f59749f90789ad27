package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Dir is where mounts leave their sockets.
const Dir = "/run/holdfast"

func socketPath(dir string, minor int) string {
	return filepath.Join(dir, strconv.Itoa(minor)+".sock")
}

func statePath(dir string, minor int) string {
	return filepath.Join(dir, strconv.Itoa(minor)+".json")
}

// States lists the mounts whose process lives, mounted or just ending.
func States() []State { return states(Dir) }

func states(dir string) []State {
	files, _ := filepath.Glob(filepath.Join(dir, "*.json"))
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

// Alive reports whether the process is the one that wrote the state.
func (s State) Alive() bool {
	t, err := StartTime(s.PID)
	return err == nil && t == s.Started
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

// prepare makes the directory and removes what dead processes left in it.
func prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
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
