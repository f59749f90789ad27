package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// queueLength is how many records may lie between reading and writing: those
// that are delayed.
const queueLength = 256

// lingerTimeout is how long the peers of a connection that is cut have to end
// their sides before they get RST.
const lingerTimeout = 2 * time.Second

// session is one connection of a client, with its connection to the server.
type session struct {
	gate *Gate

	// Constant. By direction: where records that go there are written.
	conn  [2]*net.TCPConn
	queue [2]chan passage
	freed [2]chan passage // what Release lets go

	done    chan struct{} // closed by end
	shut    chan struct{} // closed when both connections are shut down
	loops   sync.WaitGroup
	flowing atomic.Int32 // directions that have not met their end

	mu      sync.Mutex
	ended   bool
	how     ending
	cause   *Armed
	pending [2]map[uint32]*awaited // calls without a reply, by the call's direction
}

// ending is how a session ends.
type ending int

const (
	finished ending = iota // both sides have ended by themselves
	cut
	reset
)

// awaited is a call whose reply has not come.
type awaited struct {
	call  Call
	args  []byte // of a call whose reply is rewritten
	armed *Armed // what happens to the reply
	lost  bool   // the reply is never passed on
}

// passage is one record on its way through.
type passage struct {
	record
	call  Call
	reply bool
	due   time.Time
	armed *Armed // what happens to it
	eof   bool   // the sender has ended; there is no record
}

func newSession(g *Gate, client, server *net.TCPConn) *session {
	s := &session{
		gate:    g,
		conn:    [2]*net.TCPConn{ToServer: server, ToClient: client},
		done:    make(chan struct{}),
		shut:    make(chan struct{}),
		pending: [2]map[uint32]*awaited{{}, {}},
	}
	for d := range s.queue {
		s.queue[d] = make(chan passage, queueLength)
		s.freed[d] = make(chan passage)
	}
	s.flowing.Store(2)
	return s
}

// run serves the session to its end.
func (s *session) run() {
	for _, d := range []Direction{ToServer, ToClient} {
		s.loops.Go(func() { s.read(d) })
		s.loops.Go(func() { s.write(d) })
	}
	<-s.done
	// What waits in a read or write is woken; a loop that comes back to one
	// finds the time over too.
	for _, c := range s.conn {
		c.SetDeadline(time.Unix(1, 0))
	}
	s.loops.Wait()
	s.shutDown()
}

// end has the session end. Only the first call counts.
func (s *session) end(how Action, cause *Armed) {
	if how == Reset {
		s.endAs(reset, cause)
		return
	}
	s.endAs(cut, cause)
}

func (s *session) endAs(how ending, cause *Armed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended, s.how, s.cause = true, how, cause
	close(s.done)
}

