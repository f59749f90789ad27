package keeper

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fuse"
)

// told is a Link whose keeper is answer, which gets each Notify.
func told(t *testing.T, notifies bool, answer func(keeper *Conn, m Message)) *Link {
	t.Helper()
	worker, far, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(far.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err == nil {
		err = far.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	keeper, err := NewConn(fd)
	if err != nil {
		t.Fatal(err)
	}
	l := newLink(Message{})
	go func() {
		for range l.News() {
		}
	}()
	l.at = &attachment{conn: worker, notifies: notifies}
	l.listen(l.at)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			m, _, err := keeper.Receive()
			if err != nil {
				return
			}
			answer(keeper, m)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		close(l.news)
		keeper.Close()
		<-done
	})
	return l
}

func TestKeeperTellsTheKernel(t *testing.T) {
	data := []byte("messages")
	l := told(t, true, func(keeper *Conn, m Message) {
		if m.Kind != Notify || !bytes.Equal(m.Data, data) {
			t.Errorf("the keeper got %+v", m)
		}
		_ = keeper.Send(Message{Kind: Notified, Serial: m.Serial - 1}) // one that was given up
		_ = keeper.Send(Message{Kind: OK})                             // another answer
		a := Message{Kind: Notified, Serial: m.Serial}
		if m.Serial == 2 {
			a.Error = "no"
		}
		_ = keeper.Send(a)
	})
	for i, want := range []bool{false, true, false} {
		done, err := l.Notify(data, nil)
		if !done || (err != nil) != want {
			t.Errorf("call %d: done %v, %v", i, done, err)
		}
	}
}

func TestWorkerTellsTheKernelItselfWhereNoKeeperDoes(t *testing.T) {
	old := told(t, false, func(_ *Conn, m Message) { t.Errorf("an old keeper got %+v", m) })
	lost := told(t, true, func(keeper *Conn, _ Message) { keeper.Close() })
	none := newLink(Message{})
	for name, l := range map[string]*Link{"old": old, "lost": lost, "none": none} {
		if done, err := l.Notify(nil, nil); done || err != nil {
			t.Errorf("%s: done %v, %v", name, done, err)
		}
	}
	none.Close()
}

func TestWorkerThatEndsDoesNotWaitForTheKernel(t *testing.T) {
	quit := make(chan struct{})
	l := told(t, true, func(*Conn, Message) { close(quit) })
	if done, err := l.Notify(nil, quit); !done || err != nil {
		t.Errorf("done %v, %v", done, err)
	}
}

func TestOnlyNotificationsAreWritten(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	message := func(length, unique byte) []byte {
		b := make([]byte, 20)
		b[0], b[4], b[8] = length, 2, unique
		return b
	}
	good := append(message(20, 0), message(20, 0)...)
	if err := fuse.WriteNotifications(int(w.Fd()), good); err != nil {
		t.Error(err)
	}
	got := make([]byte, 100)
	if n, err := r.Read(got); n != len(good) || err != nil || !bytes.Equal(got[:n], good) {
		t.Errorf("%d bytes, %v", n, err)
	}
	for name, bad := range map[string][]byte{
		"a reply": message(20, 6), "too short": message(15, 0), "longer than it is": message(21, 0), "no head": make([]byte, 15),
	} {
		if err := fuse.WriteNotifications(int(w.Fd()), bad); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if n, _ := r.Read(got); n != 0 {
		t.Errorf("%d bytes were written", n)
	}
}
