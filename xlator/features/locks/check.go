package locks

import "fmt"

// check looks at everything that must hold between two steps.
func (m *machine) check() error {
	tickets, waits := 0, 0
	for k, sp := range m.spaces {
		if sp.key != k || len(sp.queue)+len(sp.parked)+sp.held.count() == 0 {
			return fmt.Errorf("%s: space %s is empty or misplaced", k, sp.key)
		}
		if err := sp.check(); err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
		for _, w := range sp.queue {
			if k.kind == recordLocks {
				waits++
			}
			if w.ticket != 0 {
				tickets++
			}
		}
		for _, w := range sp.parked {
			if tickets++; w.ticket == 0 || !w.settled || w.attached > 0 || m.tickets[w.ticketKey()] != w {
				return fmt.Errorf("%s: a grant to nobody is kept: %+v", k, *w)
			}
		}
	}
	// A grant that an attached call has yet to fetch still has its ticket.
	for _, w := range m.tickets {
		if w.settled && w.attached > 0 {
			tickets++
		}
	}
	if tickets != len(m.tickets) {
		return fmt.Errorf("%d tickets for %d places", len(m.tickets), tickets)
	}
	for _, ws := range m.waits {
		waits -= len(ws)
	}
	if waits != 0 {
		return fmt.Errorf("%d waits are not known by owner", waits)
	}
	return nil
}

func (sp *space) check() error {
	for c := range sp.held.all() {
		if by, ok := sp.held.blocker(c); ok {
			return fmt.Errorf("%x holds %s and %x holds %s", c.owner, c.extent(), by.owner, by.extent())
		}
	}
	for _, w := range sp.queue {
		if _, ok := sp.held.blocker(w.want); !ok {
			return fmt.Errorf("%x waits for %s, which nobody has", w.want.owner, w.want.extent())
		}
		if w.settled || w.attached < 0 || w.attached == 0 && w.ticket == 0 {
			return fmt.Errorf("bad wait in the queue: %+v", *w)
		}
	}
	return sp.records.check()
}

func (r *records) check() error {
	for i, h := range r.by {
		if len(h.spans) == 0 || i > 0 && r.by[i-1].owner >= h.owner {
			return fmt.Errorf("owner %x is out of order or has nothing", h.owner)
		}
		for j, s := range h.spans {
			if s.mode == unlocked || s.start > s.end {
				return fmt.Errorf("owner %x holds %+v", h.owner, s)
			}
			if j == 0 {
				continue
			}
			if p := h.spans[j-1]; p.end >= s.start || p.end+1 == s.start && p.mode == s.mode {
				return fmt.Errorf("owner %x holds %+v and %+v apart", h.owner, p, s)
			}
		}
	}
	return nil
}
