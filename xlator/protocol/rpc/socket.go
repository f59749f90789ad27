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
	conn   net.Conn // what we were given
	file   *os.File // our own descriptor of it, blocking and unknown to the runtime's poller
	raw    syscall.RawConn
	cookie uint64
	tcp    bool          // the kernel counts its bytes
	giveUp chan struct{} // closed when nothing is to be sent any more
	gone   chan struct{} // closed when it is lost and everybody knows
	kick   chan struct{} // to the writer
	space  chan struct{} // to the reader: the ring has room
	wanted chan struct{} // to the reader: it is its turn again

	// Constant after start.
	in, out *watch
	target  func() []byte // where to receive to; asked right before

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
	turn     turn

	// Of whoever is sending.
	iovs    []unix.Iovec
	msg     unix.Msghdr
	sent    int
	sendErr error
	onSend  func(fd uintptr)

	// Of whoever receives.
	flags   int
	got     int
	recvErr error
	onRecv  func(fd uintptr)
}

// newSocket prepares a connected stream socket. What it was given stays open.
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
		conn:   conn,
		giveUp: make(chan struct{}), gone: make(chan struct{}),
		kick: make(chan struct{}, 1), space: make(chan struct{}, 1), wanted: make(chan struct{}, 1),
		iovs: make([]unix.Iovec, 0, maxIovec),
		turn: turn{need: needFirst},
	}
	s.onSend, s.onRecv = s.sendmsg, s.recvmsg
	if e := raw.Control(func(fd uintptr) { err = s.open(int(fd)) }); err == nil {
		err = e
	}
	if err != nil {
		return nil, fmt.Errorf("rpc: socket: %w", err)
	}
	return s, nil
}

// open makes a descriptor of our own of the socket.
func (s *socket) open(fd int) error {
	proto, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	if err != nil {
		return os.NewSyscallError("getsockopt SO_PROTOCOL", err)
	}
	s.tcp = proto == unix.IPPROTO_TCP
	if s.cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE); err != nil {
		return os.NewSyscallError("getsockopt SO_COOKIE", err)
	}
	limit := unix.NsecToTimeval(int64(turnLimit))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return os.NewSyscallError("setsockopt SO_RCVTIMEO", err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	s.file = os.NewFile(uintptr(own), "socket")
	s.raw, err = s.file.SyscallConn()
	return err
}

// start makes the socket ours: it can be waited for from now on. What is received
// goes to what target returns.
func (s *socket) start(target func() []byte) error {
	s.target = target
	err := s.control(func(fd int) (err error) {
		if s.in, err = newWatch(fd, unix.EPOLLIN|unix.EPOLLRDHUP, s.tryRecv); err != nil {
			return err
		}
		s.out, err = newWatch(fd, unix.EPOLLOUT, s.writable)
		return err
	})
	if err == nil && s.tcp {
		_ = s.conn.Close() // we have a descriptor, and the runtime is to forget the socket
	}
	return err
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

// forget closes our descriptor.
func (s *socket) forget() {
	for _, w := range []*watch{s.in, s.out} {
		if w != nil {
			w.close()
		}
	}
	_ = s.file.Close() // it is over either way
}

// close closes what we were given, too.
func (s *socket) close() {
	s.forget()
	_ = s.conn.Close() // it is over either way
}

func iovec(b []byte) (v unix.Iovec) {
	v.Base = unsafe.SliceData(b)
	v.SetLen(len(b))
	return v
}

// writev sends iovs as far as the socket takes them.
func (s *socket) writev() (n int, err error) {
	s.msg.Iov = unsafe.SliceData(s.iovs)
	s.msg.SetIovlen(len(s.iovs))
	if err := s.raw.Control(s.onSend); err != nil {
		return 0, err
	}
	return s.sent, s.sendErr
}

func (s *socket) sendmsg(fd uintptr) {
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
		return
	}
}

// waitWritable waits until the socket takes something, or is over.
func (s *socket) waitWritable() {
	_ = s.out.wait()     // the next writev tells what is wrong
	_ = s.out.arm(false) // looking on would cost a wake-up, and nothing else
}

func (s *socket) writable() (ok bool) {
	err := s.control(func(fd int) error {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 0)
		ok = n != 0 || err != nil && err != unix.EINTR
		return nil
	})
	return ok || err != nil
}

// recv waits for something to come, and receives it.
func (s *socket) recv() (n int, err error) {
	if err := s.in.wait(); err != nil {
		return 0, err
	}
	return s.received()
}

func (s *socket) tryRecv() bool {
	s.receive(unix.MSG_DONTWAIT)
	return s.recvErr != syscall.EAGAIN
}

// recvReady is recv that does not wait: the error is EAGAIN if nothing is there.
func (s *socket) recvReady() (n int, err error) {
	s.receive(unix.MSG_DONTWAIT)
	return s.received()
}

// recvHere is recv in the thread of the caller, for no longer than turnLimit (and
// a tick of the kernel); then the error is EAGAIN.
func (s *socket) recvHere() (n int, err error) {
	s.receive(0)
	return s.received()
}

func (s *socket) receive(flags int) {
	s.flags = flags
	if err := s.raw.Control(s.onRecv); err != nil {
		s.got, s.recvErr = 0, err
	}
}

func (s *socket) received() (int, error) {
	if s.recvErr == nil && s.got == 0 {
		return 0, io.EOF
	}
	return s.got, s.recvErr
}

func (s *socket) recvmsg(fd uintptr) {
	b := s.target()
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), uintptr(s.flags), 0, 0)
		switch errno {
		case 0:
			s.got, s.recvErr = int(n), nil
		case unix.EINTR:
			continue
		default:
			s.got, s.recvErr = 0, errno
		}
		return
	}
}

// ioError says what failed on the connection.
func ioError(what string, err error) error {
	if err == io.EOF {
		return fmt.Errorf("the server closed the connection: %w", syscall.ECONNRESET)
	}
	return fmt.Errorf("%s: %w", what, err)
}
