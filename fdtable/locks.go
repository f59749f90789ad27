package fdtable

import (
	"errors"
	"math"

	"golang.org/x/sys/unix"

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
	for {
		u, err := t.UseFD(call, b)
		if err == nil {
			req.FD, req.Detach = u.FD, u.G.Detach()
			_, err = u.G.Top.Lk(call, &req)
			u.Done()
			if errors.Is(err, xlator.ErrDetached) {
				detached = true
				continue
			}
		} else if detached {
			t.cancelTicket(b, req)
		}
		if err == nil {
			t.note(n, l)
		}
		return err
	}
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

func (t *Table) note(n *Node, l xlator.Lock) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t.locksHeld.Add(int64(n.locks.set(l)))
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
	if _, err := u.G.Top.Lk(inner, &xlator.LkReq{FD: u.FD, Cmd: xlator.LkSet, Lock: all}); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	t.locksHeld.Add(int64(n.locks.set(all)))
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

// RestoreLocks tells the current graph's translators, after Start and before the
// first request, which locks applications hold since an earlier process.
func (t *Table) RestoreLocks() error { return nil }

// LocksHeld implements graph.Tenant.
func (t *Table) LocksHeld() int { return int(t.locksHeld.Load()) }
