package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast/holdfast/xlator/protocol/rpc"
)

// Pauses between attempts to connect: a part of the time that the brick has been
// away, so that a restart is noticed at once and a dead server is not besieged.
const (
	minPause  = 20 * time.Millisecond
	maxPause  = time.Second
	pausePart = 32
)

// pauseAfter is the pause for a brick that has been away for that long.
func pauseAfter(away time.Duration) time.Duration {
	return min(max(away/pausePart, minPause), maxPause)
}

// connector keeps the session connected until Close.
func (s *session) connector() {
	var m manager
	defer m.close()
	complaint, failures := "", 0
	next := func() (*rpc.Conn, uint64, error) { return s.connect(&m) }
	if s.resumed != 0 {
		next = s.resume
	}
	for s.ctx.Err() == nil {
		conn, number, err := next()
		next = func() (*rpc.Conn, uint64, error) { return s.connect(&m) }
		if err != nil {
			s.clear()
			s.failed(err)
			if text := err.Error(); text != complaint && s.ctx.Err() == nil {
				s.log.Warn("brick cannot be reached; trying on", "err", err)
				complaint = text
			}
			failures++
			s.pause()
			continue
		}
		s.tell()
		if failures > 0 || number > 1 && number != s.resumed {
			s.log.Info("brick is back", "session", number, "attempts", failures+1)
		}
		complaint, failures = "", 0
		select {
		case <-conn.Lost():
			s.lose(number, conn.Err())
		case <-s.ctx.Done():
			return
		}
		s.tell()
		s.clear()
	}
}

// pause waits before the next attempt.
func (s *session) pause() {
	s.mu.Lock()
	away := time.Since(s.since)
	s.mu.Unlock()
	t := time.NewTimer(pauseAfter(away))
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ctx.Done():
	}
}

// failed notes why there is no session.
func (s *session) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up {
		s.cause = err
		s.changed()
	}
}

// clear waits until nobody is inside the session that was lost: all are told
// that it was.
func (s *session) clear() {
	s.mu.Lock()
	if s.inside == 0 {
		s.mu.Unlock()
		return
	}
	if s.empty == nil {
		s.empty = make(chan struct{})
	}
	empty := s.empty
	s.mu.Unlock()
	<-empty
}

// connect makes the next session.
func (s *session) connect(m *manager) (*rpc.Conn, uint64, error) {
	set := s.set.Load()
	sock, w, err := s.key.connect(s.ctx, m, set.socket, s.kept.port())
	if err != nil {
		return nil, 0, err
	}
	if v := s.volumeID(); v != uuid.Nil && v != w.volume {
		_ = sock.Close()
		return nil, 0, &finalError{fmt.Errorf("brick %s belongs to volume %s now, and to %s before: is the volume a new one? Unmount and mount again: %w", s.key.brick(), w.volume, v, syscall.ESTALE)}
	}
	s.kept.reset() // what was open, was it in another session
	s.kept.note(w.volume, sock)
	s.kept.noteSick(!w.up)
	conn, err := s.adoptSocket(sock, set)
	if err != nil {
		return nil, 0, err
	}
	number := conn.Epoch()
	s.counts.sessions.Add(1)
	s.abandonLocks()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.volume, s.number = w.volume, number
	s.sick = !w.up
	if s.sick {
		s.cause = errSick
		s.changed()
		return conn, number, nil
	}
	s.rise()
	return conn, number, nil
}

var errSick = fmt.Errorf("the brick runs, but says that its file system is not well: see its log, and `gluster volume status`: %w", syscall.EIO)

// rise takes the session into use. mu is held.
func (s *session) rise() {
	s.up, s.cause, s.overdue = true, nil, false
	s.alarm.Stop()
	number := s.number
	s.wg.Go(func() { s.relock(number) })
	s.changed()
}

// adoptSocket gives the socket to the rpc.Conn, which is made at the first.
func (s *session) adoptSocket(sock net.Conn, set *settings) (*rpc.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = sock.Close()
		return nil, context.Canceled
	}
	var err error
	if s.kept != nil {
		if err := s.kept.keepSocket(sock); err != nil {
			s.log.Error("the connection will not survive this process", "err", err)
		}
	}
	if s.conn == nil {
		s.conn, err = rpc.Open(s.mem, sock, s.options(set))
	} else {
		err = s.conn.Reconnect(sock)
	}
	if err != nil {
		_ = sock.Close()
		return nil, err
	}
	return s.conn, nil
}

// options are the connection's.
func (s *session) options(set *settings) rpc.Options {
	o := rpc.Options{
		Name: "brick " + s.key.brick(), Log: s.log, PingTimeout: set.ping, OnCallback: s.callback, OnOrphan: s.orphan, Recorded: s.recorded,
		MaxDeaths: maxDeaths,
	}
	if s.kept != nil {
		o.Regions = &s.kept.payloads
	}
	return o
}

// maxDeaths leaves it to the bridge which request is to blame for the deaths of
// processes: it knows how they died.
const maxDeaths = math.MaxInt

// firstPatience is how long the first graph of a mount waits for a brick that
// does not run: it may just be starting.
const firstPatience = 2 * time.Second

// await waits for the session on behalf of a graph that is being built.
func (s *session) await(ctx context.Context, patient bool) error {
	soon := time.NewTimer(firstPatience)
	defer soon.Stop()
	var over <-chan time.Time
	if !patient {
		over = soon.C
	}
	for expired := false; ; {
		up, change, cause := s.state()
		switch {
		case up:
			return nil
		case cause != nil && (expired || isFinal(cause)):
			return cause
		}
		select {
		case <-change:
		case <-over:
			expired, over = true, nil
		case <-ctx.Done():
			return errors.Join(cause, ctx.Err())
		}
	}
}
