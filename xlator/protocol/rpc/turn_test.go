package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// echo answers each call with its arguments. last is the connection of the last.
func echo(t *testing.T) (s *server, last *atomic.Pointer[serverConn]) {
	t.Helper()
	last = &atomic.Pointer[serverConn]{}
	return serve(t, "tcp", "127.0.0.1:0", func(r *served) {
		last.Store(r.conn)
		r.reply(r.args)
	}), last
}

// callOnce makes a call that must be answered with its number.
func callOnce(t *testing.T, c *Conn, n uint64) {
	t.Helper()
	r := &Request{Prog: 7, Proc: 1, Args: words64(n)}
	rep, err := c.Call(within(t), r)
	if err != nil {
		t.Fatal(err)
	}
	if got := binary.BigEndian.Uint64(rep.Body); got != n {
		t.Fatalf("the reply to call %d is that to %d", n, got)
	}
	rep.Release()
}

// own is the number of calls that have received for themselves.
func own(c *Conn) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sock.turn.own
}

// aside makes calls until they receive for themselves.
func aside(t *testing.T, c *Conn) {
	t.Helper()
	for n := range uint64(100_000) {
		if callOnce(t, c, n); own(c) > 0 {
			return
		}
	}
	t.Fatal("no call receives for itself")
}

func TestCallsOneAfterTheOtherReceiveForThemselves(t *testing.T) {
	s, _ := echo(t)
	c := connect(t, s, small(), Options{})
	const calls = 2000
	for n := range uint64(calls) {
		callOnce(t, c, n)
	}
	if n := own(c); n < calls/2 {
		t.Errorf("%d of %d calls have", n, calls)
	}
}

func TestCallsAloneAndTogetherGetTheirReplies(t *testing.T) {
	s, _ := echo(t)
	c := connect(t, s, small(), Options{})
	for round := range uint64(30) {
		aside(t, c)
		var wg sync.WaitGroup
		for g := range uint64(4) {
			wg.Go(func() {
				for n := range 20 * (g + 1) { // the last is alone again
					callOnce(t, c, round<<32|g<<16|n)
				}
			})
		}
		wg.Wait()
	}
}

// What the server says by itself comes although no call is under way that would
// receive it.
func TestCallbackComesWhileTheReaderIsAside(t *testing.T) {
	s, server := echo(t)
	got := make(chan Callback, 1)
	c := connect(t, s, small(), Options{OnCallback: func(cb Callback) { got <- cb }})
	for range 20 {
		aside(t, c)
		server.Load().send(framed(words32(1, msgCall, rpcVersion, 52743234, 1, 5, 0, 0, 0, 0)))
		select {
		case <-got:
		case <-time.After(10 * time.Second):
			t.Fatal("no callback")
		}
	}
}

func TestLossIsNoticedWhileTheReaderIsAside(t *testing.T) {
	s, server := echo(t)
	c := connect(t, s, small(), Options{})
	aside(t, c)
	if err := server.Load().Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.Lost():
	case <-time.After(10 * time.Second):
		t.Fatal("nobody notices")
	}
}

// A server that stops answering has the call that receives for itself wait as
// others do: it can be left, lost and answered late.
func TestCallThatReceivesForItselfCanBeLeft(t *testing.T) {
	var slow atomic.Pointer[served]
	var hold atomic.Bool
	held := make(chan struct{}, 1)
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) {
		if hold.Load() {
			slow.Store(r)
			held <- struct{}{}
			return
		}
		r.reply(r.args)
	})
	c := connect(t, s, small(), Options{})
	for i, end := range []string{"cancel", "answer", "drop"} {
		unique := uint64(2 * (i + 1))
		aside(t, c)
		hold.Store(true)
		ctx, cancel := context.WithCancel(within(t))
		done := make(chan error, 1)
		go func() {
			rep, err := c.Call(ctx, &Request{Unique: unique, Step: 1, Prog: 7, Proc: 1, Args: words64(1)})
			rep.Release()
			done <- err
		}()
		<-held
		hold.Store(false)
		var want error
		switch end {
		case "cancel":
			cancel()
			want = ErrOutstanding
		case "answer":
			time.AfterFunc(5*turnLimit, func() { slow.Load().reply(words64(1)) })
		case "drop":
			c.Drop(syscall.EPIPE)
			want = syscall.ENOTCONN
		}
		select {
		case err := <-done:
			if !errors.Is(err, want) {
				t.Errorf("%s: %v", end, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: the call waits on", end)
		}
		cancel()
		if end == "cancel" { // the reply is still to come
			callOnce(t, c, 7)
			slow.Load().reply(words64(1))
		}
		c.End(unique)
	}
}

// A wait for a lock does not keep the reader busy, and is answered all the same.
func TestWaitIsAnsweredWhileOthersReceiveForThemselves(t *testing.T) {
	waits := make(chan *served, 1)
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) {
		if r.proc == 2 {
			waits <- r
			return
		}
		r.reply(r.args)
	})
	c := connect(t, s, small(), Options{})
	done := make(chan error, 1)
	go func() {
		rep, err := c.Call(within(t), &Request{Prog: 7, Proc: 2, Args: words64(1), Waits: true})
		rep.Release()
		done <- err
	}()
	lock := <-waits
	before := own(c)
	for n := range uint64(2000) {
		callOnce(t, c, n)
	}
	if own(c)-before < 1000 {
		t.Error("the wait keeps the reader busy")
	}
	lock.reply(words64(1))
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the wait is not answered")
	}
}
