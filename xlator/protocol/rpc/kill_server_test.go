package rpc

import (
	"encoding/binary"
	"fmt"
	"hash/crc64"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Procedures of the kill test's server. Everything but reading does harm when
// it is done twice.
const (
	killProg = 77

	procAdd = iota
	procAppend
	procRead
	procMkdir
	procRmdir
	procLock
	procUnlock
	procWait
)

// killServer is what the workers' calls act upon.
type killServer struct {
	*server
	t *testing.T

	mu          sync.Mutex
	counters    map[uint64]uint64
	files       map[uint64]file
	dirs        map[uint64]bool
	locks       map[uint64]bool
	waits       map[uint64]*served // waiting locks
	granted     int
	open        bool // waiting locks are granted at once
	connections int
	callbacks   uint64
	last        *serverConn
	problems    []string
	stop        chan struct{}
	wg          sync.WaitGroup
}

type file struct{ length, sum uint64 }

func newKillServer(t *testing.T) *killServer {
	s := &killServer{
		t: t, counters: map[uint64]uint64{}, files: map[uint64]file{}, dirs: map[uint64]bool{}, locks: map[uint64]bool{},
		waits: map[uint64]*served{}, stop: make(chan struct{}),
	}
	s.server = &server{handle: s.do, conns: map[*serverConn]bool{}, onConn: func(c *serverConn) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.connections++
		s.last = c
	}}
	s.listen(t, "tcp", "127.0.0.1:0")
	return s
}

// run grants waiting locks and sends callbacks from time to time.
func (s *killServer) run() {
	s.wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-s.stop:
				return
			case <-tick.C:
			}
			s.mu.Lock()
			s.callbacks++
			cb := framed(append(words32(uint32(s.callbacks), msgCall, rpcVersion, 52743234, 1, 5, 0, 0, 0, 0), words64(s.callbacks)...))
			to := s.last
			var lucky *served
			if n%20 == 0 { // each wait sees several workers
				for id, w := range s.waits {
					lucky = w
					delete(s.waits, id)
					s.grant(id)
					break
				}
			}
			s.mu.Unlock()
			if to != nil {
				to.send(cb)
			}
			if lucky != nil {
				lucky.reply(words32(0))
			}
		}
	})
	s.t.Cleanup(func() { close(s.stop); s.server.stop(); s.wg.Wait() })
}

func words64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

// grant gives a lock. mu is held.
func (s *killServer) grant(id uint64) {
	s.granted++
	if s.locks[id] {
		s.problems = append(s.problems, fmt.Sprintf("lock %d granted twice", id))
	}
	s.locks[id] = true
}

// grantAll lets nobody wait any more.
func (s *killServer) grantAll() {
	s.mu.Lock()
	s.open = true
	var lucky []*served
	for id, w := range s.waits {
		s.grant(id)
		lucky = append(lucky, w)
	}
	clear(s.waits)
	s.mu.Unlock()
	for _, w := range lucky {
		w.reply(words32(0))
	}
}

// do carries out one call.
func (s *killServer) do(r *served) {
	if r.prog != killProg || len(r.args) < 8 {
		s.mu.Lock()
		s.problems = append(s.problems, fmt.Sprintf("a call of program %d with %d bytes of arguments", r.prog, len(r.args)))
		s.mu.Unlock()
		return
	}
	id := binary.BigEndian.Uint64(r.args)
	if r.proc == procRead {
		p := make([]byte, binary.BigEndian.Uint64(r.args[8:]))
		pattern(p, id)
		r.conn.sendPieces(replyTo(r.xid, 0, p), 3001)
		return
	}
	if answer := s.change(r, id); answer != nil {
		r.reply(answer)
	}
}

// change returns the reply, nil if there is none yet.
func (s *killServer) change(r *served, id uint64) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	errno := func(bad bool, e syscall.Errno) []byte {
		if bad {
			return words32(uint32(e))
		}
		return words32(0)
	}
	switch r.proc {
	case procAdd:
		s.counters[id]++
		return words64(s.counters[id])
	case procAppend:
		f := s.files[id]
		f.length += uint64(len(r.args) - 8)
		f.sum = crc64.Update(f.sum, crcTable, r.args[8:])
		s.files[id] = f
		return words64(f.length)
	case procMkdir:
		had := s.dirs[id]
		s.dirs[id] = true
		return errno(had, syscall.EEXIST)
	case procRmdir:
		had := s.dirs[id]
		delete(s.dirs, id)
		return errno(!had, syscall.ENOENT)
	case procLock:
		had := s.locks[id]
		s.locks[id] = true
		return errno(had, syscall.EAGAIN)
	case procUnlock:
		had := s.locks[id]
		delete(s.locks, id)
		return errno(!had, syscall.EINVAL)
	case procWait:
		if s.open {
			s.grant(id)
			return words32(0)
		}
		if s.waits[id] != nil {
			s.problems = append(s.problems, fmt.Sprintf("lock %d is waited for twice", id))
		}
		s.waits[id] = r
		return nil
	}
	s.problems = append(s.problems, fmt.Sprintf("procedure %d", r.proc))
	return nil
}
