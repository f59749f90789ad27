package gluster_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/tests/kill"
	"github.com/holdfast/holdfast/tests/lab"
	"github.com/holdfast/holdfast/tests/mnt"
	"github.com/holdfast/holdfast/tests/workload"
)

// everyone is the kinds of work that a 10.3 brick can serve.
var everyone = []string{"reader", "writer", "appender", "walker", "xattr", "locker", "truncater", "mmap", "direct", "openfiles"}

// storm kills the worker n times, after random pauses. The last kill may be of two,
// one of which has just been started; killed is how many it were.
func storm(t *testing.T, keeper, n int, longest time.Duration, ps []*workload.Process, also func(killed int)) (killed int) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(n), 1))
	for killed < n {
		time.Sleep(5*time.Millisecond + time.Duration(r.Int64N(int64(longest))))
		killed += kill.Now(keeper)
		working(t, ps)
		if also != nil {
			also(killed)
		}
	}
	t.Logf("%d kills", killed)
	return killed
}

// killer kills the worker while the test does something else.
type killer struct {
	killed chan struct{} // gets something for each; closed after the last
	n      int           // that the test knows of
}

// startKilling kills the worker n times, after random pauses, until the test ends.
func startKilling(t *testing.T, keeper, n int, longest time.Duration) *killer {
	k := &killer{killed: make(chan struct{}, n)}
	r := rand.New(rand.NewPCG(uint64(n), 2))
	go func() {
		defer close(k.killed)
		for killed := 0; killed < n && t.Context().Err() == nil; {
			time.Sleep(5*time.Millisecond + time.Duration(r.Int64N(int64(longest))))
			for range kill.Now(keeper) {
				killed++
				k.killed <- struct{}{}
			}
		}
	}()
	t.Cleanup(func() { k.wait() })
	return k
}

// more waits until n more have been killed, and reports whether that is so.
func (k *killer) more(n int) bool {
	for range n {
		if _, ok := <-k.killed; !ok {
			return false
		}
		k.n++
	}
	return true
}

// wait waits for the end, and returns how many were killed.
func (k *killer) wait() int {
	for k.more(1) {
	}
	return k.n
}

// contest is a lock of ours, a client of the stock kind that tries to get it all
// the while, and one that waits for it.
type contest struct {
	t        *testing.T
	ours     *os.File
	others   [2]*os.File
	stop     chan struct{}
	thief    sync.WaitGroup
	attempts int // the thief's
	stolen   error
	granted  chan error
}

func newContest(t *testing.T, m *mnt.M, stock string) *contest {
	t.Helper()
	c := &contest{t: t, stop: make(chan struct{}), granted: make(chan error, 1)}
	var err error
	c.ours, err = os.OpenFile(filepath.Join(m.Dir, "contest"), os.O_RDWR|os.O_CREATE, 0o644)
	ok(t, err)
	t.Cleanup(func() { c.ours.Close() })
	ok(t, setlk(c.ours, unix.F_SETLK, unix.F_WRLCK))
	for i := range c.others {
		c.others[i], err = os.OpenFile(filepath.Join(stock, "contest"), os.O_RDWR, 0)
		ok(t, err)
		t.Cleanup(func() { c.others[i].Close() })
	}
	c.thief.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-c.stop:
				return
			case <-tick.C:
			}
			c.attempts++
			if err := setlk(c.others[0], unix.F_SETLK, unix.F_WRLCK); !errors.Is(err, unix.EAGAIN) {
				c.stolen = fmt.Errorf("attempt %d: %v", c.attempts, err)
				return
			}
		}
	})
	// Locks of both kinds exclude each other on a brick.
	go func() {
		for {
			if err := unix.Flock(int(c.others[1].Fd()), unix.LOCK_EX); err != unix.EINTR {
				c.granted <- err
				return
			}
		}
	}()
	return c
}

// end unlocks, and checks who got the lock when.
func (c *contest) end() {
	c.t.Helper()
	close(c.stop)
	c.thief.Wait()
	if c.stolen != nil || c.attempts == 0 {
		c.t.Errorf("the other client got the lock: %v", c.stolen)
	}
	c.t.Logf("%d attempts to get the lock", c.attempts)
	select {
	case err := <-c.granted:
		c.t.Errorf("who waits was granted the lock beside us: %v", err)
		return
	default:
	}
	ok(c.t, setlk(c.ours, unix.F_SETLK, unix.F_UNLCK))
	select {
	case err := <-c.granted:
		ok(c.t, err)
	case <-time.After(10 * time.Second):
		c.t.Fatal("who waits was not granted the lock")
	}
	ok(c.t, c.ours.Close())
	for _, f := range c.others {
		ok(c.t, f.Close())
	}
}

// TestNoApplicationNoticesTheWorkersDeath: nor does the brick, which keeps the
// connection with everything that is open, locked and waited for.
func TestNoApplicationNoticesTheWorkersDeath(t *testing.T) { deaths(t, 100, mountKept) }

