package rpc

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// SocketOptions are set on a TCP connection. Zero leaves the kernel's default.
type SocketOptions struct {
	// KeepAliveTime of silence is followed by KeepAliveCount probes,
	// KeepAliveInterval apart (the volfile's transport.socket.keepalive-*).
	KeepAliveTime, KeepAliveInterval time.Duration
	KeepAliveCount                   int
	// UserTimeout is how long sent data may stay without acknowledgement
	// (TCP_USER_TIMEOUT, transport.tcp-user-timeout).
	UserTimeout time.Duration
}

// Dial connects to a server: network is tcp, tcp4, tcp6 or unix. TCP is plain
// TCP and not MPTCP, whose bytes the kernel does not count.
func Dial(ctx context.Context, network, address string, o SocketOptions) (net.Conn, error) {
	d := net.Dialer{KeepAlive: -1}
	d.SetMultipathTCP(false)
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("rpc: connect to %s: %w", address, err)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		raw, err := tcp.SyscallConn()
		if err == nil {
			if e := raw.Control(func(fd uintptr) { err = o.set(int(fd)) }); err == nil {
				err = e
			}
		}
		if err != nil {
			_ = conn.Close() // the first error is the one to tell
			return nil, fmt.Errorf("rpc: connect to %s: %w", address, err)
		}
	}
	return conn, nil
}

// Apply sets the options on the connection that exists now, if it is TCP.
func (c *Conn) Apply(o SocketOptions) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sock == nil || !c.sock.tcp {
		return nil
	}
	return c.sock.control(o.set)
}

func (o SocketOptions) set(fd int) (err error) {
	set := func(name string, level, opt, value int) {
		if err == nil {
			err = os.NewSyscallError("setsockopt "+name, unix.SetsockoptInt(fd, level, opt, value))
		}
	}
	set("TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if o.KeepAliveTime > 0 {
		set("SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
		set("TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds(o.KeepAliveTime))
	}
	if o.KeepAliveInterval > 0 {
		set("TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds(o.KeepAliveInterval))
	}
	if o.KeepAliveCount > 0 {
		set("TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, o.KeepAliveCount)
	}
	if o.UserTimeout > 0 {
		set("TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(o.UserTimeout.Milliseconds()))
	}
	return err
}

func seconds(d time.Duration) int { return max(1, int(d.Round(time.Second)/time.Second)) }
