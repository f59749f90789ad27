package posix

import (
	"testing"

	"golang.org/x/sys/unix"
)

func lockCases() map[string]Case {
	return map[string]Case{
		"FlockExcludes":           flockExcludes,
		"FlockBelongsToTheOpen":   flockOpen,
		"FlockWaits":              flockWaits,
		"FlockIsInterrupted":      flockInterrupted,
		"FlockAndRecordLocks":     flockAndRecord,
		"FlockOfDirectory":        flockDir,
		"FlockConverts":           flockConverts,
		"OFDLocksBelongToTheOpen": ofdLocks,
		"OFDLocksEndWithTheOpen":  ofdClose,
	}
}

func (c *child) flock(fd, how int) error {
	c.t.Helper()
	return c.err(ask{Op: "flock", FD: fd, Cmd: how})
}

// ends: locks that belong to an open end with its last close. On FUSE the
// kernel tells the file system after close(2) has returned, so who wants the
// lock next must be ready to wait for it, however short.

const (
	sh = unix.LOCK_SH | unix.LOCK_NB
	ex = unix.LOCK_EX | unix.LOCK_NB
)

func flockExcludes(t *testing.T, dir string) {
	fd, c, cfd := locksOf(t, dir)
	ok(t, unix.Flock(fd, sh), "shared")
	ok(t, c.flock(cfd, sh), "second shared")
	want(t, c.flock(cfd, ex), unix.EAGAIN, "exclusive beside shared")
	// flock(2): a failed conversion loses the lock; the kernel drops it first.
	ok(t, c.flock(cfd, unix.LOCK_UN), "unlock")
	ok(t, unix.Flock(fd, ex), "exclusive alone")
	want(t, c.flock(cfd, sh), unix.EAGAIN, "shared beside exclusive")
	ok(t, unix.Flock(fd, unix.LOCK_UN), "unlock")
	ok(t, c.flock(cfd, ex), "exclusive by the other")
	c.end()
	ok(t, unix.Flock(fd, unix.LOCK_EX), "after its end") // waits: see ends
}

func flockOpen(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "")
	again := open(t, in(dir, "f"), unix.O_RDONLY, 0)
	ok(t, unix.Flock(fd, ex), "lock")
	want(t, unix.Flock(again, ex), unix.EAGAIN, "another open of the same process")
	dup, err := unix.Dup(fd)
	ok(t, err, "dup")
	ok(t, unix.Flock(dup, ex), "lock through the duplicate is the same")
	ok(t, unix.Close(fd), "close of the first")
	want(t, unix.Flock(again, ex), unix.EAGAIN, "while the duplicate is open")
	ok(t, unix.Close(dup), "close of the last")
	ok(t, unix.Flock(again, unix.LOCK_EX), "after the last close") // waits: see ends
	ok(t, unix.Flock(again, unix.LOCK_UN), "unlock")
	ok(t, unix.Flock(again, unix.LOCK_UN), "unlock again")
	want(t, unix.Flock(again, 77), unix.EINVAL, "an unknown operation")
}

func flockWaits(t *testing.T, dir string) {
	fd, c, cfd := locksOf(t, dir)
	ok(t, unix.Flock(fd, ex), "lock")
	c.begin(ask{Op: "flock", FD: cfd, Cmd: unix.LOCK_EX})
	c.blocked(unix.SYS_FLOCK)
	ok(t, unix.Flock(fd, unix.LOCK_UN), "unlock")
	equal(t, c.wait().Errno, 0, "the lock that was waited for")
	want(t, unix.Flock(fd, sh), unix.EAGAIN, "the other has it")
}

func flockInterrupted(t *testing.T, dir string) {
	fd, c, cfd := locksOf(t, dir)
	ok(t, unix.Flock(fd, ex), "lock")
	for range 3 {
		c.begin(ask{Op: "flock", FD: cfd, Cmd: unix.LOCK_EX})
		c.blocked(unix.SYS_FLOCK)
		c.interrupt()
		equal(t, c.wait().Errno, unix.EINTR, "a wait that was interrupted")
	}
	ok(t, unix.Flock(fd, unix.LOCK_UN), "unlock")
	ok(t, unix.Flock(open(t, in(dir, "f"), unix.O_RDONLY, 0), ex), "no ghost has it")
}

