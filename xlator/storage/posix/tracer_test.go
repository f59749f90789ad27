package posix

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A tracer kills a process as it is about to make a certain system call, of
// those that one thread of it makes (ptrace(2)). No code of the process takes
// part, but for marks: system calls that nothing else makes there.
type tracer struct {
	pid, tid int
}

// mark is the call that divides what the thread does.
const mark = unix.SYS_GETPPID

// noFile are calls of Go's runtime, which change nothing that outlives it.
var noFile = []uint64{
	unix.SYS_FUTEX, unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGACTION, unix.SYS_SIGALTSTACK,
	unix.SYS_SCHED_YIELD, unix.SYS_MADVISE, unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_NANOSLEEP,
	unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_CTL, unix.SYS_GETTID,
	unix.SYS_GETPID, unix.SYS_TGKILL, unix.SYS_GETRANDOM, unix.SYS_CLONE, unix.SYS_CLONE3,
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_CLOSE, // pipes to the test; what a death does anyway
}

// readOnly are calls that change nothing: of several in a row one is enough to be
// killed at.
var readOnly = []uint64{
	unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_STATX, unix.SYS_FSTAT, unix.SYS_READLINKAT,
	unix.SYS_GETXATTR, unix.SYS_FGETXATTR, unix.SYS_LISTXATTR, unix.SYS_FLISTXATTR, unix.SYS_FCNTL, unix.SYS_GETDENTS64,
}

// kill lets the thread go on (goOn is called once it is watched) and kills the
// process at the n-th system call that counts, from 1, after the from-th mark; the mark
// numbered to counts as the last one. It returns what the call was, or 0 if the
// thread came past the last mark or ended before.
func (tr tracer) kill(goOn func() error, from, to, n int) (at uint64, err error) {
	runtime.LockOSThread() // ptrace knows its tracers by thread
	defer runtime.UnlockOSThread()
	if at, err = tr.follow(goOn, from, to, n); err != nil {
		err = errors.Join(err, tr.end())
	}
	return at, err
}

func (tr tracer) follow(goOn func() error, from, to, n int) (at uint64, err error) {
	if err := ptrace(unix.PTRACE_SEIZE, tr.tid, 0, unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_EXITKILL); err != nil {
		return 0, fmt.Errorf("ptrace (needs CAP_SYS_PTRACE, or a child): %w", err)
	}
	if err := ptrace(unix.PTRACE_INTERRUPT, tr.tid, 0, 0); err != nil {
		return 0, err
	}
	told, looked, marks, calls := false, false, 0, 0
	for {
		ws, err := tr.wait()
		if err != nil || !ws.Stopped() {
			return 0, err // gone
		}
		sig := 0
		switch {
		case ws.StopSignal() == unix.SIGTRAP|0x80:
			nr, entry, err := tr.call()
			if err != nil {
				return 0, err
			}
			if !entry {
				break
			}
			if nr == mark {
				marks++
			}
			if marks >= from && !slices.Contains(noFile, nr) && (nr != mark || marks == to) {
				again := looked
				if looked = slices.Contains(readOnly, nr); !looked || !again {
					calls++
				}
			}
			if calls == n {
				return nr, tr.end()
			}
			if marks == to {
				return 0, ptrace(unix.PTRACE_DETACH, tr.tid, 0, 0)
			}
		case ws.StopSignal() != unix.SIGTRAP:
			sig = int(ws.StopSignal()) // for the thread; Go's runtime interrupts its threads
		}
		if err := ptrace(unix.PTRACE_SYSCALL, tr.tid, 0, uintptr(sig)); err != nil {
			return 0, err
		}
		if !told {
			told = true
			if err := goOn(); err != nil {
				return 0, err
			}
		}
	}
}

// end kills the process and waits for the thread.
func (tr tracer) end() error {
	if err := unix.Kill(tr.pid, unix.SIGKILL); err != nil {
		return err
	}
	for {
		ws, err := tr.wait()
		if err != nil || ws.Exited() || ws.Signaled() {
			return err
		}
	}
}

func (tr tracer) wait() (ws unix.WaitStatus, err error) {
	for {
		_, err = unix.Wait4(tr.tid, &ws, unix.WALL, nil)
		if err != unix.EINTR {
			break
		}
	}
	if errors.Is(err, unix.ECHILD) {
		return ws, nil
	}
	return ws, err
}

// call says, in a stop at a system call, which one it is and whether the thread
// is about to make it (struct ptrace_syscall_info).
func (tr tracer) call() (nr uint64, entry bool, err error) {
	var info [88]byte
	err = ptrace(unix.PTRACE_GET_SYSCALL_INFO, tr.tid, uintptr(len(info)), uintptr(unsafe.Pointer(&info)))
	return binary.NativeEndian.Uint64(info[24:]), info[0] == unix.PTRACE_SYSCALL_INFO_ENTRY, err
}

func ptrace(op, tid int, addr, data uintptr) error {
	if _, _, e := unix.Syscall6(unix.SYS_PTRACE, uintptr(op), uintptr(tid), addr, data, 0, 0); e != 0 {
		return e
	}
	return nil
}
