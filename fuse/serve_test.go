package fuse_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

var stacks = map[string]string{
	"plain":  plain,
	"client": layers("features/locks", "performance/write-behind", "performance/md-cache", "debug/io-stats"),
}

func onEachStack(t *testing.T, test func(t *testing.T, w *world)) {
	for name, graph := range stacks {
		t.Run(name, func(t *testing.T) { test(t, mount(t, graph, nil)) })
	}
}

func TestStreamsComeBackAsWritten(t *testing.T) {
	onEachStack(t, func(t *testing.T, w *world) {
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				rnd := rand.New(rand.NewSource(int64(i)))
				name := w.path(fmt.Sprint("f", i))
				f, err := os.Create(name)
				if err != nil {
					t.Error(err)
					return
				}
				sum := sha256.New()
				for range 40 {
					b := make([]byte, rnd.Intn(2<<20))
					rnd.Read(b)
					sum.Write(b)
					if _, err := f.Write(b); err != nil {
						t.Error(err)
					}
				}
				if err := f.Close(); err != nil {
					t.Error(err)
				}
				for _, flags := range []int{os.O_RDONLY, os.O_RDONLY | unix.O_DIRECT} {
					f, err := os.OpenFile(name, flags, 0)
					if err != nil {
						t.Error(err)
						return
					}
					back := sha256.New()
					buf := make([]byte, (1<<20)+4096)
					if _, err := io.CopyBuffer(back, struct{ io.Reader }{f}, buf); err != nil {
						t.Error(err)
					}
					f.Close()
					if !bytes.Equal(sum.Sum(nil), back.Sum(nil)) {
						t.Errorf("%s with flags %#x is not what was written", name, flags)
					}
				}
			})
		}
		wg.Wait()
		w.unmount()
	})
}

func TestOpenAndCreateEmptyTheFile(t *testing.T) {
	onEachStack(t, func(t *testing.T, w *world) {
		name := w.path("f")
		check(t, os.WriteFile(name, []byte("a long text"), 0o644))
		check(t, os.WriteFile(name, []byte("short"), 0o644))
		if b, err := os.ReadFile(name); string(b) != "short" {
			t.Errorf("%q, %v", b, err)
		}
		// A name that the kernel does not know, made behind its back.
		check(t, os.WriteFile(filepath.Join(w.dir, "g"), []byte("from the brick's side"), 0o644))
		f, err := os.OpenFile(w.path("g"), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o644)
		check(t, err)
		if st, err := f.Stat(); err != nil || st.Size() != 0 {
			t.Errorf("%v, %v", st, err)
		}
		check(t, f.Close())
		f, err = os.OpenFile(name, os.O_RDONLY|os.O_TRUNC, 0)
		check(t, err)
		check(t, f.Close())
		if st, err := os.Stat(name); err != nil || st.Size() != 0 {
			t.Errorf("O_RDONLY|O_TRUNC leaves %d bytes (%v)", st.Size(), err)
		}
	})
}

func TestFileWithoutANameGetsOne(t *testing.T) {
	w := mount(t, plain, nil)
	fd, err := unix.Open(w.mnt, unix.O_TMPFILE|unix.O_RDWR, 0o640)
	check(t, err)
	_, err = unix.Write(fd, []byte("text"))
	check(t, err)
	check(t, unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, w.path("name"), unix.AT_SYMLINK_FOLLOW))
	check(t, unix.Close(fd))
	if b, err := os.ReadFile(w.path("name")); string(b) != "text" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestHandleOfAFileFindsItAgain(t *testing.T) {
	w := mount(t, plain, func(c *childConfig) { c.Opts.EntryTimeout, c.Opts.AttrTimeout = 0, 0 })
	check(t, os.WriteFile(w.path("f"), []byte("text"), 0o644))
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, w.path("f"), 0)
	check(t, err)
	check(t, os.Rename(w.path("f"), w.path("g")))
	dir, err := unix.Open(w.mnt, unix.O_DIRECTORY, 0)
	check(t, err)
	defer unix.Close(dir)
	fd, err := unix.OpenByHandleAt(dir, h, unix.O_RDONLY)
	check(t, err)
	buf := make([]byte, 10)
	n, err := unix.Read(fd, buf)
	if string(buf[:max(n, 0)]) != "text" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	check(t, unix.Close(fd))
}

func TestSetIDBitsGoWithAWriteOfAnotherUser(t *testing.T) {
	w := mount(t, plain, nil)
	for _, d := range []string{filepath.Dir(w.mnt), filepath.Dir(filepath.Dir(w.mnt))} {
		check(t, os.Chmod(d, 0o755))
	}
	name := w.path("f")
	for what, change := range map[string]string{
		"write":     `printf x >> f`,
		"truncate":  `truncate -s 1 f`,
		"O_TRUNC":   `: > f`,
		"fallocate": `fallocate -l 9999 f`,
	} {
		check(t, os.WriteFile(name, []byte("text"), 0o777))
		check(t, os.Chmod(name, os.ModeSetuid|os.ModeSetgid|0o777))
		c := exec.Command("sh", "-c", change)
		c.Dir = w.mnt
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", what, err, out)
		}
		for _, n := range []string{name, filepath.Join(w.dir, "f")} {
			if st, err := os.Stat(n); err != nil || st.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
				t.Errorf("after %s %s is %v (%v)", what, n, st.Mode(), err)
			}
		}
	}
}

