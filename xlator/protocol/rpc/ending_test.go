package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestCallLeftEarlyIsAttachedToAndNotSentAgain(t *testing.T) {
	arrived := make(chan *served, 4)
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) { arrived <- r })
	c := connect(t, s, small(), Options{})
	r := &Request{Unique: 8, Step: 1, Prog: 7, Args: []byte("lock")}
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := c.Call(ctx, r)
		left <- err
	}()
	call := <-arrived
	cancel()
	if err := <-left; !errors.Is(err, ErrOutstanding) || !errors.Is(err, context.Canceled) {
		t.Fatalf("left with %v", err)
	}
	// Once attached before the reply, once after it.
	got := make(chan Reply)
	go func() {
		rep, err := c.Call(within(t), r)
		if err != nil {
			t.Error(err)
		}
		got <- rep
	}()
	waitFor(t, c, func() bool { return c.find(8, 1).waiting })
	call.reply([]byte("granted!"))
	rep := <-got
	if string(rep.Body) != "granted!" {
		t.Errorf("got %q", rep.Body)
	}
	rep.Release()
	again, err := c.Call(within(t), r)
	if err != nil || string(again.Body) != "granted!" {
		t.Errorf("the recorded reply is %q, %v", again.Body, err)
	}
	again.Release()
	if len(arrived) != 0 {
		t.Error("the call was sent twice")
	}
	c.End(8)
	empty(t, c)
}

// waitFor waits until something holds under the Conn's mutex; it is looked at
// whenever the Conn is left alone.
func waitFor(t *testing.T, c *Conn, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; runtime.Gosched() {
		c.mu.Lock()
		ok := holds()
		c.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("waited for 20 s")
		}
	}
}

func TestOrphansReplyIsHandedOverToBeUndone(t *testing.T) {
	arrived := make(chan *served, 4)
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) { arrived <- r })
	for _, own := range []bool{true, false} {
		var c *Conn
		undone := make(chan Orphan, 1)
		c = connect(t, s, small(), Options{OnOrphan: func(o Orphan) {
			rep, err := c.Call(within(t), &Request{Unique: o.Unique, Step: o.Step | UndoStep, Prog: 7, Proc: 2, Args: o.Args})
			if err != nil {
				t.Error(err)
			}
			rep.Release()
			o.Args, o.Reply = bytes.Clone(o.Args), bytes.Clone(o.Reply)
			undone <- o
		}})
		ctx, cancel := context.WithCancel(t.Context())
		r := &Request{Unique: 9, Step: 1, Prog: 7, Vers: 4, Proc: 1, Args: []byte("lock"), Cred: Cred{Groups: []uint32{3}}, Waits: true}
		if own {
			r.Unique, r.Step = 0, 0
		}
		left := make(chan error)
		go func() {
			_, err := c.Call(ctx, r)
			left <- err
		}()
		call := <-arrived
		cancel()
		<-left
		if !own {
			c.End(9)
		}
		call.reply([]byte("granted!"))
		undo := <-arrived
		if undo.proc != 2 || string(undo.args) != "lock" {
			t.Errorf("undone by procedure %d of %q", undo.proc, undo.args)
		}
		undo.reply()
		o := <-undone
		if o.Prog != 7 || o.Vers != 4 || o.Proc != 1 || string(o.Args) != "lock" || string(o.Reply) != "granted!" || o.Reject != 0 {
			t.Errorf("orphan %+v", o)
		}
		waitFor(t, c, func() bool { return len(c.free) == len(c.calls) })
		empty(t, c)
	}
}

func TestReplyNobodyTookIsAnOrphanAtTheEnd(t *testing.T) {
	arrived := make(chan *served, 1)
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) { arrived <- r })
	orphans := make(chan uint32, 1)
	c := connect(t, s, small(), Options{OnOrphan: func(o Orphan) { orphans <- o.Step }})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		call := <-arrived
		cancel()
		waitFor(t, c, func() bool { return !c.find(4, 1).waiting })
		call.reply()
	}()
	if _, err := c.Call(ctx, &Request{Unique: 4, Step: 1, Prog: 7}); !errors.Is(err, ErrOutstanding) {
		t.Fatal(err)
	}
	waitFor(t, c, func() bool { return c.find(4, 1).phase == kept })
	c.End(4)
	if step := <-orphans; step != 1 {
		t.Errorf("orphan of step %d", step)
	}
	waitFor(t, c, func() bool { return len(c.free) == len(c.calls) })
	empty(t, c)
}

// TestPayloadOfALeftCallIsSentAsItWas: who leaves may use his buffer again, and
// the server still gets what was in it.
func TestPayloadOfALeftCallIsSentAsItWas(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := Dial(t.Context(), "tcp", l.Addr().String(), SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mem, err := Private(small())
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(mem, conn, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, c, mem)
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()

	payload := bytes.Repeat([]byte("as it was"), 3<<20) // more than both sockets take
	want := bytes.Clone(payload)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		waitFor(t, c, func() bool { return c.written > 0 })
		cancel()
	}()
	if _, err := c.Call(ctx, &Request{Unique: 3, Step: 1, Prog: 7, Payload: payload}); !errors.Is(err, ErrOutstanding) {
		t.Fatal(err)
	}
	clear(payload)
	got := make([]byte, c.find(3, 1).length())
	if _, err := io.ReadFull(server, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got[len(got)-len(want):], want) {
		t.Error("what was sent is not what was there when the call was made")
	}
}

