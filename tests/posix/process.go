package posix

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func processCases() map[string]Case {
	return map[string]Case{
		"ProgramRuns":                programRuns,
		"ScriptRuns":                 scriptRuns,
		"SetuidProgramRuns":          setuidRuns,
		"RunningProgramIsBusy":       textBusy,
		"InotifyTells":               inotify,
		"IoctlUnknownIsRefused":      ioctl,
		"PollSaysReady":              poll,
		"ForkedDescriptorIsShared":   forked,
		"ChrootIntoTheDirectory":     chroot,
		"LeaseLikeCallsDoNotBreakIt": fadvise,
	}
}

func copyProgram(t *testing.T, from, to string, mode uint32) {
	t.Helper()
	src, err := os.Open(from)
	ok(t, err, "open a program")
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	ok(t, err, "create")
	_, err = io.Copy(dst, src)
	ok(t, err, "copy a program")
	ok(t, dst.Close(), "close")
	ok(t, unix.Chmod(to, mode), "chmod")
}

// execute runs a program; a child of another goroutine's fork may hold it open
// for writing for a moment (ETXTBSY).
func execute(t *testing.T, attr *syscall.SysProcAttr, name string, args ...string) (string, error) {
	t.Helper()
	for range 100 {
		cmd := exec.Command(name, args...)
		cmd.SysProcAttr = attr
		cmd.Dir = "/"
		out, err := cmd.CombinedOutput()
		if !errors.Is(err, unix.ETXTBSY) {
			return strings.TrimSpace(string(out)), err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return "", unix.ETXTBSY
}

func programRuns(t *testing.T, dir string) {
	copyProgram(t, "/bin/echo", in(dir, "prog"), 0o755)
	out, err := execute(t, nil, in(dir, "prog"), "hello")
	if mountFlags(t, dir)&unix.ST_NOEXEC != 0 {
		equal(t, errors.Is(err, unix.EACCES), true, "program on a mount without programs")
		return
	}
	ok(t, err, "run")
	equal(t, out, "hello", "output")
	ok(t, unix.Chmod(in(dir, "prog"), 0o644), "chmod")
	_, err = execute(t, nil, in(dir, "prog"))
	equal(t, errors.Is(err, unix.EACCES), true, "a program without x")
}

func scriptRuns(t *testing.T, dir string) {
	if mountFlags(t, dir)&unix.ST_NOEXEC != 0 {
		return // programRuns has seen the error
	}
	put(t, in(dir, "script"), "#!/bin/sh\necho \"$1 from $0\"\n")
	ok(t, unix.Chmod(in(dir, "script"), 0o755), "chmod")
	out, err := execute(t, nil, in(dir, "script"), "hello")
	ok(t, err, "run")
	equal(t, out, "hello from "+in(dir, "script"), "output")
}

func setuidRuns(t *testing.T, dir string) {
	if mountFlags(t, dir)&(unix.ST_NOEXEC) != 0 {
		return
	}
	copyProgram(t, "/usr/bin/id", in(dir, "id"), 0o755)
	ok(t, unix.Chown(in(dir, "id"), 4343, 4343), "chown")
	ok(t, unix.Chmod(in(dir, "id"), 0o4755), "chmod")
	// The path above dir may be closed to others, so the program is started
	// through a descriptor.
	f, err := os.Open(in(dir, "id"))
	ok(t, err, "open")
	defer f.Close()
	cmd := exec.Command("/proc/self/fd/3", "-u")
	cmd.ExtraFiles = []*os.File{f}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 4242, Gid: 4242}}
	out, err := cmd.CombinedOutput()
	ok(t, err, "run: "+string(out))
	wanted := "4343"
	if mountFlags(t, dir)&unix.ST_NOSUID != 0 {
		wanted = "4242"
	}
	equal(t, strings.TrimSpace(string(out)), wanted, "effective user")
}

