package posix

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Short words for the cases. All calls are raw: a case wants to see what the
// kernel says.

func ok(t *testing.T, err error, what string) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func want(t *testing.T, err, errno error, what string) {
	t.Helper()
	if err != errno {
		t.Errorf("%s: %v, want %v", what, err, errno)
	}
}

func equal[V comparable](t *testing.T, got, want V, what string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func in(dir, name string) string { return filepath.Join(dir, name) }

// open opens for the time of the case.
func open(t *testing.T, path string, flags int, mode uint32) int {
	t.Helper()
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, mode)
	ok(t, err, "open "+filepath.Base(path))
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func create(t *testing.T, path, data string) int {
	t.Helper()
	fd := open(t, path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o644)
	ok(t, unix.Fchmod(fd, 0o644), "chmod "+filepath.Base(path))
	pwrite(t, fd, data, 0)
	return fd
}

// put makes a file and closes it.
func put(t *testing.T, path, data string) {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o644)
	ok(t, err, "create "+filepath.Base(path))
	pwrite(t, fd, data, 0)
	ok(t, unix.Fchmod(fd, 0o644), "chmod "+filepath.Base(path))
	ok(t, unix.Close(fd), "close "+filepath.Base(path))
}

func mkdir(t *testing.T, path string, mode uint32) string {
	t.Helper()
	ok(t, unix.Mkdir(path, 0o755), "mkdir "+filepath.Base(path))
	ok(t, unix.Chmod(path, mode), "chmod "+filepath.Base(path))
	return path
}

func pwrite(t *testing.T, fd int, data string, off int64) {
	t.Helper()
	if data == "" {
		return
	}
	n, err := unix.Pwrite(fd, []byte(data), off)
	if err != nil || n != len(data) {
		t.Fatalf("write %d bytes at %d: %d, %v", len(data), off, n, err)
	}
}

func pread(t *testing.T, fd, n int, off int64) string {
	t.Helper()
	b := make([]byte, n)
	got, err := unix.Pread(fd, b, off)
	ok(t, err, "read")
	return string(b[:got])
}

// content reads a file by its name.
func content(t *testing.T, path string) string {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	ok(t, err, "open "+filepath.Base(path))
	defer unix.Close(fd)
	var all []byte
	b := make([]byte, 65536)
	for {
		n, err := unix.Read(fd, b)
		ok(t, err, "read "+filepath.Base(path))
		if n == 0 {
			return string(all)
		}
		all = append(all, b[:n]...)
	}
}

func stat(t *testing.T, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	ok(t, unix.Lstat(path, &st), "stat "+filepath.Base(path))
	return st
}

func fstat(t *testing.T, fd int) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	ok(t, unix.Fstat(fd, &st), "fstat")
	return st
}

func perm(t *testing.T, path string) uint32 {
	t.Helper()
	return stat(t, path).Mode & 0o7777
}

func absent(t *testing.T, path string) {
	t.Helper()
	var st unix.Stat_t
	want(t, unix.Lstat(path, &st), unix.ENOENT, "stat "+filepath.Base(path)+", which must be gone")
}

func zeros(n int) string { return string(make([]byte, n)) }

func allZero(s string) bool { return len(s) == bytes.Count([]byte(s), []byte{0}) }

func mountFlags(t *testing.T, dir string) int64 {
	t.Helper()
	var st unix.Statfs_t
	ok(t, unix.Statfs(dir, &st), "statfs")
	return st.Flags
}

// tick waits until the clock that files are stamped with has moved on.
func tick(t *testing.T) {
	t.Helper()
	var a, b unix.Timespec
	ok(t, unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &a), "clock")
	for range 1000 {
		time.Sleep(time.Millisecond)
		ok(t, unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &b), "clock")
		if b.Nano() > a.Nano()+10e6 { // two ticks of 100 Hz would be 20 ms; ext4 stamps finer
			return
		}
	}
	t.Fatal("the clock does not move")
}
