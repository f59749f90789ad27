package switchtest

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// op is one operation of a history: what to do, on which names and descriptors.
type op struct {
	Kind         string
	A, B         int // names
	FD           int
	Off, Len     int64
	Flags        int
	SwitchBefore bool
}

var opKinds = []string{"open", "open", "open", "close", "pwrite", "pwrite", "pwrite", "write", "pread", "pread", "truncate", "ftruncate",
	"rename", "exchange", "noreplace", "link", "unlink", "mkdir", "rmdir", "stat", "fstat", "list", "fsync", "setxattr", "getxattr", "rmxattr",
	"symlink", "readlink", "chmod", "punch", "zero", "allocate", "seekdata", "seekhole", "copy"}

var openFlags = []int{unix.O_RDWR | unix.O_CREAT, unix.O_RDWR, unix.O_RDONLY, unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL,
	unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC, unix.O_WRONLY | unix.O_APPEND | unix.O_CREAT, unix.O_RDWR | unix.O_CREAT | unix.O_SYNC}

func genHistory(t *rapid.T) []op {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) op {
		return op{
			Kind: rapid.SampledFrom(opKinds).Draw(t, "kind"),
			A:    rapid.IntRange(0, 4).Draw(t, "a"), B: rapid.IntRange(0, 4).Draw(t, "b"), FD: rapid.IntRange(0, 3).Draw(t, "fd"),
			Off: int64(rapid.IntRange(0, 20000).Draw(t, "off")), Len: int64(rapid.IntRange(1, 9000).Draw(t, "len")),
			Flags:        rapid.SampledFrom(openFlags).Draw(t, "flags"),
			SwitchBefore: rapid.IntRange(0, 19).Draw(t, "switch") == 0,
		}
	}), 10, 80).Draw(t, "history")
}

// runner carries a history out in one directory and writes down what an
// application sees.
type runner struct {
	dir string
	fds [4]int
	log []string
	n   byte
}

func run(dir string, h []op, onSwitch func()) []string {
	r := &runner{dir: dir}
	for i := range r.fds {
		r.fds[i] = -1
	}
	for _, o := range h {
		if o.SwitchBefore && onSwitch != nil {
			onSwitch()
		}
		r.log = append(r.log, fmt.Sprintf("%s %d %d fd%d: %s", o.Kind, o.A, o.B, o.FD, r.do(o)))
	}
	for _, fd := range r.fds {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	r.log = append(r.log, r.tree())
	return r.log
}

func (r *runner) name(i int) string { return filepath.Join(r.dir, fmt.Sprintf("n%d", i)) }

func (r *runner) data(n int64) []byte {
	b := make([]byte, n)
	r.n++
	for i := range b {
		b[i] = r.n + byte(i%7)
	}
	return b
}

func outcome(err error, more ...any) string {
	if err != nil {
		if e, ok := err.(unix.Errno); ok {
			return unix.ErrnoName(e)
		}
		return err.Error()
	}
	return fmt.Sprint(more...)
}

func (r *runner) do(o op) string {
	a, b, fd := r.name(o.A), r.name(o.B), r.fds[o.FD]
	switch o.Kind {
	case "open":
		n, err := unix.Open(a, o.Flags|unix.O_CLOEXEC|unix.O_NONBLOCK, 0o644)
		if err == nil {
			if fd >= 0 {
				unix.Close(fd)
			}
			r.fds[o.FD] = n
		}
		return outcome(err)
	case "close":
		r.fds[o.FD] = -1
		return outcome(unix.Close(fd))
	case "pwrite":
		n, err := unix.Pwrite(fd, r.data(o.Len), o.Off)
		return outcome(err, n)
	case "write":
		n, err := unix.Write(fd, r.data(o.Len))
		return outcome(err, n)
	case "pread":
		buf := make([]byte, o.Len)
		n, err := unix.Pread(fd, buf, o.Off)
		return outcome(err, n, fmt.Sprintf(" %x", sha256.Sum256(buf[:max(n, 0)])))
	case "truncate":
		return outcome(unix.Truncate(a, o.Off))
	case "ftruncate":
		return outcome(unix.Ftruncate(fd, o.Off))
	case "rename":
		return outcome(unix.Rename(a, b))
	case "exchange":
		return outcome(unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE))
	case "noreplace":
		return outcome(unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_NOREPLACE))
	case "link":
		return outcome(unix.Link(a, b))
	case "unlink":
		return outcome(unix.Unlink(a))
	case "mkdir":
		return outcome(unix.Mkdir(a, 0o755))
	case "rmdir":
		return outcome(unix.Rmdir(a))
	case "stat":
		var st unix.Stat_t
		return outcome(unix.Lstat(a, &st), attrs(&st))
	case "fstat":
		var st unix.Stat_t
		return outcome(unix.Fstat(fd, &st), attrs(&st))
	case "list":
		return r.tree()
	case "fsync":
		return outcome(unix.Fsync(fd))
	case "setxattr":
		return outcome(unix.Setxattr(a, "user.test", r.data(o.Len%200), []int{0, unix.XATTR_CREATE, unix.XATTR_REPLACE}[o.B%3]))
	case "getxattr":
		buf := make([]byte, 256)
		n, err := unix.Getxattr(a, "user.test", buf)
		return outcome(err, buf[:max(n, 0)])
	case "rmxattr":
		return outcome(unix.Removexattr(a, "user.test"))
	case "symlink":
		return outcome(unix.Symlink(fmt.Sprintf("n%d", o.B), a))
	case "readlink":
		buf := make([]byte, 256)
		n, err := unix.Readlink(a, buf)
		return outcome(err, string(buf[:max(n, 0)]))
	case "chmod":
		return outcome(unix.Chmod(a, 0o600|uint32(o.Len)&0o77))
	case "punch":
		return outcome(unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, o.Off, o.Len))
	case "zero":
		return outcome(unix.Fallocate(fd, unix.FALLOC_FL_ZERO_RANGE, o.Off, o.Len))
	case "allocate":
		return outcome(unix.Fallocate(fd, uint32(o.B%2)*unix.FALLOC_FL_KEEP_SIZE, o.Off, o.Len))
	case "seekdata", "seekhole":
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			return "left out" // of a directory, each file system says something else
		}
		whence := unix.SEEK_DATA
		if o.Kind == "seekhole" {
			whence = unix.SEEK_HOLE
		}
		at, err := unix.Seek(fd, o.Off, whence)
		if err == nil {
			_, err = unix.Seek(fd, 0, 0)
		}
		return outcome(err, at)
	case "copy":
		from, to := o.Off, o.Off/2
		n, err := unix.CopyFileRange(fd, &from, r.fds[(o.FD+1)%4], &to, int(o.Len), 0)
		if err == unix.EXDEV || err == unix.EOPNOTSUPP {
			return "left to the application" // which then reads and writes
		}
		return outcome(err, n)
	}
	panic(o.Kind)
}

