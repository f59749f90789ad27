package rpc

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// TCP states (include/net/tcp_states.h).
const (
	tcpEstablished = 1
	tcpCloseWait   = 8
)

// counts is how far the kernel is in both directions of a connection: what it
// took from us, what it gave to us, and what the server acknowledged. They are
// exact whatever became of the system calls (SIGKILL in the middle of one), as
// long as the connection is there.
type counts struct {
	sent, received, acked uint64
	state                 uint8
}

// count asks the kernel. Only whoever moves the counts may ask.
func (s *socket) count() (n counts, err error) {
	if !s.tcp {
		return n, fmt.Errorf("the kernel does not count the bytes of this kind of socket: %w", syscall.EOPNOTSUPP)
	}
	err = s.control(func(fd int) (err error) {
		n, err = countBytes(fd)
		return err
	})
	return n, err
}

func countBytes(fd int) (n counts, err error) {
	for range 1000 {
		before, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return n, os.NewSyscallError("getsockopt TCP_INFO", err)
		}
		unsent, err := unix.IoctlGetInt(fd, unix.TIOCOUTQ)
		if err != nil {
			return n, os.NewSyscallError("ioctl SIOCOUTQ", err)
		}
		unread, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
		if err != nil {
			return n, os.NewSyscallError("ioctl SIOCINQ", err)
		}
		after, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return n, os.NewSyscallError("getsockopt TCP_INFO", err)
		}
		if before.Bytes_acked != after.Bytes_acked || before.Bytes_received != after.Bytes_received || before.State != after.State {
			continue // it moved in between
		}
		n = counts{sent: after.Bytes_acked + uint64(unsent), received: after.Bytes_received - uint64(unread), acked: after.Bytes_acked, state: after.State}
		if n.state == tcpCloseWait {
			n.received-- // the FIN counts as a byte
		}
		return n, nil
	}
	return n, fmt.Errorf("the counters of the socket do not stand still: %w", syscall.EAGAIN)
}

// origin is where a new connection's counts stand: 0 where the kernel does not
// count.
func (s *socket) origin() (sent, received uint64, err error) {
	if !s.tcp {
		return 0, 0, nil
	}
	n, err := s.count()
	return n.sent, n.received, err
}

// acked is the position up to which the server's kernel has our stream.
// Conn.mu is held.
func (s *socket) acked(c *Conn) (pos uint64, ok bool) {
	if !s.tcp {
		return 0, false
	}
	err := s.control(func(fd int) error {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil {
			pos = info.Bytes_acked - c.hdr.load(hdrBaseSend)
		}
		return err
	})
	return pos, err == nil
}
