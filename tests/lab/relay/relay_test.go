package relay_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/tests/lab/relay"
)

const timeout = 20 * time.Second

// server answers each call with its own arguments.
type server struct {
	t    *testing.T
	ln   net.Listener
	all  sync.WaitGroup
	got  chan []byte   // arguments of calls that arrived in whole
	ends chan error    // how connections ended
	ask  chan struct{} // each makes the server call its client once
}

func startServer(t *testing.T) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, ln: ln, got: make(chan []byte, 100), ends: make(chan error, 100), ask: make(chan struct{}, 1)}
	s.all.Go(s.serve)
	return s
}

// stop is for after the relay's end: connections are gone by then.
func (s *server) stop() {
	s.ln.Close()
	s.all.Wait()
}

func (s *server) serve() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.all.Go(func() {
			defer c.Close()
			for {
				body, err := receive(c)
				if err != nil {
					s.ends <- err
					return
				}
				args := body[40:]
				s.got <- args
				if _, err := c.Write(mark(append(words(word(body), 1, 0, 0, 0, 0), args...))); err != nil {
					s.ends <- err // a read would say EOF now
					return
				}
				select {
				case <-s.ask:
					c.Write(mark(callBody(1, relay.Fetchspec, nil)))
				default:
				}
			}
		})
	}
}

func words(w ...uint32) []byte {
	var b []byte
	for _, v := range w {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

func word(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

func mark(body []byte) []byte { return append(words(1<<31|uint32(len(body))), body...) }

func callBody(xid uint32, c relay.Call, args []byte) []byte {
	return append(words(xid, 0, 2, c.Program(), 1, c.Procedure(), 0, 0, 0, 0), args...)
}

// receive reads one record of one fragment.
func receive(c io.Reader) ([]byte, error) {
	var m [4]byte
	if _, err := io.ReadFull(c, m[:]); err != nil {
		return nil, err
	}
	body := make([]byte, word(m[:])&^(1<<31))
	_, err := io.ReadFull(c, body)
	if err == io.EOF && len(body) > 0 {
		err = io.ErrUnexpectedEOF
	}
	return body, err
}

type client struct {
	*net.TCPConn
	t *testing.T
}

func dial(t *testing.T, addr string) client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(timeout))
	return client{c.(*net.TCPConn), t}
}

func (c client) call(xid uint32, what relay.Call, args string) {
	c.t.Helper()
	if _, err := c.Write(mark(callBody(xid, what, []byte(args)))); err != nil {
		c.t.Fatal(err)
	}
}

func (c client) wantReply(xid uint32, results string) {
	c.t.Helper()
	b, err := receive(c)
	if err != nil {
		c.t.Fatalf("instead of the reply to %d: %v", xid, err)
	}
	if word(b) != xid || string(b[24:]) != results {
		c.t.Fatalf("reply to %d is %q, want %d, %q", word(b), b[24:], xid, results)
	}
}

// wantEnd reads what is left and says how much that was.
func (c client) wantEnd(want error) []byte {
	c.t.Helper()
	b, err := io.ReadAll(c)
	if want == io.EOF && err == nil || want != io.EOF && errors.Is(err, want) {
		return b
	}
	c.t.Errorf("the connection ended with %v, want %v", err, want)
	return b
}

func (s *server) wantCall(args string) {
	s.t.Helper()
	select {
	case b := <-s.got:
		if string(b) != args {
			s.t.Fatalf("the server got %q, want %q", b, args)
		}
	case <-time.After(timeout):
		s.t.Fatalf("the server never got %q", args)
	}
}

func (s *server) wantEnd(want error) {
	s.t.Helper()
	select {
	case err := <-s.ends:
		if !errors.Is(err, want) {
			s.t.Errorf("the server's connection ended with %v, want %v", err, want)
		}
	case <-time.After(timeout):
		s.t.Error("the server's connection never ended")
	}
	if n := len(s.got); n > 0 {
		s.t.Errorf("the server got %d calls more", n)
	}
}

// start has the server end after the relay.
func start(t *testing.T) (*server, *relay.Gate) {
	t.Helper()
	s := startServer(t)
	t.Cleanup(s.stop)
	return s, relay.Start(t, s.ln.Addr().String())
}

func TestRecordsPassUnchangedAndAreCounted(t *testing.T) {
	s, g := start(t)
	c := dial(t, g.Addr())
	c.call(1, relay.Lookup, "name")
	s.wantCall("name")
	c.wantReply(1, "name")

	big := strings.Repeat("0123456789abcdef", 1<<16)
	c.call(2, relay.Writev, big)
	s.wantCall(big)
	c.wantReply(2, big)

	// The server's own call comes behind a reply.
	s.ask <- struct{}{}
	c.call(3, relay.Lookup, "again")
	s.wantCall("again")
	c.wantReply(3, "again")
	b, err := receive(c)
	if err != nil || !bytes.Equal(b, callBody(1, relay.Fetchspec, nil)) {
		t.Errorf("the server's call came as %x, %v", b, err)
	}
	g.WaitCalls(t, relay.ToClient, relay.Fetchspec, 1)

	const lookups = 2
	if n := g.Calls(relay.ToServer, relay.Lookup); n != lookups {
		t.Errorf("%d lookups counted, want %d", n, lookups)
	}
	if n := g.Replies(relay.ToClient, relay.Lookup); n != lookups {
		t.Errorf("%d replies to lookups counted, want %d", n, lookups)
	}
	if n := g.Calls(relay.ToServer, relay.Writev); n != 1 {
		t.Errorf("%d writes counted, want 1", n)
	}
	c.Close()
	s.wantEnd(io.EOF)
	g.WaitConnections(t, 0)
}

func TestFragmentsOfARecordAreKept(t *testing.T) {
	got := make(chan []byte, 1)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b, _ := io.ReadAll(c)
		got <- b
	})
	g := relay.Start(t, ln.Addr().String())
	c := dial(t, g.Addr())
	body := callBody(7, relay.Create, []byte("args"))
	wire := append(words(5), body[:5]...)
	wire = append(append(wire, words(uint32(12))...), body[5:17]...)
	wire = append(append(wire, words(1<<31|uint32(len(body)-17))...), body[17:]...)
	if _, err := c.Write(wire); err != nil {
		t.Fatal(err)
	}
	g.WaitCalls(t, relay.ToServer, relay.Create, 1)
	c.CloseWrite()
	select {
	case b := <-got:
		if !bytes.Equal(b, wire) {
			t.Errorf("%x came as %x", wire, b)
		}
	case <-time.After(timeout):
		t.Error("nothing came")
	}
}

