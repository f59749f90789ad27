package rpc

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestSocketOptionsReachTheKernel(t *testing.T) {
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) { r.reply() })
	conn, err := Dial(t.Context(), "tcp", s.Addr().String(), SocketOptions{
		KeepAliveTime: 20 * time.Second, KeepAliveInterval: 2 * time.Second, KeepAliveCount: 9, UserTimeout: 42 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sock, err := newSocket(conn)
	if err != nil {
		t.Fatal(err)
	}
	if !sock.tcp || sock.cookie == 0 {
		t.Errorf("plain TCP: %v, cookie %d", sock.tcp, sock.cookie)
	}
	for _, o := range []struct{ level, opt, want int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1}, {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 20}, {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 2},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9}, {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 42000}, {unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
	} {
		err := sock.control(func(fd int) error {
			got, err := unix.GetsockoptInt(fd, o.level, o.opt)
			if got != o.want {
				t.Errorf("option %d of level %d is %d, want %d", o.opt, o.level, got, o.want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestOptionsChangeWhileConnected(t *testing.T) {
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) { r.reply(r.args) })
	c := connect(t, s, small(), Options{})
	if got := c.RemoteAddr(); got == nil || got.String() != s.Addr().String() {
		t.Errorf("the server's address is %v, must be %v", got, s.Addr())
	}
	if err := c.Apply(SocketOptions{KeepAliveTime: 7 * time.Second}); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	err := c.sock.control(func(fd int) error {
		got, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
		if got != 7 {
			t.Errorf("TCP_KEEPIDLE is %d", got)
		}
		return err
	})
	c.mu.Unlock()
	if err != nil {
		t.Error(err)
	}
	c.Drop(syscall.EPIPE)
	<-c.Lost()
	if c.RemoteAddr() != nil {
		t.Error("there is an address without a connection")
	}
	if err := c.Apply(SocketOptions{}); err != nil {
		t.Error(err)
	}
}

func TestDialSaysWhereItFailed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, err = Dial(t.Context(), "tcp", address, SocketOptions{})
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v", err)
	}
}

// TestPositionsAreTheKernels: what the kernel's counters say is what was sent
// and received, with data on its way in both directions.
func TestPositionsAreTheKernels(t *testing.T) {
	conn, peer := loopback(t)
	s, err := newSocket(conn)
	if err != nil {
		t.Fatal(err)
	}
	sent0, received0, err := s.origin()
	if err != nil {
		t.Fatal(err)
	}
	sent, received := 0, 0
	for i := range 200 {
		n, err := conn.Write(make([]byte, 1+i*7)) // nobody reads it
		if err != nil {
			t.Fatal(err)
		}
		sent += n
		if _, err := peer.Write(make([]byte, 1+i*5)); err != nil {
			t.Fatal(err)
		}
		n, err = conn.Read(make([]byte, 1+i*3)) // not all of it
		if err != nil {
			t.Fatal(err)
		}
		received += n
		got, err := s.count()
		if err != nil {
			t.Fatal(err)
		}
		if got.sent-sent0 != uint64(sent) || got.received-received0 != uint64(received) {
			t.Fatalf("the kernel counts %d sent and %d received, we %d and %d", got.sent-sent0, got.received-received0, sent, received)
		}
	}
}
