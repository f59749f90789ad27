package rpc

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestSilentServerCostsTheConnectionAfterThePingTimeout(t *testing.T) {
	var pings atomic.Int32
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) {
		if r.prog == dumpProg && r.vers == dumpVers && r.proc == dumpPing {
			pings.Add(1)
		}
	})
	const timeout = 200 * time.Millisecond
	c := connect(t, s, small(), Options{PingTimeout: timeout})
	begin := time.Now()
	_, err := c.Call(within(t), &Request{Prog: 7})
	if took := time.Since(begin); took < timeout {
		t.Errorf("given up after %v", took)
	}
	if !errors.Is(err, syscall.ENOTCONN) || !errors.Is(err, errPing) {
		t.Errorf("got %v", err)
	}
	if pings.Load() != 1 {
		t.Errorf("%d pings", pings.Load())
	}
}

// TestServerThatAnswersPingsMayTakeItsTime: a lock wait is no silence.
func TestServerThatAnswersPingsMayTakeItsTime(t *testing.T) {
	var waiting *served
	pings := 0
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) {
		if r.prog != dumpProg {
			waiting = r
			return
		}
		r.reply(make([]byte, 12))
		if pings++; pings == 4 {
			waiting.reply()
		}
	})
	c := connect(t, s, small(), Options{PingTimeout: 300 * time.Millisecond})
	rep, err := c.Call(within(t), &Request{Prog: 7, Waits: true})
	if err != nil {
		t.Fatal(err)
	}
	rep.Release()
	waitFor(t, c, func() bool { return c.outstanding == 0 })
	empty(t, c)
}

// TestIdleConnectionIsNotPinged: what the server gets is all that was asked.
func TestIdleConnectionIsNotPinged(t *testing.T) {
	var calls atomic.Int32
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) { calls.Add(1); r.reply() })
	idle := connect(t, s, small(), Options{PingTimeout: 400 * time.Millisecond})
	// Another connection that is pinged says that time has passed.
	silent := serve(t, "tcp", "127.0.0.1:0", func(r *served) {})
	busy := connect(t, silent, small(), Options{PingTimeout: 800 * time.Millisecond})
	if _, err := busy.Call(within(t), &Request{Prog: 7}); !errors.Is(err, errPing) {
		t.Fatal(err)
	}
	rep, err := idle.Call(within(t), &Request{Prog: 7})
	if err != nil {
		t.Fatal(err)
	}
	rep.Release()
	if n := calls.Load(); n > 2 { // one may be the ping of that call
		t.Errorf("%d calls", n)
	}
}

// TestSlowAnswerIsASignOfLife: a reply that takes longer than the ping timeout
// to arrive does not cost the connection as long as it arrives.
func TestSlowAnswerIsASignOfLife(t *testing.T) {
	const n, timeout = 40, 400 * time.Millisecond
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) {
		if r.prog == dumpProg {
			return // queued behind the reply, for all the client knows
		}
		rec := replyTo(r.xid, 0, make([]byte, n))
		go func() {
			tick := time.NewTicker(timeout / 20)
			defer tick.Stop()
			for i := range rec {
				<-tick.C
				r.conn.send(rec[i : i+1])
			}
		}()
	})
	c := connect(t, s, small(), Options{PingTimeout: timeout})
	rep, err := c.Call(within(t), &Request{Prog: 7})
	if err != nil {
		t.Fatal(err)
	}
	rep.Release()
}
