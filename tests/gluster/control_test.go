package gluster_test

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/tests/kill"
	"github.com/holdfast/holdfast/tests/lab"
	"github.com/holdfast/holdfast/tests/mnt"
)

// TestDeathIsNoticedWithoutTheMemory is the control: without what the process
// before has recorded the connection is lost with it, and a file without a name.
func TestDeathIsNoticedWithoutTheMemory(t *testing.T) {
	l := lab.Start(t)
	v := l.Volume("one")
	m, keeper := mountKept(t, l, v)
	f := nameless(t, m)
	ok(t, kill.AndWait(keeper))
	ok(t, stillThere(t, f))
	inTheKeepersPlace(t, keeper, func() {
		fd := keptMemory(t, keeper)
		_, err := unix.Pwrite(fd, make([]byte, slotsAt), 0)
		ok(t, errors.Join(err, unix.Close(fd)))
	})
	if err := stillThere(t, f); err == nil {
		t.Error("nothing was lost: this test would not see it")
	}
	if d := sessions(t, m)[0]; d.Resumed != 0 || d.Sessions != 1 {
		t.Errorf("the session: %+v", d)
	}
}

// inTheKeepersPlace kills the worker and does something before there is another.
func inTheKeepersPlace(t *testing.T, keeper int, do func()) {
	t.Helper()
	ok(t, unix.Kill(keeper, unix.SIGSTOP))
	goOn := func() { _ = unix.Kill(keeper, unix.SIGCONT) }
	defer goOn()
	t.Cleanup(goOn) // should the test end in between
	ok(t, kill.AndWait(keeper))
	do()
}

// TestDoublesAreNoticedWithoutTheSlots is the control of the storms: the connection
// goes on, and the next worker does not find the calls that were sent and answered.
// It does them again, and the applications notice. The same storm without that loss
// is one that they do not notice.
func TestDoublesAreNoticedWithoutTheSlots(t *testing.T) {
	t.Run("with them", func(t *testing.T) {
		if failed := controlled(t, false); len(failed) > 0 {
			t.Errorf("%q", failed)
		}
	})
	t.Run("without", func(t *testing.T) {
		if failed := controlled(t, true); len(failed) == 0 {
			t.Error("nobody has noticed: the storms would not see a request that is carried out twice")
		} else {
			t.Logf("as they must: %q", failed)
		}
	})
}

// controlled is a short storm in which the calls that were answered are listed
// after each death, and forgotten if it is said so. It returns what the applications
// have found wrong.
func controlled(t *testing.T, forget bool) (failed []string) {
	t.Helper()
	const least, most = 20, 200 // kills; and that many calls, or it may show nothing
	l := lab.Start(t)
	v := l.Volume("one")
	m, keeper := mountKept(t, l, v)
	ps := load(t, m.Dir, "appender", "walker", "xattr", "truncater")
	r := rand.New(rand.NewPCG(least, 3))
	kills, calls := 0, 0
	for ; kills < least || calls < least && kills < most; kills++ {
		serving(t, m, kills+1)
		time.Sleep(time.Duration(r.Int64N(int64(100 * time.Millisecond))))
		inTheKeepersPlace(t, keeper, func() {
			c := openConnection(t, keeper)
			defer c.close()
			slots := c.answered()
			if calls += len(slots); forget {
				c.forget(slots)
			}
		})
	}
	for _, p := range ps {
		if _, err := p.Stop(); err != nil {
			failed = append(failed, err.Error())
		}
	}
	d := sessions(t, m)[0]
	t.Logf("%d kills, %d calls that were sent and answered: %d operations; %+v", kills, calls, ops(ps), d)
	if calls < least || d.Session != 1 {
		t.Error("this shows nothing: no call, or the connection was lost")
	}
	return failed
}

// serving waits until that worker serves.
func serving(t *testing.T, m *mnt.M, worker int) {
	t.Helper()
	eventually(t, 20*time.Second, "the next worker serves", func() bool {
		s, err := m.TryStatus()
		return err == nil && s.Worker.Generation == uint64(worker)
	})
}
