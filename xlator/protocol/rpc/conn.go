package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Options are how a connection behaves. None of it is in the memory.
type Options struct {
	// Name is the server in log lines and errors.
	Name string
	// Log gets one line per loss of the connection; nil discards.
	Log *slog.Logger
	// Regions are where payloads lie that the next process finds too.
	Regions Regions
	// PingTimeout is how long a server may be silent when something is
	// outstanding; 0 waits for ever.
	PingTimeout time.Duration
	// MaxDeaths is how many processes may get one reply and die over it before
	// the request is refused; 0 means 3.
	MaxDeaths int
	// OnCallback gets the server's calls one after the other, in their order.
	// After the death of the process a callback may come again. The handler
	// may Call, and must return: what it was given holds ring memory.
	OnCallback func(Callback)
	// OnOrphan gets the replies of calls that nobody asks for any more, one
	// after the other with the callbacks; see [Orphan].
	OnOrphan func(Orphan)
	// Recorded is asked by Resume of each reply that had been handed to a process
	// before: whether there is a record of what it has acquired, or it has acquired
	// nothing. If it has not, and nobody asks for it again, it is an orphan. It must
	// not use the Conn. nil: there is one.
	Recorded func(Orphan) bool

	at func(point) // where a test's process dies; heeded under the invariants tag
}

// Conn is the calls to one GlusterFS server, over one connection at a time.
type Conn struct {
	// Constant after construction.
	mem   Memory
	hdr   header
	ring  []byte // twice the ring
	size  uint64 // of the ring
	opts  Options
	log   *slog.Logger
	calls []call // by slot
	kick  chan struct{}
	ended chan struct{} // closed when the event loop has ended

	mu     sync.Mutex
	landed sync.Cond // some writev returned; on mu
	fewer  sync.Cond // a call of an earlier process is not under way any more; on mu

	// Guarded by mu.

	sock   *socket       // nil when there is no connection
	cause  error         // why sock is nil
	gone   chan struct{} // the newest socket's
	closed bool

	free     []int32          // slots, last in first out
	byXid    map[uint32]*call // outstanding
	requests map[uint64]int32 // unique -> its newest slot, and on by call.same
	waiters  []*waiter        // for slots or room, in order of arrival

	// INVARIANT: written <= pub; origin <= done <= parsed <= consumed <= done+size.
	pub, written           uint64
	done, parsed, consumed uint64
	stale                  uint64 // what was received before this process took over
	origin                 uint64 // position that is byte 0 of the ring
	floor                  uint64 // what was received before this connection: not to be parsed again
	answered               uint64 // end of the last call that has been answered
	records                records
	outstanding, blocking  int
	expected               int // bytes of large replies that are outstanding
	events                 []event
}

// Open begins on a fresh memory (whatever was in it is lost) and a connected
// socket on which nothing of ours is in flight. The socket becomes the Conn's,
// which closes what it was given; the memory stays the caller's, to be closed
// after the Conn and all replies.
func Open(mem Memory, sock net.Conn, o Options) (*Conn, error) {
	if err := mem.Layout().check(); err != nil {
		return nil, err
	}
	format(mem)
	c := newConn(mem, o)
	for i := mem.Layout().Slots - 1; i >= 0; i-- {
		c.free = append(c.free, int32(i))
	}
	if err := c.Reconnect(sock); err != nil {
		_ = c.Close() // nothing has happened yet
		return nil, err
	}
	return c, nil
}

func newConn(mem Memory, o Options) *Conn {
	l := mem.Layout()
	c := &Conn{
		mem: mem, hdr: header(mem.Control()), ring: mem.Ring(), size: uint64(l.Ring), opts: o, log: o.Log,
		calls:    make([]call, l.Slots),
		kick:     make(chan struct{}, 1),
		ended:    make(chan struct{}),
		byXid:    map[uint32]*call{},
		requests: map[uint64]int32{},
		cause:    ErrClosed,
		gone:     make(chan struct{}),
	}
	close(c.gone)
	c.landed.L, c.fewer.L = &c.mu, &c.mu
	if c.opts.MaxDeaths == 0 {
		c.opts.MaxDeaths = 3
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	for i := range c.calls {
		c.calls[i].init(int32(i), mem)
	}
	go c.handleEvents()
	return c
}

// Reconnect goes on over another socket after the connection was lost. Calls
// of before stay as their loss left them; xids and positions go on counting.
func (c *Conn) Reconnect(sock net.Conn) error {
	s, err := newSocket(sock)
	if err != nil {
		return err
	}
	sent, received, err := s.origin()
	if err == nil {
		err = s.start(c.space)
	}
	if err != nil {
		s.forget()
		return fmt.Errorf("rpc: %s: %w", c.opts.Name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.sock != nil {
		s.forget()
		return fmt.Errorf("rpc: %s: connect again: the connection is %s", c.opts.Name, map[bool]string{true: "closed", false: "not lost"}[c.closed])
	}
	// The socket's name is stored last: before that, a next process takes it
	// for a stranger.
	c.hdr.store(hdrCookie, 0)
	c.written = c.pub
	c.raiseFloor()
	c.hdr.store(hdrBegan, c.pub)
	c.hdr.store(hdrBaseSend, sent-c.pub)
	c.hdr.store(hdrBaseRecv, received-c.consumed)
	c.hdr.store(hdrEpoch, c.hdr.load(hdrEpoch)+1)
	c.hdr.store(hdrCookie, s.cookie)
	c.start(s)
	return nil
}

// raiseFloor makes an end with the old connection's bytes in the ring, among
// them half a record: the next process is not to parse them. Replies that are
// still there are kept in their slots or, as in Release, forgotten. mu is held.
func (c *Conn) raiseFloor() {
	for i := range c.calls {
		k := &c.calls[i]
		switch {
		case k.phase != answered:
		case k.orphan || !c.record(k):
			k.slot.setState(slotFree) // an orphan has nothing to undo any more
		case !k.taken:
			c.finish(k.rec)
		}
	}
	c.floor = c.consumed
	c.hdr.store(hdrDone, c.floor)
}

// start lets the socket work. mu is held.
func (c *Conn) start(s *socket) {
	c.sock, c.cause, c.gone = s, nil, s.gone
	s.workers.Add(2)
	go c.write(s)
	go c.ping(s)
	go c.read(s)
}

// Lost is closed when the connection that exists now has been lost and every
// call that was outstanding on it has been told. Without a connection it is
// closed already.
func (c *Conn) Lost() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}

// Err is why there is no connection; nil while there is one.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sock != nil {
		return c.sock.cause
	}
	return c.cause
}

