package posix

import (
	"testing"

	"golang.org/x/sys/unix"
)

func recordLockCases() map[string]Case {
	return map[string]Case{
		"RecordLocksExclude":            recordExclude,
		"RecordLocksSplitAndMerge":      recordSplit,
		"RecordLocksTellTheirHolder":    recordHolder,
		"RecordLocksEndWithAnyClose":    recordClose,
		"RecordLocksEndWithTheProcess":  recordExit,
		"RecordLockWaits":               recordWaits,
		"RecordLockWaitIsInterrupted":   recordInterrupted,
		"RecordLockDeadlockIsSeen":      recordDeadlock,
		"RecordLocksNeedTheRightOpen":   recordRights,
		"RecordLockRanges":              recordRanges,
		"RecordLocksAreByFileNotName":   recordByFile,
		"RecordLocksArePerProcess":      recordOwn,
		"RecordLockUpgradeAndDowngrade": recordUpgrade,
	}
}

const (
	rd = unix.F_RDLCK
	wr = unix.F_WRLCK
	un = unix.F_UNLCK
)

// setlk takes or drops a lock of the test process.
func setlk(fd int, typ int16, start, n int64) error {
	return unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &unix.Flock_t{Type: typ, Start: start, Len: n})
}

func (c *child) setlk(fd int, typ int16, start, n int64) error {
	c.t.Helper()
	return c.err(ask{Op: "fcntl", FD: fd, Cmd: unix.F_SETLK, Typ: typ, Off: start, Len: n})
}

func (c *child) getlk(fd int, typ int16, start, n int64) unix.Flock_t {
	c.t.Helper()
	a := c.call(ask{Op: "fcntl", FD: fd, Cmd: unix.F_GETLK, Typ: typ, Off: start, Len: n})
	if a.Errno != 0 {
		c.t.Fatalf("F_GETLK: %v", a.Errno)
	}
	return a.Lock
}

// locksOf gives the test's and a second process's descriptor of one file.
func locksOf(t *testing.T, dir string) (fd int, c *child, cfd int) {
	t.Helper()
	fd = create(t, in(dir, "f"), zeros(100))
	c = start(t, dir)
	cfd, err := c.open("f", unix.O_RDWR, 0)
	ok(t, err, "open in the second process")
	return fd, c, cfd
}

func recordExclude(t *testing.T, dir string) {
	fd, c, cfd := locksOf(t, dir)
	ok(t, setlk(fd, rd, 0, 10), "read lock")
	ok(t, c.setlk(cfd, rd, 0, 10), "second read lock")
	want(t, c.setlk(cfd, wr, 5, 1), unix.EAGAIN, "write lock beside a read lock")
	want(t, setlk(fd, wr, 0, 1), unix.EAGAIN, "upgrade beside a read lock")
	ok(t, c.setlk(cfd, un, 0, 10), "unlock")
	ok(t, setlk(fd, wr, 0, 10), "upgrade alone")
	want(t, c.setlk(cfd, rd, 9, 1), unix.EAGAIN, "read lock beside a write lock")
	ok(t, c.setlk(cfd, wr, 10, 5), "write lock behind it")
	ok(t, setlk(fd, un, 0, 0), "unlock all")
	ok(t, c.setlk(cfd, wr, 0, 0), "write lock of all")
	want(t, setlk(fd, rd, 1<<50, 1), unix.EAGAIN, "read lock far behind")
}

