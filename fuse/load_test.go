package fuse_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fuse"
)

func TestNumbersAreGivenBack(t *testing.T) {
	onEachStack(t, func(t *testing.T, w *world) {
		for i := range 300 {
			name := w.path(fmt.Sprint(i))
			check(t, os.WriteFile(name, []byte("x"), 0o644))
			f, err := os.Open(name)
			check(t, err)
			check(t, os.Remove(name))
			check(t, f.Close())
		}
		w.await("the kernel to forget", func() bool {
			s := w.stats()
			return s.Table.Open == 0 && s.Table.Nodes == 1 && s.Session.InFlight == 0
		})
		if s := w.stats().Session; s.Panics != 0 || s.Refused != 0 || s.EarlyBytes != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestWaitForALockEndsWithASignal(t *testing.T) {
	w := mount(t, plain, nil)
	f, err := os.Create(w.path("f"))
	check(t, err)
	defer f.Close()
	check(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
	c := exec.Command("flock", w.path("f"), "true")
	check(t, c.Start())
	w.await("the wait", func() bool { return w.stats().Table.LocksWaiting == 1 })
	check(t, c.Process.Signal(syscall.SIGTERM))
	c.Wait()
	w.await("its end", func() bool { return w.stats().Table.LocksWaiting == 0 })
	check(t, unix.Flock(int(f.Fd()), unix.LOCK_UN))
	if out, err := exec.Command("flock", "-n", w.path("f"), "true").CombinedOutput(); err != nil {
		t.Errorf("a ghost holds the lock: %v: %s", err, out)
	}
}

// TestSignalsDoNotHurtIO: the runtime of a Go program sends itself signals all
// the time, and each becomes an INTERRUPT of what it is doing.
func TestSignalsDoNotHurtIO(t *testing.T) {
	w := mount(t, layers("features/locks", "debug/delay-gen enable=write,read,create,flush delay-duration=300 delay-percentage=100"), nil)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tid := unix.Gettid()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				unix.Tgkill(os.Getpid(), tid, unix.SIGURG)
				time.Sleep(20 * time.Microsecond)
			}
		}
	})
	for i := range 200 {
		name := w.path(fmt.Sprint(i))
		fd, err := unix.Open(name, unix.O_CREAT|unix.O_RDWR, 0o644)
		check(t, err)
		n, err := unix.Pwrite(fd, []byte("text"), 0)
		if n != 4 || err != nil {
			t.Fatalf("write: %d, %v", n, err)
		}
		check(t, unix.Close(fd))
	}
	close(stop)
	wg.Wait()
	s := w.stats().Session
	if s.Requests["INTERRUPT"] == 0 {
		t.Error("no signal met a request")
	}
	if s.Requests["INTERRUPT"] > 100000 {
		t.Errorf("%d INTERRUPTs: they are sent again and again", s.Requests["INTERRUPT"])
	}
}

// TestThousandsOfBlockedReadersAreCheap: what waits for a hung brick holds a
// small slot and a goroutine.
func TestThousandsOfBlockedReadersAreCheap(t *testing.T) {
	readers, limit := 5000, int64(300<<20)
	if raceEnabled { // it has its own price
		readers, limit = 1000, 1<<30
	}
	gate := filepath.Join(t.TempDir(), "gate")
	// With direct-io the kernel sends what it has; else it keeps all reads but
	// MaxBackground to itself.
	w := mount(t, layers("features/locks", "debug/delay-gen enable=read gate="+gate, "debug/io-stats"), func(c *childConfig) { c.Opts.DirectIO = true })
	f, err := os.OpenFile(w.path("f"), os.O_CREATE|os.O_RDWR, 0o644)
	check(t, err)
	defer f.Close()
	check(t, f.Truncate(int64(readers)*4096))
	check(t, os.WriteFile(gate, nil, 0o644))
	pages, err := unix.Mmap(-1, 0, readers*4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	check(t, err)
	defer unix.Munmap(pages)
	var wg sync.WaitGroup
	var failed atomic.Int32
	for i := range readers {
		wg.Go(func() {
			if n, err := unix.Pread(int(f.Fd()), pages[i*4096:][:4096], int64(i)*4096); n != 4096 || err != nil {
				failed.Add(1)
			}
		})
	}
	w.await("the readers", func() bool { return w.stats().Session.InFlight == readers })
	s := w.stats()
	t.Logf("%d in flight: RSS %d MB, %d goroutines, %d of %d KB of slots used", s.Session.InFlight, s.RSS>>20, s.Goroutines, s.Session.SlotBytesUsed>>10, s.Session.SlotBytes>>10)
	if s.RSS > limit {
		t.Errorf("%d readers cost %d MB", readers, s.RSS>>20)
	}
	check(t, os.WriteFile(w.path("g"), []byte("text"), 0o644)) // others are served meanwhile
	check(t, os.Remove(gate))
	wg.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d reads failed", n)
	}
}

