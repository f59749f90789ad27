package rpc

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is one connection, and what only it knows.
type socket struct {
	// Constant after construction.
	conn   net.Conn
	raw    syscall.RawConn
	cookie uint64
	tcp    bool          // the kernel counts its bytes
	giveUp chan struct{} // closed when nothing is to be sent any more
	gone   chan struct{} // closed when it is lost and everybody knows
	kick   chan struct{} // to the writer
	space  chan struct{} // to the reader: the ring has room

	workers sync.WaitGroup // writer and ping

	// Guarded by Conn.mu.
	cause    error
	queue    []queued // published and not wholly sent
	skip     int      // bytes of the first that are sent
	sending  bool     // somebody does, or the writer has been asked to
	flying   bool     // a writev is under way
	launched uint64   // position that it may reach
	starved  bool     // the reader waits for space
	pingAt   uint64   // end of the ping that is outstanding, 0 if none is

	// Of whoever is sending.
	iovs    []unix.Iovec
	msg     unix.Msghdr
	sent    int
	sendErr error
	onSend  func(fd uintptr) bool

	// The reader's.
	target  func() []byte // where to receive to
	got     int
	recvErr error
	onRecv  func(fd uintptr) bool
}

// newSocket prepares a connected stream socket.
func newSocket(conn net.Conn) (*socket, error) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("rpc: a connection of type %T has no socket: %w", conn, syscall.ENOTSOCK)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("rpc: socket: %w", err)
	}
	s := &socket{
		conn: conn, raw: raw,
		giveUp: make(chan struct{}), gone: make(chan struct{}), kick: make(chan struct{}, 1), space: make(chan struct{}, 1),
		iovs: make([]unix.Iovec, 0, maxIovec),
	}
	s.onSend, s.onRecv = s.sendmsg, s.recvmsg
	err = s.control(func(fd int) error {
		s.cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
		if err != nil {
			return os.NewSyscallError("getsockopt SO_COOKIE", err)
		}
		proto, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
		s.tcp = proto == unix.IPPROTO_TCP
		return os.NewSyscallError("getsockopt SO_PROTOCOL", err)
	})
	if err != nil {
		return nil, fmt.Errorf("rpc: socket: %w", err)
	}
	return s, nil
}

func (s *socket) control(fn func(fd int) error) error {
	var err error
	if e := s.raw.Control(func(fd uintptr) { err = fn(int(fd)) }); e != nil {
		return e
	}
	return err
}

// shutdown ends the connection even if other processes hold the socket.
func (s *socket) shutdown() {
	_ = s.control(func(fd int) error { return unix.Shutdown(fd, unix.SHUT_RDWR) }) // it may be gone already
}

func (s *socket) close() { _ = s.conn.Close() } // it is over either way

func iovec(b []byte) (v unix.Iovec) {
	v.Base = unsafe.SliceData(b)
	v.SetLen(len(b))
	return v
}

// writev sends iovs as far as the socket takes them.
func (s *socket) writev() (n int, err error) {
	s.msg.Iov = unsafe.SliceData(s.iovs)
	s.msg.SetIovlen(len(s.iovs))
	if err := s.raw.Write(s.onSend); err != nil {
		return 0, err
	}
	return s.sent, s.sendErr
}

func (s *socket) sendmsg(fd uintptr) bool {
	for {
		n, _, errno := unix.Syscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&s.msg)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch errno {
		case 0:
			s.sent, s.sendErr = int(n), nil
		case unix.EINTR:
			continue
		default:
			s.sent, s.sendErr = 0, errno
		}
		return true
	}
}

// waitWritable waits until the socket takes something, or is over.
func (s *socket) waitWritable() {
	_ = s.raw.Write(func(fd uintptr) bool { // the next writev tells what is wrong
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(p, 0)
		return n != 0 || err != nil && err != unix.EINTR
	})
}

// recv waits for something to come, and receives it into what space returns
// then.
func (s *socket) recv(space func() []byte) (n int, err error) {
	s.target = space
	if err := s.raw.Read(s.onRecv); err != nil {
		return 0, err
	}
	if s.recvErr == nil && s.got == 0 {
		return 0, io.EOF
	}
	return s.got, s.recvErr
}

func (s *socket) recvmsg(fd uintptr) bool {
	b := s.target()
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			s.got, s.recvErr = int(n), nil
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		default:
			s.got, s.recvErr = 0, errno
		}
		return true
	}
}

// ioError says what failed on the connection.
func ioError(what string, err error) error {
	if err == io.EOF {
		return fmt.Errorf("the server closed the connection: %w", syscall.ECONNRESET)
	}
	return fmt.Errorf("%s: %w", what, err)
}