// TestNoApplicationNoticesTheWorkersDeathUnderTheVolumesGraph: with all translators
// that the cluster has put into it.
func TestNoApplicationNoticesTheWorkersDeathUnderTheVolumesGraph(t *testing.T) {
	deaths(t, 40, func(t testing.TB, _ *lab.Lab, v *lab.Volume) (m *mnt.M, keeper int) {
		m = mnt.Mount(t, v.Source(), mnt.Plain())
		return m, m.Status().Keeper.PID
	})
}

// showLosses shows, of a test that has failed, why connections were lost: the end
// of the log, which is shown anyway, does not reach back so far.
func showLosses(t *testing.T, m *mnt.M) {
	if !t.Failed() {
		return
	}
	for line := range strings.Lines(m.Log()) {
		if strings.Contains(line, "the worker is gone") && !strings.Contains(line, "signal: killed") || strings.Contains(line, "connection lost") || strings.Contains(line, "cannot be taken over") || strings.Contains(line, "brick is back") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// deaths kills the worker under load, by default n times.
func deaths(t *testing.T, n int, mount func(testing.TB, *lab.Lab, *lab.Volume) (m *mnt.M, keeper int)) {
	t.Helper()
	l := lab.Start(t)
	v := l.Volume("one")
	m, keeper := mount(t, l, v)
	t.Cleanup(func() { showLosses(t, m) })
	c := newContest(t, m, l.MountStock(v).Dir)
	f := nameless(t, m)
	ps := load(t, m.Dir, everyone...)
	n = asked(t, "HOLDFAST_TEST_KILLS", n)
	killed := storm(t, keeper, n, 300*time.Millisecond, ps, nil)
	finish(t, ps)
	c.end()
	ok(t, stillThere(t, f))
	ok(t, f.Close())
	v.Bricks[0].WaitOpenFiles(0)
	s := m.Status()
	if s.Locks.Held != 0 || s.Locks.Lost != 0 || s.Worker.Deaths != uint64(killed) {
		t.Errorf("after %d kills: %s", killed, s.Raw)
	}
	d := sessions(t, m)[0]
	t.Logf("%+v", d)
	if d.Session != 1 || d.LocksLost != 0 || d.FilesLost != 0 || d.LocksHeld != 0 {
		t.Errorf("the session: %+v", d)
	}
}

// TestNoApplicationNoticesTheWorkersDeathDuringSwitches: also in the middle of one.
func TestNoApplicationNoticesTheWorkersDeathDuringSwitches(t *testing.T) {
	l := lab.Start(t)
	v := l.Volume("one")
	m, keeper := mountKept(t, l, v)
	c := newContest(t, m, l.MountStock(v).Dir)
	f := nameless(t, m)
	ps := load(t, m.Dir, everyone...)
	graphs := []string{
		writeVolfile(t, volfile(l.Host, v.Bricks[0], "")),
		writeVolfile(t, volfile(l.Host, v.Bricks[0], "", layer{"one-write-behind", "performance/write-behind", ""})),
	}
	k := startKilling(t, keeper, asked(t, "HOLDFAST_TEST_KILLS", 60), 200*time.Millisecond)
	switches, tries := 0, 0
	for ; k.more(1); tries++ {
		working(t, ps)
		if _, err := m.TryReload(graphs[tries%2]); err == nil {
			switches++
		}
	}
	if t.Logf("%d kills, %d of %d switches were answered", k.wait(), switches, tries); switches < 10 {
		t.Error("too few")
	}
	finish(t, ps)
	c.end()
	ok(t, stillThere(t, f))
	ok(t, f.Close())
	v.Bricks[0].WaitOpenFiles(0)
	eventually(t, 20*time.Second, "one graph is left", func() bool { return m.Status().Graphs.Live == 1 })
	if d := sessions(t, m)[0]; d.Session != 1 || d.FilesLost != 0 || d.LocksLost != 0 {
		t.Errorf("the session: %+v", d)
	}
}

// TestNoApplicationNoticesTheWorkersDeathDuringBrickRestarts: the connection is
// lost as well, and workers die while there is none.
func TestNoApplicationNoticesTheWorkersDeathDuringBrickRestarts(t *testing.T) {
	l := lab.Start(t)
	v := l.Volume("one")
	m, keeper := mountKept(t, l, v)
	// Not those that keep files open whose names they remove: those are lost.
	ps := load(t, m.Dir, "reader", "appender", "walker", "xattr", "locker", "truncater", "mmap", "direct")
	k := startKilling(t, keeper, asked(t, "HOLDFAST_TEST_KILLS", 60), 300*time.Millisecond)
	restarts := 0
	for ; k.more(10); restarts++ {
		working(t, ps)
		v.Bricks[0].Kill()
		k.more(restarts % 5)
		v.StartForce()
	}
	t.Logf("%d kills, %d brick restarts", k.wait(), restarts)
	finish(t, ps)
	v.Bricks[0].WaitOpenFiles(0)
	d := sessions(t, m)[0]
	t.Logf("%+v", d)
	if d.LocksLost != 0 || d.FilesLost != 0 || d.LocksHeld != 0 {
		t.Errorf("the session: %+v", d)
	}
}