// textBusy: a program that runs cannot be written to.
func textBusy(t *testing.T, dir string) {
	if mountFlags(t, dir)&unix.ST_NOEXEC != 0 {
		return
	}
	copyProgram(t, "/bin/cat", in(dir, "prog"), 0o755)
	cmd := exec.Command(in(dir, "prog"))
	stdin, err := cmd.StdinPipe()
	ok(t, err, "pipe")
	out, err := cmd.StdoutPipe()
	ok(t, err, "pipe")
	ok(t, cmd.Start(), "start")
	defer cmd.Wait()
	defer stdin.Close()
	_, err = stdin.Write([]byte("x"))
	ok(t, err, "write to it")
	_, err = io.ReadFull(out, make([]byte, 1))
	ok(t, err, "read from it")
	_, err = unix.Open(in(dir, "prog"), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	want(t, err, unix.ETXTBSY, "open for writing while it runs")
	ok(t, unix.Unlink(in(dir, "prog")), "unlink while it runs")
	_, err = stdin.Write([]byte("y"))
	ok(t, err, "write to it")
	_, err = io.ReadFull(out, make([]byte, 1))
	ok(t, err, "it runs on without a name")
}

func inotify(t *testing.T, dir string) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	ok(t, err, "inotify")
	defer unix.Close(fd)
	_, err = unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_MODIFY|unix.IN_DELETE|unix.IN_MOVED_FROM|unix.IN_MOVED_TO|unix.IN_CLOSE_WRITE|unix.IN_ATTRIB)
	ok(t, err, "watch")
	put(t, in(dir, "f"), "x") // create, modify, attrib, close
	ok(t, unix.Rename(in(dir, "f"), in(dir, "g")), "rename")
	ok(t, unix.Unlink(in(dir, "g")), "unlink")
	var got uint32
	b := make([]byte, 4096)
	n, err := unix.Read(fd, b)
	ok(t, err, "read events")
	for b = b[:n]; len(b) >= unix.SizeofInotifyEvent; {
		mask := uint32(b[4]) | uint32(b[5])<<8 | uint32(b[6])<<16 | uint32(b[7])<<24
		got |= mask
		b = b[unix.SizeofInotifyEvent+int(b[12])+int(b[13])<<8:]
	}
	equal(t, got, unix.IN_CREATE|unix.IN_MODIFY|unix.IN_ATTRIB|unix.IN_CLOSE_WRITE|unix.IN_MOVED_FROM|unix.IN_MOVED_TO|unix.IN_DELETE, "events")
}

func ioctl(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "x")
	_, err := unix.IoctlGetInt(fd, 0x12345678)
	want(t, err, unix.ENOTTY, "unknown ioctl")
	_, err = unix.IoctlGetTermios(fd, unix.TCGETS)
	want(t, err, unix.ENOTTY, "a file is no terminal")
}

func poll(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "x")
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLOUT}}
	n, err := unix.Poll(p, 0)
	ok(t, err, "poll")
	equal(t, n == 1 && p[0].Revents == unix.POLLIN|unix.POLLOUT, true, "a file is always ready")
	e, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	ok(t, err, "epoll")
	defer unix.Close(e)
	// The kernel's FUSE has a poll operation for every file, ext4 has none.
	err = unix.EpollCtl(e, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN})
	if err != nil && err != unix.EPERM {
		t.Errorf("a file in epoll: %v, want nothing or EPERM", err)
	}
}

// forked: a descriptor that a child inherits shares its offset and its flock.
func forked(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "0123456789")
	other := open(t, in(dir, "f"), unix.O_RDWR, 0)
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	ok(t, err, "dup")
	f := os.NewFile(uintptr(dup), "f")
	defer f.Close()
	ok(t, unix.Flock(fd, ex), "flock")
	cmd := exec.Command("sh", "-c", "dd bs=3 count=1 <&3 2>/dev/null; flock -n 3; read x")
	cmd.ExtraFiles = []*os.File{f}
	stdin, err := cmd.StdinPipe()
	ok(t, err, "pipe")
	out, err := cmd.StdoutPipe()
	ok(t, err, "pipe")
	ok(t, cmd.Start(), "start")
	b := make([]byte, 3)
	_, err = io.ReadFull(out, b)
	ok(t, err, "read from the child")
	equal(t, string(b), "012", "what the child read")
	_, err = unix.Read(fd, b)
	ok(t, err, "read")
	equal(t, string(b), "345", "the parent reads on")
	ok(t, unix.Close(fd), "close in the parent")
	f.Close()
	want(t, unix.Flock(other, ex), unix.EAGAIN, "flock while the child has the descriptor")
	stdin.Close()
	cmd.Wait()
	ok(t, unix.Flock(other, unix.LOCK_EX), "flock after the child's end")
}

func chroot(t *testing.T, dir string) {
	if mountFlags(t, dir)&unix.ST_NOEXEC != 0 {
		return
	}
	mkdir(t, in(dir, "root"), 0o755)
	// /proc/self/exe is this test, which needs no libraries if cgo is off; a
	// shell's "pwd" of a static busybox is not everywhere. So only the call.
	cmd := exec.Command("/none")
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: in(dir, "root")}
	cmd.Dir = "/"
	err := cmd.Run()
	equal(t, errors.Is(err, unix.ENOENT), true, "a program that is not in the new root")
}

func fadvise(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), strings.Repeat("x", 100_000))
	for _, advice := range []int{unix.FADV_NORMAL, unix.FADV_SEQUENTIAL, unix.FADV_RANDOM, unix.FADV_WILLNEED, unix.FADV_NOREUSE, unix.FADV_DONTNEED} {
		ok(t, unix.Fadvise(fd, 0, 0, advice), "fadvise")
		equal(t, len(pread(t, fd, 200_000, 0)), 100_000, "read")
	}
	_, _, e := unix.Syscall(unix.SYS_READAHEAD, uintptr(fd), 0, 100_000)
	equal(t, e, 0, "readahead")
}