// TestConnectionBreaksAtEachStage: the second CREATE is broken; a LOOKUP and the
// first are not.
func TestConnectionBreaksAtEachStage(t *testing.T) {
	const answered = 4 + 24 + 6 // bytes of the reply to "second"
	for _, c := range []struct {
		name   string
		at     relay.Stage
		bytes  int
		served bool // the server gets the call
		came   int  // bytes of the reply that the client gets
		cutAt  error
	}{
		{"before the request", relay.BeforeRequest, 0, false, 0, io.EOF},
		{"in the request", relay.InRequest, 0, false, 0, io.ErrUnexpectedEOF},
		{"in the request's mark", relay.InRequest, 3, false, 0, io.ErrUnexpectedEOF},
		{"after the request", relay.AfterRequest, 0, true, 0, io.EOF},
		{"before the reply", relay.BeforeReply, 0, true, 0, io.EOF},
		{"in the reply", relay.InReply, 0, true, answered / 2, io.EOF},
		{"in the reply's mark", relay.InReply, 1, true, 1, io.EOF},
		{"after the reply", relay.AfterReply, 0, true, answered, io.EOF},
	} {
		for _, do := range []relay.Action{relay.Cut, relay.Reset} {
			name, clientEnd, serverEnd := c.name+", FIN", io.EOF, c.cutAt
			if do == relay.Reset {
				name, clientEnd, serverEnd = c.name+", RST", error(syscall.ECONNRESET), error(syscall.ECONNRESET)
			}
			t.Run(name, func(t *testing.T) {
				s, g := start(t)
				conn := dial(t, g.Addr())
				f := g.Arm(t, relay.Fault{Call: relay.Create, Nth: 2, At: c.at, Bytes: c.bytes, Do: do})
				conn.call(1, relay.Create, "first")
				conn.call(2, relay.Lookup, "between")
				s.wantCall("first")
				s.wantCall("between")
				conn.wantReply(1, "first")
				conn.wantReply(2, "between")
				conn.call(3, relay.Create, "second")
				f.Wait(t)
				if c.served && (do == relay.Cut || c.at >= relay.BeforeReply) {
					s.wantCall("second")
				} else if c.served {
					// RST may overtake what is not read yet: either will do.
					err := <-s.ends
					for len(s.got) > 0 {
						<-s.got
					}
					s.ends <- err
				}
				s.wantEnd(serverEnd)
				if b := conn.wantEnd(clientEnd); len(b) != c.came && do == relay.Cut {
					t.Errorf("%d bytes of the reply came, want %d", len(b), c.came)
				}
				wantReplies := 1
				if c.at == relay.AfterReply {
					wantReplies = 2
				}
				if n := g.Replies(relay.ToClient, relay.Create); n != wantReplies {
					t.Errorf("%d replies counted, want %d", n, wantReplies)
				}

				// It happens once.
				again := dial(t, g.Addr())
				for xid := range uint32(3) {
					again.call(xid, relay.Create, "after")
					s.wantCall("after")
					again.wantReply(xid, "after")
				}
			})
		}
	}
}

