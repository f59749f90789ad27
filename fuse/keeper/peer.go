package keeper

import (
	"errors"

	"golang.org/x/sys/unix"
)

// peer is the process that has connected to a service, held by a pidfd: its
// connection may be lost while it lives. nil is one that the kernel does not tell.
type peer struct{ pidfd int }

// peerOf is who has made the connection.
func peerOf(c *Conn) *peer {
	raw, err := c.c.SyscallConn()
	if err != nil {
		return nil
	}
	pidfd := -1
	cerr := raw.Control(func(fd uintptr) {
		pidfd, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PEERPIDFD)
		if !errors.Is(err, unix.ENOPROTOOPT) { // before Linux 6.5
			return
		}
		var cred *unix.Ucred
		if cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err != nil {
			return
		}
		// The number may be another's by now: then its own process is gone, and who
		// waits for the other waits too long.
		pidfd, err = unix.PidfdOpen(int(cred.Pid), 0)
	})
	if err != nil || cerr != nil {
		return nil
	}
	return &peer{pidfd}
}

// gone reports whether the process has ended, with its last thread.
func (p *peer) gone() bool {
	if p == nil {
		return false
	}
	fds := []unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 1 && fds[0].Revents&unix.POLLIN != 0
}

func (p *peer) close() {
	if p != nil {
		_ = unix.Close(p.pidfd)
	}
}