// RemoteAddr is the server's address; nil while there is no connection.
func (c *Conn) RemoteAddr() net.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sock == nil {
		return nil
	}
	return c.sock.conn.RemoteAddr()
}

// Unanswered is how many calls have no reply yet, and how many bytes of them have
// not gone out.
func (c *Conn) Unanswered() (calls int, unsent uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.outstanding, c.pub - c.written
}

// Epoch counts the connections that this memory has had, from 1.
func (c *Conn) Epoch() uint64 { return c.hdr.load(hdrEpoch) }

// Note is 1 KiB of the memory for whoever uses the connection: what the next
// process must know about it.
func (c *Conn) Note() []byte { return c.hdr[noteOff : noteOff+noteSize] }

// Drop ends the connection, for a reason that calls and the log will tell.
func (c *Conn) Drop(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sock != nil {
		c.fail(c.sock, cause)
	}
}

// Close ends the connection for good and waits for everything that it runs. It
// may not be called by a handler. Replies that were handed out stay good.
func (c *Conn) Close() error {
	c.mu.Lock()
	first, gone := !c.closed, c.gone
	c.closed = true
	if c.sock != nil {
		c.fail(c.sock, ErrClosed)
	}
	c.mu.Unlock()
	<-gone
	if first {
		close(c.kick)
	}
	<-c.ended
	return nil
}

// fail gives the socket up: nothing is sent any more; what was received is
// still read, then lose is called by the reader. mu is held.
func (c *Conn) fail(s *socket, cause error) {
	if s.cause != nil {
		return
	}
	s.cause = cause
	close(s.giveUp)
	s.shutdown()
	c.callReader(s)
}

// lose tells everybody that the connection is gone. Only its reader calls it,
// when nothing can come any more.
func (c *Conn) lose(s *socket) {
	s.workers.Wait()
	c.mu.Lock()
	for s.flying {
		c.landed.Wait() // only then it is known what was sent
	}
	n := c.disconnect(s.cause)
	c.mu.Unlock()
	s.close()
	level := slog.LevelWarn
	if s.cause == ErrClosed {
		level = slog.LevelDebug
	}
	c.log.Log(context.Background(), level, "connection lost", "server", c.opts.Name, "cause", s.cause, "unanswered", n)
	close(s.gone)
}

// disconnect ends every call that waits for the server, and reports how many
// that were. mu is held.
func (c *Conn) disconnect(cause error) (n int) {
	c.sock, c.cause = nil, cause
	for _, w := range c.waiters {
		w.refuse(&LostError{NotSent, cause})
	}
	c.waiters = nil
	for i := range c.calls {
		k := &c.calls[i]
		if k.phase != outstanding {
			continue
		}
		n++
		c.unreserve(k)
		e := &LostError{Unknown, cause}
		if k.end > c.written {
			e.Outcome = NotSent
		}
		c.lost(k, e)
	}
	c.outstanding = 0
	clear(c.byXid)
	c.fewer.Broadcast()
	if c.consumed > c.parsed { // half a record: nothing comes after it
		seq := c.records.push(c.consumed)
		c.parsed = c.consumed
		c.finish(seq)
	}
	return n
}

// lost ends one call. mu is held.
func (c *Conn) lost(k *call, e *LostError) {
	k.phase, k.err = lost, e
	switch {
	case k.ping || !k.waiting && (k.orphan || e.Outcome == NotSent):
		c.release(k)
		return
	case e.Outcome == NotSent:
		k.slot.setState(slotFree) // who waits releases it
	default:
		k.slot.setState(slotLost)
	}
	k.notify()
}
