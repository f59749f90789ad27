package posix

import (
	"testing"

	"golang.org/x/sys/unix"
)

func timeCases() map[string]Case {
	return map[string]Case{
		"UtimesSetsNanoseconds":    utimesExact,
		"UtimesNowAndOmit":         utimesNow,
		"UtimesOfSymlink":          utimesSymlink,
		"UtimesPermissions":        utimesPerm,
		"UtimesRange":              utimesRange,
		"WriteUpdatesMtimeCtime":   writeTimes,
		"ReadLeavesMtimeCtime":     readTimes,
		"NamesUpdateDirectory":     dirTimes,
		"AttributesUpdateCtime":    attrTimes,
		"TruncateUpdatesMtime":     truncateTimes,
		"TimesOfNewFileAreNow":     newTimes,
		"ReadMovesAtimeForward":    atime,
		"SetTimesSurviveLaterRead": timesStay,
	}
}

func setTimes(t *testing.T, path string, atime, mtime unix.Timespec) {
	t.Helper()
	ok(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{atime, mtime}, unix.AT_SYMLINK_NOFOLLOW), "utimensat")
}

func utimesExact(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "x")
	a, m := unix.Timespec{Sec: 1_000_000_000, Nsec: 123_456_789}, unix.Timespec{Sec: 1_234_567_890, Nsec: 999_999_999}
	setTimes(t, in(dir, "f"), a, m)
	st := stat(t, in(dir, "f"))
	equal(t, [2]unix.Timespec{st.Atim, st.Mtim}, [2]unix.Timespec{a, m}, "times by name")
	st = fstat(t, fd)
	equal(t, [2]unix.Timespec{st.Atim, st.Mtim}, [2]unix.Timespec{a, m}, "times through the descriptor")
	mkdir(t, in(dir, "d"), 0o755)
	setTimes(t, in(dir, "d"), a, m)
	st = stat(t, in(dir, "d"))
	equal(t, [2]unix.Timespec{st.Atim, st.Mtim}, [2]unix.Timespec{a, m}, "times of a directory")
}

func utimesNow(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	old := unix.Timespec{Sec: 1000, Nsec: 1}
	setTimes(t, in(dir, "f"), old, old)
	setTimes(t, in(dir, "f"), unix.Timespec{Nsec: unix.UTIME_OMIT}, unix.Timespec{Nsec: unix.UTIME_NOW})
	st := stat(t, in(dir, "f"))
	equal(t, st.Atim, old, "atime that was omitted")
	equal(t, st.Mtim.Sec > 1_500_000_000, true, "mtime is now")
	setTimes(t, in(dir, "f"), old, old)
	setTimes(t, in(dir, "f"), unix.Timespec{Sec: 7, Nsec: 7}, unix.Timespec{Nsec: unix.UTIME_OMIT})
	st = stat(t, in(dir, "f"))
	equal(t, [2]unix.Timespec{st.Atim, st.Mtim}, [2]unix.Timespec{{Sec: 7, Nsec: 7}, old}, "atime only")
	before := stat(t, in(dir, "f")).Ctim
	tick(t)
	setTimes(t, in(dir, "f"), unix.Timespec{Nsec: unix.UTIME_OMIT}, unix.Timespec{Nsec: unix.UTIME_OMIT})
	equal(t, stat(t, in(dir, "f")).Ctim, before, "ctime after nothing was set")
}

func utimesSymlink(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	ok(t, unix.Symlink("f", in(dir, "s")), "symlink")
	was := stat(t, in(dir, "f")).Mtim
	old := unix.Timespec{Sec: 1000, Nsec: 1}
	setTimes(t, in(dir, "s"), old, old)
	equal(t, stat(t, in(dir, "s")).Mtim, old, "mtime of the link")
	equal(t, stat(t, in(dir, "f")).Mtim, was, "mtime of its target")
}

