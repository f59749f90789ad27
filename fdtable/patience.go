package fdtable

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/hint"
)

// killPoll is how often a process whose wait was interrupted is looked at: the
// kernel sends one INTERRUPT for a request and tells of nothing after it.
const killPoll = 100 * time.Millisecond

// patienceOf is how long somebody waits for a file that is CLOSED and cannot be
// opened: a request until the recovery deadline, the client itself not at all.
func (t *Table) patienceOf(ctx context.Context) hint.Patience {
	p := hint.Patience{Wait: func(done <-chan struct{}) error { return await(ctx, done) }}
	if _, ok := ctx.(*xlator.Call); ok {
		p.For = t.patience
	}
	return p
}

// sureGone is for how long a file must be found to be gone before it is LOST: a
// directory can look so for a moment while it, or one above it, is renamed.
const sureGone = time.Second

// failed makes the error final of an attempt to open a file that was CLOSED, if
// the file is gone for good. Called with mu held.
func (n *Node) failed(err error) error {
	if e := xlator.Errno(err); e != syscall.ESTALE && e != syscall.ENOENT {
		n.gone = 0
		return err
	}
	now := max(1, int64(time.Since(n.t.began)))
	if n.gone == 0 {
		n.gone = now
	}
	if now-n.gone < int64(min(sureGone, n.t.patience)) {
		return err
	}
	n.t.lost.Add(1)
	n.t.log.Error("an open file is gone: it is lost", "gfid", n.gfid, "err", err)
	return &hint.ErrGone{Err: err}
}

// await waits for done. What no application expects to fail with EINTR must not
// fail because of a signal that does not end it (Go programs send themselves
// signals all the time): an interrupt ends the wait only of a process that is
// being killed, or of a mount that has ended. A context that is no request's ends it at once.
func await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	call, ok := ctx.(*xlator.Call)
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
