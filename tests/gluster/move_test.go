package gluster_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/tests/kill"
	"github.com/holdfast/holdfast/tests/lab"
	"github.com/holdfast/holdfast/tests/mnt"
)

// TestLocksMoveToAnotherSession: the new graph names the brick by another address,
// so it has a session of its own. Locks are never free in between.
func TestLocksMoveToAnotherSession(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	v := l.Volume("one")
	r := l.Relay()
	r.Brick(v.Bricks[0])
	vol := writeVolfile(t, volfile(l.Host, v.Bricks[0], ""))
	m := mnt.Mount(t, vol, mnt.Plain())
	keeper := m.Status().Keeper.PID
	f := nameless(t, m)
	ours, err := os.OpenFile(filepath.Join(m.Dir, "f"), os.O_RDWR|os.O_CREATE, 0o644)
	ok(t, err)
	t.Cleanup(func() { ours.Close() })
	_, err = ours.WriteString("some bytes")
	ok(t, err)
	lock := unix.Flock_t{Type: unix.F_WRLCK, Len: 10}
	ok(t, unix.FcntlFlock(ours.Fd(), unix.F_SETLK, &lock))
	second, err := os.OpenFile(ours.Name(), os.O_RDWR, 0) // another owner, with a lock beside it
	ok(t, err)
	t.Cleanup(func() { second.Close() })
	beside := unix.Flock_t{Type: unix.F_RDLCK, Start: 20, Len: 10}
	ok(t, unix.FcntlFlock(second.Fd(), unix.F_OFD_SETLK, &beside))
	theirs, err := os.OpenFile(filepath.Join(l.MountStock(v).Dir, "f"), os.O_RDWR, 0)
	ok(t, err)
	t.Cleanup(func() { theirs.Close() })
	stolen, stop := make(chan error, 1), make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				stolen <- nil
				return
			case <-time.After(2 * time.Millisecond):
			}
			want := lock
			if err := unix.FcntlFlock(theirs.Fd(), unix.F_SETLK, &want); !errors.Is(err, unix.EAGAIN) {
				stolen <- errors.Join(errors.New("stolen"), err)
				return
			}
		}
	}()
	for i := range 4 {
		host := l.Host
		if i%2 == 0 {
			host = r.Host
		}
		ok(t, os.WriteFile(vol, []byte(volfile(host, v.Bricks[0], "")), 0o644))
		m.Reload(vol)
		_, err = ours.WriteAt([]byte("other"), 0)
		ok(t, err)
		again := lock
		ok(t, unix.FcntlFlock(ours.Fd(), unix.F_SETLK, &again))
		if i == 0 { // it cannot move, and works where it is
			ok(t, stillThere(t, f))
			if s := m.Status(); s.Graphs.Live != 2 || s.Files.Pinned != 1 {
				t.Errorf("%s", s.Raw)
			}
			ok(t, f.Close())
		}
		m.WaitStatus(30*time.Second, "one graph is left", func(s mnt.Status) bool { return s.Graphs.Live == 1 })
		d := sessions(t, m)
		if len(d) != 1 || d[0].Moved != 2 || d[0].LocksHeld != 2 {
			t.Errorf("the sessions: %+v", d)
		}
	}
	ok(t, kill.AndWait(keeper))
	_, err = ours.WriteAt([]byte("third"), 0)
	ok(t, err)
	close(stop)
	ok(t, <-stolen)
	lock.Type = unix.F_UNLCK
	ok(t, unix.FcntlFlock(ours.Fd(), unix.F_SETLK, &lock))
	lock.Type = unix.F_WRLCK
	ok(t, unix.FcntlFlock(theirs.Fd(), unix.F_SETLK, &lock))
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(theirs.Fd(), unix.F_SETLK, &whole); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("the other lock is gone: %v", err)
	}
	ok(t, second.Close())
	ok(t, ours.Close())
	// The kernel does not wait for RELEASE, which is what ends second's lock.
	eventually(t, 10*time.Second, "the file is free", func() bool {
		return unix.FcntlFlock(theirs.Fd(), unix.F_SETLK, &whole) == nil
	})
	v.Bricks[0].WaitOpenFiles(1) // the stock client's
}
