package gluster_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/tests/kill"
	"github.com/holdfast/holdfast/tests/lab"
	"github.com/holdfast/holdfast/tests/mnt"
)

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

// heldOpen is an open that the brick has carried out, and whose answer is held back
// by a gate in the graph.
type heldOpen struct {
	brick  *lab.Brick
	keeper int
	first  *os.File // what was open before
	gate   string
	opened chan error // gets the result, after the close
}

// holdOpen makes one, with that layer above the gate.
func holdOpen(t *testing.T, above layer) *heldOpen {
	t.Helper()
	l := lab.Start(t)
	v := l.Volume("one")
	h := &heldOpen{brick: v.Bricks[0], gate: filepath.Join(t.TempDir(), "gate"), opened: make(chan error, 1)}
	gate := layer{"one-gate", "debug/delay-gen", "    option gate " + h.gate + "\n    option enable open\n    option where after\n"}
	m := mnt.Mount(t, writeVolfile(t, volfile(l.Host, h.brick, "", gate, above)), mnt.Plain())
	h.keeper = m.Status().Keeper.PID
	name := filepath.Join(m.Dir, "f")
	ok(t, os.WriteFile(name, []byte("text"), 0o644))
	var err error
	h.first, err = os.Open(name)
	ok(t, err)
	t.Cleanup(func() { h.first.Close() })
	h.brick.WaitOpenFiles(1)
	ok(t, os.WriteFile(h.gate, nil, 0o644))
	t.Cleanup(func() { os.Remove(h.gate) }) // should the test end before
	go func() {
		f, err := os.Open(name)
		if err == nil {
			err = f.Close()
		}
		h.opened <- err
	}()
	h.brick.WaitOpenFiles(2)
	return h
}

// result waits for the result.
func (h *heldOpen) result(t *testing.T) error {
	t.Helper()
	select {
	case err := <-h.opened:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("the open is not answered")
		return nil
	}
}

// TestOpenIsUndoneThatIsAnsweredWithoutTheBrick: a worker dies over an open that it
// has asked the brick for, because the file was open already. The next one answers
// it early.
func TestOpenIsUndoneThatIsAnsweredWithoutTheBrick(t *testing.T) {
	h := holdOpen(t, layer{"one-open-behind", "performance/open-behind", "    option lazy-open no\n"})
	inTheKeepersPlace(t, h.keeper, func() { ok(t, os.Remove(h.gate)) })
	ok(t, h.result(t))
	ok(t, h.first.Close())
	h.brick.WaitOpenFiles(0)
}

// TestOpenIsUndoneThatIsGivenUp, because workers crash over it.
func TestOpenIsUndoneThatIsGivenUp(t *testing.T) {
	h := holdOpen(t, layer{"one-write-behind", "performance/write-behind", ""})
	for given := false; !given; {
		ok(t, kill.Crash(h.keeper))
		select {
		case err := <-h.opened:
			if given = true; !errors.Is(err, unix.EIO) {
				t.Errorf("the open: %v", err)
			}
		case <-time.After(500 * time.Millisecond): // the next worker has it
		}
	}
	h.brick.WaitOpenFiles(1)
	ok(t, os.Remove(h.gate))
	ok(t, h.first.Close())
	h.brick.WaitOpenFiles(0)
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
