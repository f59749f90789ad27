package rpc

import (
	"fmt"
	"net"
	"syscall"
)

// Drain receives what has come into the ring when nobody uses the connection:
// a server gives a client up whose window stays closed (42 s with 10.3), and
// without the process nobody reads. It neither parses nor stores a position:
// the next process finds what was received by the kernel's counts, as if the
// one before had received it. It may be called again and again, but never beside
// a Conn: whoever used the memory must have left the kernel for good. Both stay
// the caller's.
//
// It returns the number of bytes: 0 if there is nothing, if the ring is full, and
// if the connection has ended, which is for the next process to find out. An
// error says that the two are nothing to receive with; then nothing was, or n
// bytes before.
func Drain(mem Memory, sock net.Conn) (n int, err error) {
	s, err := adopt(mem, sock)
	if err != nil {
		return 0, err
	}
	defer s.forget()
	h := header(mem.Control())
	if h.load(hdrCookie) != s.cookie {
		return 0, fmt.Errorf("rpc: drain: the socket is not the one that the memory belongs to: %w", syscall.EINVAL)
	}
	for {
		got, err := drainOnce(mem, h, s)
		if got <= 0 || err != nil {
			return n, err
		}
		n += got
	}
}

// drainOnce makes one recv(2).
func drainOnce(mem Memory, h header, s *socket) (int, error) {
	size := uint64(mem.Layout().Ring)
	counts, err := s.count()
	if err != nil {
		return 0, fmt.Errorf("rpc: drain: %w", err)
	}
	if counts.state != tcpEstablished && counts.state != tcpCloseWait {
		return 0, nil // what is counted then is nothing to go by
	}
	consumed, done, origin := counts.received-h.load(hdrBaseRecv), h.load(hdrDone), h.load(hdrOrigin)
	if origin > done || consumed < done || consumed-done > size {
		return 0, fmt.Errorf("rpc: drain: %d bytes received, the frontier is %d, the ring begins at %d: %w", consumed, done, origin, ErrDamaged)
	}
	if consumed-done == size {
		return 0, nil
	}
	at := (consumed - origin) % size
	s.target = func() []byte { return mem.Ring()[at : at+size-(consumed-done)] }
	n, err := s.recvReady()
	if err != nil {
		return 0, nil // nothing more is there; an end or an error is for the next process
	}
	mem.Arrived(int(at), n)
	return n, nil
}
