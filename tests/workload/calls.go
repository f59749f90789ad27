package workload

import (
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The calls of the workers: raw, so that an EINTR or a short count is seen.

// file is a descriptor with its name, for messages.
type file struct {
	w    *worker
	fd   int
	name string
}

func (w *worker) open(path string, flags int) (*file, error) {
	f := &file{w: w, name: filepath.Base(path)}
	err := w.timed(func() (err error) {
		f.fd, err = unix.Open(path, flags|unix.O_CLOEXEC, 0o644)
		return
	})
	if err != nil {
		return nil, fmt.Errorf("open %s (flags %#x): %w", f.name, flags, err)
	}
	return f, nil
}

func (f *file) close() error {
	err := f.w.timed(func() error { return unix.Close(f.fd) })
	f.fd = -1
	if err != nil {
		return fmt.Errorf("close %s: %w", f.name, err)
	}
	return nil
}

// drop closes on the way out of an error.
func (f *file) drop() {
	if f != nil && f.fd >= 0 {
		unix.Close(f.fd)
		f.fd = -1
	}
}

func (f *file) pwrite(b []byte, off int64) error {
	var n int
	err := f.w.timed(func() (err error) {
		n, err = unix.Pwrite(f.fd, b, off)
		return
	})
	if err == nil && n != len(b) {
		err = fmt.Errorf("only %d bytes", n)
	}
	if err != nil {
		return fmt.Errorf("write %s, %d bytes at %d: %w", f.name, len(b), off, err)
	}
	return nil
}

func (f *file) write(b []byte) error {
	var n int
	err := f.w.timed(func() (err error) {
		n, err = unix.Write(f.fd, b)
		return
	})
	if err == nil && n != len(b) {
		err = fmt.Errorf("only %d bytes", n)
	}
	if err != nil {
		return fmt.Errorf("write %s, %d bytes: %w", f.name, len(b), err)
	}
	return nil
}

// pread fills b; less is an error.
func (f *file) pread(b []byte, off int64) error {
	n, err := f.preadSome(b, off)
	if err == nil && n != len(b) {
		err = fmt.Errorf("read %s, %d bytes at %d: only %d", f.name, len(b), off, n)
	}
	return err
}

func (f *file) preadSome(b []byte, off int64) (int, error) {
	var n int
	err := f.w.timed(func() (err error) {
		n, err = unix.Pread(f.fd, b, off)
		return
	})
	if err != nil {
		return 0, fmt.Errorf("read %s, %d bytes at %d: %w", f.name, len(b), off, err)
	}
	return n, nil
}

func (f *file) fsync() error {
	if err := f.w.timed(func() error { return unix.Fsync(f.fd) }); err != nil {
		return fmt.Errorf("fsync %s: %w", f.name, err)
	}
	return nil
}

func (f *file) truncate(size int64) error {
	if err := f.w.timed(func() error { return unix.Ftruncate(f.fd, size) }); err != nil {
		return fmt.Errorf("truncate %s to %d: %w", f.name, size, err)
	}
	return nil
}

func (f *file) stat() (st unix.Stat_t, err error) {
	if err := f.w.timed(func() error { return unix.Fstat(f.fd, &st) }); err != nil {
		return st, fmt.Errorf("fstat %s: %w", f.name, err)
	}
	return st, nil
}

func (w *worker) stat(path string) (st unix.Stat_t, err error) {
	if err := w.timed(func() error { return unix.Lstat(path, &st) }); err != nil {
		return st, fmt.Errorf("stat %s: %w", filepath.Base(path), err)
	}
	return st, nil
}

func (w *worker) rename(from, to string) error {
	if err := w.timed(func() error { return unix.Rename(from, to) }); err != nil {
		return fmt.Errorf("rename %s to %s: %w", filepath.Base(from), filepath.Base(to), err)
	}
	return nil
}

func (w *worker) unlink(path string) error {
	if err := w.timed(func() error { return unix.Unlink(path) }); err != nil {
		return fmt.Errorf("unlink %s: %w", filepath.Base(path), err)
	}
	return nil
}

// absent checks that a name is not there.
func (w *worker) absent(path string) error {
	_, err := w.stat(path)
	switch {
	case err == nil:
		return fmt.Errorf("%s is there and must not be", filepath.Base(path))
	case isErr(err, fs.ErrNotExist):
		return nil
	}
	return err
}

func (w *worker) path(format string, args ...any) string {
	return filepath.Join(w.dir, fmt.Sprintf(format, args...))
}
