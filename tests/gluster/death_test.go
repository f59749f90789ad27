package gluster_test

import (
	"bytes"
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

// mountKept mounts with a keeper, as users have it, and with write-behind.
func mountKept(t testing.TB, l *lab.Lab, v *lab.Volume) (m *mnt.M, keeper int) {
	t.Helper()
	text := volfile(l.Host, v.Bricks[0], "", layer{"one-write-behind", "performance/write-behind", ""})
	m = mnt.Mount(t, writeVolfile(t, text), mnt.Plain())
	if keeper = m.Status().Keeper.PID; keeper == 0 {
		t.Fatal("the mount has no keeper")
	}
	return m, keeper
}

// storm kills the worker n times, after random pauses.
func storm(t *testing.T, keeper, n int, longest time.Duration, ps []*workload.Process, also func(killed int)) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(n), 1))
	for killed := 0; killed < n; {
		time.Sleep(5*time.Millisecond + time.Duration(r.Int64N(int64(longest))))
		killed += kill.Now(keeper)
		working(t, ps)
		if also != nil {
			also(killed)
		}
	}
	t.Logf("%d kills", n)
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

// nameless is a file of ours that has no name any more.
func nameless(t *testing.T, m *mnt.M) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(m.Dir, "nameless"), os.O_RDWR|os.O_CREATE, 0o644)
	ok(t, err)
	t.Cleanup(func() { f.Close() })
	_, err = f.WriteString("still here")
	ok(t, err)
	ok(t, os.Remove(f.Name()))
	return f
}

func stillThere(t *testing.T, f *os.File) error {
	t.Helper()
	b := make([]byte, 100)
	unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	n, err := unix.Pread(int(f.Fd()), b, 0)
	if err == nil && string(b[:max(n, 0)]) != "still here" {
		err = fmt.Errorf("it reads %q", b[:n])
	}
	if err == nil {
		err = unix.Fsync(int(f.Fd()))
	}
	return err
}

// TestNoApplicationNoticesTheWorkersDeath: nor does the brick, which keeps the
// connection with everything that is open, locked and waited for.
func TestNoApplicationNoticesTheWorkersDeath(t *testing.T) { deaths(t, 100) }

// deaths kills the worker under load, by default n times.
func deaths(t *testing.T, n int) {
	t.Helper()
	l := lab.Start(t)
	v := l.Volume("one")
	m, keeper := mountKept(t, l, v)
	c := newContest(t, m, l.MountStock(v).Dir)
	f := nameless(t, m)
	ps := load(t, m.Dir, everyone...)
	storm(t, keeper, asked(t, "HOLDFAST_TEST_KILLS", n), 300*time.Millisecond, ps, nil)
	finish(t, ps)
	c.end()
	ok(t, stillThere(t, f))
	ok(t, f.Close())
	v.Bricks[0].WaitOpenFiles(0)
	s := m.Status()
	if s.Locks.Held != 0 || s.Locks.Lost != 0 {
		t.Errorf("%s", s.Raw)
	}
	d := sessions(t, m)[0]
	t.Logf("%+v", d)
	if d.Session != 1 || d.LocksLost != 0 || d.FilesLost != 0 || d.LocksHeld != 0 {
		t.Errorf("the session: %+v", d)
	}
}

