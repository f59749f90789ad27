package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/cmd/holdfast/daemon"
	"github.com/holdfast/holdfast/fuse"
)

// binary is the program under test, built with the race detector.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	if how := os.Getenv(pretender); how != "" {
		os.Exit(pretend(how))
	}
	if dir := os.Getenv(applicationDir); dir != "" {
		os.Exit(apply(dir))
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "holdfast-cmd-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "holdfast")
		build := exec.Command("go", "build", "-race", "-tags", "invariants", "-o", binary, ".")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "build:", err)
			return 1
		}
		return m.Run()
	}())
}

// world is a directory with a brick and a mount point, and what became of them.
type world struct {
	*testing.T
	dir, brick, mnt, log string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, dir: t.TempDir()}
	w.brick, w.mnt, w.log = filepath.Join(w.dir, "brick"), filepath.Join(w.dir, "mnt"), filepath.Join(w.dir, "log")
	for _, d := range []string{w.brick, w.mnt} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(w.cleanUp)
	return w
}

// cleanUp ends what a failed test left, and fails one that leaves anything.
func (w *world) cleanUp() {
	for {
		m, err := control.FindMount(w.mnt)
		if err != nil {
			break
		}
		w.Errorf("%s is still mounted", w.mnt)
		fuse.Abort(m.Minor)
		unix.Unmount(m.Mountpoint, unix.MNT_DETACH|unix.MNT_FORCE)
	}
	for _, pid := range w.processes() {
		w.Errorf("process %d is left", pid)
		unix.Kill(pid, unix.SIGKILL)
	}
	if w.Failed() {
		if b, err := os.ReadFile(w.log); err == nil {
			w.Logf("log:\n%s", b)
		}
	}
	if b, err := os.ReadFile(w.log); err == nil && bytes.Contains(b, []byte("DATA RACE")) {
		w.Errorf("a data race:\n%s", b)
	}
}

// processes finds processes of ours that serve or try to serve the mount point.
func (w *world) processes() (pids []int) {
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		b, err := os.ReadFile(p)
		if err != nil || !bytes.Contains(b, []byte(w.mnt+"\x00")) || !ours(b) {
			continue
		}
		var pid int
		fmt.Sscanf(p, "/proc/%d/", &pid)
		pids = append(pids, pid)
	}
	return pids
}

// ours reports whether a command line is that of a process which stays.
func ours(cmdline []byte) bool {
	return bytes.HasPrefix(cmdline, []byte("holdfast\x00mount\x00")) || bytes.HasPrefix(cmdline, []byte("holdfast\x00worker\x00"))
}

// hf runs a command of the program and returns what it printed.
func (w *world) hf(args ...string) (string, error) {
	w.Helper()
	return w.run(exec.Command(binary, args...))
}

func (w *world) run(c *exec.Cmd) (string, error) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 2*time.Minute)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		if c.Process != nil {
			c.Process.Kill()
		}
	})
	defer stop()
	// The race detector waits a second at the end of each process.
	c.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	if err != nil {
		if n := strings.Count(errs.String(), "\n"); n != 1 {
			w.Errorf("%v: the error has %d lines: %s", c.Args, n, errs.String())
		}
		err = fmt.Errorf("%s (%w)", strings.TrimSpace(errs.String()), err)
	}
	return out.String(), err
}

// must is hf where nothing may go wrong.
func (w *world) must(args ...string) string {
	w.Helper()
	out, err := w.hf(args...)
	if err != nil {
		w.Fatalf("%v: %v", args, err)
	}
	return out
}

// refuses is hf where this must go wrong.
func (w *world) refuses(want string, args ...string) {
	w.Helper()
	out, err := w.hf(args...)
	if err == nil || !strings.Contains(err.Error(), want) {
		w.Errorf("%v: got %q %v, want %q", args, out, err, want)
	}
}

func (w *world) mount(args ...string) {
	w.Helper()
	w.must(append([]string{"mount", "--log-file", w.log, w.brick, w.mnt}, args...)...)
}

func (w *world) mountVolfile(text string) (file string) {
	w.Helper()
	file = filepath.Join(w.dir, "graph.vol")
	w.write(file, text)
	w.must("mount", "--log-file", w.log, file, w.mnt)
	return file
}

func (w *world) umount() {
	w.Helper()
	w.must("umount", w.mnt)
	w.gone()
}

// gone checks that nothing is left of the mount.
func (w *world) gone() {
	w.Helper()
	if _, err := control.FindMount(w.mnt); !errors.Is(err, control.ErrNotMounted) {
		w.Errorf("still mounted: %v", err)
	}
	if pids := w.processes(); len(pids) > 0 {
		w.Errorf("processes %v are left", pids)
	}
	for _, f := range w.states() {
		w.Errorf("%s is left", f)
	}
}

// states lists the state files of this mount.
func (w *world) states() (found []string) {
	files, _ := filepath.Glob(control.Dir + "/*.json")
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(w.mnt+`"`)) {
			found = append(found, f)
		}
	}
	return found
}

func (w *world) status() (s daemon.Status) {
	w.Helper()
	if err := json.Unmarshal([]byte(w.must("status", w.mnt, "--json")), &s); err != nil {
		w.Fatal(err)
	}
	return s
}

// until waits for what the status is to say.
func (w *world) until(what string, ok func(daemon.Status) bool) daemon.Status {
	w.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		s := w.status()
		if ok(s) {
			return s
		}
		if time.Now().After(deadline) {
			w.Fatalf("never: %s; %+v", what, s)
		}
	}
}

func (w *world) write(file, text string) {
	w.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		w.Fatal(err)
	}
}

func (w *world) read(file string) string {
	w.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		w.Fatal(err)
	}
	return string(b)
}

// waitGone waits until the processes have ended.
func (w *world) waitGone(pids ...int) {
	w.Helper()
	for _, pid := range pids {
		if err := waitGone(pid); err != nil {
			w.Fatalf("process %d: %v", pid, err)
		}
	}
}

func waitGone(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	for deadline := time.Now().Add(time.Minute); ; {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1000)
		switch {
		case n > 0:
			return nil
		case err != nil && err != unix.EINTR:
			return err
		case time.Now().After(deadline):
			return errors.New("it does not end")
		}
	}
}

// volfile is a graph over the brick; between stands above posix and locks, and
// is the volume "mid" on the volume "low".
func (w *world) volfile(between string) string {
	mid := "low"
	if between != "" {
		mid = "mid"
	}
	return fmt.Sprintf(`volume posix
    type storage/posix
    option directory %s
end-volume

volume low
    type features/locks
    subvolumes posix
end-volume
%s
volume top
    type debug/io-stats
    subvolumes %s
end-volume
`, w.brick, between, mid)
}