func utimesPerm(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	ok(t, unix.Chmod(in(dir, "f"), 0o666), "chmod")
	c := as(t, dir, 4242, 4242)
	now := ask{Op: "utimens", Path: "f", AtimeNS: unix.UTIME_NOW, MtimeNS: unix.UTIME_NOW}
	ok(t, c.err(now), "now, by one who may write")
	want(t, c.err(ask{Op: "utimens", Path: "f", AtimeNS: 5, MtimeNS: 5}), unix.EPERM, "a time, by one who may write")
	ok(t, unix.Chmod(in(dir, "f"), 0o644), "chmod")
	want(t, c.err(now), unix.EACCES, "now, by one who may read")
	ok(t, unix.Chown(in(dir, "f"), 4242, 4242), "chown")
	ok(t, unix.Chmod(in(dir, "f"), 0), "chmod")
	ok(t, c.err(ask{Op: "utimens", Path: "f", AtimeNS: 5, MtimeNS: 6}), "a time, by the owner")
	equal(t, stat(t, in(dir, "f")).Mtim, unix.Timespec{Nsec: 6}, "mtime")
}

func utimesRange(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	for _, sec := range []int64{0, 1, -1, -1_000_000, 1<<31 - 1, 1 << 31, 1<<32 + 5} {
		m := unix.Timespec{Sec: sec, Nsec: 42}
		setTimes(t, in(dir, "f"), m, m)
		equal(t, stat(t, in(dir, "f")).Mtim, m, "mtime")
	}
	err := unix.UtimesNanoAt(unix.AT_FDCWD, in(dir, "f"), []unix.Timespec{{Nsec: 1e9}, {}}, 0)
	want(t, err, unix.EINVAL, "more nanoseconds than a second has")
}

// change reports which of mtime and ctime an action moves.
func change(t *testing.T, path string, action func()) (mtime, ctime bool) {
	t.Helper()
	before := stat(t, path)
	tick(t)
	action()
	after := stat(t, path)
	return after.Mtim != before.Mtim, after.Ctim != before.Ctim
}

func changes(t *testing.T, path string, mtime, ctime bool, what string, action func()) {
	t.Helper()
	m, c := change(t, path, action)
	equal(t, [2]bool{m, c}, [2]bool{mtime, ctime}, what+": mtime and ctime changed")
}

func writeTimes(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "x")
	changes(t, in(dir, "f"), true, true, "write", func() { pwrite(t, fd, "y", 0) })
	changes(t, in(dir, "f"), true, true, "append", func() { pwrite(t, fd, "y", 1) })
	changes(t, in(dir, "f"), true, true, "fallocate", func() { ok(t, unix.Fallocate(fd, 0, 0, 10000), "fallocate") })
	was := fstat(t, fd)
	equal(t, stat(t, in(dir, "f")).Mtim, was.Mtim, "mtime by name and by descriptor")
	ok(t, unix.Fsync(fd), "fsync")
	equal(t, fstat(t, fd).Mtim, was.Mtim, "mtime after fsync")
}

func readTimes(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "x")
	changes(t, in(dir, "f"), false, false, "read", func() { pread(t, fd, 1, 0) })
	changes(t, in(dir, "f"), false, false, "open and close", func() { content(t, in(dir, "f")) })
	changes(t, dir, false, false, "listing", func() { names(t, dir) })
	changes(t, in(dir, "f"), false, false, "write of nothing", func() { unix.Pwrite(fd, nil, 0) })
}

func dirTimes(t *testing.T, dir string) {
	d := mkdir(t, in(dir, "d"), 0o755)
	f := in(d, "f")
	changes(t, d, true, true, "create", func() { put(t, f, "") })
	changes(t, d, false, false, "write inside", func() {
		pwrite(t, open(t, f, unix.O_WRONLY, 0), "x", 0)
	})
	changes(t, d, false, false, "chmod inside", func() { ok(t, unix.Chmod(f, 0o600), "chmod") })
	changes(t, d, true, true, "link", func() { ok(t, unix.Link(f, in(d, "g")), "link") })
	changes(t, d, true, true, "rename", func() { ok(t, unix.Rename(f, in(d, "h")), "rename") })
	changes(t, d, true, true, "unlink", func() { ok(t, unix.Unlink(in(d, "h")), "unlink") })
	changes(t, d, true, true, "mkdir", func() { mkdir(t, in(d, "sub"), 0o755) })
	changes(t, d, true, true, "rmdir", func() { ok(t, unix.Rmdir(in(d, "sub")), "rmdir") })
	changes(t, d, true, true, "symlink", func() { ok(t, unix.Symlink("x", in(d, "s")), "symlink") })
	changes(t, d, true, true, "mknod", func() { ok(t, unix.Mkfifo(in(d, "p"), 0o600), "mkfifo") })
	changes(t, d, true, true, "rename out of it", func() { ok(t, unix.Rename(in(d, "p"), in(dir, "p")), "rename") })
	changes(t, d, true, true, "rename into it", func() { ok(t, unix.Rename(in(dir, "p"), in(d, "p")), "rename") })
}