// shutDown closes both connections. Closing one with unread data in it would
// send RST, so those of a cut are read to their end first.
func (s *session) shutDown() {
	s.mu.Lock()
	how, cause := s.how, s.cause
	s.mu.Unlock()
	for _, c := range s.conn {
		if how == reset {
			c.SetLinger(0)
			c.Close()
		} else {
			c.CloseWrite()
		}
	}
	close(s.shut)
	if cause != nil {
		close(cause.done)
	}
	if how == reset {
		return
	}
	for _, c := range s.conn {
		c.SetDeadline(time.Now().Add(lingerTimeout))
		stop := context.AfterFunc(s.gate.ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
		if how == cut {
			io.Copy(io.Discard, c)
		}
		stop()
		c.Close()
	}
}

// read takes records off the sender and queues them.
func (s *session) read(d Direction) {
	src := s.conn[d.reverse()]
	for s.flows(d) {
		rec, err := readRecord(src)
		if err == io.EOF {
			s.put(d, passage{eof: true})
			return
		}
		if err != nil {
			s.broken(d, err)
			return
		}
		p, pass, err := s.inspect(d, rec)
		if err != nil {
			s.broken(d, err)
			return
		}
		if !pass {
			continue
		}
		p.due = time.Now().Add(s.gate.paceOf(d).delay)
		if !s.put(d, p) {
			return
		}
	}
}

// broken ends the session after an error of the sender's connection, or one in
// what it sent.
func (s *session) broken(d Direction, err error) {
	select {
	case <-s.done:
		return // it is our own doing
	default:
	}
	if errors.Is(err, errStream) {
		s.gate.note(fmt.Errorf("relay, %v: %w", d, err))
	}
	s.endAs(reset, nil)
}

func (s *session) put(d Direction, p passage) bool {
	select {
	case s.queue[d] <- p:
		return true
	case <-s.done:
		return false
	}
}

// inspect finds out what a record is and what happens to it. It is not passed
// on at all if its call was to lose its reply.
func (s *session) inspect(d Direction, rec record) (p passage, pass bool, err error) {
	m, err := parse(rec.body)
	if err != nil {
		return passage{}, false, err
	}
	if m.reply {
		return s.inspectReply(d, rec, m)
	}
	p = passage{record: rec, call: m.call}
	a := s.gate.meet(m.call)
	w := &awaited{call: m.call}
	switch {
	case a == nil:
	case a.fault.ofReply():
		w.armed = a
	default:
		p.armed, w.lost = a, a.fault.Do != Hold
	}
	if s.gate.rewrite[m.call] != nil {
		w.args = rec.body[m.payload:]
	}
	if m.call.Program() != programCallback { // those have no reply
		s.mu.Lock()
		s.pending[d][m.xid] = w
		s.mu.Unlock()
	}
	return p, true, nil
}

func (s *session) inspectReply(d Direction, rec record, m message) (passage, bool, error) {
	s.mu.Lock()
	w := s.pending[d.reverse()][m.xid]
	delete(s.pending[d.reverse()], m.xid)
	s.mu.Unlock()
	if w == nil { // a server that could not read a call's header answers with xid 0
		return passage{record: rec, reply: true}, true, nil
	}
	if w.lost {
		return passage{}, false, nil
	}
	if rw := s.gate.rewrite[w.call]; rw != nil && m.payload > 0 {
		results := rw(w.args, rec.body[m.payload:])
		rec = newRecord(append(rec.body[:m.payload:m.payload], results...))
	}
	return passage{record: rec, call: w.call, reply: true, armed: w.armed}, true, nil
}

// write passes queued records on.
func (s *session) write(d Direction) {
	dst := s.conn[d]
	for {
		var p passage
		select {
		case p = <-s.queue[d]:
		case p = <-s.freed[d]:
		case <-s.done:
			return
		}
		if !s.waitUntil(p.due) || !s.flows(d) {
			return
		}
		if p.eof {
			dst.CloseWrite()
			if s.flowing.Add(-1) == 0 {
				s.endAs(finished, nil)
			}
			return
		}
		if p.armed != nil && p.armed.fault.Do == Hold {
			s.hold(d, p)
			continue
		}
		if !s.deliver(d, p) {
			return
		}
	}
}

// deliver writes a record, or as much of it as is meant to arrive, and says
// whether the session goes on.
func (s *session) deliver(d Direction, p passage) bool {
	wire := p.wire
	if p.armed != nil {
		wire = wire[:p.armed.fault.upTo(wire)]
	}
	// Counted before, so that whoever has received it finds it counted.
	if len(wire) == len(p.wire) {
		s.gate.count(d, p.call, p.reply)
	}
	if err := s.send(d, wire); err != nil {
		s.broken(d, err)
		return false
	}
	if p.armed != nil {
		s.end(p.armed.fault.Do, p.armed)
		return false
	}
	return true
}

// hold keeps a record until Release or the end of the session.
func (s *session) hold(d Direction, p passage) {
	a := p.armed
	p.armed = nil
	s.loops.Go(func() {
		select {
		case <-a.free:
		case <-s.done:
			return
		}
		select {
		case s.freed[d] <- p:
		case <-s.done:
		}
	})
	close(a.done)
}
