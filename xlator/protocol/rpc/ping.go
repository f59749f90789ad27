package rpc

import "time"

// GF-DUMP, which every GlusterFS server has.
const (
	dumpProg = 123451501
	dumpVers = 1
	dumpPing = 2
)

// pinger is what the ping knows of a server's signs of life.
type pinger struct {
	timeout  time.Duration
	heard    time.Time // when something last came, or could not have come
	received uint64    // what had been received by then
	acked    uint64
	lastPing time.Time
}

// ping ends the connection when the server is silent for too long. Its time
// begins anew in every process.
func (c *Conn) ping(s *socket) {
	defer s.workers.Done()
	p := pinger{timeout: c.opts.PingTimeout, heard: time.Now()}
	if p.timeout <= 0 {
		return
	}
	tick := time.NewTicker(max(p.timeout/8, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-s.giveUp:
			return
		case now := <-tick.C:
			c.mu.Lock()
			c.look(s, &p, now)
			// A ping is sent by whoever sends, and here if nobody does.
			c.transmit(s)
		}
	}
}

// look decides at one tick whether to ping or to give up. mu is held.
func (c *Conn) look(s *socket, p *pinger, now time.Time) {
	if s.cause != nil {
		return
	}
	if c.consumed != p.received || c.outstanding == 0 || s.starved {
		p.received, p.heard = c.consumed, now
		return
	}
	if s.pingAt == 0 {
		if now.Sub(p.lastPing) >= p.timeout/2 {
			p.lastPing, p.heard = now, now
			c.sendPing(s)
		}
		return
	}
	// As long as the ping itself is not there, arriving of what is before it
	// is a sign of life.
	if acked, ok := s.acked(c); ok && acked < s.pingAt && acked != p.acked {
		p.acked, p.heard = acked, now
	}
	if now.Sub(p.heard) >= p.timeout {
		c.fail(s, errPing)
	}
}

// sendPing publishes a ping. The last free slot is the ping's. mu is held.
func (c *Conn) sendPing(s *socket) {
	if len(c.free) == 0 {
		return // kept replies took everything; the next tick tries again
	}
	r := &Request{Prog: dumpProg, Vers: dumpVers, Proc: dumpPing}
	k := c.enter(r, 1)
	k.ping = true
	c.build(k, r)
	c.publish(k)
	s.pingAt = k.end
	c.callReader(s)
}
