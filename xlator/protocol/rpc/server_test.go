package rpc

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
)

// served is one call as the test's server got it.
type served struct {
	xid, prog, vers, proc uint32
	flavor                uint32
	args, record          []byte
	conn                  *serverConn
}

// serverConn is one client's connection at the test's server.
type serverConn struct {
	net.Conn
	mu sync.Mutex // one record at a time
}

// server answers calls over loopback TCP or a unix socket.
type server struct {
	net.Listener
	handle func(*served)
	onConn func(*serverConn)

	mu    sync.Mutex
	conns map[*serverConn]bool // guarded by mu
	wg    sync.WaitGroup
}

// serve runs a server whose handler gets each call, in order of arrival, on its
// connection's goroutine.
func serve(t testing.TB, network, address string, handle func(*served)) *server {
	t.Helper()
	s := &server{handle: handle, conns: map[*serverConn]bool{}}
	s.listen(t, network, address)
	t.Cleanup(s.stop)
	return s
}

func (s *server) listen(t testing.TB, network, address string) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s.Listener = l
	s.wg.Add(1)
	go s.accept()
}

func (s *server) stop() {
	s.Listener.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *server) accept() {
	defer s.wg.Done()
	for {
		conn, err := s.Accept()
		if err != nil {
			return
		}
		c := &serverConn{Conn: conn}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		if s.onConn != nil {
			s.onConn(c)
		}
		s.wg.Add(1)
		go s.read(c)
	}
}

func (s *server) read(c *serverConn) {
	defer s.wg.Done()
	defer c.Close()
	r := bufio.NewReaderSize(c, 1<<18)
	for {
		var mark [4]byte
		if _, err := io.ReadFull(r, mark[:]); err != nil {
			return
		}
		rec := make([]byte, binary.BigEndian.Uint32(mark[:])&^lastFragment)
		if _, err := io.ReadFull(r, rec); err != nil {
			return
		}
		w := words{b: rec}
		call := &served{conn: c, xid: w.u32(), record: append(mark[:], rec...)}
		w.u32()
		w.u32()
		call.prog, call.vers, call.proc = w.u32(), w.u32(), w.u32()
		call.flavor = binary.BigEndian.Uint32(w.b)
		w.auth()
		w.auth()
		call.args = w.b
		s.handle(call)
	}
}

// reply answers with success.
func (r *served) reply(body ...[]byte) { r.conn.send(replyTo(r.xid, 0, body...)) }

// replyTo is an accepted reply's record.
func replyTo(xid, stat uint32, body ...[]byte) []byte {
	var b []byte
	for _, v := range []uint32{0, xid, msgReply, msgAccepted, 0, 0, stat} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	for _, p := range body {
		b = append(b, p...)
	}
	binary.BigEndian.PutUint32(b, lastFragment|uint32(len(b)-4))
	return b
}

// sendPieces writes bytes a few at a time.
func (c *serverConn) sendPieces(b []byte, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range slices.Chunk(b, size) {
		_, _ = c.Write(p) // a client that is gone wants nothing
	}
}

// send writes bytes as they are.
func (c *serverConn) send(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.Write(b) // a client that is gone wants nothing
}
