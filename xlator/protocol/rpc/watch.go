package rpc

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// watch waits in the runtime's poller for a socket to become readable or
// writable, but only while somebody wants that: the runtime would watch the
// socket itself all the time, and wake a thread for every byte that another
// thread is about to receive. So it is given an epoll instance of our own, which
// knows the socket and can be told to look away. One goroutine at a time may
// wait.
type watch struct {
	// Constant after construction.
	fd, epoll int
	events    uint32      // what is waited for
	try       func() bool // reports whether there is nothing to wait for any more
	onReady   func(uintptr) bool
	file      *os.File // epoll
	raw       syscall.RawConn

	// Of whoever waits.
	armed bool
	err   error
}

// newWatch watches fd, which must stay open until close.
func newWatch(fd int, events uint32, try func() bool) (*watch, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	w := &watch{fd: fd, epoll: ep, events: events, try: try}
	w.onReady = w.ready
	err = os.NewSyscallError("epoll_ctl", unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{}))
	if err == nil { // else the runtime does not poll it
		err = os.NewSyscallError("fcntl", unix.SetNonblock(ep, true))
	}
	if err != nil {
		_ = unix.Close(ep) // the first error is the one to tell
		return nil, err
	}
	w.file = os.NewFile(uintptr(ep), "epoll")
	if w.raw, err = w.file.SyscallConn(); err != nil {
		_ = w.file.Close()
		return nil, err
	}
	return w, nil
}

// wait calls try, and again whenever something has happened, until it returns
// true. The watch is armed when it returns unless try succeeded at once.
func (w *watch) wait() error {
	w.err = nil
	if err := w.raw.Read(w.onReady); err != nil {
		return err
	}
	return w.err
}

// ready is asked by the runtime until it is true. To arm an epoll instance that
// has reported the socket once tells nobody of what is there already, so that is
// looked at again; what happens after it is told.
func (w *watch) ready(uintptr) bool {
	if w.try() {
		return true
	}
	if w.armed {
		return false
	}
	w.err = w.arm(true)
	return w.err != nil || w.try()
}

// arm has it look, or not.
func (w *watch) arm(on bool) error {
	if w.armed == on {
		return nil
	}
	e := unix.EpollEvent{}
	if on {
		e.Events = w.events
	}
	if err := unix.EpollCtl(w.epoll, unix.EPOLL_CTL_MOD, w.fd, &e); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	w.armed = on
	return nil
}

func (w *watch) close() { _ = w.file.Close() } // nothing is written to it