func attrTimes(t *testing.T, dir string) {
	f := in(dir, "f")
	put(t, f, "x")
	changes(t, f, false, true, "chmod", func() { ok(t, unix.Chmod(f, 0o600), "chmod") })
	changes(t, f, false, true, "chown", func() { ok(t, unix.Chown(f, 1, 1), "chown") })
	changes(t, f, false, true, "link", func() { ok(t, unix.Link(f, in(dir, "g")), "link") })
	changes(t, f, false, true, "unlink of another name", func() { ok(t, unix.Unlink(in(dir, "g")), "unlink") })
	changes(t, f, false, true, "setxattr", func() { ok(t, unix.Setxattr(f, "user.k", []byte("v"), 0), "setxattr") })
	changes(t, f, false, true, "removexattr", func() { ok(t, unix.Removexattr(f, "user.k"), "removexattr") })
	changes(t, f, false, true, "rename", func() {
		ok(t, unix.Rename(f, in(dir, "h")), "rename")
		ok(t, unix.Rename(in(dir, "h"), f), "rename back")
	})
	changes(t, f, true, true, "utimes", func() { setTimes(t, f, unix.Timespec{Sec: 1}, unix.Timespec{Sec: 1}) })
}

func truncateTimes(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "abc")
	changes(t, in(dir, "f"), true, true, "ftruncate", func() { ok(t, unix.Ftruncate(fd, 1), "ftruncate") })
	changes(t, in(dir, "f"), true, true, "ftruncate to the same size", func() { ok(t, unix.Ftruncate(fd, 1), "ftruncate") })
	changes(t, in(dir, "f"), true, true, "truncate", func() { ok(t, unix.Truncate(in(dir, "f"), 10), "truncate") })
	changes(t, in(dir, "f"), true, true, "O_TRUNC", func() { open(t, in(dir, "f"), unix.O_WRONLY|unix.O_TRUNC, 0) })
}

func newTimes(t *testing.T, dir string) {
	var now unix.Timespec
	ok(t, unix.ClockGettime(unix.CLOCK_REALTIME, &now), "clock")
	put(t, in(dir, "f"), "")
	mkdir(t, in(dir, "d"), 0o755)
	ok(t, unix.Symlink("x", in(dir, "s")), "symlink")
	for _, name := range []string{"f", "d", "s"} {
		st := stat(t, in(dir, name))
		for _, ts := range []unix.Timespec{st.Atim, st.Mtim, st.Ctim} {
			if d := ts.Nano() - now.Nano(); d < -1e9 || d > 5e9 {
				t.Errorf("%s: a time is %d ns after its making", name, d)
			}
		}
	}
}

// atime: mounts may keep it (relatime) or not (noatime); it never goes back.
func atime(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "x")
	before := fstat(t, fd).Atim
	tick(t)
	pread(t, fd, 1, 0)
	after := fstat(t, fd).Atim
	equal(t, after.Nano() >= before.Nano(), true, "atime went on or stayed")
}

func timesStay(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "abc")
	m := unix.Timespec{Sec: 1_000_000, Nsec: 5}
	pwrite(t, fd, "def", 3) // what is queued must not overwrite the time later
	setTimes(t, in(dir, "f"), m, m)
	equal(t, pread(t, fd, 6, 0), "abcdef", "content")
	ok(t, unix.Fsync(fd), "fsync")
	equal(t, fstat(t, fd).Mtim, m, "mtime after fsync")
	pwrite(t, fd, "g", 6)
	ok(t, unix.Futimes(fd, []unix.Timeval{{Sec: 5}, {Sec: 6}}), "futimes")
	ok(t, unix.Close(fd), "close")
	equal(t, stat(t, in(dir, "f")).Mtim, unix.Timespec{Sec: 6}, "mtime after close")
}
