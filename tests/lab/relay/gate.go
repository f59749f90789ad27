package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Rewrite changes the results of a call on their way to the client. It gets the
// call's arguments and the results, both as XDR, and owns neither; it is called
// from the goroutines of connections.
type Rewrite func(args, results []byte) []byte

// Gate is a relay to one server. All its methods may be called from anywhere.
type Gate struct {
	// Constant.
	rewrite map[Call]Rewrite
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc

	all sync.WaitGroup // accepting, dialling, sessions

	mu       sync.Mutex
	door     door
	sessions map[*session]struct{}
	armed    []*Armed
	pace     [2]pace
	counts   [2]map[Call]Count
	changed  chan struct{} // closed and replaced when counts or sessions change
	errs     []error
	closed   bool
}

// door is where clients come in, and where they are led to.
type door struct {
	addr, target string // empty: there was none yet
	ln           net.Listener
	refusing     bool
}

// New makes a Gate without a door. Rewrites apply to the server's replies.
func New(rewrite map[Call]Rewrite) *Gate {
	ctx, cancel := context.WithCancel(context.Background())
	return &Gate{
		rewrite:  rewrite,
		ctx:      ctx,
		cancel:   cancel,
		sessions: map[*session]struct{}{},
		counts:   [2]map[Call]Count{{}, {}},
		changed:  make(chan struct{}),
	}
}

// Start makes a Gate on a free port of 127.0.0.1 for one test. The end of the
// test closes it, and fails if what passed were no RPC records.
func Start(t testing.TB, target string) *Gate {
	t.Helper()
	g := New(nil)
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := g.Serve("127.0.0.1:0", target); err != nil {
		t.Fatal(err)
	}
	return g
}

// receiveBuffer keeps the window small, so that a stalled direction is felt.
const receiveBuffer = 128 << 10

func smallBuffer(_, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, receiveBuffer)
	}); e != nil {
		return e
	}
	return err
}

// Serve makes addr the Gate's door and target the server behind it. Connections
// through an earlier door stay; the door itself is closed. A Gate that refuses
// goes on refusing.
func (g *Gate) Serve(addr, target string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return net.ErrClosed
	}
	if g.door.ln != nil && g.door.addr == addr && g.door.target == target {
		return nil
	}
	g.shut()
	g.door.addr, g.door.target = addr, target
	return g.open()
}

// open opens the door, if there is one to be opened. Gate.mu is held.
func (g *Gate) open() error {
	if g.door.ln != nil || g.door.refusing || g.door.addr == "" {
		return nil
	}
	lc := net.ListenConfig{Control: smallBuffer}
	ln, err := lc.Listen(g.ctx, "tcp", g.door.addr)
	if err != nil {
		return fmt.Errorf("relay to %s: %w", g.door.target, err)
	}
	g.door.ln, g.door.addr = ln, ln.Addr().String()
	target := g.door.target
	g.all.Go(func() { g.accept(ln, target) })
	return nil
}

// shut closes the door. Gate.mu is held.
func (g *Gate) shut() {
	if g.door.ln != nil {
		g.door.ln.Close()
		g.door.ln = nil
	}
}

// Addr is the address that clients connect to.
func (g *Gate) Addr() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.door.addr
}

// Target is the server's address.
func (g *Gate) Target() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.door.target
}

// Refuse has new connections refused, as by a server that is not there.
func (g *Gate) Refuse() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.door.refusing = true
	g.shut()
}

// Accept ends Refuse.
func (g *Gate) Accept() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.door.refusing = false
	if g.closed {
		return nil
	}
	return g.open()
}

func (g *Gate) accept(ln net.Listener, target string) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return // the door was closed
		}
		g.all.Go(func() { g.lead(c.(*net.TCPConn), target) })
	}
}

// dialTimeout is for a connection on this machine.
const dialTimeout = 10 * time.Second

// lead connects a client to the server. There is no way to refuse a connection
// that the kernel has accepted: it is reset.
func (g *Gate) lead(client *net.TCPConn, target string) {
	d := net.Dialer{Timeout: dialTimeout, Control: smallBuffer}
	server, err := d.DialContext(g.ctx, "tcp", target)
	if err != nil {
		client.SetLinger(0)
		client.Close()
		return
	}
	s := newSession(g, client, server.(*net.TCPConn))
	g.mu.Lock()
	if g.closed {
		s.end(Reset, nil)
	}
	g.sessions[s] = struct{}{}
	g.tell()
	g.mu.Unlock()
	s.run()
	g.mu.Lock()
	delete(g.sessions, s)
	g.tell()
	g.mu.Unlock()
}

// Cut ends all present connections with FIN and says how many. It returns when
// they are shut down.
func (g *Gate) Cut() int { return g.breakAll(Cut) }

// Reset ends all present connections with RST and says how many.
func (g *Gate) Reset() int { return g.breakAll(Reset) }

func (g *Gate) breakAll(how Action) int {
	g.mu.Lock()
	all := slices.Collect(maps.Keys(g.sessions))
	g.mu.Unlock()
	for _, s := range all {
		s.end(how, nil)
		<-s.shut
	}
	return len(all)
}

func (g *Gate) note(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.errs = append(g.errs, err)
}

// Close ends everything and waits for it. The error says what passed that was
// no RPC.
func (g *Gate) Close() error {
	g.mu.Lock()
	g.closed = true
	g.cancel()
	g.shut()
	all := slices.Collect(maps.Keys(g.sessions))
	g.mu.Unlock()
	for _, s := range all {
		s.end(Reset, nil)
	}
	g.all.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return errors.Join(g.errs...)
}