func TestLargeRepliesWaitForRoomInTheRing(t *testing.T) {
	const n = 200 << 10 // three of them fit beside what is reserved
	var mu sync.Mutex
	var now, most int
	arrived := make(chan *served, 32)
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		arrived <- r
	})
	c := connect(t, s, small(), Options{})
	var wg sync.WaitGroup
	for range 24 {
		wg.Go(func() {
			rep, err := c.Call(within(t), &Request{Prog: 7, MaxReply: n + 4})
			if err != nil {
				t.Error(err)
				return
			}
			if len(rep.Body) != n {
				t.Errorf("%d bytes", len(rep.Body))
			}
			mu.Lock()
			now--
			mu.Unlock()
			rep.Release()
		})
	}
	for range 24 {
		(<-arrived).reply(make([]byte, n))
	}
	wg.Wait()
	if most > 3 || most < 2 {
		t.Errorf("%d large replies were expected or held at once", most)
	}
	empty(t, c)
}

// TestWaitForRoomEndsWithTheContext: what was not sent can be given up.
func TestWaitForRoomEndsWithTheContext(t *testing.T) {
	arrived := make(chan *served, 4)
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) { arrived <- r })
	c := connect(t, s, small(), Options{})
	first := make(chan error)
	go func() {
		_, err := c.Call(t.Context(), &Request{Prog: 7, MaxReply: 700 << 10})
		first <- err
	}()
	<-arrived
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := c.Call(ctx, &Request{Prog: 7, MaxReply: 700 << 10})
	if !errors.Is(err, syscall.ETIMEDOUT) || errors.Is(err, ErrOutstanding) {
		t.Errorf("ended with %v", err)
	}
	c.Drop(errors.New("enough"))
	if err := <-first; !errors.Is(err, syscall.ENOTCONN) {
		t.Error(err)
	}
	empty(t, c)
}

// TestLockWaitsLeaveRoomForUnlocks: as many waits as there are slots, and the
// unlock still gets through.
func TestLockWaitsLeaveRoomForUnlocks(t *testing.T) {
	var mu sync.Mutex
	var waiting []*served
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case r.proc == 1:
			waiting = append(waiting, r)
		default: // an unlock grants one
			r.reply()
			if len(waiting) > 0 {
				waiting[0].reply()
				waiting = waiting[1:]
			}
		}
	})
	c := connect(t, s, small(), Options{})
	var wg sync.WaitGroup
	for range 2 * c.layout().Slots {
		wg.Go(func() {
			rep, err := c.Call(within(t), &Request{Prog: 7, Proc: 1, Waits: true})
			if err != nil {
				t.Error(err)
			}
			rep.Release()
		})
	}
	granted := make(chan struct{})
	go func() { wg.Wait(); close(granted) }()
	for {
		rep, err := c.Call(within(t), &Request{Prog: 7, Proc: 2})
		if err != nil {
			t.Fatal(err)
		}
		rep.Release()
		select {
		case <-granted:
			empty(t, c)
			return
		default:
		}
	}
}

func TestReleasedRepliesAreKeptUntilEnd(t *testing.T) {
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) { r.reply(bytes.Repeat(r.args, 1000)) })
	c := connect(t, s, Layout{Slots: 256, Ring: 1 << 20}, Options{})
	sizes := []int{1, 4, 5, 30, 60, 300} // the last is too long to be kept
	const rounds = 3
	for round := range rounds {
		for step, size := range sizes {
			args := bytes.Repeat([]byte{byte(step), 1}, size)
			rep, err := c.Call(within(t), &Request{Unique: 6, Step: uint32(step + 1), Prog: 7, Args: args, MaxReply: 1000*len(args) + 4})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(rep.Body, bytes.Repeat(args, 1000)) {
				t.Errorf("round %d: reply of %d bytes is not what was sent", round, len(rep.Body))
			}
			rep.Release()
			rep.Release()
		}
	}
	if x, want := c.hdr.load(hdrXid), uint64(len(sizes)+rounds-1); x != want {
		t.Errorf("%d calls were sent, want %d", x, want)
	}
	c.End(6)
	empty(t, c)
}

func TestForgottenStepIsSentAgain(t *testing.T) {
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) { r.reply() })
	c := connect(t, s, small(), Options{})
	for range 2 {
		rep, err := c.Call(within(t), &Request{Unique: 6, Step: 1, Prog: 7})
		if err != nil {
			t.Fatal(err)
		}
		rep.Forget()
	}
	if x := c.hdr.load(hdrXid); x != 2 {
		t.Errorf("%d calls were sent", x)
	}
	empty(t, c)
}

func TestCallbacksComeInOrderAndMayCall(t *testing.T) {
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) {
		if r.proc == 1 {
			for i := range uint32(100) {
				r.conn.send(framed(words32(i, msgCall, rpcVersion, 52743234, 1, 5, 0, 0, 0, 0, i)))
			}
		}
		r.reply()
	})
	var c *Conn
	var got []byte
	done := make(chan struct{})
	c = connect(t, s, small(), Options{OnCallback: func(cb Callback) {
		if cb.Prog != 52743234 || cb.Vers != 1 || cb.Proc != 5 || len(cb.Args) != 4 {
			t.Errorf("callback %+v", cb)
		}
		got = append(got, cb.Args[3])
		rep, err := c.Call(within(t), &Request{Prog: 7})
		if err != nil {
			t.Error(err)
		}
		rep.Release()
		if len(got) == 100 {
			close(done)
		}
	}})
	rep, err := c.Call(within(t), &Request{Prog: 7, Proc: 1})
	if err != nil {
		t.Fatal(err)
	}
	rep.Release()
	<-done
	for i, b := range got {
		if int(b) != i {
			t.Fatalf("callback %d came as number %d", b, i)
		}
	}
}