func TestHeldReplyIsOvertakenAndComesWhenReleased(t *testing.T) {
	s, g := start(t)
	c := dial(t, g.Addr())
	f := g.Arm(t, relay.Fault{Call: relay.Writev, At: relay.BeforeReply, Do: relay.Hold})
	c.call(1, relay.Writev, "held")
	s.wantCall("held")
	f.Wait(t)
	c.call(2, relay.Writev, "other")
	c.wantReply(2, "other")
	f.Release()
	c.wantReply(1, "held")
}

func TestHeldRequestIsOvertakenAndComesWhenReleased(t *testing.T) {
	s, g := start(t)
	c := dial(t, g.Addr())
	f := g.Arm(t, relay.Fault{Call: relay.Writev, At: relay.BeforeRequest, Do: relay.Hold})
	c.call(1, relay.Writev, "held")
	f.Wait(t)
	c.call(2, relay.Writev, "other")
	s.wantCall("other")
	c.wantReply(2, "other")
	f.Release()
	s.wantCall("held")
	c.wantReply(1, "held")
}

func TestDisarmedFaultDoesNotHappen(t *testing.T) {
	s, g := start(t)
	c := dial(t, g.Addr())
	g.Arm(t, relay.Fault{Call: relay.Lookup, At: relay.BeforeRequest}).Disarm()
	c.call(1, relay.Lookup, "name")
	s.wantCall("name")
	c.wantReply(1, "name")
}

func TestDelayHoldsRecordsBackWithoutAddingUp(t *testing.T) {
	_, g := start(t)
	c := dial(t, g.Addr())
	const delay, calls = 200 * time.Millisecond, 50
	g.Delay(relay.ToServer, delay)
	begin := time.Now()
	for xid := range uint32(calls) {
		c.call(xid, relay.Lookup, "name")
	}
	for xid := range uint32(calls) {
		c.wantReply(xid, "name")
	}
	if took := time.Since(begin); took < delay || took > calls*delay/2 {
		t.Errorf("%d calls at once took %v with a delay of %v", calls, took, delay)
	}
}

func TestThrottleLimitsBytes(t *testing.T) {
	_, g := start(t)
	c := dial(t, g.Addr())
	const size, rate = 100_000, 200_000
	g.Throttle(relay.ToClient, rate)
	begin := time.Now()
	c.call(1, relay.Readv, strings.Repeat("x", size))
	c.wantReply(1, strings.Repeat("x", size))
	if took := time.Since(begin); took < size*time.Second/rate {
		t.Errorf("%d bytes at %d a second took only %v", size, rate, took)
	}
}

