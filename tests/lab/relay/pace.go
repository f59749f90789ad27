package relay

import (
	"net"
	"time"
)

// pace is how fast one direction goes.
type pace struct {
	delay   time.Duration
	rate    int           // bytes a second of each connection; 0: no limit
	stalled chan struct{} // nil, or closed when it flows again
}

// Delay holds every record back for d from now on, in one direction.
func (g *Gate) Delay(dir Direction, d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pace[dir].delay = d
}

// Throttle limits each connection to so many bytes a second in one direction; 0
// ends it.
func (g *Gate) Throttle(dir Direction, bytesPerSecond int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pace[dir].rate = bytesPerSecond
}

// Stall passes nothing on in one direction and reads nothing more, so that the
// sender's window closes. One record of each connection may still be read.
func (g *Gate) Stall(dir Direction) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pace[dir].stalled == nil {
		g.pace[dir].stalled = make(chan struct{})
	}
}

// Flow ends Stall.
func (g *Gate) Flow(dir Direction) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ch := g.pace[dir].stalled; ch != nil {
		close(ch)
		g.pace[dir].stalled = nil
	}
}

func (g *Gate) paceOf(dir Direction) pace {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pace[dir]
}

// throttleSlices is in how many parts of a second a throttled connection sends.
const throttleSlices = 50

func (s *session) send(d Direction, b []byte) error {
	for len(b) > 0 {
		n, rate := len(b), s.gate.paceOf(d).rate
		if rate > 0 {
			n = min(n, max(rate/throttleSlices, 1))
		}
		if _, err := s.conn[d].Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
		if rate > 0 && !s.waitUntil(time.Now().Add(time.Duration(n)*time.Second/time.Duration(rate))) {
			return net.ErrClosed
		}
	}
	return nil
}

// waitUntil waits for a time and says whether the session goes on.
func (s *session) waitUntil(due time.Time) bool {
	d := time.Until(due)
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.done:
		return false
	}
}

// flows waits while the direction is stalled and says whether the session goes
// on.
func (s *session) flows(d Direction) bool {
	for {
		stalled := s.gate.paceOf(d).stalled
		if stalled == nil {
			select {
			case <-s.done:
				return false
			default:
				return true
			}
		}
		select {
		case <-stalled:
		case <-s.done:
			return false
		}
	}
}
