package lab_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/tests/lab"
	"github.com/holdfast/holdfast/tests/lab/relay"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestKilledBrickComesBack(t *testing.T) {
	l := lab.Start(t)
	v := l.Volume("one")
	b := v.Bricks[0]
	m := l.MountStock(v)
	write(t, filepath.Join(m.Dir, "file"), "text")
	m.Umount()
	addr, pid := b.Addr(), b.PID()
	b.Kill()
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("a killed brick accepts connections")
	}
	if got := b.PID(); got != 0 {
		t.Errorf("a killed brick has process %d", got)
	}
	v.StartForce()
	if got := b.PID(); got == 0 || got == pid {
		t.Errorf("the new brick is process %d, the old one was %d", got, pid)
	}
	wantText(t, filepath.Join(l.MountStock(v).Dir, "file"), "text")
}

func TestGlusterdThatComesBackKnowsItsBricks(t *testing.T) {
	l := lab.Start(t)
	v := l.Volume("two", lab.Bricks(2))
	l.Glusterd.Kill()
	if _, err := l.TryGluster("volume", "info"); err == nil {
		t.Error("a killed glusterd answers")
	}
	pid := v.Bricks[0].PID()
	v.Bricks[1].Kill()
	l.StartGlusterd()
	if got := v.Bricks[0].PID(); got != pid {
		t.Errorf("the running brick is process %d now, was %d", got, pid)
	}
	if v.Bricks[1].PID() == 0 {
		t.Error("the killed brick was not started again")
	}
	m := l.MountStock(v)
	write(t, filepath.Join(m.Dir, "file"), "text")
}

// TestStoppedBrickIsSilent: the connection stays and the call is answered when the
// brick continues.
func TestStoppedBrickIsSilent(t *testing.T) {
	l := lab.Start(t)
	v := l.Volume("one")
	m := l.MountStock(v)
	v.Bricks[0].Stop()
	made := make(chan error, 1)
	go func() { made <- os.Mkdir(filepath.Join(m.Dir, "dir"), 0o755) }()
	select {
	case err := <-made:
		t.Errorf("a stopped brick made a directory: %v", err)
		made <- nil
	case <-time.After(300 * time.Millisecond):
	}
	v.Bricks[0].Continue()
	if err := <-made; err != nil {
		t.Error(err)
	}
}

func TestStoppedBrickDoesNotKeepTheLabFromEnding(t *testing.T) {
	var pid int
	t.Run("lab", func(t *testing.T) {
		l := lab.Start(t)
		v := l.Volume("one")
		l.MountStock(v)
		v.Bricks[0].Stop()
		pid = v.Bricks[0].PID()
	})
	if alive(pid) {
		t.Errorf("brick %d outlives its lab", pid)
	}
}

func TestRelayCountsLookupsOfTheStockClient(t *testing.T) {
	l := lab.Start(t)
	v := l.Volume("one")
	r := l.Relay()
	if got, want := r.Volfile(v), strings.ReplaceAll(v.Volfile(), l.Host, r.Host); got != want {
		t.Errorf("volfile through the relay:\n%s\nwant:\n%s", got, want)
	}
	l.Gluster("volume", "profile", "one", "start") // the brick counts, too
	m := l.MountStock(v, lab.Via(r), lab.Args("--entry-timeout=0", "--attribute-timeout=0"))
	const names = 10
	for i := range names {
		if _, err := os.Stat(filepath.Join(m.Dir, "absent"+itoa(i))); !os.IsNotExist(err) {
			t.Error(err)
		}
	}
	v.Set("diagnostics.client-log-level", "DEBUG")
	r.Glusterd.WaitCalls(t, relay.ToClient, relay.Fetchspec, 1)
	m.Umount() // what is still on its way arrives
	g := r.Brick(v.Bricks[0])
	n, sessions := g.Calls(relay.ToServer, relay.Lookup), g.Calls(relay.ToServer, relay.Setvolume)
	// The brick makes one more itself for each client that comes: of its root.
	profile := l.Gluster("volume", "profile", "one", "info")
	want := regexp.MustCompile(fmt.Sprintf(`\s%d\s+LOOKUP\s`, n+sessions))
	if n < names || !want.MatchString(profile) {
		t.Errorf("the relay saw %d lookups and %d sessions, for %d names, and the brick:\n%s", n, sessions, names, profile)
	}
	if n := r.Glusterd.Replies(relay.ToClient, relay.PortByBrick); n != 1 {
		t.Errorf("the port was told %d times:\n%s", n, r.Glusterd.Table())
	}
}

// TestRelayFollowsABrick: a client mounted through the relay finds a brick that
// came back on another port.
func TestRelayFollowsABrick(t *testing.T) {
	l := lab.Start(t)
	v := l.Volume("one")
	r := l.Relay()
	m := l.MountStock(v, lab.Via(r))
	write(t, filepath.Join(m.Dir, "file"), "text")
	g := r.Brick(v.Bricks[0])
	setvolumes := g.Calls(relay.ToServer, relay.Setvolume)
	v.Bricks[0].Kill()
	v.StartForce()
	g.WaitCalls(t, relay.ToServer, relay.Setvolume, setvolumes+1)
	if g.Target() != v.Bricks[0].Addr() {
		t.Errorf("the relay leads to %s, the brick is at %s", g.Target(), v.Bricks[0].Addr())
	}
	end := time.Now().Add(30 * time.Second)
	for err := os.ErrInvalid; err != nil; err = os.WriteFile(filepath.Join(m.Dir, "other"), []byte("text"), 0o644) {
		if time.Now().After(end) {
			t.Fatalf("the stock client does not come back: %v", err)
		}
	}
	wantText(t, filepath.Join(v.Bricks[0].Dir, "other"), "text")
}

// TestLostReplyLeavesTheBrickDone: what a client under test has to find out about.
func TestLostReplyLeavesTheBrickDone(t *testing.T) {
	l := lab.Start(t)
	v := l.Volume("one")
	r := l.Relay()
	m := l.MountStock(v, lab.Via(r))
	g := r.Brick(v.Bricks[0])
	lost := g.Arm(t, relay.Fault{Call: relay.Mkdir, At: relay.BeforeReply, Do: relay.Cut})
	if err := os.Mkdir(filepath.Join(m.Dir, "dir"), 0o755); !isErrno(err, syscall.ENOTCONN) {
		t.Errorf("the stock client says %v of a lost reply", err)
	}
	lost.Wait(t)
	if s, err := os.Stat(filepath.Join(v.Bricks[0].Dir, "dir")); err != nil || !s.IsDir() {
		t.Errorf("on the brick: %v", err)
	}
}

func TestFullDiskIsAnError(t *testing.T) {
	l := lab.Start(t, lab.Disk(32<<20))
	v := l.Volume("one")
	m := l.MountStock(v)
	err := os.WriteFile(filepath.Join(m.Dir, "file"), make([]byte, 64<<20), 0o644)
	if !isErrno(err, syscall.ENOSPC) {
		t.Errorf("64 MiB into 32: %v", err)
	}
}
