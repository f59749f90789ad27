package mnt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/tests/kill"
)

// commandTimeout is for one command of the program. A program with the race
// detector on a busy machine is slow to start.
const commandTimeout = 60 * time.Second

// busyTimeout is how long a mount may be busy that is to be unmounted.
const busyTimeout = 5 * time.Second

// M is one mount.
type M struct {
	// Dir is the mount point.
	Dir string
	// Source is what is mounted: a directory or a volfile.
	Source string

	t       testing.TB
	bin     string
	base    string // holds the mount point, the log and what the race detector says
	log     string
	metrics string // address, or empty
	env     []string
	minor   int
	proc    process // who ends last: the keeper, if there is one
	worker  int
	guard   *guard
	dog     *watchdog
	gone    bool // for the one who unmounts
}

// Mount mounts src and waits until the mount answers. It is unmounted, and
// everything checked for what stays behind, when the test ends.
func Mount(t testing.TB, src string, opts ...Option) *M {
	t.Helper()
	m, err := TryMount(t, src, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TryMount is Mount for a test in which the mount may be refused. What is
// refused must leave nothing behind; that is checked here.
func TryMount(t testing.TB, src string, opts ...Option) (*M, error) {
	t.Helper()
	c := config{logLevel: "debug", program: holdfast}
	for _, o := range opts {
		o(&c)
	}
	base, err := os.MkdirTemp("", "holdfast-mnt-")
	if err != nil {
		t.Fatal(err)
	}
	// Others than root must come through.
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	bin := buildOnce(t, c.program, c.plain)
	m := &M{
		t: t, Source: src, bin: bin, base: base,
		Dir: filepath.Join(base, "mnt"), log: filepath.Join(base, "holdfast.log"),
		// By itself the race detector sleeps for a second at each program's end.
		env: append(c.env, "GORACE=atexit_sleep_ms=10 log_path="+filepath.Join(base, "race")),
	}
	t.Cleanup(m.cleanup)
	if err := os.Mkdir(m.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if c.metrics {
		if m.metrics, err = freeAddress(); err != nil {
			t.Fatal(err)
		}
	}
	before := holdfastMounts(t)
	if _, err := m.command(commandTimeout, c.commandLine(src, m.Dir, m.log, m.metrics)...); err != nil {
		m.gone = true
		if after := holdfastMounts(t); len(after) > len(before) && mountedAt(after, m.Dir) {
			t.Errorf("mount of %s failed (%v) and left %s mounted", src, err, m.Dir)
			m.gone = false
		}
		return nil, err
	}
	return m, m.adopt()
}

// adopt finds out about the process behind the new mount, without touching
// the mount point, and puts the guards up.
func (m *M) adopt() error {
	mount, ok := findMount(m.t, m.Dir)
	if !ok {
		m.gone = true
		return fmt.Errorf("mount of %s returned, but nothing is mounted at %s", m.Source, m.Dir)
	}
	m.minor = mount.minor
	m.dog = watch(m.t, m.Dir, m.minor)
	s, err := m.TryStatus()
	if err != nil {
		return fmt.Errorf("first status of %s: %w", m.Dir, err)
	}
	m.worker = s.Process.PID
	last := s.Process.PID
	if s.Keeper.PID != 0 && s.Keeper.Service == "" {
		last = s.Keeper.PID
	}
	if m.proc, err = findProcess(last); err != nil {
		return fmt.Errorf("status of %s names process %d: %w", m.Dir, last, err)
	}
	if m.guard, err = startGuard(m.Dir, m.minor, m.proc); err != nil {
		return err
	}
	return nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// PID is the process that served the mount at first.
func (m *M) PID() int { return m.worker }

// Minor is the number of the FUSE connection in /sys/fs/fuse/connections.
func (m *M) Minor() int { return m.minor }

// Log is what the process has logged so far.
func (m *M) Log() string {
	b, err := os.ReadFile(m.log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.t.Errorf("read the log: %v", err)
	}
	return string(b)
}

// LogFile is where it logs.
func (m *M) LogFile() string { return m.log }

// Metrics reads the metrics page (WithMetrics).
func (m *M) Metrics() string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.metrics+"/metrics", nil)
	if err != nil {
		m.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		m.t.Fatalf("read metrics: %v", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		m.t.Fatalf("read metrics: %s, %v", resp.Status, err)
	}
	return string(b)
}

// Umount unmounts with the program and waits until its process is gone.
func (m *M) Umount() {
	m.t.Helper()
	if err := m.umount(); err != nil {
		m.t.Error(err)
	}
}

// umount bears with a mount that is busy for a moment: what a test beside this one
// starts has our files, too, until it is the other program.
func (m *M) umount() error {
	for end := time.Now().Add(busyTimeout); ; time.Sleep(pollStep) {
		err := m.TryUmount()
		if err == nil || !strings.Contains(err.Error(), "is busy") || time.Now().After(end) {
			return err
		}
	}
}

// TryUmount is Umount for a test in which it may fail, of a busy mount say. An
// error of the program leaves everything as it was.
func (m *M) TryUmount() error {
	if m.gone {
		return nil
	}
	if _, err := m.command(commandTimeout, "umount", m.Dir); err != nil {
		return err
	}
	return m.ended()
}

// Ended is for a test that has unmounted by other means: it waits for the end
// of the process and checks what is left.
func (m *M) Ended() {
	m.t.Helper()
	if err := m.ended(); err != nil {
		m.t.Error(err)
	}
}

func (m *M) ended() error {
	m.gone = true
	m.dog.stop()
	defer m.guard.stop()
	if err := m.proc.waitGone(commandTimeout); err != nil {
		m.destroy()
		return fmt.Errorf("after umount of %s: %w", m.Dir, err)
	}
	return m.leftovers()
}

// leftovers looks for what must be gone with the mount.
func (m *M) leftovers() error {
	var all []error
	if mountedAt(holdfastMounts(m.t), m.Dir) {
		all = append(all, fmt.Errorf("%s is still mounted", m.Dir))
		m.destroy()
	}
	// Another mount may have got the number since.
	for _, f := range controlFiles(m.minor, m.proc.pid) {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), m.Dir+`"`) {
			all = append(all, fmt.Errorf("%s stays behind", f))
		}
	}
	return errors.Join(all...)
}

// destroy takes the mount away by force: abort, lazy unmount, SIGKILL.
func (m *M) destroy() {
	abort(m.minor)
	detach(m.Dir)
	if m.proc.pid != m.worker {
		kill.Now(m.proc.pid)
	}
	m.proc.kill()
}

func (m *M) cleanup() {
	if !m.gone && m.minor != 0 {
		if err := m.umount(); err != nil {
			m.t.Errorf("unmount at the end of the test: %v", err)
			m.gone = true
			m.destroy()
			m.dog.stop()
			m.guard.stop()
		}
	}
	m.races()
	if m.t.Failed() {
		m.showLog()
	}
	// One by one: a recursive removal would walk into what is still mounted.
	if err := os.Remove(m.Dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		m.t.Errorf("remove the mount point: %v", err)
		return
	}
	if err := os.RemoveAll(m.base); err != nil {
		m.t.Errorf("clean up: %v", err)
	}
}

// races fails the test with what the race detector found in the process.
func (m *M) races() {
	files, _ := filepath.Glob(filepath.Join(m.base, "race.*"))
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && len(b) > 0 {
			m.t.Errorf("the race detector found, in the mounted process:\n%s", b)
		}
	}
}

const shownLog = 200 // lines

func (m *M) showLog() {
	lines := strings.Split(strings.TrimSuffix(m.Log(), "\n"), "\n")
	if n := len(lines); n > shownLog {
		lines = append([]string{fmt.Sprintf("(%d lines before)", n-shownLog)}, lines[n-shownLog:]...)
	}
	m.t.Logf("log of the mount of %s:\n%s", m.Source, strings.Join(lines, "\n"))
}
