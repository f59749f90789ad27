package client

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/rpc"
)

// session is one brick of the mount: the connection with what is open and locked
// through it. All graphs that name the brick share it.
type session struct {
	// Constant after construction.
	key  key
	log  *slog.Logger
	mem  rpc.Memory
	kept *kept           // nil: nothing outlives the process
	rec  xlator.Recovery // nil: there was none before
	// resumed is the number of the session that was taken over from the process
	// before; 0: none was.
	resumed   uint64
	leftovers []found         // the connector's: objects that the process before was closing
	ctx       context.Context // ends with Close
	cancel    context.CancelFunc

	set     atomic.Pointer[settings] // the newest graph's
	names   names
	groups  groups
	frames  frames
	buffers buffers
	opened  opened
	counts  counts
	tickets tickets

	lockedFiles atomic.Int64 // files on which locks are held
	locksHeld   atomic.Int64
	stamped     atomic.Bool // the brick keeps the times that we send

	wg sync.WaitGroup // the connector, and attempts to open again

	mu sync.Mutex
	// Guarded by mu.

	conn    *rpc.Conn     // nil before the first connection
	up      bool          // fops may be sent
	sick    bool          // connected, but the brick says that its back-end is down
	number  uint64        // of the session that is up, or was last
	since   time.Time     // when it was lost, or the first was begun
	cause   error         // why it is not up; nil before the first attempt has failed
	overdue bool          // it has been away for longer than requests wait
	alarm   *time.Timer   // makes it overdue
	change  chan struct{} // closed and replaced when any of these changes
	inside  int           // between enter and leave
	empty   chan struct{} // closed when nobody is inside; nil if nobody wants to know
	closed  bool
	volume  uuid.UUID // after the first connection

	tellMu sync.Mutex
	told   map[*Client]bool // who uses the session, and the state it was told; guarded by tellMu
	newest uint64           // of the graphs that have used it; guarded by tellMu

	siblings atomic.Pointer[siblings] // nil before the first graph has joined
}

// counts are for people to look at.
type counts struct {
	sessions, resumed, inherited, reopened, adopted, relocked, moved, lost, locksLost, resolved atomic.Uint64
}

func newSession(k key, set *settings, e *xlator.Env) (*session, error) {
	s := &session{
		key: k, log: e.Log.With("brick", k.brick()), rec: e.Recovery, since: time.Now(),
		change: make(chan struct{}), told: map[*Client]bool{},
	}
	if err := s.makeMemory(e.Descriptors); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.set.Store(set)
	s.names.init()
	s.opened.init(s.kept)
	s.tickets.init()
	s.setAlarm()
	s.inherit()
	s.wg.Go(s.connector)
	s.wg.Go(s.settleInheritance)
	return s, nil
}

// makeMemory finds or makes the memory of the connection.
func (s *session) makeMemory(keeper xlator.Descriptors) (err error) {
	if s.kept, err = openKept(keeper, s.key); err != nil {
		s.log.Error("the connection will not survive this process", "err", err)
		s.kept = nil
	}
	if s.kept != nil {
		s.mem = s.kept.rpc
		return nil
	}
	s.mem, err = rpc.Private(rpc.DefaultLayout())
	return err
}

// Close ends the session. The brick then closes what is open and drops what is
// locked, but for locks that another session has taken over.
func (s *session) Close() error {
	s.giveLocks()
	s.cancel()
	s.mu.Lock()
	s.up, s.closed = false, true
	s.alarm.Stop()
	s.changed()
	conn := s.conn
	s.mu.Unlock()
	var err error
	if conn != nil {
		err = conn.Close()
	}
	s.wg.Wait()
	s.clear() // nobody may touch the memory any more
	s.frames.close()
	forget := s.mem.Close
	if s.kept != nil {
		forget = s.kept.close
	}
	if e := forget(); err == nil {
		err = e
	}
	return err
}

// Go implements hint.Owner.
func (s *session) Go(f func()) { s.wg.Go(f) }

// changed wakes who waits for the session. mu is held.
func (s *session) changed() {
	close(s.change)
	s.change = make(chan struct{})
}

