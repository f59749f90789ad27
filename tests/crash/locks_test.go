package crash

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/tests/mnt"
)

// lockerScript locks its file as told, says so, and holds the lock until its
// input ends.
const lockerScript = `
import fcntl, sys
f = open(sys.argv[1], "r+b")
print("open", flush=True)
(fcntl.flock if sys.argv[2] == "flock" else fcntl.lockf)(f, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
`

// lockProcess is another process that wants a lock.
type lockProcess struct {
	cmd   *exec.Cmd
	stdin interface{ Close() error }
	said  chan string
}

func startLocker(t *testing.T, path, kind string) *lockProcess {
	t.Helper()
	p := &lockProcess{cmd: exec.Command("python3", "-c", lockerScript, path, kind), said: make(chan string, 4)}
	in, err := p.cmd.StdinPipe()
	must(t, err)
	p.stdin = in
	out, err := p.cmd.StdoutPipe()
	must(t, err)
	must(t, p.cmd.Start())
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			p.said <- s.Text()
		}
		close(p.said)
	}()
	t.Cleanup(func() { p.cmd.Process.Kill(); in.Close(); p.cmd.Wait() })
	if s := <-p.said; s != "open" {
		t.Fatalf("it said %q", s)
	}
	return p
}

func (p *lockProcess) locked(within time.Duration) bool {
	select {
	case s := <-p.said:
		return s == "locked"
	case <-time.After(within):
		return false
	}
}

func (p *lockProcess) end(t *testing.T) {
	t.Helper()
	p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("locker: %v", err)
	}
}

// TestLocksExcludeAcrossKills: who holds a lock keeps it, who waits for it keeps
// its place, and waits longer than those who came before.
func TestLocksExcludeAcrossKills(t *testing.T) {
	for _, kind := range []string{"record", "flock"} {
		t.Run(kind, func(t *testing.T) {
			m := mnt.Mount(t, brick(t), mnt.Plain())
			k := keeper(t, m)
			path := in(m.Dir, "f")
			must(t, os.WriteFile(path, []byte("0123456789"), 0o666))
			holder := startLocker(t, path, kind)
			if !holder.locked(10 * time.Second) {
				t.Fatal("no lock")
			}
			var queue []*lockProcess
			for i := range 3 {
				p := startLocker(t, path, kind)
				queue = append(queue, p)
				eventually(t, 10*time.Second, "it waits", func() bool { return waiting(t, m) == int64(i+1) })
			}
			for range 3 {
				killAndWait(t, k)
				eventually(t, 20*time.Second, "all wait again", func() bool { return waiting(t, m) == 3 })
			}
			for _, p := range queue {
				if len(p.said) > 0 {
					t.Fatal("a lock was given to two")
				}
			}
			holder.end(t)
			for i, p := range queue {
				if !p.locked(10 * time.Second) {
					t.Fatalf("number %d of the queue did not get the lock in its turn", i+1)
				}
				for _, q := range queue[i+1:] {
					if len(q.said) > 0 {
						t.Fatal("a lock was given out of order")
					}
				}
				killAndWait(t, k)
				p.end(t)
			}
			eventually(t, 10*time.Second, "nothing is locked", func() bool { return m.Status().Locks.Held == 0 })
		})
	}
}

// waiting is how many lock waits there are.
func waiting(t *testing.T, m *mnt.M) int64 {
	t.Helper()
	var s struct {
		Locks struct {
			Waiting int64 `json:"waiting"`
		} `json:"locks"`
	}
	m.Ask(control.OpStatus, &s)
	return s.Locks.Waiting
}

// TestWaiterKilledWhileNoWorkerLivesLeavesNoGhost: its request is found in a
// slot, and its lock would be nobody's.
func TestWaiterKilledWhileNoWorkerLivesLeavesNoGhost(t *testing.T) {
	m := mnt.Mount(t, brick(t), mnt.Plain())
	k := keeper(t, m)
	path := in(m.Dir, "f")
	must(t, os.WriteFile(path, []byte("0123456789"), 0o666))
	holder := startLocker(t, path, "record")
	if !holder.locked(10 * time.Second) {
		t.Fatal("no lock")
	}
	waiter := startLocker(t, path, "record")
	eventually(t, 10*time.Second, "it waits", func() bool { return waiting(t, m) == 1 })
	must(t, unix.Kill(k, unix.SIGSTOP)) // the keeper starts nobody
	killAndWait(t, k)
	must(t, waiter.cmd.Process.Kill())
	must(t, unix.Kill(k, unix.SIGCONT))
	if err := waiter.cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the waiter ended with %v", err)
	}
	holder.end(t)
	next := startLocker(t, path, "record")
	if !next.locked(15 * time.Second) {
		t.Fatal("the lock of a dead process is still held")
	}
	next.end(t)
}
