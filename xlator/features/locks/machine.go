package locks

import (
	"slices"
	"syscall"
)

// machine is every lock of one brick, as a state machine: each method is one
// step, runs to its end and returns what changed. It knows no goroutine, lock
// or clock.
//
// INVARIANT: after each step no two held locks exclude each other, and no wait
// in a queue could be granted.
type machine struct {
	spaces map[spaceKey]*space
	// tickets finds waits with a ticket that are in a queue, or granted and
	// not yet fetched.
	tickets map[ticketKey]*wait
	// waits finds the waits for record locks of an owner, in any file: the
	// edges along which a circle is looked for.
	waits map[uint64][]*wait
	// spare is one empty space to be used again.
	spare *space
}

// space is the locks that may exclude each other.
type space struct {
	key     spaceKey
	held    holdings // records or tally below
	records records
	tally   tally
	queue   []*wait // waiting, in order of arrival
	parked  []*wait // granted while nobody was attached
}

// wait is a place in a queue, and later what became of it.
type wait struct {
	key    spaceKey
	want   claim
	ticket uint64
	// done is closed when the wait has been settled. The machine makes it,
	// who runs the machine closes it.
	done chan struct{}

	// attached counts the calls that wait for it now.
	attached int
	settled  bool
	errno    syscall.Errno // once settled: 0 is a grant
}

// outcome is what a request came to: granted (no errno, no wait), refused
// (errno), or a wait.
type outcome struct {
	wait  *wait
	errno syscall.Errno
	by    claim   // with EAGAIN and EDEADLK: the first lock in the way
	woken []*wait // others settled by this step
}

func newMachine() *machine {
	return &machine{spaces: map[spaceKey]*space{}, tickets: map[ticketKey]*wait{}, waits: map[uint64][]*wait{}}
}

// space returns the space of that key, made if there is none; tidy takes it
// away again when nothing is in it.
func (m *machine) space(k spaceKey) *space {
	sp := m.spaces[k]
	if sp != nil {
		return sp
	}
	if sp, m.spare = m.spare, nil; sp == nil {
		sp = &space{}
	}
	sp.key = k
	if sp.held = &sp.records; k.kind == inodeLocks || k.kind == entryLocks {
		sp.held = &sp.tally
	}
	m.spaces[k] = sp
	return sp
}

func (m *machine) tidy(sp *space) {
	if len(sp.records.by) == 0 && len(sp.tally.held) == 0 && len(sp.queue) == 0 && len(sp.parked) == 0 {
		delete(m.spaces, sp.key)
		m.spare = sp
	}
}

// blocker is the first lock in the way of c.
func (m *machine) blocker(k spaceKey, c claim) (claim, bool) {
	if sp := m.spaces[k]; sp != nil {
		return sp.held.blocker(c)
	}
	return claim{}, false
}

// request asks for c. With block it joins the queue when something is in the
// way, or the wait that has that ticket already.
func (m *machine) request(k spaceKey, c claim, block bool, ticket uint64) (o outcome) {
	if block && ticket != 0 {
		if w := m.tickets[ticketKey{k, c.identity(), ticket}]; w != nil {
			return m.attach(w)
		}
	}
	sp := m.space(k)
	dropped := false
	if k.kind == flocks {
		if sp.records.mode(c.owner, 0) == c.mode {
			return o
		}
		dropped = sp.held.release(c)
	}
	by, blocked := sp.held.blocker(c)
	switch {
	case !blocked:
		if sp.held.grant(c) || dropped {
			o.woken = m.settle(sp)
		}
		return o
	case !block:
		o.errno, o.by = syscall.EAGAIN, by
	case k.kind == recordLocks && m.circular(sp, c):
		o.errno, o.by = syscall.EDEADLK, by
	default:
		o.wait = m.enqueue(sp, c, ticket)
	}
	if dropped {
		o.woken = m.settle(sp)
	}
	m.tidy(sp)
	return o
}

// unlock takes c away, cancels the owner's waits that nobody attends and that
// lie within it, and reports whether there was a lock.
func (m *machine) unlock(k spaceKey, c claim) (found bool, woken []*wait) {
	sp := m.spaces[k]
	if sp == nil {
		return false, nil
	}
	found = sp.held.release(c)
	m.sweep(sp, c)
	if found {
		woken = m.settle(sp)
	}
	m.tidy(sp)
	return found, woken
}

func (m *machine) enqueue(sp *space, c claim, ticket uint64) *wait {
	w := &wait{key: sp.key, want: c, ticket: ticket, done: make(chan struct{}), attached: 1}
	sp.queue = append(sp.queue, w)
	if sp.key.kind == recordLocks {
		m.waits[c.owner] = append(m.waits[c.owner], w)
	}
	if ticket != 0 {
		m.tickets[w.ticketKey()] = w
	}
	return w
}

// settle grants every wait that nothing excludes any more, in order of
// arrival. A grant that weakens a lock of its own owner may make room for an
// earlier wait, so the walk begins again.
func (m *machine) settle(sp *space) (woken []*wait) {
	for i := 0; i < len(sp.queue); {
		w := sp.queue[i]
		if _, blocked := sp.held.blocker(w.want); blocked {
			i++
			continue
		}
		m.dequeue(sp, w)
		w.settled = true
		if sp.held.grant(w.want) {
			i = 0
		}
		if w.attached == 0 {
			sp.parked = append(sp.parked, w)
		}
		woken = append(woken, w)
	}
	return woken
}

// dequeue takes a wait out of its queue. Its ticket stays.
func (m *machine) dequeue(sp *space, w *wait) {
	i := slices.Index(sp.queue, w)
	sp.queue = slices.Delete(sp.queue, i, i+1)
	if sp.key.kind != recordLocks {
		return
	}
	ws := m.waits[w.want.owner]
	if i = slices.Index(ws, w); len(ws) == 1 {
		delete(m.waits, w.want.owner)
	} else {
		m.waits[w.want.owner] = slices.Delete(ws, i, i+1)
	}
}

// cancel ends a wait that has not been settled, for everybody attached.
func (m *machine) cancel(w *wait, errno syscall.Errno) {
	sp := m.spaces[w.key]
	m.dequeue(sp, w)
	m.forget(w)
	w.settled, w.errno = true, errno
	m.tidy(sp)
}

// circular reports whether a wait of c's owner for what is in its way would
// close a circle: an owner there waits, over any number of steps, for c's.
func (m *machine) circular(sp *space, c claim) bool {
	if len(m.waits) == 0 {
		return false
	}
	seen := map[uint64]bool{}
	next := slices.Collect(sp.held.blockers(c))
	for len(next) > 0 {
		o := next[len(next)-1]
		next = next[:len(next)-1]
		if o == c.owner {
			return true
		}
		if seen[o] {
			continue
		}
		seen[o] = true
		for _, w := range m.waits[o] {
			next = slices.AppendSeq(next, m.spaces[w.key].held.blockers(w.want))
		}
	}
	return false
}