// enter waits for the session, counts the caller in and returns the session's
// number, which stays the same until leave. While there is no session, it waits
// up to the deadline, counted from the loss.
func (s *session) enter(ctx context.Context) (number uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.up {
		if s.closed || s.overdue {
			return 0, s.away()
		}
		change := s.change
		s.mu.Unlock()
		err := xlator.Await(ctx, change)
		s.mu.Lock()
		if err != nil {
			return 0, err
		}
	}
	s.inside++
	return s.number, nil
}

// enterOnly is enter for what concerns the session of that number and no later
// one. It does not wait.
func (s *session) enterOnly(number uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up || s.number != number {
		return false
	}
	s.inside++
	return true
}

// enterConn is enterOnly for what is given up: for that the connection will do, also
// while no fops may be sent yet, or the brick is not well.
func (s *session) enterConn(number uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil || s.conn.Epoch() != number || s.conn.Err() != nil {
		return false
	}
	s.inside++
	return true
}

// leave counts the caller out.
func (s *session) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inside--; s.inside == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
}

// away is why there is no session. mu is held.
func (s *session) away() error {
	if s.cause == nil {
		return fmt.Errorf("the brick is not connected: %w", syscall.ENOTCONN)
	}
	return &awayError{s.cause}
}

// awayError is ENOTCONN, whatever the cause carries.
type awayError struct{ cause error }

func (e *awayError) Error() string   { return "the brick is away: " + e.cause.Error() }
func (e *awayError) Unwrap() []error { return []error{syscall.ENOTCONN, e.cause} }

// lose says that the session of that number has lost its connection.
func (s *session) lose(number uint64, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.number == number && s.up {
		s.down(cause)
	}
}

// down takes the session out of use. mu is held.
func (s *session) down(cause error) {
	s.up, s.cause, s.since = false, cause, time.Now()
	s.setAlarm()
	s.changed()
}

// setAlarm sees to it that requests wait no longer than the deadline, counted
// from since. mu is held, or the session is new.
func (s *session) setAlarm() {
	if s.alarm != nil {
		s.alarm.Stop()
	}
	s.overdue = false
	since := s.since
	s.alarm = time.AfterFunc(time.Until(since.Add(s.set.Load().deadline)), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.since == since && !s.up {
			s.overdue = true
			s.changed()
		}
	})
}

// join makes c a user of the session and has its options count.
func (s *session) join(c *Client) {
	s.tellMu.Lock()
	s.told[c] = false
	s.newest = max(s.newest, c.env.Generation)
	s.tellMu.Unlock()
	s.apply(c.settings.Load())
}

// quit undoes join.
func (s *session) quit(c *Client) {
	s.tellMu.Lock()
	delete(s.told, c)
	var newest *Client
	for u := range s.told {
		if newest == nil || u.env.Generation > newest.env.Generation {
			newest = u
		}
	}
	s.tellMu.Unlock()
	if newest != nil {
		s.apply(newest.settings.Load())
	}
}

// tell tells the graphs whether the brick is there, if they have heard something
// else last.
func (s *session) tell() {
	s.tellMu.Lock()
	defer s.tellMu.Unlock()
	s.mu.Lock()
	up := s.up
	s.mu.Unlock()
	e := xlator.Event{Kind: xlator.ChildDown}
	if up {
		e.Kind = xlator.ChildUp
	}
	for c, told := range s.told {
		if told != up {
			s.told[c] = up
			c.env.Notify(e)
		}
	}
}

// announce passes an event on to all graphs.
func (s *session) announce(e xlator.Event) {
	s.tellMu.Lock()
	defer s.tellMu.Unlock()
	for c := range s.told {
		c.env.Notify(e)
	}
}

// apply makes the options count from now on.
func (s *session) apply(set *settings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.set.Swap(set)
	if !s.up && set.deadline != old.deadline {
		s.setAlarm()
		s.changed()
	}
	if s.conn != nil && set.socket != old.socket {
		if err := s.conn.Apply(set.socket); err != nil {
			s.log.Warn("options of the connection", "err", err)
		}
	}
}

func (s *session) volumeID() uuid.UUID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.volume
}

// state is what there is to know for somebody who waits.
func (s *session) state() (up bool, change <-chan struct{}, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.up, s.change, s.cause
}