func TestMountEndsUnderLoad(t *testing.T) {
	for name, how := range map[string]func(w *world){
		"abort": func(w *world) { w.abort() },
		"detach": func(w *world) {
			// It is not in mountinfo any more, and its number is nobody else's as
			// long as its files are open.
			unix.Unmount(w.mnt, unix.MNT_DETACH)
			check(w, fuse.Abort(w.minor))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := mount(t, stacks["client"], nil)
			var wg sync.WaitGroup
			var done atomic.Int32
			for i := range 8 {
				wg.Go(func() {
					f, err := os.Create(w.path(fmt.Sprint(i)))
					if err != nil {
						return
					}
					defer f.Close()
					buf := make([]byte, 256<<10)
					for {
						if _, err := f.WriteAt(buf, 0); err != nil {
							if !errors.Is(err, unix.ENOTCONN) && !errors.Is(err, unix.ECONNABORTED) && !errors.Is(err, unix.EIO) {
								t.Error(err)
							}
							return
						}
						done.Add(1)
					}
				})
			}
			w.await("the load", func() bool { return done.Load() > 100 })
			how(w)
			wg.Wait()
			w.end()
		})
	}
}

func TestRefusedMountLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	_, err := fuse.Mount(fuse.Options{Source: "x", Mountpoint: dir, Data: []string{"no_such_option"}})
	if err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("%v", err)
	}
	if _, err := fuse.Mount(fuse.Options{Source: "x", Mountpoint: dir + "/none"}); !errors.Is(err, unix.ENOENT) {
		t.Errorf("%v", err)
	}
	b, err := os.ReadFile("/proc/self/mountinfo")
	check(t, err)
	if strings.Contains(string(b), dir) {
		t.Error("something is mounted")
	}
}

func TestNamesAndListings(t *testing.T) {
	onEachStack(t, func(t *testing.T, w *world) {
		long := strings.Repeat("n", 255)
		check(t, os.WriteFile(w.path(long), nil, 0o644))
		check(t, os.WriteFile(w.path("\xff\x01 not UTF-8"), nil, 0o644))
		if _, err := os.Stat(w.path(long + "n")); !errors.Is(err, unix.ENAMETOOLONG) {
			t.Errorf("256 bytes: %v", err)
		}
		check(t, os.Mkdir(w.path("d"), 0o755))
		want := map[string]bool{}
		for i := range 3000 {
			name := fmt.Sprintf("entry-%04d-%s", i, strings.Repeat("x", i%40))
			want[name] = true
			check(t, os.WriteFile(w.path("d/"+name), nil, 0o644))
		}
		for range 2 {
			list, err := os.ReadDir(w.path("d"))
			check(t, err)
			if len(list) != len(want) {
				t.Errorf("%d names, want %d", len(list), len(want))
			}
			for _, e := range list {
				if info, err := e.Info(); !want[e.Name()] || err != nil || !info.Mode().IsRegular() {
					t.Errorf("%s: %v, %v", e.Name(), info, err)
				}
			}
		}
	})
}

func TestSwitchesUnderneathAreNotSeen(t *testing.T) {
	w := mount(t, plain, nil)
	f, err := os.Create(w.path("f"))
	check(t, err)
	defer f.Close()
	check(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
	check(t, os.Remove(w.path("f")))
	block := make([]byte, 64<<10)
	for i := range 30 {
		for j := range block {
			block[j] = byte(i)
		}
		_, err := f.WriteAt(block, int64(i)*100)
		check(t, err)
		if i%2 == 0 {
			w.reload(stacks["client"])
		} else {
			w.reload(plain)
		}
		back := make([]byte, len(block))
		_, err = f.ReadAt(back, int64(i)*100)
		check(t, err)
		if !bytes.Equal(back, block) {
			t.Fatalf("after switch %d the file is another", i)
		}
		check(t, f.Sync())
	}
	if s := w.stats().Table; s.LocksHeld != 1 || s.Open != 1 {
		t.Errorf("%+v", s)
	}
}
