package rpc

import (
	"context"
	"errors"
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

// loopback is both ends of a connection, closed at the end of the test.
func loopback(t testing.TB) (conn, peer net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if conn, err = Dial(t.Context(), "tcp", l.Addr().String(), SocketOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if peer, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	return conn, peer
}

// vanish makes the Conn's process disappear as far as the memory and the socket
// can tell, and returns what it leaves behind: a copy of the memory and the
// socket.
func vanish(t testing.TB, c *Conn) (Memory, net.Conn) {
	t.Helper()
	c.mu.Lock()
	s := c.sock
	sock, err := net.FileConn(s.file)
	if err != nil {
		t.Fatal(err)
	}
	for s.flying {
		c.landed.Wait()
	}
	mem := newHeapMemory(c.layout())
	copy(mem.Control(), c.mem.Control())
	s.cause = errors.New("the process is gone") // so nobody shuts the socket down
	close(s.giveUp)
	c.mu.Unlock()
	if err := s.in.file.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	<-s.gone
	copy(mem.Ring(), c.mem.Ring())
	return mem, sock
}

// resume is the next process.
func resume(t testing.TB, mem Memory, sock net.Conn, o Options) *Conn {
	t.Helper()
	c, err := Resume(mem, sock, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll(t, c, mem) })
	return c
}

func small() Layout { return Layout{Slots: 64, Ring: 1 << 20} }

// within fails the test if something takes longer than anything should.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