func recordSplit(t *testing.T, dir string) {
	fd, c, cfd := locksOf(t, dir)
	ok(t, setlk(fd, wr, 0, 100), "lock")
	ok(t, setlk(fd, un, 40, 20), "unlock in the middle")
	ok(t, c.setlk(cfd, wr, 40, 20), "lock of the gap")
	want(t, c.setlk(cfd, wr, 39, 1), unix.EAGAIN, "left of the gap")
	want(t, c.setlk(cfd, wr, 60, 1), unix.EAGAIN, "right of the gap")
	l := c.getlk(cfd, wr, 70, 1)
	equal(t, [2]int64{l.Start, l.Len}, [2]int64{60, 40}, "the right half")
	ok(t, c.setlk(cfd, un, 0, 0), "unlock")
	ok(t, setlk(fd, wr, 40, 20), "close the gap")
	l = c.getlk(cfd, wr, 70, 1)
	equal(t, [2]int64{l.Start, l.Len}, [2]int64{0, 100}, "one lock again")
	ok(t, setlk(fd, rd, 20, 10), "read lock in the middle")
	ok(t, c.setlk(cfd, rd, 20, 10), "shared middle")
	l = c.getlk(cfd, wr, 5, 1)
	equal(t, [3]int64{int64(l.Type), l.Start, l.Len}, [3]int64{wr, 0, 20}, "left of the middle")
}

func recordHolder(t *testing.T, dir string) {
	fd, c, cfd := locksOf(t, dir)
	equal(t, c.getlk(cfd, wr, 0, 0).Type, un, "nobody holds it")
	ok(t, setlk(fd, rd, 10, 20), "lock")
	l := c.getlk(cfd, wr, 0, 0)
	equal(t, l, unix.Flock_t{Type: rd, Start: 10, Len: 20, Pid: int32(unix.Getpid())}, "what F_GETLK says")
	equal(t, c.getlk(cfd, rd, 0, 0).Type, un, "a read lock does not hinder another")
	own := unix.Flock_t{Type: wr}
	ok(t, unix.FcntlFlock(uintptr(fd), unix.F_GETLK, &own), "F_GETLK of one's own")
	equal(t, own.Type, un, "one's own lock does not hinder")
	ok(t, c.setlk(cfd, rd, 50, 0), "lock to the end of the file")
	l = unix.Flock_t{Type: wr, Start: 60}
	ok(t, unix.FcntlFlock(uintptr(fd), unix.F_GETLK, &l), "F_GETLK")
	equal(t, l, unix.Flock_t{Type: rd, Start: 50, Len: 0, Pid: int32(c.cmd.Process.Pid)}, "a lock to the end")
}

