package locks

import (
	"fmt"
	"slices"
	"syscall"

	"github.com/holdfast/holdfast/xlator"
)

// ticketKey is what makes two requests one: the space, the claim without its
// pid, and the number.
type ticketKey struct {
	space  spaceKey
	want   claim
	number uint64
}

// identity is the claim as far as it names a ticket.
func (c claim) identity() claim {
	c.pid = 0
	return c
}

func (w *wait) ticketKey() ticketKey { return ticketKey{w.key, w.want.identity(), w.ticket} }

// attach joins a call to a wait that is there already.
func (m *machine) attach(w *wait) outcome {
	if w.settled {
		m.fetch(w)
		return outcome{}
	}
	w.attached++
	return outcome{wait: w}
}

// leave ends one call's attachment. A wait without a ticket that nobody
// attends ends; one with a ticket stays.
func (m *machine) leave(w *wait) {
	w.attached--
	switch {
	case w.settled:
		m.fetch(w)
	case w.ticket == 0:
		m.cancel(w, syscall.EINTR)
	}
}

// fetch ends the memory of a grant: somebody has been told.
func (m *machine) fetch(w *wait) {
	m.forget(w)
	sp := m.spaces[w.key]
	if sp == nil {
		return
	}
	if i := slices.Index(sp.parked, w); i >= 0 {
		sp.parked = slices.Delete(sp.parked, i, i+1)
		m.tidy(sp)
	}
}

// forget ends a ticket.
func (m *machine) forget(w *wait) {
	if k := w.ticketKey(); w.ticket != 0 && m.tickets[k] == w {
		delete(m.tickets, k)
	}
}

// sweep ends the tickets that an unlock of c makes pointless: waits within it
// that nobody attends, and grants not fetched of which nothing is left.
func (m *machine) sweep(sp *space, c claim) {
	for i := 0; i < len(sp.queue); {
		w := sp.queue[i]
		if w.attached > 0 || w.want.owner != c.owner || !w.want.within(c) {
			i++
			continue
		}
		m.dequeue(sp, w)
		m.forget(w)
		w.settled, w.errno = true, syscall.EINTR
	}
	sp.parked = slices.DeleteFunc(sp.parked, func(w *wait) bool {
		gone := w.want.owner == c.owner && !sp.records.touches(w.want)
		if gone {
			m.forget(w)
		}
		return gone
	})
}

// abandon ends a ticket that nobody attends. A wait leaves the queue; of a
// grant only what is in keep remains.
func (m *machine) abandon(k ticketKey, keep []claim) (woken []*wait, err error) {
	w := m.tickets[k]
	switch {
	case w == nil:
		return nil, nil
	case w.attached > 0:
		return nil, fmt.Errorf("%s: ticket %d is being waited for: %w", k.space, k.number, syscall.EBUSY)
	case !w.settled:
		m.cancel(w, syscall.EINTR)
		return nil, nil
	}
	m.fetch(w)
	sp := m.space(k.space)
	sp.held.release(w.want)
	for _, c := range keep {
		c.start, c.end = max(c.start, w.want.start), min(c.end, w.want.end)
		if c.owner != w.want.owner || c.start > c.end || c.mode == unlocked {
			continue
		}
		if by, blocked := sp.held.blocker(c); blocked {
			err = fmt.Errorf("%s: put %s lock %s of owner %x back: pid %d has %s: %w",
				k.space, c.mode, c.extent(), c.owner, by.pid, by.extent(), syscall.EAGAIN)
			continue
		}
		sp.held.grant(c)
	}
	woken = m.settle(sp)
	m.tidy(sp)
	return woken, err
}

// Ticket names a waiting lock as its LkReq did: Lock's PID does not count.
type Ticket struct {
	File   xlator.GFID
	Lock   xlator.Lock
	Number uint64 // LkReq.Ticket
}
