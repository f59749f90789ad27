package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// process is a process that need not be our child, held by a pidfd: its number
// cannot become another's meanwhile.
type process struct{ pid, fd int }

func openProcess(pid int) (process, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return process{}, fmt.Errorf("open process %d: %w", pid, err)
	}
	return process{pid: pid, fd: fd}, nil
}

func (p process) close() { unix.Close(p.fd) }

func (p process) signal(s unix.Signal) error {
	if err := unix.PidfdSendSignal(p.fd, s, nil, 0); err != nil {
		return fmt.Errorf("send %v to process %d: %w", s, p.pid, err)
	}
	return nil
}

// alive is false from the moment that the process is past help: a pidfd is ready
// only when the last thread has gone.
func (p process) alive() bool {
	f, err := statFields(fmt.Sprintf("/proc/%d/stat", p.pid))
	return p.waitGone(0) != nil && err == nil && f[0] != "Z" && f[0] != "X"
}

func (p process) waitGone(timeout time.Duration) error {
	end := time.Now().Add(timeout)
	for {
		left := max(time.Until(end), 0)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}, int(left.Milliseconds()))
		switch {
		case n > 0:
			return nil
		case err != nil && err != unix.EINTR:
			return fmt.Errorf("watch process %d: %w", p.pid, err)
		case time.Until(end) <= 0:
			return fmt.Errorf("process %d has not ended after %v", p.pid, timeout)
		}
	}
}

// waitStopped waits until every thread stands still.
func (p process) waitStopped(timeout time.Duration) error {
	return waitFor(timeout, fmt.Sprintf("process %d is stopped", p.pid), func() (bool, error) {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.pid))
		if err != nil || len(threads) == 0 {
			return false, fmt.Errorf("process %d has no threads: %w", p.pid, errors.Join(err, unix.ESRCH))
		}
		for _, f := range threads {
			if s, err := statFields(f); err == nil && s[0] != "T" {
				return false, nil
			}
		}
		return true, nil
	})
}

// statFields reads a stat file of proc(5) from the state on; the name before it
// may hold anything.
func statFields(file string) ([]string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 20 {
		return nil, fmt.Errorf("%s: %q", file, b)
	}
	return f, nil
}

// startTime tells a process from later ones with its number.
func startTime(pid int) (string, error) {
	f, err := statFields(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	return f[19], nil
}

// children lists the children of process init, by the numbers that they have out
// here. Only they are looked at: to ask a process elsewhere about its namespaces
// or its memory may wait for whatever it waits for.
func children(init int) ([]int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", init))
	if err != nil {
		return nil, fmt.Errorf("the lab's first process: %w", err)
	}
	var pids []int
	for _, f := range strings.Fields(string(b)) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			return nil, fmt.Errorf("children of process %d: %w", init, err)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

func cmdline(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return nil // gone
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}

// pollStep is for what cannot be waited for otherwise.
const pollStep = 5 * time.Millisecond

// waitFor asks until ok says yes or fails.
func waitFor(timeout time.Duration, what string, ok func() (bool, error)) error {
	end := time.Now().Add(timeout)
	for {
		good, err := ok()
		if err != nil {
			return err
		}
		if good {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("after %v it is not so that %s", timeout, what)
		}
		time.Sleep(pollStep)
	}
}