func TestWritesDoNotAskForCapabilities(t *testing.T) {
	w := mount(t, plain, nil)
	f, err := os.Create(w.path("f"))
	check(t, err)
	before := w.stats().Session.Requests["GETXATTR"]
	for i := range 500 {
		_, err := f.WriteAt([]byte("x"), int64(i))
		check(t, err)
	}
	check(t, f.Close())
	if n := w.stats().Session.Requests["GETXATTR"] - before; n > 3 {
		t.Errorf("500 writes asked %d times for an attribute", n)
	}
}

func TestUmaskGivesWayToADefaultACL(t *testing.T) {
	w := mount(t, plain, nil)
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	check(t, os.Mkdir(w.path("d"), 0o777))
	check(t, os.WriteFile(w.path("d/plain"), nil, 0o666))
	if out, err := exec.Command("setfacl", "-d", "-m", "u::rwx,g::rwx,o::r", w.path("d")).CombinedOutput(); err != nil {
		t.Fatalf("setfacl: %v: %s", err, out)
	}
	check(t, os.WriteFile(w.path("d/acl"), nil, 0o666))
	for name, want := range map[string]os.FileMode{"d/plain": 0o600, "d/acl": 0o664} {
		if st, err := os.Stat(w.path(name)); err != nil || st.Mode() != want {
			t.Errorf("%s is %v, want %v (%v)", name, st.Mode(), want, err)
		}
	}
}

func TestHolesAndCopies(t *testing.T) {
	w := mount(t, plain, nil)
	f, err := os.Create(w.path("f"))
	check(t, err)
	defer f.Close()
	fd := int(f.Fd())
	_, err = f.WriteAt([]byte("data"), 1<<20)
	check(t, err)
	if off, err := unix.Seek(fd, 0, unix.SEEK_DATA); off != 1<<20 || err != nil {
		t.Errorf("data at %d, %v", off, err)
	}
	if off, err := unix.Seek(fd, 1<<20, unix.SEEK_HOLE); off != 1<<20+4 || err != nil {
		t.Errorf("hole at %d, %v", off, err)
	}
	if _, err := unix.Seek(fd, 2<<20, unix.SEEK_DATA); err != unix.ENXIO {
		t.Errorf("beyond the end: %v", err)
	}
	check(t, unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, 4<<20))
	check(t, unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 1<<20, 4096))
	check(t, unix.Fallocate(fd, unix.FALLOC_FL_ZERO_RANGE, 0, 2<<20))
	if st, err := f.Stat(); err != nil || st.Size() != 2<<20 {
		t.Errorf("%v, %v", st, err)
	}
	_, err = f.WriteAt([]byte("source"), 4096)
	check(t, err)
	g, err := os.Create(w.path("g"))
	check(t, err)
	defer g.Close()
	from, to := int64(4096), int64(1<<21)
	if n, err := unix.CopyFileRange(fd, &from, int(g.Fd()), &to, 6, 0); n != 6 || err != nil {
		t.Errorf("copied %d, %v", n, err)
	}
	buf := make([]byte, 6)
	if _, err := g.ReadAt(buf, 1<<21); string(buf) != "source" {
		t.Errorf("%q, %v", buf, err)
	}
}

func TestMapsAndWritesShareOneFile(t *testing.T) {
	for name, direct := range map[string]bool{"cached": false, "direct-io": true} {
		t.Run(name, func(t *testing.T) {
			w := mount(t, plain, func(c *childConfig) { c.Opts.DirectIO = direct })
			f, err := os.Create(w.path("f"))
			check(t, err)
			defer f.Close()
			check(t, f.Truncate(1<<20))
			m, err := unix.Mmap(int(f.Fd()), 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			check(t, err)
			copy(m[5000:], "mapped")
			check(t, unix.Msync(m, unix.MS_SYNC))
			_, err = f.WriteAt([]byte("written"), 9000)
			check(t, err)
			if got := string(m[9000:9007]); got != "written" {
				t.Errorf("the map sees %q", got)
			}
			check(t, unix.Munmap(m))
			b, err := os.ReadFile(filepath.Join(w.dir, "f"))
			if err != nil || string(b[5000:5006]) != "mapped" || string(b[9000:9007]) != "written" {
				t.Errorf("the brick has %q and %q, %v", b[5000:5006], b[9000:9007], err)
			}
		})
	}
}
