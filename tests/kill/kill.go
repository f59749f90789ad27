package kill

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Children lists the processes that pid has started and not yet waited for
// (proc(5), children).
func Children(pid int) (all []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		for _, w := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(w); err == nil {
				all = append(all, n)
			}
		}
	}
	return all
}

// Workers sends SIGKILL to every worker of the keeper that lives, and returns
// pidfds of them, which the caller closes.
func Workers(keeper int) (pidfds []int) { return signal(keeper, unix.SIGKILL) }

func signal(keeper int, sig unix.Signal) (pidfds []int) {
	if keeper <= 1 {
		panic("kill: the mount has no keeper")
	}
	for _, pid := range Children(keeper) {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		if parent(pid) == keeper && !ended(fd, 0) && unix.PidfdSendSignal(fd, sig, nil, 0) == nil {
			pidfds = append(pidfds, fd)
			continue
		}
		unix.Close(fd)
	}
	return pidfds
}

// Now kills the workers and returns how many, when they are dead: none is counted
// twice.
func Now(keeper int) int {
	fds := Workers(keeper)
	_ = wait(keeper, fds)
	return len(fds)
}

// AndWait kills the workers and returns when they are dead.
func AndWait(keeper int) error { return wait(keeper, Workers(keeper)) }

// Crash has the workers end as after a mistake of their own: the Go runtime
// answers SIGABRT with an exit status. It returns when they are dead.
func Crash(keeper int) error { return wait(keeper, signal(keeper, unix.SIGABRT)) }

// wait waits for the end of the keeper's workers, and closes the pidfds.
func wait(keeper int, pidfds []int) error {
	var left error
	for _, fd := range pidfds {
		if !ended(fd, 20*time.Second) {
			left = fmt.Errorf("a worker of keeper %d does not die", keeper)
		}
		unix.Close(fd)
	}
	return left
}

// ended reports whether the process is dead, now or within the time.
func ended(pidfd int, within time.Duration) bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(within.Milliseconds()))
		if err != unix.EINTR { // the Go runtime signals its threads
			return n == 1
		}
	}
}

// parent is the parent of pid, or 0 (proc(5), stat).
func parent(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(f[1])
	return n
}
