package mnt

import (
	"fmt"
	"github.com/holdfast/holdfast/fuse"
	"io"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// margin is how long before the end of the test's time the watchdog acts: the
// calls that hang then return, and the test can say which they were.
const margin = 20 * time.Second

// watchdog frees a test that hangs in its mount.
type watchdog struct {
	done  chan struct{} // closed by stop
	ended chan struct{} // closed when the goroutine has ended
}

func watch(t testing.TB, dir string, minor int) *watchdog {
	w := &watchdog{done: make(chan struct{}), ended: make(chan struct{})}
	end, ok := deadline(t)
	if !ok {
		close(w.ended)
		return w
	}
	go func() {
		defer close(w.ended)
		timer := time.NewTimer(time.Until(end.Add(-margin)))
		defer timer.Stop()
		select {
		case <-timer.C:
			t.Errorf("the time of the test is nearly over: %s is aborted", dir)
			abort(minor)
			detach(dir)
		case <-w.done:
		}
	}()
	return w
}

func (w *watchdog) stop() {
	if w == nil {
		return
	}
	select {
	case <-w.done:
	default:
		close(w.done)
	}
	<-w.ended
}

func deadline(t testing.TB) (time.Time, bool) {
	d, ok := t.(interface{ Deadline() (time.Time, bool) })
	if !ok {
		return time.Time{}, false
	}
	return d.Deadline()
}

// guardScript waits for a line; an end without one is the death of the test
// process. The start time keeps it from killing another process that got the
// number; nothing is removed while anything is mounted there.
const guardScript = `
read -r line && [ "$line" = done ] && exit 0
ctl=$(mktemp -d) && mount -t fusectl fusectl "$ctl" && { echo 1 >"$ctl/$2/abort"; umount "$ctl"; rmdir "$ctl"; }
umount -l "$1"
[ "$(sed 's/.*) //' "/proc/$3/stat" | cut -d' ' -f20)" = "$4" ] && kill -9 "$3"
rmdir "$1" && rm -rf "$(dirname "$1")"
`

// guard takes the mount away if the test process dies.
type guard struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

func startGuard(dir string, minor int, p process) (*guard, error) {
	g := &guard{cmd: exec.Command("sh", "-c", guardScript, "guard",
		dir, strconv.Itoa(minor), strconv.Itoa(p.pid), strconv.FormatUint(p.started, 10))}
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no ^C
	var err error
	if g.stdin, err = g.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("guard %s: %w", dir, err)
	}
	if err := g.cmd.Start(); err != nil {
		return nil, fmt.Errorf("guard %s: %w", dir, err)
	}
	return g, nil
}

func (g *guard) stop() {
	if g == nil {
		return
	}
	io.WriteString(g.stdin, "done\n")
	g.stdin.Close()
	g.cmd.Wait()
}

// abort ends one FUSE connection: all its calls return.
func abort(minor int) {
	if minor > 0 {
		_ = fuse.Abort(minor) // gone already: nothing is in flight
	}
}

func detach(dir string) {
	syscall.Unmount(dir, syscall.MNT_DETACH|0x8 /* UMOUNT_NOFOLLOW */)
}
