package gluster_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/tests/lab"
	"github.com/holdfast/holdfast/tests/lab/relay"
	"github.com/holdfast/holdfast/tests/mnt"
)

// TestNoApplicationNoticesLostConnections: cut and reset wherever they are just then,
// also where the brick gets the rest of a request that nobody reads the reply of.
// What is open without a name is lost with a connection, so nobody has that.
func TestNoApplicationNoticesLostConnections(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	v := l.Volume("one")
	r := l.Relay()
	gate := r.Brick(v.Bricks[0])
	m := mnt.Mount(t, writeVolfile(t, volfile(r.Host, v.Bricks[0], "")))
	ps := load(t, m.Dir, "reader", "appender", "xattr", "locker", "truncater", "direct")
	rng := rand.New(rand.NewPCG(1, 2))
	calls := []relay.Call{relay.Writev, relay.Readv, relay.Lk, relay.Setxattr, relay.Create, relay.Open, relay.Fstat, relay.Truncate, relay.Lookup, relay.Unlink}
	stages := []relay.Stage{relay.BeforeRequest, relay.InRequest, relay.AfterRequest, relay.BeforeReply, relay.InReply}
	n := asked(t, "HOLDFAST_TEST_CUTS", 10)
	for range n {
		done := ops(ps)
		fault := gate.Arm(t, relay.Fault{
			Call: calls[rng.IntN(len(calls))], Nth: 1 + rng.IntN(20), At: stages[rng.IntN(len(stages))], Do: []relay.Action{relay.Cut, relay.Reset}[rng.IntN(2)],
		})
		select {
		case <-fault.Done():
		case <-time.After(2 * time.Second): // nobody sends that now
			fault.Disarm()
			gate.Cut()
		}
		eventually(t, 30*time.Second, "the workers go on", func() bool { working(t, ps); return ops(ps) >= done+int64(10*len(ps)) })
	}
	finish(t, ps)
	d := sessions(t, m)[0]
	t.Logf("%+v", d)
	if d.Sessions < uint64(n) || d.FilesLost != 0 || d.LocksLost != 0 || d.LocksHeld != 0 {
		t.Errorf("the session: %+v", d)
	}
}

// TestSlowBrickIsWaitedFor: it is neither given up nor asked twice, however long it
// takes, as long as it shows that it lives.
func TestSlowBrickIsWaitedFor(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	v := l.Volume("one")
	r := l.Relay()
	gate := r.Brick(v.Bricks[0])
	m := mnt.Mount(t, writeVolfile(t, volfile(r.Host, v.Bricks[0], "    option ping-timeout 2\n")))
	file := filepath.Join(m.Dir, "f")
	data := bytes.Repeat([]byte("0123456789abcdef"), 4<<16)
	ok(t, os.WriteFile(file, data, 0o644))

	gate.Delay(relay.ToClient, 100*time.Millisecond)
	gate.Throttle(relay.ToServer, 1<<20) // of which one request is at most
	gate.Throttle(relay.ToClient, 1<<20)
	began := time.Now()
	ok(t, os.WriteFile(file+"2", data, 0o644))
	if took := time.Since(began); took < 3*time.Second {
		t.Fatalf("the line was not slow: %v", took)
	}
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_DIRECT, 0)
	ok(t, err)
	t.Cleanup(func() { f.Close() })
	b := make([]byte, 128<<10)
	if _, err := f.ReadAt(b, 0); err != nil || !bytes.Equal(b, data[:len(b)]) {
		t.Errorf("read: %v", err)
	}
	gate.Delay(relay.ToClient, 0)
	gate.Throttle(relay.ToServer, 0)
	gate.Throttle(relay.ToClient, 0)

	held := gate.Arm(t, relay.Fault{Call: relay.Mkdir, At: relay.BeforeReply, Do: relay.Hold})
	made := make(chan error, 1)
	go func() { made <- os.Mkdir(filepath.Join(m.Dir, "d"), 0o755) }()
	held.Wait(t)
	pings := gate.Replies(relay.ToClient, relay.Ping)
	eventually(t, 30*time.Second, "the brick has answered pings for some time", func() bool { return gate.Replies(relay.ToClient, relay.Ping) >= pings+4 })
	held.Release()
	ok(t, <-made)
	if n := gate.Calls(relay.ToServer, relay.Mkdir); n != 1 {
		t.Errorf("it was sent %d times", n)
	}
	if d := sessions(t, m)[0]; d.Sessions != 1 {
		t.Errorf("the session: %+v", d)
	}
}

// TestManagementDaemonRestartsMeanwhile: it is asked for the port again when it is
// there, and until then requests wait.
func TestManagementDaemonRestartsMeanwhile(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	v := l.Volume("one")
	m := mount(t, l, v)
	ps := load(t, m.Dir, "appender", "reader")
	for range 2 {
		v.Bricks[0].Kill()
		l.Glusterd.Kill()
		eventually(t, 20*time.Second, "it is missed", func() bool { return sessions(t, m)[0].State == "away" })
		working(t, ps)
		done := ops(ps)
		l.StartGlusterd() // and that starts the brick
		eventually(t, 60*time.Second, "the workers go on", func() bool { working(t, ps); return ops(ps) > done+20 })
	}
	finish(t, ps)
	v.StartForce() // the brick's port is to be known to the lab again
}

// TestManagementDaemonThatDoesNotAnswerIsAskedAgain: one that is stopped, or a
// connection that leads nowhere, is no reason to wait for ever.
func TestManagementDaemonThatDoesNotAnswerIsAskedAgain(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	v := l.Volume("one")
	r := l.Relay()
	m := mnt.Mount(t, writeVolfile(t, volfile(r.Host, v.Bricks[0], "")))
	ok(t, os.WriteFile(filepath.Join(m.Dir, "f"), []byte("x"), 0o644))
	asked := r.Glusterd.Arm(t, relay.Fault{Call: relay.PortByBrick, At: relay.BeforeReply, Do: relay.Hold})
	r.Brick(v.Bricks[0]).Cut()
	asked.Wait(t)
	b, err := os.ReadFile(filepath.Join(m.Dir, "f"))
	if err != nil || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
}
