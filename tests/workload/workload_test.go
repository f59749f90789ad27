package workload_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/tests/mnt"
	"github.com/holdfast/holdfast/tests/workload"
)

// TestEveryKindPassesOnAnOrdinaryFileSystem: a worker that fails there is of
// no use anywhere. It must also do something, and leave nothing.
func TestEveryKindPassesOnAnOrdinaryFileSystem(t *testing.T) {
	for _, kind := range workload.Kinds() {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			p := mnt.Load(t, workload.Config{Kind: kind, Dir: dir, Seed: 7, N: small(kind), Progress: 20 * time.Millisecond})
			waitOps(t, p, p.Last().Ops+300)
			r := mnt.Stop(t, p)
			if r.Kind != kind || r.State != "done" || r.Ops == 0 || r.LongestPauseUS == 0 {
				t.Errorf("result %v", r)
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func small(kind string) int {
	if kind == "openfiles" {
		return 50
	}
	return 0
}

// waitOps waits until the worker has done some work.
func waitOps(t *testing.T, p *workload.Process, n int64) {
	t.Helper()
	for p.Last().Ops < n {
		select {
		case <-p.Ended():
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// TestDamageIsFound: each worker is run while something changes its files, and
// must notice.
func TestDamageIsFound(t *testing.T) {
	for _, c := range []struct {
		kind   string
		damage func(t *testing.T, p *workload.Process, dir string)
		want   string
	}{
		{"writer", flip("file0"), "wrong"},
		{"reader", flip("static8"), "static8"},
		{"appender", drop("log0"), "record"},
		{"mmap", flip("mapped"), "wrong"},
		{"tmpfile", flipOpen("/tmp"), "wrong"},
		{"truncater", flip("sparse"), "wrong|fstat says"}, // it may be made longer by that
		{"direct", flip("direct"), "wrong"},
		{"meter", flip("meter"), "wrong"},
		{"openfiles", flip("d0/f0"), "wrong"},
		{"locker", flip("count.record"), "count"},
		{"walker", remove("static-00017-" + strings.Repeat("x", 17)), "00017"},
		{"xattr", setxattr("x1"), "user.key"},
	} {
		t.Run(c.kind, func(t *testing.T) {
			dir := t.TempDir()
			cfg := workload.Config{Kind: c.kind, Dir: dir, Seed: 7, N: small(c.kind), Progress: 20 * time.Millisecond}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			p, err := workload.Launch(ctx, mnt.Build(t, "tests/hfload"), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Ready(ctx); err != nil {
				t.Fatal(err)
			}
			for ended := false; p.Last().Errors == 0 && !ended; {
				c.damage(t, p, cfg.Folder())
				select {
				case <-p.Ended():
					ended = true
				case <-time.After(5 * time.Millisecond):
				}
			}
			r, err := p.Stop()
			if err == nil || r.Errors == 0 || !regexp.MustCompile(c.want).MatchString(r.FirstError) {
				t.Errorf("result %v, error %v; want one about %q", r, err, c.want)
			}
		})
	}
}

type damage = func(t *testing.T, p *workload.Process, dir string)

// flip changes bytes all over a file.
func flip(name string) damage {
	return func(t *testing.T, _ *workload.Process, dir string) { flipFile(filepath.Join(dir, name)) }
}

func flipFile(path string) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return // being replaced
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return
	}
	b := make([]byte, 1)
	for off := int64(0); off < st.Size(); off += 1 + st.Size()/512 {
		f.ReadAt(b, off)
		b[0] ^= 0xff
		f.WriteAt(b, off)
	}
}

// flipOpen does it to the open files with a name.
func flipOpen(part string) damage {
	return func(t *testing.T, p *workload.Process, dir string) {
		fds, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(p.PID()), "fd/*"))
		for _, fd := range fds {
			if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, dir+part) {
				flipFile(fd)
			}
		}
	}
}

func drop(name string) damage {
	return func(t *testing.T, _ *workload.Process, dir string) {
		os.Truncate(filepath.Join(dir, name), 100)
	}
}

func remove(name string) damage {
	return func(t *testing.T, _ *workload.Process, dir string) {
		os.Remove(filepath.Join(dir, name))
	}
}

func setxattr(name string) damage {
	return func(t *testing.T, _ *workload.Process, dir string) {
		unix.Setxattr(filepath.Join(dir, name), "user.key1", bytes.Repeat([]byte("?"), 10), 0)
	}
}
