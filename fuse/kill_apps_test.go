package fuse_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pwrites writes and reads at random, through a descriptor that stays open, and
// reads everything through another now and then.
func (a *apps) pwrites(rnd *rand.Rand) error {
	const size = 1 << 20
	f, err := os.OpenFile(a.path("data"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	want := make([]byte, size)
	if err := f.Truncate(size); err != nil {
		return err
	}
	buf := make([]byte, size)
	for !a.stop.Load() {
		off, n := rnd.Intn(size), 1+rnd.Intn(60000)
		n = min(n, size-off)
		rnd.Read(want[off:][:n])
		if k, err := f.WriteAt(want[off:][:n], int64(off)); k != n || err != nil {
			return fmt.Errorf("write of %d bytes: %d, %w", n, k, err)
		}
		a.ops.Add(1)
		if rnd.Intn(20) > 0 {
			continue
		}
		if rnd.Intn(2) == 0 {
			if err := f.Sync(); err != nil {
				return err
			}
			if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
				return err
			}
		}
		g, err := os.Open(a.path("data"))
		if err != nil {
			return err
		}
		if k, err := io.ReadFull(g, buf); k != size || err != nil {
			return fmt.Errorf("read: %d, %w", k, err)
		}
		if err := g.Close(); err != nil {
			return err
		}
		if !bytes.Equal(buf, want) {
			return fmt.Errorf("the file is not what was written; first at %d", differ(buf, want))
		}
	}
	return f.Close()
}

func differ(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// directs does large reads and writes past the cache.
func (a *apps) directs(rnd *rand.Rand) error {
	const size = 4 << 20
	fd, err := unix.Open(a.path("direct"), unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_DIRECT, 0o644)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	want, buf := pages(size), pages(size)
	if err := unix.Ftruncate(fd, size); err != nil {
		return err
	}
	for !a.stop.Load() {
		off := rnd.Intn(size/4096) * 4096
		n := min((1+rnd.Intn(256))*4096, size-off)
		rnd.Read(want[off:][:n])
		if k, err := unix.Pwrite(fd, want[off:][:n], int64(off)); k != n || err != nil {
			return fmt.Errorf("write of %d bytes: %d, %w", n, k, err)
		}
		off = rnd.Intn(size/4096) * 4096
		n = min((1+rnd.Intn(256))*4096, size-off)
		if k, err := unix.Pread(fd, buf[:n], int64(off)); k != n || err != nil {
			return fmt.Errorf("read of %d bytes: %d, %w", n, k, err)
		}
		if !bytes.Equal(buf[:n], want[off:][:n]) {
			return fmt.Errorf("%d bytes at %d are not what was written; first at %d", n, off, off+differ(buf[:n], want[off:][:n]))
		}
		a.ops.Add(2)
	}
	return nil
}

// pages is memory for O_DIRECT.
func pages(n int) []byte {
	b := make([]byte, n+4096)
	return b[-uintptr(unsafe.Pointer(unsafe.SliceData(b)))&4095:][:n:n]
}

// appends appends numbered records and reads them back.
func (a *apps) appends(*rand.Rand) error {
	f, err := os.OpenFile(a.path("log"), os.O_CREATE|os.O_EXCL|os.O_APPEND|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	n := 0
	for ; !a.stop.Load(); n++ {
		if _, err := fmt.Fprintf(f, "%09d\n", n); err != nil {
			return err
		}
		a.ops.Add(1)
	}
	if err := f.Close(); err != nil {
		return err
	}
	b, err := os.ReadFile(a.path("log"))
	if err != nil {
		return err
	}
	for i := range n {
		if len(b) < (i+1)*10 || string(b[i*10:][:10]) != fmt.Sprintf("%09d\n", i) {
			return fmt.Errorf("record %d of %d is %q", i, n, b[min(i*10, len(b)):min(i*10+10, len(b))])
		}
	}
	if len(b) != n*10 {
		return fmt.Errorf("%d bytes for %d records", len(b), n)
	}
	return nil
}

// names does what cannot be done twice: every step must succeed, and what it
// made or took away must be there or not.
func (a *apps) names(rnd *rand.Rand) error {
	there := func(name string, want bool) error {
		_, err := os.Lstat(name)
		if want == (err == nil) && (err == nil || errors.Is(err, syscall.ENOENT)) {
			return nil
		}
		return fmt.Errorf("%s should be there: %v; %w", name, want, err)
	}
	for i := 0; !a.stop.Load(); i++ {
		d, d2 := a.path("dir%d", i), a.path("dir%d-renamed", i)
		one, two, three := filepath.Join(d, "one"), filepath.Join(d, "two"), filepath.Join(d2, "three")
		text := []byte(fmt.Sprint("text ", rnd.Int63()))
		for _, step := range []struct {
			what string
			do   func() error
		}{
			{"mkdir", func() error { return os.Mkdir(d, 0o755) }},
			{"create", func() error {
				f, err := os.OpenFile(one, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
				if err != nil {
					return err
				}
				if _, err := f.Write(text); err != nil {
					return err
				}
				return f.Close()
			}},
			{"link", func() error { return os.Link(one, two) }},
			{"unlink", func() error { return os.Remove(one) }},
			{"no one", func() error { return there(one, false) }},
			{"symlink", func() error { return os.Symlink("two", one) }},
			{"setxattr", func() error { return unix.Setxattr(two, "user.a", text, unix.XATTR_CREATE) }},
			{"setxattr again", func() error {
				if err := unix.Setxattr(two, "user.a", text, unix.XATTR_CREATE); err != unix.EEXIST {
					return fmt.Errorf("%w, want EEXIST", err)
				}
				return nil
			}},
			{"removexattr", func() error { return unix.Removexattr(two, "user.a") }},
			{"rename a directory", func() error { return os.Rename(d, d2) }},
			{"no directory", func() error { return there(d, false) }},
			{"rename over", func() error { return os.Rename(filepath.Join(d2, "two"), filepath.Join(d2, "one")) }},
			{"rename without replacing", func() error {
				return unix.Renameat2(unix.AT_FDCWD, filepath.Join(d2, "one"), unix.AT_FDCWD, three, unix.RENAME_NOREPLACE)
			}},
			{"read", func() error {
				b, err := os.ReadFile(three)
				if err == nil && !bytes.Equal(b, text) {
					err = fmt.Errorf("%q, want %q", b, text)
				}
				return err
			}},
			{"chmod", func() error { return os.Chmod(three, 0o640) }},
			{"mknod", func() error { return unix.Mknod(filepath.Join(d2, "pipe"), unix.S_IFIFO|0o600, 0) }},
			{"exchange", func() error {
				return unix.Renameat2(unix.AT_FDCWD, three, unix.AT_FDCWD, filepath.Join(d2, "pipe"), unix.RENAME_EXCHANGE)
			}},
			{"unlink the pipe", func() error {
				if st, err := os.Lstat(three); err != nil || st.Mode()&os.ModeNamedPipe == 0 {
					return fmt.Errorf("not exchanged: %v, %w", st, err)
				}
				return os.Remove(three)
			}},
			{"unlink the file", func() error { return os.Remove(filepath.Join(d2, "pipe")) }},
			{"rmdir", func() error { return os.Remove(d2) }},
			{"nothing", func() error { return there(d2, false) }},
		} {
			if err := step.do(); err != nil {
				return fmt.Errorf("%s: %w", step.what, err)
			}
			a.ops.Add(1)
		}
	}
	return nil
}

// unlinked works on files that have no name any more.
func (a *apps) unlinked(rnd *rand.Rand) error {
	for i := 0; !a.stop.Load(); i++ {
		name := a.path("temp%d", i)
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0)
		if err != nil {
			return err
		}
		if err := os.Remove(name); err != nil {
			return err
		}
		text := make([]byte, 1+rnd.Intn(9000))
		rnd.Read(text)
		for range 1 + rnd.Intn(20) {
			if _, err := f.WriteAt(text, 100); err != nil {
				return fmt.Errorf("write: %w", err)
			}
			b := make([]byte, len(text))
			if _, err := f.ReadAt(b, 100); err != nil || !bytes.Equal(b, text) {
				return fmt.Errorf("read back: %w, same: %v", err, bytes.Equal(b, text))
			}
			a.ops.Add(2)
		}
		if st, err := f.Stat(); err != nil || st.Sys().(*syscall.Stat_t).Nlink != 0 || st.Size() != int64(100+len(text)) {
			return fmt.Errorf("%+v, %w", st, err)
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// locks counts in a file that others count in, too, each under the lock.
func (a *apps) locks(rnd *rand.Rand) error {
	fd, err := unix.Open(filepath.Join(a.dir, "counter"), unix.O_CREAT|unix.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var b [8]byte
	for !a.stop.Load() {
		flock := rnd.Intn(2) == 0
		// Two kinds of lock exclude nothing from each other: both are taken.
		lk := unix.Flock_t{Type: unix.F_WRLCK, Start: 100, Len: 10}
		if err := retry(func() error { return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLKW, &lk) }); err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		if flock {
			if err := retry(func() error { return unix.Flock(fd, unix.LOCK_EX) }); err != nil {
				return fmt.Errorf("flock: %w", err)
			}
		}
		if _, err := unix.Pread(fd, b[:], 0); err != nil {
			return err
		}
		for i := range b {
			if b[i]++; b[i] != 0 {
				break
			}
		}
		if _, err := unix.Pwrite(fd, b[:], 0); err != nil {
			return err
		}
		a.ops.Add(1)
		lk.Type = unix.F_UNLCK
		if flock {
			if err := unix.Flock(fd, unix.LOCK_UN); err != nil {
				return fmt.Errorf("unflock: %w", err)
			}
		}
		if err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &lk); err != nil {
			return fmt.Errorf("unlock: %w", err)
		}
	}
	return nil
}

// retry is for waits that a signal of the Go runtime may end.
func retry(do func() error) error {
	for {
		if err := do(); err != unix.EINTR {
			return err
		}
	}
}

// maps changes a map and has it written back.
func (a *apps) maps(rnd *rand.Rand) error {
	const size = 256 << 10
	f, err := os.OpenFile(a.path("map"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return err
	}
	m, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	defer unix.Munmap(m)
	for !a.stop.Load() {
		for range 30 {
			m[rnd.Intn(size)]++
		}
		if err := unix.Msync(m, unix.MS_SYNC); err != nil {
			return fmt.Errorf("msync: %w", err)
		}
		b, err := os.ReadFile(a.path("map"))
		if err != nil {
			return err
		}
		if !bytes.Equal(b, m) {
			return fmt.Errorf("the file is not what is mapped; first at %d", differ(b, m))
		}
		a.ops.Add(1)
	}
	return nil
}

// listing lists a directory that nobody changes.
func (a *apps) listing(rnd *rand.Rand) error {
	const files = 300
	d := a.path("many")
	if err := os.Mkdir(d, 0o755); err != nil {
		return err
	}
	for i := range files {
		if err := os.WriteFile(filepath.Join(d, fmt.Sprintf("%04d", i)), []byte{byte(i)}, 0o644); err != nil {
			return err
		}
	}
	for !a.stop.Load() {
		all, err := os.ReadDir(d)
		if err != nil {
			return err
		}
		if len(all) != files {
			return fmt.Errorf("%d names of %d", len(all), files)
		}
		for i, e := range all {
			if e.Name() != fmt.Sprintf("%04d", i) {
				return fmt.Errorf("%s in place %d", e.Name(), i)
			}
		}
		n := rnd.Intn(files)
		b, err := os.ReadFile(filepath.Join(d, fmt.Sprintf("%04d", n)))
		if err != nil || len(b) != 1 || b[0] != byte(n) {
			return fmt.Errorf("file %d: %v, %w", n, b, err)
		}
		a.ops.Add(1)
	}
	return nil
}
