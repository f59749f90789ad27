package gluster_test

import (
	"encoding/binary"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// recorded are the times that a brick keeps of an object: ctime, mtime, atime, each
// with its nanoseconds.
func recorded(t *testing.T, path string) (times [3][2]uint64) {
	t.Helper()
	v := xattr(t, path, "trusted.glusterfs.mdata")
	if len(v) != 57 {
		t.Fatalf("%s: %x", path, v)
	}
	for i := range times {
		times[i] = [2]uint64{binary.BigEndian.Uint64(v[9+16*i:]), binary.BigEndian.Uint64(v[17+16*i:])}
	}
	return times
}

// moved says which times have changed.
func moved(before, after [3][2]uint64) (which string) {
	for i, name := range []string{"ctime ", "mtime ", "atime "} {
		if before[i] != after[i] {
			which += name
		}
	}
	return which
}

// timed are operations whose times are compared.
var timed = map[string]struct {
	do   func(in func(string) string) error
	of   string // whose times are looked at; "" is x
	ours string // if it is not to be as by the stock client: docs/translators/utime.md
}{
	"write": {do: func(in func(string) string) error { return rewrite(in("x"), "new") }},
	"append": {do: func(in func(string) string) error {
		f, err := os.OpenFile(in("x"), os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			_, err = f.WriteString("more")
			f.Close()
		}
		return err
	}},
	"truncate":         {do: func(in func(string) string) error { return os.Truncate(in("x"), 3) }},
	"truncate to same": {do: func(in func(string) string) error { return os.Truncate(in("x"), 300_000) }},
	"chmod":            {do: func(in func(string) string) error { return os.Chmod(in("x"), 0o600) }},
	"chown":            {do: func(in func(string) string) error { return os.Chown(in("x"), 3, 4) }},
	"utimes": {do: func(in func(string) string) error {
		return unix.UtimesNanoAt(unix.AT_FDCWD, in("x"), []unix.Timespec{{Sec: 1}, {Sec: 2}}, 0)
	}},
	"utime of one": {do: func(in func(string) string) error {
		return unix.UtimesNanoAt(unix.AT_FDCWD, in("x"), []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: 2}}, 0)
	}},
	"touch":       {do: func(in func(string) string) error { return unix.UtimesNanoAt(unix.AT_FDCWD, in("x"), nil, 0) }},
	"setxattr":    {do: func(in func(string) string) error { return unix.Setxattr(in("x"), "user.b", []byte("v"), 0) }},
	"removexattr": {do: func(in func(string) string) error { return unix.Removexattr(in("x"), "user.a") }},
	"link":        {do: func(in func(string) string) error { return os.Link(in("x"), in("y")) }},
	"unlink":      {do: func(in func(string) string) error { return os.Remove(in("x2")) }},
	"rename":      {do: func(in func(string) string) error { return os.Rename(in("x2"), in("y")) }},
	"allocate": {do: func(in func(string) string) error {
		f, err := os.OpenFile(in("x"), os.O_RDWR, 0)
		if err == nil {
			err = unix.Fallocate(int(f.Fd()), 0, 0, 1<<20)
			f.Close()
		}
		return err
	}, ours: "ctime mtime "},
	"punch": {do: func(in func(string) string) error {
		f, err := os.OpenFile(in("x"), os.O_RDWR, 0)
		if err == nil {
			err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4096)
			f.Close()
		}
		return err
	}, ours: "ctime mtime "},
	"read":     {do: func(in func(string) string) error { _, err := os.ReadFile(in("x")); return err }},
	"list":     {do: func(in func(string) string) error { _, err := os.ReadDir(in("d")); return err }, of: "d"},
	"stat":     {do: func(in func(string) string) error { _, err := os.Stat(in("x")); return err }},
	"make":     {do: func(in func(string) string) error { return os.WriteFile(in("d/new"), nil, 0o644) }, of: "d"},
	"mkdir":    {do: func(in func(string) string) error { return os.Mkdir(in("d/new"), 0o755) }, of: "d"},
	"symlink":  {do: func(in func(string) string) error { return os.Symlink("to", in("d/new")) }, of: "d"},
	"mkfifo":   {do: func(in func(string) string) error { return unix.Mkfifo(in("d/new"), 0o644) }, of: "d"},
	"remove":   {do: func(in func(string) string) error { return os.Remove(in("d/f")) }, of: "d"},
	"rmdir":    {do: func(in func(string) string) error { return os.Remove(in("d/d")) }, of: "d"},
	"move out": {do: func(in func(string) string) error { return os.Rename(in("d/f"), in("f")) }, of: "d"},
	"link in":  {do: func(in func(string) string) error { return os.Link(in("x"), in("d/x")) }, of: "d"},
}

