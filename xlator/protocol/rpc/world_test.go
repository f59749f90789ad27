package rpc

import (
	"context"
	"net"
	"testing"
	"time"
)

// connect opens a Conn to the server, on private memory of its own.
func connect(t testing.TB, s *server, l Layout, o Options) *Conn {
	t.Helper()
	mem, err := Private(l)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(mem, dial(t, s), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll(t, c, mem) })
	return c
}

func closeAll(t testing.TB, c *Conn, mem Memory) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := mem.Close(); err != nil {
		t.Error(err)
	}
}

func dial(t testing.TB, s *server) net.Conn {
	t.Helper()
	conn, err := Dial(t.Context(), s.Addr().Network(), s.Addr().String(), SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func small() Layout { return Layout{Slots: 64, Ring: 1 << 20} }

// within fails the test if something takes longer than anything should.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