func TestStallClosesTheWindowAndFlowOpensIt(t *testing.T) {
	s, g := start(t)
	c := dial(t, g.Addr())
	if err := c.SetWriteBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	g.Stall(relay.ToServer)
	const size, most = 64 << 10, 100
	record := mark(callBody(1, relay.Writev, make([]byte, size)))
	var sent, rest int
	for c.SetWriteDeadline(time.Now().Add(time.Second)) == nil {
		n, err := c.Write(record)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			rest = n
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if sent++; sent == most {
			t.Fatalf("%d records of %d bytes went into a stalled relay", sent, size)
		}
	}
	if n := g.Calls(relay.ToServer, relay.Writev); n != 0 {
		t.Errorf("%d calls passed a stalled relay", n)
	}
	g.Flow(relay.ToServer)
	c.SetDeadline(time.Now().Add(timeout))
	if _, err := c.Write(record[rest:]); err != nil {
		t.Fatal(err)
	}
	for range sent + 1 {
		s.wantCall(string(make([]byte, size)))
		c.wantReply(1, string(make([]byte, size)))
	}
}

func TestAllConnectionsBreakOnDemand(t *testing.T) {
	s, g := start(t)
	for _, c := range []struct {
		name string
		now  func() int
		end  error
	}{
		{"cut", g.Cut, io.EOF},
		{"reset", g.Reset, syscall.ECONNRESET},
	} {
		one, two := dial(t, g.Addr()), dial(t, g.Addr())
		for _, conn := range []client{one, two} {
			conn.call(1, relay.Lookup, "name")
			s.wantCall("name")
			conn.wantReply(1, "name")
		}
		if n := c.now(); n != 2 {
			t.Errorf("%s: %d connections broken, want 2", c.name, n)
		}
		one.wantEnd(c.end)
		two.wantEnd(c.end)
		s.wantEnd(c.end)
		s.wantEnd(c.end)
		g.WaitConnections(t, 0)
	}
}

func TestRefusingDoorOpensAgainAtItsAddress(t *testing.T) {
	s, g := start(t)
	old := dial(t, g.Addr())
	g.WaitConnections(t, 1)
	g.Refuse()
	if c, err := net.Dial("tcp", g.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a refusing door: %v, %v", c, err)
	}
	old.call(1, relay.Lookup, "old")
	s.wantCall("old")
	old.wantReply(1, "old")
	if err := g.Serve(g.Addr(), s.ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", g.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a door that Serve set while refusing: %v", err)
	}
	if err := g.Accept(); err != nil {
		t.Fatal(err)
	}
	c := dial(t, g.Addr())
	c.call(1, relay.Lookup, "new")
	s.wantCall("new")
	c.wantReply(1, "new")
}

func TestNewDoorLeadsToTheNewServer(t *testing.T) {
	first, g := start(t)
	second := startServer(t)
	t.Cleanup(func() {
		g.Close()
		second.stop()
	})
	old, was := dial(t, g.Addr()), g.Addr()
	g.WaitConnections(t, 1)
	if err := g.Serve("127.0.0.1:0", second.ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", was); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the old door: %v", err)
	}
	c := dial(t, g.Addr())
	c.call(1, relay.Lookup, "new")
	second.wantCall("new")
	c.wantReply(1, "new")
	old.call(1, relay.Lookup, "old")
	first.wantCall("old")
	old.wantReply(1, "old")
}

func TestClientOfADeadServerIsReset(t *testing.T) {
	s, g := start(t)
	s.ln.Close()
	c, err := net.Dial("tcp", g.Addr())
	if err == nil {
		defer c.Close()
		c.SetDeadline(time.Now().Add(timeout))
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client got %v", err)
	}
}

func TestResultsAreRewritten(t *testing.T) {
	s := startServer(t)
	t.Cleanup(s.stop)
	g := relay.New(map[relay.Call]relay.Rewrite{
		relay.PortByBrick: func(args, results []byte) []byte {
			return []byte(string(args) + "=" + string(results) + "!")
		},
	})
	t.Cleanup(func() { g.Close() })
	if err := g.Serve("127.0.0.1:0", s.ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	c := dial(t, g.Addr())
	c.call(1, relay.PortByBrick, "path")
	c.wantReply(1, "path=path!")
	c.call(2, relay.Lookup, "path")
	c.wantReply(2, "path")
}

func TestWhatIsNoRPCIsAnError(t *testing.T) {
	s := startServer(t)
	t.Cleanup(s.stop)
	g := relay.New(nil)
	if err := g.Serve("127.0.0.1:0", s.ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	c := dial(t, g.Addr())
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	c.wantEnd(syscall.ECONNRESET)
	if err := g.Close(); err == nil || !strings.Contains(err.Error(), "RPC") {
		t.Errorf("Close says %v", err)
	}
}