// TestTimesAreThoseOfTheStockClient: each operation moves the same times, whichever
// client does it, whether or not the volume wants to know of accesses.
func TestTimesAreThoseOfTheStockClient(t *testing.T) {
	t.Parallel()
	for _, noatime := range []string{"on", "off"} {
		t.Run("noatime "+noatime, func(t *testing.T) {
			x := mountBoth(t, "ctime.noatime", noatime)
			brick := x.v.Bricks[0].Dir
			accessed := 0
			for _, name := range slices.Sorted(maps.Keys(timed)) {
				c := timed[name]
				of := c.of
				if of == "" {
					of = "x"
				}
				var which [2]string
				for i, dir := range []string{x.ours, x.theirs} {
					base := []string{"ours ", "theirs "}[i] + name
					in := func(name string) string { return filepath.Join(dir, base, name) }
					ok(t, os.MkdirAll(in("d/d"), 0o755))
					ok(t, os.WriteFile(in("d/f"), nil, 0o644))
					ok(t, os.WriteFile(in("x"), make([]byte, 300_000), 0o644))
					ok(t, os.Link(in("x"), in("x2")))
					ok(t, unix.Setxattr(in("x"), "user.a", []byte("v"), 0))
					before, parent := recorded(t, filepath.Join(brick, base, of)), recorded(t, filepath.Join(brick, base))
					ok(t, c.do(in))
					which[i] = moved(before, recorded(t, filepath.Join(brick, base, of)))
					if noatime == "off" && name == "read" && which[i] == "atime " {
						accessed++
					}
					if i == 0 && c.ours != "" {
						want := c.ours
						if noatime == "off" { // it is opened
							want += "atime "
						}
						if which[i] != want {
							t.Errorf("%s: %s changes %q, want %q", dir, name, which[i], want)
						}
						which[i] = ""
					}
					if i == 1 && c.ours != "" {
						t.Logf("%s by the stock client changes %q", name, which[i])
						which[i] = ""
					}
					which[i] += "and of the directory " + moved(parent, recorded(t, filepath.Join(brick, base)))
				}
				if which[0] != which[1] {
					t.Errorf("%s changes %q here, %q by the stock client", name, which[0], which[1])
				}
			}
			if noatime == "off" && accessed != 2 {
				t.Errorf("%d of 2 clients have the access noted", accessed)
			}
		})
	}
}

// TestChangeOfNoatimeIsFollowed without a new graph.
func TestChangeOfNoatimeIsFollowed(t *testing.T) {
	t.Parallel()
	x := mountBoth(t)
	file := filepath.Join(x.ours, "f")
	ok(t, os.WriteFile(file, make([]byte, 300_000), 0o644))
	onBrick := filepath.Join(x.v.Bricks[0].Dir, "f")
	read := func() string {
		before := recorded(t, onBrick)
		f, err := os.OpenFile(file, os.O_RDONLY|unix.O_DIRECT, 0)
		ok(t, err)
		defer f.Close()
		_, err = f.ReadAt(make([]byte, 4096), 0)
		ok(t, err)
		return moved(before, recorded(t, onBrick))
	}
	if which := read(); which != "" {
		t.Errorf("reading changes %q", which)
	}
	x.v.Set("ctime.noatime", "off")
	eventually(t, 30*time.Second, "reading changes atime", func() bool { return read() == "atime " })
	x.v.Set("ctime.noatime", "on")
	eventually(t, 30*time.Second, "reading changes nothing", func() bool { return read() == "" })
	if s := x.m.Status(); s.Switch.Count != 0 {
		t.Errorf("%d switches", s.Switch.Count)
	}
}
