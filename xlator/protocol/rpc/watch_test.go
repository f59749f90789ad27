package rpc

import (
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestWatchMissesNothing: what comes while the watch is being armed is seen, again
// and again.
func TestWatchMissesNothing(t *testing.T) {
	conn, peer := loopback(t)
	go func() { _, _ = io.Copy(peer, peer) }() // until the end
	s, err := newSocket(conn)
	if err != nil {
		t.Fatal(err)
	}
	defer s.forget()
	b := make([]byte, 16)
	if err := s.start(func() []byte { return b }); err != nil {
		t.Fatal(err)
	}
	const rounds = 20_000
	progress := make(chan struct{}, 1)
	done := make(chan error, 1)
	go func() {
		for i := range rounds {
			err := s.control(func(fd int) error { return unix.Sendto(fd, b[:1], unix.MSG_NOSIGNAL, nil) })
			for spin := 0; spin < i%64*50; spin++ { // so that the answer comes at any moment
				_ = s.flags
			}
			if err == nil {
				_, err = s.recv()
			}
			if err == nil {
				err = s.in.arm(false)
			}
			if err != nil {
				done <- err
				return
			}
			select {
			case progress <- struct{}{}:
			default:
			}
		}
		done <- nil
	}()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		case <-progress:
		case <-time.After(10 * time.Second):
			s.shutdown() // ends the wait
			<-done
			t.Fatal("the answer has come, and is not seen")
		}
	}
}
