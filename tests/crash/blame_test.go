package crash

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/tests/kill"
	"github.com/holdfast/holdfast/tests/mnt"
)

// unanswered is a mount with a mkdir that waits, in this process and the next.
type unanswered struct {
	*gated
	answer chan error
}

func newUnanswered(t *testing.T) *unanswered {
	t.Helper()
	u := &unanswered{newGated(t), make(chan error, 1)}
	u.write("mkdir", "before")
	u.Reload("")
	u.close()
	t.Cleanup(func() { os.Remove(u.gate) }) // should the test end before
	go func() { u.answer <- os.Mkdir(in(u.Dir, "d"), 0o755) }()
	eventually(t, 10*time.Second, "the mkdir waits at the gate", func() bool { return u.waiting() == 1 })
	return u
}

// die ends the worker, and returns what the next has made of the request.
func (u *unanswered) die(end func(keeper int) error) (s mnt.Status) {
	u.t.Helper()
	before := u.Status().Worker.Generation
	must(u.t, end(u.keeper))
	eventually(u.t, 20*time.Second, "the next worker has found the request", func() bool {
		var err error
		s, err = u.TryStatus()
		return err == nil && s.Worker.Generation > before && s.Recovery.ByKind["again"]+s.Recovery.ByKind["poison"] > 0
	})
	return s
}

// answered waits for the answer.
func (u *unanswered) answered() error {
	u.t.Helper()
	select {
	case err := <-u.answer:
		return err
	case <-time.After(20 * time.Second):
		u.t.Fatal("the mkdir is not answered")
		return nil
	}
}

// TestRequestIsNotBlamedForKills: it just waits, however often the worker is
// killed meanwhile.
func TestRequestIsNotBlamedForKills(t *testing.T) {
	u := newUnanswered(t)
	for range 70 {
		if s := u.die(kill.AndWait); s.Recovery.ByKind["poison"] != 0 {
			t.Fatalf("it was given up after %d deaths", s.Worker.Deaths)
		}
	}
	u.open()
	must(t, u.answered())
	_, err := os.Stat(in(u.brick, "d"))
	must(t, err)
}

// TestRequestIsBlamedForCrashes: it is there each time that a worker ends by
// itself, and is given up, so that the mount goes on.
func TestRequestIsBlamedForCrashes(t *testing.T) {
	u := newUnanswered(t)
	for crashes := 1; u.die(kill.Crash).Recovery.ByKind["poison"] == 0; crashes++ {
		if crashes == 10 {
			t.Fatal("it is carried out again and again")
		}
	}
	if err := u.answered(); !errors.Is(err, syscall.EIO) {
		t.Errorf("the answer is %v", err)
	}
	_, err := os.ReadDir(u.Dir)
	must(t, err)
}
