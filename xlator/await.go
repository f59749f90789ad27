package xlator

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// killPoll is how often a process whose wait was interrupted is looked at: the
// kernel sends one INTERRUPT for a request and tells of nothing after it.
const killPoll = 100 * time.Millisecond

// Await waits for done. What no application expects to fail with EINTR must not
// fail because of a signal that does not end it (Go programs send themselves
// signals all the time): an interrupt ends the wait only of a process that is
// being killed, or of a mount that has ended. A context that is not a Call of
// the kernel's ends it at once.
func Await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	call, ok := ctx.(*Call)
	if !ok || call.PID == 0 {
		return ctx.Err()
	}
	tick := time.NewTicker(killPoll)
	defer tick.Stop()
	for !call.Ended() && !beingKilled(call.PID) {
		select {
		case <-done:
			return nil
		case <-tick.C:
		}
	}
	return ctx.Err()
}

// beingKilled reports whether the thread is gone or has SIGKILL pending, which
// is what the kernel makes of every signal that ends a process.
func beingKilled(tid uint32) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		return true
	}
	for line := range bytes.Lines(status) {
		for _, field := range []string{"SigPnd:", "ShdPnd:"} {
			rest, ok := bytes.CutPrefix(line, []byte(field))
			if !ok {
				continue
			}
			mask, err := strconv.ParseUint(string(bytes.TrimSpace(rest)), 16, 64)
			if err == nil && mask&(1<<(unix.SIGKILL-1)) != 0 {
				return true
			}
		}
	}
	return false
}