// TestNoApplicationNoticesTheWorkersDeathDuringSwitches.
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
	switches := 0
	storm(t, keeper, asked(t, "HOLDFAST_TEST_KILLS", 60), 200*time.Millisecond, ps, func(killed int) {
		if _, err := m.TryReload(graphs[killed%2]); err == nil {
			switches++
		}
	})
	if t.Logf("%d switches", switches); switches < 10 {
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
// lost as well, sometimes while nobody serves.
func TestNoApplicationNoticesTheWorkersDeathDuringBrickRestarts(t *testing.T) {
	l := lab.Start(t)
	v := l.Volume("one")
	m, keeper := mountKept(t, l, v)
	// Not those that keep files open whose names they remove: those are lost.
	ps := load(t, m.Dir, "reader", "appender", "walker", "xattr", "locker", "truncater", "mmap", "direct")
	next := 10
	storm(t, keeper, asked(t, "HOLDFAST_TEST_KILLS", 60), 300*time.Millisecond, ps, func(killed int) {
		if killed < next {
			return
		}
		next = killed + 10
		v.Bricks[0].Kill()
		if killed%20 < 10 {
			kill.Now(keeper)
		}
		v.StartForce()
		// A request that dies with 25 processes is given up.
		done := ops(ps)
		eventually(t, 20*time.Second, "work goes on", func() bool { working(t, ps); return ops(ps) > done+int64(20*len(ps)) })
	})
	finish(t, ps)
	v.Bricks[0].WaitOpenFiles(0)
	d := sessions(t, m)[0]
	t.Logf("%+v", d)
	if d.LocksLost != 0 || d.FilesLost != 0 || d.LocksHeld != 0 {
		t.Errorf("the session: %+v", d)
	}
}

// TestLocksSurviveTheWorkersDeath, those that we wait for, too.
func TestLocksSurviveTheWorkersDeath(t *testing.T) {
	l := lab.Start(t)
	v := l.Volume("one")
	m, keeper := mountKept(t, l, v)
	f, err := os.OpenFile(filepath.Join(m.Dir, "f"), os.O_RDWR|os.O_CREATE, 0o644)
	ok(t, err)
	t.Cleanup(func() { f.Close() })
	ok(t, setlk(f, unix.F_SETLK, unix.F_WRLCK))
	theirs, err := os.OpenFile(filepath.Join(l.MountStock(v).Dir, "f"), os.O_RDWR, 0)
	ok(t, err)
	t.Cleanup(func() { theirs.Close() })
	for range 5 {
		ok(t, kill.AndWait(keeper))
		_, err = f.WriteAt([]byte("x"), 0)
		ok(t, err)
		if err := setlk(theirs, unix.F_SETLK, unix.F_WRLCK); !errors.Is(err, unix.EAGAIN) {
			t.Fatalf("the other client gets the lock: %v", err)
		}
	}
	ok(t, setlk(f, unix.F_SETLK, unix.F_UNLCK))
	ok(t, setlk(theirs, unix.F_SETLK, unix.F_WRLCK))
	got := make(chan error, 1)
	go func() {
		for {
			if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != unix.EINTR {
				got <- err
				return
			}
		}
	}()
	eventually(t, 10*time.Second, "it waits", func() bool { return sessions(t, m)[0].LocksWaiting == 1 })
	for range 5 {
		ok(t, kill.AndWait(keeper))
		eventually(t, 10*time.Second, "it waits again", func() bool { return sessions(t, m)[0].LocksWaiting == 1 })
	}
	select {
	case err := <-got:
		t.Fatalf("granted beside the other client: %v", err)
	default:
	}
	ok(t, setlk(theirs, unix.F_SETLK, unix.F_UNLCK))
	select {
	case err := <-got:
		ok(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("not granted")
	}
	if err := setlk(theirs, unix.F_SETLK, unix.F_WRLCK); !errors.Is(err, unix.EAGAIN) {
		t.Fatalf("the other client gets the lock that we were granted: %v", err)
	}
	if d := sessions(t, m)[0]; d.Session != 1 || d.LocksHeld != 1 {
		t.Errorf("the session: %+v", d)
	}
	ok(t, f.Close())
	v.Bricks[0].WaitOpenFiles(1) // the stock client's
}

// TestDeathIsNoticedWithoutTheMemory is the control: without what the process
// before has recorded the connection is lost with it, and a file without a name.
func TestDeathIsNoticedWithoutTheMemory(t *testing.T) {
	l := lab.Start(t)
	v := l.Volume("one")
	m, keeper := mountKept(t, l, v)
	f := nameless(t, m)
	ok(t, kill.AndWait(keeper))
	ok(t, stillThere(t, f))
	ok(t, unix.Kill(keeper, unix.SIGSTOP))
	t.Cleanup(func() { _ = unix.Kill(keeper, unix.SIGCONT) }) // should the test end before
	ok(t, kill.AndWait(keeper))
	wipe(t, keeper)
	ok(t, unix.Kill(keeper, unix.SIGCONT))
	if err := stillThere(t, f); err == nil {
		t.Error("nothing was lost: this test would not see it")
	}
	if d := sessions(t, m)[0]; d.Resumed != 0 || d.Sessions != 1 {
		t.Errorf("the session: %+v", d)
	}
}

// wipe makes the memory of the keeper's connection one that nobody has used.
func wipe(t *testing.T, keeper int) {
	t.Helper()
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", keeper))
	ok(t, err)
	n := 0
	for _, fd := range fds {
		name, err := os.Readlink(fd)
		if err != nil || !strings.Contains(name, "memfd:holdfast-brick") {
			continue
		}
		f, err := os.OpenFile(fd, os.O_RDWR, 0)
		ok(t, err)
		_, err = f.WriteAt(bytes.Repeat([]byte{0}, 4096), 0)
		ok(t, errors.Join(err, f.Close()))
		n++
	}
	if n != 1 {
		t.Fatalf("the keeper has the memory of %d connections", n)
	}
}

// inTheGap has a stock client use the time in which there is neither a process of
// ours nor its connection, while we have a lock. Then there is one again.
func inTheGap(t *testing.T, use func(theirs *os.File)) (m *mnt.M, ours, theirs *os.File) {
	t.Helper()
	l := lab.Start(t)
	v := l.Volume("one")
	r := l.Relay()
	gate := r.Brick(v.Bricks[0])
	m = mnt.Mount(t, writeVolfile(t, volfile(r.Host, v.Bricks[0], "")), mnt.Plain())
	keeper := m.Status().Keeper.PID
	var err error
	ours, err = os.OpenFile(filepath.Join(m.Dir, "f"), os.O_RDWR|os.O_CREATE, 0o644)
	ok(t, err)
	t.Cleanup(func() { ours.Close() })
	ok(t, setlk(ours, unix.F_SETLK, unix.F_WRLCK))
	_, err = ours.WriteString("some bytes")
	ok(t, err)
	theirs, err = os.OpenFile(filepath.Join(l.MountStock(v).Dir, "f"), os.O_RDWR, 0)
	ok(t, err)
	t.Cleanup(func() { theirs.Close() })
	ok(t, unix.Kill(keeper, unix.SIGSTOP))
	t.Cleanup(func() { _ = unix.Kill(keeper, unix.SIGCONT) }) // should the test end before
	ok(t, kill.AndWait(keeper))
	gate.Refuse()
	gate.Reset()
	eventually(t, 10*time.Second, "our lock is gone", func() bool { return setlk(theirs, unix.F_SETLK, unix.F_WRLCK) == nil })
	use(theirs)
	ok(t, gate.Accept())
	ok(t, unix.Kill(keeper, unix.SIGCONT))
	return m, ours, theirs
}

// lostInTheGap fails the test unless the file is LOST.
func lostInTheGap(t *testing.T, m *mnt.M, ours *os.File) {
	t.Helper()
	if _, err := ours.WriteAt([]byte("x"), 0); !errors.Is(err, unix.EIO) {
		t.Errorf("write: %v", err)
	}
	if err := setlk(ours, unix.F_SETLK, unix.F_WRLCK); err != unix.EBADFD {
		t.Errorf("lock: %v", err)
	}
	if d := sessions(t, m)[0]; d.LocksLost != 1 {
		t.Errorf("the session: %+v", d)
	}
	f, err := os.OpenFile(ours.Name(), os.O_RDWR, 0) // another open is not concerned
	ok(t, err)
	_, err = f.WriteAt([]byte("y"), 0)
	ok(t, errors.Join(err, f.Close()))
}

func TestFileIsLostWhoseLockSomebodyElseHasGotFromTheDead(t *testing.T) {
	m, ours, _ := inTheGap(t, func(*os.File) {})
	lostInTheGap(t, m, ours)
}

func TestFileIsLostThatWasChangedAfterADeath(t *testing.T) {
	m, ours, _ := inTheGap(t, func(theirs *os.File) {
		_, err := theirs.WriteAt([]byte("other"), 0)
		ok(t, err)
		ok(t, setlk(theirs, unix.F_SETLK, unix.F_UNLCK))
	})
	lostInTheGap(t, m, ours)
}

func TestLockComesBackAfterADeathIfNothingHappened(t *testing.T) {
	m, ours, theirs := inTheGap(t, func(theirs *os.File) { ok(t, setlk(theirs, unix.F_SETLK, unix.F_UNLCK)) })
	_, err := ours.WriteAt([]byte("more"), 0)
	ok(t, err)
	if err := setlk(theirs, unix.F_SETLK, unix.F_WRLCK); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("the other client gets the lock: %v", err)
	}
	ok(t, setlk(ours, unix.F_SETLK, unix.F_UNLCK))
	ok(t, setlk(theirs, unix.F_SETLK, unix.F_WRLCK))
	if d := sessions(t, m)[0]; d.LocksLost != 0 || d.Relocked != 1 {
		t.Errorf("the session: %+v", d)
	}
}
