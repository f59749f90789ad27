package mnt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// process is one process, held by a number that is never used again: pid and
// start time.
type process struct {
	pid     int
	started uint64 // clock ticks since boot
}

func findProcess(pid int) (process, error) {
	started, state, err := procStat(pid)
	if err != nil {
		return process{}, err
	}
	if state == "Z" {
		return process{}, fmt.Errorf("process %d has ended", pid)
	}
	return process{pid: pid, started: started}, nil
}

// procStat reads /proc/PID/stat (proc(5)); the name may hold anything.
func procStat(pid int) (started uint64, state string, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, "", err
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 20 {
		return 0, "", fmt.Errorf("/proc/%d/stat: %q", pid, b)
	}
	started, err = strconv.ParseUint(f[19], 10, 64)
	return started, f[0], err
}

func (p process) alive() bool {
	started, state, err := procStat(p.pid)
	return err == nil && started == p.started && state != "Z"
}

// waitGone waits for the end of the process, which is not our child.
func (p process) waitGone(timeout time.Duration) error {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if errors.Is(err, unix.ESRCH) || !p.alive() {
		if err == nil {
			unix.Close(fd)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("watch process %d: %w", p.pid, err)
	}
	defer unix.Close(fd)
	end := time.Now().Add(timeout)
	for {
		left := time.Until(end)
		if left <= 0 {
			return fmt.Errorf("process %d has not ended after %v", p.pid, timeout)
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if n > 0 {
			return nil
		}
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("watch process %d: %w", p.pid, err)
		}
	}
}

func (p process) kill() {
	if p.pid > 0 && p.alive() {
		unix.Kill(p.pid, unix.SIGKILL)
	}
}

// mount is one line of mountinfo.
type mount struct {
	dir   string
	minor int
}

// holdfastMounts reads mountinfo and never touches a mount point.
func holdfastMounts(t testing.TB) []mount {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var all []mount
	for line := range strings.Lines(string(b)) {
		left, right, ok := strings.Cut(line, " - ")
		f := strings.Fields(left)
		if !ok || len(f) < 5 || !strings.HasPrefix(right, "fuse.holdfast ") {
			continue
		}
		_, minor, _ := strings.Cut(f[2], ":")
		n, err := strconv.Atoi(minor)
		if err != nil {
			t.Fatalf("mountinfo: %q: %v", line, err)
		}
		all = append(all, mount{dir: f[4], minor: n})
	}
	return all
}

func mountedAt(all []mount, dir string) bool {
	for _, m := range all {
		if m.dir == dir {
			return true
		}
	}
	return false
}

func findMount(t testing.TB, dir string) (mount, bool) {
	t.Helper()
	for _, m := range holdfastMounts(t) {
		if m.dir == dir {
			return m, true
		}
	}
	return mount{}, false
}

// controlFiles are those by which the commands find the process of a mount.
func controlFiles(minor, pid int) []string {
	const dir = "/run/holdfast"
	return []string{
		filepath.Join(dir, strconv.Itoa(minor)+".json"),
		filepath.Join(dir, fmt.Sprintf("ending-%d.json", pid)),
	}
}
