package posix

import (
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func parentOf(p string) string { return filepath.Dir(p) }

// kernelAccess asks the kernel whether that user and group may: on a thread of
// its own that ends with other credentials.
func kernelAccess(t testing.TB, path string, who [2]uint32, mask uint32) bool {
	t.Helper()
	answer := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); e != 0 {
			answer <- e
			return
		}
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(who[1]), uintptr(who[1]), uintptr(who[1])); e != 0 {
			answer <- e
			return
		}
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(who[0]), uintptr(who[0]), uintptr(who[0])); e != 0 {
			answer <- e
			return
		}
		answer <- unix.Access(path, mask)
	}()
	switch err := <-answer; err {
	case nil:
		return true
	case unix.EACCES:
		return false
	default:
		t.Fatal(err)
		return false
	}
}