func recordClose(t *testing.T, dir string) {
	fd, c, cfd := locksOf(t, dir)
	ok(t, setlk(fd, wr, 0, 0), "lock")
	want(t, c.setlk(cfd, wr, 0, 0), unix.EAGAIN, "before")
	again, err := unix.Open(in(dir, "f"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	ok(t, err, "open again")
	want(t, c.setlk(cfd, wr, 0, 0), unix.EAGAIN, "after an open")
	ok(t, unix.Close(again), "close of the other descriptor")
	ok(t, c.setlk(cfd, wr, 0, 0), "after that close")
	ok(t, c.setlk(cfd, un, 0, 0), "unlock")
	// A duplicate counts as well.
	ok(t, setlk(fd, wr, 0, 0), "lock")
	dup, err := unix.Dup(fd)
	ok(t, err, "dup")
	ok(t, unix.Close(dup), "close of the duplicate")
	ok(t, c.setlk(cfd, wr, 0, 0), "after the close of a duplicate")
}

func recordExit(t *testing.T, dir string) {
	fd, c, cfd := locksOf(t, dir)
	ok(t, c.setlk(cfd, wr, 0, 0), "lock")
	want(t, setlk(fd, wr, 0, 0), unix.EAGAIN, "while it lives")
	c.end()
	ok(t, setlk(fd, wr, 0, 0), "after its end")
}

func recordWaits(t *testing.T, dir string) {
	fd, c, cfd := locksOf(t, dir)
	ok(t, setlk(fd, wr, 0, 10), "lock")
	c.begin(ask{Op: "fcntl", FD: cfd, Cmd: unix.F_SETLKW, Typ: wr, Off: 5, Len: 10})
	c.blocked(unix.SYS_FCNTL)
	ok(t, setlk(fd, un, 0, 5), "unlock what is not waited for")
	c.blocked(unix.SYS_FCNTL)
	ok(t, setlk(fd, un, 0, 0), "unlock")
	equal(t, c.wait().Errno, 0, "the lock that was waited for")
	want(t, setlk(fd, wr, 14, 1), unix.EAGAIN, "the other has it")
	ok(t, c.setlk(cfd, un, 0, 0), "unlock")
	// Closing wakes as well.
	ok(t, setlk(fd, wr, 0, 10), "lock")
	c.begin(ask{Op: "fcntl", FD: cfd, Cmd: unix.F_SETLKW, Typ: rd, Off: 0, Len: 0})
	c.blocked(unix.SYS_FCNTL)
	unix.Close(open(t, in(dir, "f"), unix.O_RDONLY, 0))
	equal(t, c.wait().Errno, 0, "the lock after a close")
}

func recordInterrupted(t *testing.T, dir string) {
	fd, c, cfd := locksOf(t, dir)
	ok(t, setlk(fd, wr, 0, 10), "lock")
	for range 5 {
		c.begin(ask{Op: "fcntl", FD: cfd, Cmd: unix.F_SETLKW, Typ: wr, Off: 0, Len: 10})
		c.blocked(unix.SYS_FCNTL)
		c.interrupt()
		equal(t, c.wait().Errno, unix.EINTR, "a wait that was interrupted")
	}
	ok(t, setlk(fd, un, 0, 0), "unlock")
	// No ghost of the waits may hold it, or wait for it.
	third := start(t, dir)
	tfd, err := third.open("f", unix.O_RDWR, 0)
	ok(t, err, "open")
	ok(t, third.setlk(tfd, wr, 0, 0), "lock by a third")
	ok(t, third.setlk(tfd, un, 0, 0), "unlock")
	ok(t, setlk(fd, wr, 0, 0), "lock again")
}

// recordDeadlock: of two that wait for each other the second is refused.
func recordDeadlock(t *testing.T, dir string) {
	fd, c, cfd := locksOf(t, dir)
	d := start(t, dir)
	dfd, err := d.open("f", unix.O_RDWR, 0)
	ok(t, err, "open")
	ok(t, c.setlk(cfd, wr, 0, 1), "first lock")
	ok(t, d.setlk(dfd, wr, 1, 1), "second lock")
	c.begin(ask{Op: "fcntl", FD: cfd, Cmd: unix.F_SETLKW, Typ: wr, Off: 1, Len: 1})
	c.blocked(unix.SYS_FCNTL)
	d.begin(ask{Op: "fcntl", FD: dfd, Cmd: unix.F_SETLKW, Typ: wr, Off: 0, Len: 1})
	equal(t, d.wait().Errno, unix.EDEADLK, "the wait that closes the circle")
	ok(t, d.setlk(dfd, un, 0, 0), "unlock")
	equal(t, c.wait().Errno, 0, "the first wait")
	want(t, setlk(fd, wr, 0, 2), unix.EAGAIN, "what the first holds")
}

func recordRights(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	r := open(t, in(dir, "f"), unix.O_RDONLY, 0)
	w := open(t, in(dir, "f"), unix.O_WRONLY, 0)
	want(t, setlk(r, wr, 0, 1), unix.EBADF, "write lock through O_RDONLY")
	want(t, setlk(w, rd, 0, 1), unix.EBADF, "read lock through O_WRONLY")
	ok(t, setlk(r, rd, 0, 1), "read lock through O_RDONLY")
	ok(t, setlk(w, wr, 0, 1), "write lock through O_WRONLY")
}

func recordRanges(t *testing.T, dir string) {
	fd, c, cfd := locksOf(t, dir)
	ok(t, setlk(fd, wr, 1<<62, 0), "from 2^62 to the end")
	want(t, c.setlk(cfd, wr, 1<<63-1, 0), unix.EAGAIN, "the last byte")
	ok(t, c.setlk(cfd, wr, 1<<62-1, 1), "the byte before")
	ok(t, c.setlk(cfd, un, 0, 0), "unlock")
	want(t, setlk(fd, wr, -1, 1), unix.EINVAL, "negative start")
	want(t, setlk(fd, wr, 1<<63-1, 2), unix.EOVERFLOW, "over 2^63")
	// A negative length ends at the start.
	ok(t, setlk(fd, un, 0, 0), "unlock")
	ok(t, setlk(fd, wr, 50, -10), "the ten bytes before 50")
	ok(t, c.setlk(cfd, wr, 50, 1), "byte 50")
	want(t, c.setlk(cfd, wr, 49, 1), unix.EAGAIN, "byte 49")
	want(t, c.setlk(cfd, wr, 40, 1), unix.EAGAIN, "byte 40")
	ok(t, c.setlk(cfd, wr, 39, 1), "byte 39")
	// Relative to the end.
	l := unix.Flock_t{Type: wr, Whence: unix.SEEK_END, Start: -10, Len: 5}
	ok(t, unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &l), "lock relative to the end")
	want(t, c.setlk(cfd, wr, 90, 1), unix.EAGAIN, "byte 90 of 100")
	ok(t, c.setlk(cfd, wr, 95, 1), "byte 95 of 100")
}

func recordByFile(t *testing.T, dir string) {
	fd, c, _ := locksOf(t, dir)
	ok(t, unix.Link(in(dir, "f"), in(dir, "g")), "link")
	cfd, err := c.open("g", unix.O_RDWR, 0)
	ok(t, err, "open by the other name")
	ok(t, setlk(fd, wr, 0, 0), "lock")
	want(t, c.setlk(cfd, wr, 0, 0), unix.EAGAIN, "lock by the other name")
	ok(t, unix.Unlink(in(dir, "f")), "unlink")
	ok(t, unix.Rename(in(dir, "g"), in(dir, "h")), "rename")
	want(t, c.setlk(cfd, wr, 0, 0), unix.EAGAIN, "lock after rename and unlink")
	ok(t, unix.Unlink(in(dir, "h")), "unlink")
	want(t, c.setlk(cfd, wr, 0, 0), unix.EAGAIN, "lock of what has no name")
	put(t, in(dir, "f"), "another")
	other, err := c.open("f", unix.O_RDWR, 0)
	ok(t, err, "open a new file of the name")
	ok(t, c.setlk(other, wr, 0, 0), "lock of the new file")
}

func recordOwn(t *testing.T, dir string) {
	fd, c, cfd := locksOf(t, dir)
	again := open(t, in(dir, "f"), unix.O_RDWR, 0)
	ok(t, setlk(fd, wr, 0, 10), "lock through one descriptor")
	ok(t, setlk(again, wr, 5, 10), "overlapping lock through another of the same process")
	want(t, c.setlk(cfd, wr, 14, 1), unix.EAGAIN, "the second part")
	ok(t, setlk(again, un, 0, 5), "unlock through the other")
	ok(t, c.setlk(cfd, wr, 0, 5), "what was unlocked")
}

func recordUpgrade(t *testing.T, dir string) {
	fd, c, cfd := locksOf(t, dir)
	ok(t, setlk(fd, wr, 0, 10), "write lock")
	c.begin(ask{Op: "fcntl", FD: cfd, Cmd: unix.F_SETLKW, Typ: rd, Off: 0, Len: 10})
	c.blocked(unix.SYS_FCNTL)
	ok(t, setlk(fd, rd, 0, 10), "downgrade")
	equal(t, c.wait().Errno, 0, "the reader that waited")
	want(t, setlk(fd, wr, 0, 10), unix.EAGAIN, "upgrade beside the reader")
	want(t, c.setlk(cfd, wr, 0, 10), unix.EAGAIN, "nothing was lost by the failed upgrade")
}
