package locks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"

	"github.com/holdfast/holdfast/xlator"
	"golang.org/x/sys/unix"
)

// Table is the locks of one brick, shared by all graphs of a mount that have
// it. It is made by the first and closed after the last.
type Table struct {
	mu     sync.Mutex
	m      *machine // guarded by mu
	closed bool     // guarded by mu
}

// NewTable returns a table without locks.
func NewTable() *Table { return &Table{m: newMachine()} }

// Close ends the table: every wait and every later call fails with ENOTCONN.
func (t *Table) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, sp := range t.m.spaces {
		for _, w := range sp.queue {
			w.settled, w.errno = true, syscall.ENOTCONN
			close(w.done)
		}
	}
	t.m = newMachine()
	return nil
}

// lock takes Table.mu for one step, which end ends.
func (t *Table) lock() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return fmt.Errorf("the lock table is closed: %w", syscall.ENOTCONN)
	}
	return nil
}

func (t *Table) end() {
	t.m.verify()
	t.mu.Unlock()
}

// wake tells the waits that were settled; Table.mu is held.
func wake(ws []*wait) {
	for _, w := range ws {
		close(w.done)
	}
}

// get is the first lock in the way of c.
func (t *Table) get(k spaceKey, c claim) (by claim, blocked bool, err error) {
	if err = t.lock(); err != nil {
		return by, false, err
	}
	defer t.end()
	by, blocked = t.m.blocker(k, c)
	return by, blocked, nil
}

// unlock takes c away and reports whether there was a lock.
func (t *Table) unlock(k spaceKey, c claim) (found bool, err error) {
	if err = t.lock(); err != nil {
		return false, err
	}
	defer t.end()
	found, woken := t.m.unlock(k, c)
	wake(woken)
	return found, nil
}

// patience is how long a request waits: not at all, or until one of these.
type patience struct {
	block   bool
	ticket  uint64
	detach  <-chan struct{} // the caller wants the call back, not the place
	retired <-chan struct{} // the graph ends
}

// set asks for c and waits as long as p has patience.
func (t *Table) set(ctx context.Context, k spaceKey, c claim, p patience) error {
	if err := t.lock(); err != nil {
		return err
	}
	o := t.m.request(k, c, p.block, p.ticket)
	wake(o.woken)
	t.end()
	if o.errno != 0 {
		return fmt.Errorf("%s, %s %s: owner %x (pid %d) has %s %s: %w",
			k, c.mode, c.extent(), o.by.owner, o.by.pid, o.by.mode, o.by.extent(), o.errno)
	}
	if o.wait == nil {
		return nil
	}
	xlator.CallFrom(ctx).Park()
	return t.await(ctx, o.wait, p)
}

// Restore takes locks that were granted to applications by an earlier process of
// the mount, in the order in which they were granted: nobody is asked, since
// nobody can have taken them meanwhile. One that is in the way of another all
// the same (a damaged record) is left out and named in the error.
func (t *Table) Restore(file xlator.GFID, locks []xlator.Lock) error {
	var errs []error
	for _, l := range locks {
		k, c, err := lockClaim(file, l)
		if err == nil && c.mode == unlocked {
			err = fmt.Errorf("%s: restore of no lock: %w", k, syscall.EINVAL)
		}
		if err == nil {
			err = t.restore(k, c)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (t *Table) restore(k spaceKey, c claim) error {
	if err := t.lock(); err != nil {
		return err
	}
	defer t.end()
	o := t.m.request(k, c, false, 0)
	wake(o.woken)
	if o.errno != 0 {
		return fmt.Errorf("%s: restore %s %s of owner %x (pid %d): owner %x (pid %d) has %s %s: %w",
			k, c.mode, c.extent(), c.owner, c.pid, o.by.owner, o.by.pid, o.by.mode, o.by.extent(), o.errno)
	}
	return nil
}

// await waits until w is settled or patience ends. A grant that came first
// counts, whatever else happened; a detach comes before an interrupt, because
// who detaches asks again and finds itself interrupted then.
func (t *Table) await(ctx context.Context, w *wait, p patience) error {
	select {
	case <-w.done:
	case <-p.detach:
	case <-p.retired:
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.end()
	defer t.m.leave(w)
	switch {
	case w.settled && w.errno == 0:
		return nil
	case w.settled:
		return waitError(w, w.errno)
	case closed(p.detach) || closed(p.retired) && w.ticket != 0:
		return xlator.ErrDetached
	case closed(p.retired):
		return waitError(w, syscall.ENOTCONN)
	}
	t.m.cancel(w, syscall.EINTR)
	close(w.done)
	return waitError(w, syscall.EINTR)
}

func waitError(w *wait, errno syscall.Errno) error {
	return fmt.Errorf("wait for %s, %s %s: %w", w.key, w.want.mode, w.want.extent(), errno)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Abandon ends a detached wait that nobody will come back for. If it has been
// granted meanwhile, what the owner has within its range becomes what held says
// (the client's record of that owner's locks in this file; other owners and
// ranges in it do not matter): a grant nobody was told of is undone. EBUSY if
// somebody waits for it; EAGAIN if a lock of held cannot be put back because
// the grant had weakened it and another owner took it since: that lock is lost.
// A ticket that is not known is no error.
func (t *Table) Abandon(tk Ticket, held []xlator.Lock) error {
	k, want, err := lockClaim(tk.File, tk.Lock)
	if err != nil {
		return err
	}
	var keep []claim
	for _, l := range held {
		lk, c, err := lockClaim(tk.File, l)
		if err != nil {
			return err
		}
		if lk == k {
			keep = append(keep, c)
		}
	}
	if err := t.lock(); err != nil {
		return err
	}
	defer t.end()
	woken, err := t.m.abandon(ticketKey{k, want.identity(), tk.Number}, keep)
	wake(woken)
	return err
}

// Counts says how many locks are held and how many are waited for.
func (t *Table) Counts() (held, waiting int) {
	t.mu.Lock()
	defer t.end()
	for _, sp := range t.m.spaces {
		held += sp.held.count()
		waiting += len(sp.queue)
	}
	return held, waiting
}

// lockClaim reads a lock of Lk.
func lockClaim(file xlator.GFID, l xlator.Lock) (spaceKey, claim, error) {
	k := spaceKey{file: file, kind: recordLocks}
	if l.Flock {
		k.kind, l.Start, l.End = flocks, 0, endOfFile
	}
	c, err := rangeClaim(k, l)
	return k, c, err
}

func rangeClaim(k spaceKey, l xlator.Lock) (claim, error) {
	c := claim{owner: l.Owner, start: l.Start, end: l.End, pid: l.PID}
	var ok bool
	if c.mode, ok = modeOf(l.Type); !ok || l.Start < 0 || l.End < l.Start {
		return c, fmt.Errorf("%s: type %d, range %d to %d: %w", k, l.Type, l.Start, l.End, syscall.EINVAL)
	}
	return c, nil
}

func modeOf(typ int16) (mode, bool) {
	switch typ {
	case unix.F_UNLCK:
		return unlocked, true
	case unix.F_RDLCK:
		return shared, true
	case unix.F_WRLCK:
		return exclusive, true
	}
	return unlocked, false
}
