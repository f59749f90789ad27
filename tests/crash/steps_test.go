package crash

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/tests/mnt"
)

// change is one operation that cannot simply be repeated.
type change struct {
	name string
	fop  string // what the graph calls it
	// prepare makes what the operation needs, in a fresh directory.
	prepare func(dir string) error
	// do is the operation. Its error is the application's.
	do func(dir string) error
	// check looks at what has become of it.
	check func(dir string) error
}

func in(dir, name string) string { return filepath.Join(dir, name) }

func touch(dir string, names ...string) error {
	for _, n := range names {
		if err := os.WriteFile(in(dir, n), []byte(n), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// holds checks that the directory has exactly these entries with these
// contents ("" for a directory or other object).
func holds(dir string, want map[string]string) error {
	es, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range es {
		w, ok := want[e.Name()]
		if !ok {
			return fmt.Errorf("%s is there", e.Name())
		}
		if w == "" {
			continue
		}
		if b, err := os.ReadFile(in(dir, e.Name())); err != nil || string(b) != w {
			return fmt.Errorf("%s holds %q, want %q (%v)", e.Name(), b, w, err)
		}
	}
	if len(es) != len(want) {
		return fmt.Errorf("%d entries, want %d", len(es), len(want))
	}
	return nil
}

func expect(want map[string]string) func(string) error {
	return func(dir string) error { return holds(dir, want) }
}

func nothing(string) error { return nil }

func changes() []change {
	return []change{
		{"create exclusively", "create", nothing,
			func(d string) error {
				f, err := os.OpenFile(in(d, "a"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
				if err != nil {
					return err
				}
				_, err = f.WriteString("data")
				return errors.Join(err, f.Close())
			}, expect(map[string]string{"a": "data"})},
		{"mkdir", "mkdir", nothing, func(d string) error { return os.Mkdir(in(d, "a"), 0o750) }, expect(map[string]string{"a": ""})},
		{"mknod", "mknod", nothing, func(d string) error { return unix.Mknod(in(d, "a"), unix.S_IFIFO|0o600, 0) },
			func(d string) error {
				st, err := os.Lstat(in(d, "a"))
				if err == nil && st.Mode()&os.ModeNamedPipe == 0 {
					err = fmt.Errorf("mode %v", st.Mode())
				}
				return err
			}},
		{"symlink", "symlink", nothing, func(d string) error { return os.Symlink("to", in(d, "a")) },
			func(d string) error {
				to, err := os.Readlink(in(d, "a"))
				if err == nil && to != "to" {
					err = fmt.Errorf("points to %q", to)
				}
				return err
			}},
		{"link", "link", func(d string) error { return touch(d, "a") }, func(d string) error { return os.Link(in(d, "a"), in(d, "b")) },
			func(d string) error {
				var st unix.Stat_t
				if err := unix.Stat(in(d, "b"), &st); err != nil || st.Nlink != 2 {
					return fmt.Errorf("%d links, %v", st.Nlink, err)
				}
				return holds(d, map[string]string{"a": "a", "b": "a"})
			}},
		{"unlink", "unlink", func(d string) error { return touch(d, "a", "b") }, func(d string) error { return unix.Unlink(in(d, "a")) }, expect(map[string]string{"b": "b"})},
		{"unlink one of two links", "unlink",
			func(d string) error { return errors.Join(touch(d, "a"), os.Link(in(d, "a"), in(d, "b"))) },
			func(d string) error { return unix.Unlink(in(d, "a")) }, expect(map[string]string{"b": "a"})},
		{"rmdir", "rmdir", func(d string) error { return os.Mkdir(in(d, "a"), 0o755) }, func(d string) error { return unix.Rmdir(in(d, "a")) }, expect(map[string]string{})},
		{"rename", "rename", func(d string) error { return touch(d, "a") }, func(d string) error { return unix.Rename(in(d, "a"), in(d, "b")) }, expect(map[string]string{"b": "a"})},
		{"rename over", "rename", func(d string) error { return touch(d, "a", "b") }, func(d string) error { return unix.Rename(in(d, "a"), in(d, "b")) }, expect(map[string]string{"b": "a"})},
		{"rename a directory over one", "rename",
			func(d string) error {
				return errors.Join(os.Mkdir(in(d, "a"), 0o755), touch(in(d, "a"), "f"), os.Mkdir(in(d, "b"), 0o755))
			},
			func(d string) error { return unix.Rename(in(d, "a"), in(d, "b")) },
			func(d string) error {
				return errors.Join(holds(d, map[string]string{"b": ""}), holds(in(d, "b"), map[string]string{"f": "f"}))
			}},
		{"rename without replacing", "rename", func(d string) error { return touch(d, "a") },
			func(d string) error {
				return unix.Renameat2(unix.AT_FDCWD, in(d, "a"), unix.AT_FDCWD, in(d, "b"), unix.RENAME_NOREPLACE)
			}, expect(map[string]string{"b": "a"})},
		{"exchange", "rename", func(d string) error { return touch(d, "a", "b") },
			func(d string) error {
				return unix.Renameat2(unix.AT_FDCWD, in(d, "a"), unix.AT_FDCWD, in(d, "b"), unix.RENAME_EXCHANGE)
			}, expect(map[string]string{"a": "b", "b": "a"})},
		{"setxattr, create only", "setxattr", func(d string) error { return touch(d, "a") },
			func(d string) error { return unix.Setxattr(in(d, "a"), "user.x", []byte("v"), unix.XATTR_CREATE) }, xattrIs("v")},
		{"setxattr, replace only", "setxattr",
			func(d string) error {
				return errors.Join(touch(d, "a"), unix.Setxattr(in(d, "a"), "user.x", []byte("o"), 0))
			},
			func(d string) error { return unix.Setxattr(in(d, "a"), "user.x", []byte("v"), unix.XATTR_REPLACE) }, xattrIs("v")},
		{"removexattr", "removexattr",
			func(d string) error {
				return errors.Join(touch(d, "a"), unix.Setxattr(in(d, "a"), "user.x", []byte("o"), 0))
			},
			func(d string) error { return unix.Removexattr(in(d, "a"), "user.x") },
			func(d string) error {
				if _, err := unix.Getxattr(in(d, "a"), "user.x", nil); err != unix.ENODATA {
					return fmt.Errorf("getxattr: %v", err)
				}
				return nil
			}},
		{"truncate", "truncate", func(d string) error { return touch(d, "abcdef") }, func(d string) error { return os.Truncate(in(d, "abcdef"), 3) }, expect(map[string]string{"abcdef": "abc"})},
		{"append", "writev", func(d string) error { return touch(d, "a") },
			func(d string) error {
				f, err := os.OpenFile(in(d, "a"), os.O_WRONLY|os.O_APPEND, 0)
				if err != nil {
					return err
				}
				n, err := f.WriteString("bc")
				if err == nil && n != 2 {
					err = fmt.Errorf("wrote %d", n)
				}
				return errors.Join(err, f.Close())
			}, expect(map[string]string{"a": "abc"})},
		{"copy_file_range", "copyfilerange", func(d string) error { return touch(d, "a", "b") },
			func(d string) error {
				a, err := os.Open(in(d, "a"))
				if err != nil {
					return err
				}
				defer a.Close()
				b, err := os.OpenFile(in(d, "b"), os.O_WRONLY, 0)
				if err != nil {
					return err
				}
				off := int64(1)
				n, err := unix.CopyFileRange(int(a.Fd()), nil, int(b.Fd()), &off, 1, 0)
				if err == nil && n != 1 {
					err = fmt.Errorf("copied %d", n)
				}
				return errors.Join(err, b.Close())
			}, expect(map[string]string{"a": "a", "b": "ba"})},
		{"file without a name", "icreate", nothing,
			func(d string) error {
				fd, err := unix.Open(d, unix.O_TMPFILE|unix.O_RDWR, 0o600)
				if err != nil {
					return err
				}
				defer unix.Close(fd)
				if _, err := unix.Write(fd, []byte("late")); err != nil {
					return err
				}
				return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, in(d, "a"), unix.AT_SYMLINK_FOLLOW)
			}, expect(map[string]string{"a": "late"})},
		{"lock", "lk", func(d string) error { return touch(d, "a") },
			func(d string) error {
				f, err := os.OpenFile(in(d, "a"), os.O_RDWR, 0)
				if err != nil {
					return err
				}
				defer f.Close()
				lk := unix.Flock_t{Type: unix.F_WRLCK, Start: 0, Len: 10}
				return unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lk)
			}, expect(map[string]string{"a": "a"})},
	}
}

func xattrIs(want string) func(string) error {
	return func(dir string) error {
		b := make([]byte, 10)
		n, err := unix.Getxattr(in(dir, "a"), "user.x", b)
		if err != nil || !bytes.Equal(b[:max(n, 0)], []byte(want)) {
			return fmt.Errorf("user.x is %q, want %q (%v)", b[:max(n, 0)], want, err)
		}
		return nil
	}
}

// gated is a mount whose fops can be held back by a gate file.
type gated struct {
	*mnt.M
	t      *testing.T
	vol    string
	gate   string
	brick  string
	keeper int
}

func newGated(t *testing.T) *gated {
	t.Helper()
	dir := t.TempDir()
	g := &gated{t: t, vol: in(dir, "gated.vol"), gate: in(dir, "gate"), brick: brick(t)}
	g.write("getspec", "before")
	g.M = mnt.Mount(t, g.vol, mnt.Plain())
	g.keeper = keeper(t, g.M)
	return g
}

// write writes the volfile: the fop waits, before or after its work, while the
// gate is there.
func (g *gated) write(fop, where string) {
	g.t.Helper()
	if fop == "getspec" {
		fop = "ipc"
	}
	must(g.t, os.WriteFile(g.vol, []byte(`volume brick
    type storage/posix
    option directory `+g.brick+`
end-volume
volume locks
    type features/locks
    subvolumes brick
end-volume
volume gate
    type debug/delay-gen
    option gate `+g.gate+`
    option enable `+fop+`
    option where `+where+`
    subvolumes locks
end-volume
`), 0o644))
}

// waiting is how many fops wait at the gate, asked for without starting a
// process: what that closes on its way would be flushed.
func (g *gated) waiting() int64 {
	g.t.Helper()
	var d struct {
		Graphs []struct {
			Volumes []struct {
				Type  string
				State struct{ Waiting int64 }
			}
		}
	}
	g.Ask(control.OpDump, &d)
	var n int64
	for _, gr := range d.Graphs {
		for _, v := range gr.Volumes {
			n += v.State.Waiting
		}
	}
	return n
}

func (g *gated) close() { must(g.t, os.WriteFile(g.gate, nil, 0o644)) }
func (g *gated) open()  { must(g.t, os.Remove(g.gate)) }

// TestEachChangeIsMadeExactlyOnce kills the worker right before the work of each
// change, and right after it and before the answer. The application sees what it
// would have seen otherwise.
func TestEachChangeIsMadeExactlyOnce(t *testing.T) {
	g := newGated(t)
	for i, c := range changes() {
		for _, where := range []string{"before", "after"} {
			t.Run(c.name+", "+where, func(t *testing.T) {
				g.t = t
				g.write(c.fop, where)
				g.Reload("")
				dir := in(g.Dir, fmt.Sprintf("%d-%s", i, where))
				must(t, os.Mkdir(dir, 0o755))
				must(t, c.prepare(dir))
				g.close()
				result := make(chan error, 1)
				go func() { result <- c.do(dir) }()
				eventually(t, 10*time.Second, "the operation waits at the gate", func() bool { return g.waiting() > 0 })
				killAndWait(t, g.keeper)
				g.open()
				select {
				case err := <-result:
					must(t, err)
				case <-time.After(30 * time.Second):
					t.Fatal("the operation does not end")
				}
				must(t, c.check(dir))
			})
		}
	}
}