// attrs is what of a stat is the same wherever the history runs.
func attrs(st *unix.Stat_t) string {
	size, nlink := st.Size, st.Nlink
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		size = 0
	}
	return fmt.Sprintf("mode %o nlink %d size %d uid %d", st.Mode, nlink, size, st.Uid)
}

func (r *runner) tree() string {
	var out []string
	for i := range 5 {
		var st unix.Stat_t
		s := outcome(unix.Lstat(r.name(i), &st), attrs(&st))
		if st.Mode&unix.S_IFMT == unix.S_IFREG {
			b, err := os.ReadFile(r.name(i))
			s += fmt.Sprintf(" %x %v", sha256.Sum256(b), err)
		}
		out = append(out, s)
	}
	es, err := os.ReadDir(r.dir)
	var names []string
	for _, e := range es {
		names = append(names, e.Name())
	}
	sort.Strings(names)
	return fmt.Sprint(strings.Join(out, "; "), names, err)
}

// TestSameHistoryWithAndWithoutSwitches: the brick's file system, a mount that
// is left alone and a mount that is switched show the same to an application.
func TestSameHistoryWithAndWithoutSwitches(t *testing.T) {
	still, moving := newVolume(t, stacks[0]...), newVolume(t, stacks[0]...)
	native := t.TempDir()
	unix.Umask(0o022)
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		h := genHistory(rt)
		round++
		var logs [3][]string
		for i, base := range []string{native, still.Dir, moving.Dir} {
			dir := filepath.Join(base, fmt.Sprintf("history-%d", round))
			if err := os.Mkdir(dir, 0o755); err != nil {
				rt.Fatal(err)
			}
			var onSwitch func()
			if base == moving.Dir {
				onSwitch = moving.step
			}
			logs[i] = run(dir, h, onSwitch)
			os.RemoveAll(dir)
		}
		for i := range logs[0] {
			if logs[0][i] != logs[1][i] {
				rt.Fatalf("operation %d\nnative:  %s\nmounted: %s", i, logs[0][i], logs[1][i])
			}
			if logs[1][i] != logs[2][i] {
				rt.Fatalf("operation %d\nwithout switches: %s\nwith switches:    %s", i, logs[1][i], logs[2][i])
			}
		}
	})
	moving.settled()
}
