package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestAnyMixOfEndingsLeavesNothingBehind has calls of all kinds left, ended,
// lost and made again over many connections: whoever gets a reply gets his own,
// and in the end everything is free.
func TestAnyMixOfEndingsLeavesNothingBehind(t *testing.T) {
	var seed atomic.Uint64
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) {
		rng := rand.New(rand.NewPCG(seed.Add(1), 2))
		answer := func() { r.conn.send(replyTo(r.xid, 0, bytes.Repeat(r.args[:16], 1+int(r.proc)))) }
		switch {
		case r.prog == dumpProg:
			r.reply(make([]byte, 12))
		case rng.IntN(600) == 0:
			r.conn.Close()
		case rng.IntN(4) == 0:
			time.AfterFunc(time.Duration(rng.IntN(2000))*time.Microsecond, answer)
		default:
			answer()
		}
	})
	var orphans atomic.Int32
	var c *Conn
	c = connect(t, s, Layout{Slots: 64, Ring: 1 << 20}, Options{
		PingTimeout: 5 * time.Second, // many pings, and never a loss
		OnOrphan: func(o Orphan) {
			orphans.Add(1)
			rep, err := c.Call(context.Background(), &Request{Unique: o.Unique, Step: o.Step | UndoStep, Prog: 7, Args: make([]byte, 16)})
			if err != nil && !errors.Is(err, syscall.ENOTCONN) {
				t.Error(err)
			}
			rep.Release()
		},
	})
	base, giveUp := context.WithCancel(t.Context()) // ends as no call may
	defer time.AfterFunc(40*time.Second, giveUp).Stop()
	stop := make(chan struct{})
	var connections sync.WaitGroup
	connections.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-c.Lost():
			}
			if err := c.Reconnect(dial(t, s)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var users sync.WaitGroup
	var lost, left, good atomic.Int32
	for g := range uint64(24) {
		users.Go(func() {
			rng := rand.New(rand.NewPCG(g, 1))
			for i := range uint64(300) {
				unique := (g<<32 | i + 1) * 2
				if rng.IntN(4) == 0 {
					unique = 0
				}
				for step := range uint32(1 + rng.IntN(3)) {
					args := fmt.Appendf(nil, "%04d%06d%06d", g, i, step)
					r := &Request{Unique: unique, Step: step + 1, Prog: 7, Proc: uint32(rng.IntN(5)), Args: args, Waits: rng.IntN(10) == 0}
					switch rng.IntN(8) {
					case 0:
						r.Proc = 5000 // 80 KB
					case 1:
						r.Payload = make([]byte, rng.IntN(300000))
					case 2:
						r.Args = append(args, make([]byte, rng.IntN(6000)/4*4)...)
					}
					r.MaxReply = 4 + 16*(1+int(r.Proc))
					ctx, cancel := base, func() {}
					if rng.IntN(5) == 0 {
						ctx, cancel = context.WithTimeout(ctx, time.Duration(rng.IntN(2000))*time.Microsecond)
					}
					rep, err := c.Call(ctx, r)
					cancel()
					switch {
					case err == nil:
						good.Add(1)
						if !bytes.Equal(rep.Body, bytes.Repeat(args, 1+int(r.Proc))) {
							t.Errorf("%d bytes that belong to somebody else", len(rep.Body))
						}
					case errors.Is(err, syscall.ENOTCONN):
						lost.Add(1)
					case errors.Is(err, syscall.ETIMEDOUT):
						left.Add(1)
					default:
						t.Error(err)
					}
					switch rng.IntN(3) {
					case 0:
						rep.Release()
					case 1:
						rep.Forget()
					default:
						defer rep.Release() // much later: after the end of everything
						if len(rep.Body) > 1000 || unique == 0 {
							rep.Release()
						}
					}
				}
				if unique != 0 {
					c.End(unique)
				}
			}
		})
	}
	users.Wait()
	waitFor(t, c, func() bool { return len(c.free) == len(c.calls) || c.sock == nil })
	close(stop)
	c.Drop(ErrClosed)
	connections.Wait()
	c.Drop(ErrClosed)
	<-c.Lost()
	waitFor(t, c, func() bool { return len(c.free) == len(c.calls) })
	t.Logf("%d good, %d lost, %d left, %d orphans, %d connections", good.Load(), lost.Load(), left.Load(), orphans.Load(), c.Epoch())
	empty(t, c)
	if good.Load() == 0 || lost.Load() == 0 || left.Load() == 0 || orphans.Load() == 0 || c.Epoch() < 3 {
		t.Error("not everything has happened")
	}
}

// TestFloodOfCallbacksIsBounded: what a handler does not take stays with the
// server.
func TestFloodOfCallbacksIsBounded(t *testing.T) {
	const n, size = 400, 20000 // 8 MB for a ring of 1 MiB
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) {
		go func() {
			for i := range uint32(n) {
				r.conn.send(framed(append(words32(i, msgCall, rpcVersion, 1, 1, i, 0, 0, 0, 0), make([]byte, size)...)))
			}
			r.reply()
		}()
	})
	takes, got := make(chan struct{}), uint32(0)
	c := connect(t, s, small(), Options{OnCallback: func(cb Callback) {
		<-takes
		if cb.Proc != got {
			t.Errorf("callback %d is number %d", cb.Proc, got)
		}
		got++
	}})
	done := make(chan error)
	go func() {
		rep, err := c.Call(within(t), &Request{Prog: 7})
		rep.Release()
		done <- err
	}()
	waitFor(t, c, func() bool { return c.sock.starved })
	c.mu.Lock()
	waiting := len(c.events)
	c.mu.Unlock()
	if waiting > (1<<20)/size {
		t.Errorf("%d callbacks wait", waiting)
	}
	close(takes)
	if err := <-done; err != nil {
		t.Error(err)
	}
	waitFor(t, c, func() bool { return c.done == c.consumed })
	if got != n {
		t.Errorf("%d callbacks", got)
	}
}
