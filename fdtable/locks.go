package fdtable

import (
	"errors"
	"math"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/xlator"
)

// Getlk returns the first lock in the way of l, or Type F_UNLCK.
func (t *Table) Getlk(call *xlator.Call, b *BaseFD, l xlator.Lock) (xlator.Lock, error) {
	u, err := t.UseFD(call, b)
	if err != nil {
		return l, err
	}
	defer u.Done()
	rep, err := u.G.Top.Lk(call, &xlator.LkReq{FD: u.FD, Cmd: xlator.LkGet, Lock: l})
	if err != nil {
		return l, err
	}
	return rep.Lock, nil
}

// Setlk sets or clears a lock and records it. With wait it waits for its turn;
// a switch cancels the call below but keeps its place in the queue, and the
// call made again on the new graph attaches to it.
func (t *Table) Setlk(call *xlator.Call, b *BaseFD, l xlator.Lock, wait bool) error {
	n, k := b.node, locker{l.Owner, l.Flock}
	n.mu.Lock()
	n.locks.touch(k)
	b.noteLocker(k)
	n.mu.Unlock()
	req := xlator.LkReq{Cmd: xlator.LkSet, Lock: l, Ticket: call.Unique}
	if wait && l.Type != unix.F_UNLCK {
		req.Cmd = xlator.LkWait
		t.locksWaited.Add(1)
		defer t.locksWaited.Add(-1)
	}
	detached := false
	var had []xlator.Lock // what was recorded weaker before the brick was asked
	for {
		u, err := t.UseFD(call, b)
		if err == nil {
			req.FD, req.Detach = u.FD, u.G.Detach()
			if l.Type == unix.F_UNLCK {
				err = t.unlock(call, &u, b, req)
			} else {
				had = append(had, t.weaken(b, l)...)
				if _, err = u.G.Top.Lk(call, &req); err == nil {
					t.note(b, l)
				}
			}
			u.Done()
			if errors.Is(err, xlator.ErrDetached) {
				detached = true
				continue
			}
		}
		if err != nil && !l.Flock { // a record lock that is refused changes nothing
			for _, h := range had {
				t.note(b, h)
			}
		}
		if u.G == nil && detached {
			t.cancelTicket(b, req)
		}
		return err
	}
}

// weaken records, before the brick is asked for l, that its owner has less in
// its range: a brick lets go of what l replaces before it tells us, and who gets
// it then must not be recorded beside l's owner. A flock of another kind is given
// up first, as flock(2) says, whether the new one is granted or not; a record
// lock that becomes shared lets other readers in. It returns what was there.
func (t *Table) weaken(b *BaseFD, l xlator.Lock) (had []xlator.Lock) {
	n := b.node
	n.mu.Lock()
	for _, h := range n.locks.within(locker{l.Owner, l.Flock}, l.Start, l.End) {
		if h.Type != l.Type && (l.Flock || l.Type == unix.F_RDLCK) {
			had = append(had, h)
		}
	}
	n.mu.Unlock()
	for _, h := range had {
		h.Type = l.Type
		if l.Flock {
			h.Type = unix.F_UNLCK
		}
		t.note(b, h)
	}
	return had
}

// unlock records an unlock and carries it out, in this order: whoever gets the
// lock next must not be recorded beside the one that had it. If the brick
// refuses, what was recorded is put back.
func (t *Table) unlock(call *xlator.Call, u *Use, b *BaseFD, req xlator.LkReq) error {
	had := t.note(b, req.Lock)
	_, err := u.G.Top.Lk(call, &req)
	if err != nil {
		for _, l := range had {
			t.note(b, l)
		}
	}
	return err
}

// cancelTicket gives up the place that a detached wait has kept.
func (t *Table) cancelTicket(b *BaseFD, req xlator.LkReq) {
	n := b.node
	n.mu.Lock()
	req.Keep = append([]xlator.Lock(nil), n.locks.held[locker{req.Lock.Owner, req.Lock.Flock}]...)
	n.mu.Unlock()
	req.Cmd, req.Detach = xlator.LkCancel, nil
	call := xlator.Internal()
	u, err := t.UseFD(call, b)
	if err == nil {
		req.FD = u.FD
		_, err = u.G.Top.Lk(call, &req)
		u.Done()
	}
	if err != nil {
		t.log.Error("a lock wait could not be given up", "gfid", n.gfid, "err", err)
	}
}

// note records that a lock or unlock through b is in force, and returns what its
// owner had in that range.
func (t *Table) note(b *BaseFD, l xlator.Lock) (had []xlator.Lock) {
	n, k := b.node, locker{l.Owner, l.Flock}
	n.mu.Lock()
	defer n.mu.Unlock()
	had = n.locks.within(k, l.Start, l.End)
	t.locksHeld.Add(int64(n.locks.set(l)))
	if t.mem == nil {
		return had
	}
	with := make([]state.Lock, 0, 4)
	for _, h := range n.locks.held[k] {
		with = append(with, state.Lock{
			Node: n.id, Owner: h.Owner, Start: h.Start, End: h.End, FH: b.fh, PID: h.PID, Type: h.Type, Flock: h.Flock,
		})
	}
	kept := n.locks.recorded(k)
	if kept.slots = t.mem.ReplaceLocks(kept.slots, with); len(kept.slots) == 0 {
		delete(n.locks.kept, k)
	}
	return had
}

func (b *BaseFD) noteLocker(k locker) {
	for _, x := range b.lockers {
		if x == k {
			return
		}
	}
	b.lockers = append(b.lockers, k)
}

// FlushLocks drops the record locks that the call's owner has on the file, as
// close(2) does.
func (t *Table) FlushLocks(call *xlator.Call, b *BaseFD) error {
	return t.unlockAll(call, b, locker{owner: call.LockOwner})
}

func (t *Table) unlockAll(call *xlator.Call, b *BaseFD, k locker) error {
	n := b.node
	n.mu.Lock()
	touched := n.locks.touched[k]
	n.mu.Unlock()
	if !touched {
		return nil
	}
	// Not interruptible: what is dropped here is dropped for good.
	inner := &xlator.Call{Unique: call.Unique, UID: call.UID, GID: call.GID, PID: call.PID, LockOwner: k.owner}
	u, err := t.UseFD(inner, b)
	if err != nil {
		return err
	}
	defer u.Done()
	all := xlator.Lock{Type: unix.F_UNLCK, Start: 0, End: math.MaxInt64, Owner: k.owner, PID: call.PID, Flock: k.flock}
	if err := t.unlock(inner, &u, b, xlator.LkReq{FD: u.FD, Cmd: xlator.LkSet, Lock: all}); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.locks.touched, k)
	return nil
}

// releaseLocks drops what was locked through b and is still held: flock and
// open file description locks, which belong to the open and go with it.
func (t *Table) releaseLocks(call *xlator.Call, b *BaseFD) {
	n := b.node
	n.mu.Lock()
	lockers := append([]locker(nil), b.lockers...)
	n.mu.Unlock()
	for _, k := range lockers {
		if err := t.unlockAll(call, b, k); err != nil {
			t.log.Error("locks of a closed file could not be dropped", "gfid", n.gfid, "err", err)
		}
	}
}

// LocksHeld implements graph.Tenant.
func (t *Table) LocksHeld() int { return int(t.locksHeld.Load()) }