// flockAndRecord: the two kinds know nothing of each other.
func flockAndRecord(t *testing.T, dir string) {
	fd, c, cfd := locksOf(t, dir)
	ok(t, unix.Flock(fd, ex), "flock")
	ok(t, c.setlk(cfd, wr, 0, 0), "record lock beside it")
	ok(t, unix.Flock(fd, unix.LOCK_UN), "unlock")
	want(t, setlk(fd, wr, 0, 0), unix.EAGAIN, "the record lock is still there")
	ok(t, c.setlk(cfd, un, 0, 0), "unlock")
	ok(t, unix.Flock(fd, ex), "flock")
	unix.Close(open(t, in(dir, "f"), unix.O_RDONLY, 0)) // drops record locks only
	want(t, c.flock(cfd, ex), unix.EAGAIN, "flock after another descriptor's close")
}

func flockDir(t *testing.T, dir string) {
	a := open(t, dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	b := open(t, dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	ok(t, unix.Flock(a, ex), "flock of a directory")
	want(t, unix.Flock(b, sh), unix.EAGAIN, "another open of it")
	ok(t, unix.Flock(a, unix.LOCK_UN), "unlock")
	ok(t, unix.Flock(b, sh), "after unlock")
}

func flockConverts(t *testing.T, dir string) {
	fd, c, cfd := locksOf(t, dir)
	ok(t, unix.Flock(fd, ex), "exclusive")
	c.begin(ask{Op: "flock", FD: cfd, Cmd: unix.LOCK_SH})
	c.blocked(unix.SYS_FLOCK)
	ok(t, unix.Flock(fd, unix.LOCK_SH), "downgrade")
	equal(t, c.wait().Errno, 0, "the shared lock that waited")
	want(t, unix.Flock(fd, ex), unix.EAGAIN, "upgrade beside the other")
}

func ofd(fd, cmd int, typ int16, start, n int64) error {
	return unix.FcntlFlock(uintptr(fd), cmd, &unix.Flock_t{Type: typ, Start: start, Len: n})
}

func ofdLocks(t *testing.T, dir string) {
	a := create(t, in(dir, "f"), "")
	b := open(t, in(dir, "f"), unix.O_RDWR, 0)
	ok(t, ofd(a, unix.F_OFD_SETLK, wr, 0, 10), "lock")
	want(t, ofd(b, unix.F_OFD_SETLK, wr, 5, 1), unix.EAGAIN, "another open of the same process")
	want(t, setlk(b, wr, 5, 1), unix.EAGAIN, "a process's lock")
	ok(t, ofd(b, unix.F_OFD_SETLK, wr, 10, 5), "behind it")
	l := unix.Flock_t{Type: wr}
	ok(t, unix.FcntlFlock(uintptr(b), unix.F_OFD_GETLK, &l), "F_OFD_GETLK")
	equal(t, [3]int64{int64(l.Type), l.Start, l.Len}, [3]int64{wr, 0, 10}, "who is in the way")
	ok(t, ofd(a, unix.F_OFD_SETLK, un, 0, 0), "unlock")
	ok(t, ofd(b, unix.F_OFD_SETLK, wr, 0, 0), "all of it")
}

func ofdClose(t *testing.T, dir string) {
	put(t, in(dir, "f"), "")
	a, err := unix.Open(in(dir, "f"), unix.O_RDWR|unix.O_CLOEXEC, 0)
	ok(t, err, "open")
	b := open(t, in(dir, "f"), unix.O_RDWR, 0)
	ok(t, ofd(a, unix.F_OFD_SETLK, wr, 0, 0), "lock")
	// Another descriptor's close does not matter, unlike with record locks.
	unix.Close(open(t, in(dir, "f"), unix.O_RDWR, 0))
	want(t, ofd(b, unix.F_OFD_SETLK, wr, 0, 0), unix.EAGAIN, "after another close")
	dup, err := unix.Dup(a)
	ok(t, err, "dup")
	ok(t, unix.Close(a), "close")
	want(t, ofd(b, unix.F_OFD_SETLK, wr, 0, 0), unix.EAGAIN, "while a duplicate is open")
	ok(t, unix.Close(dup), "close of the last")
	ok(t, ofd(b, unix.F_OFD_SETLKW, wr, 0, 0), "after the last close") // waits: see ends
}
