package client

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/hint"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// wireType is the type of a lock on the wire.
func wireType(t int16) uint32 {
	switch t {
	case unix.F_RDLCK:
		return xdr.LockRead
	case unix.F_WRLCK:
		return xdr.LockWrite
	}
	return xdr.LockUnlock
}

// wireLock is a lock as it travels. flock(2) locks are record locks of the whole
// file there, with an owner of their own, as the stock client has it.
func wireLock(l *xlator.Lock) xdr.Flock {
	f := xdr.Flock{Type: wireType(l.Type), Start: uint64(l.Start), PID: l.PID, Owner: binary.LittleEndian.AppendUint64(nil, l.Owner)}
	if l.End != math.MaxInt64 {
		f.Len = uint64(l.End-l.Start) + 1
	}
	return f
}

// lockOf is a lock from the wire, for one who asked about l.
func lockOf(f *xdr.Flock, l xlator.Lock) xlator.Lock {
	switch f.Type {
	case xdr.LockRead:
		l.Type = unix.F_RDLCK
	case xdr.LockWrite:
		l.Type = unix.F_WRLCK
	default:
		l.Type = unix.F_UNLCK
		return l
	}
	l.Start, l.End, l.PID, l.Owner = int64(f.Start), math.MaxInt64, f.PID, 0
	if f.Len != 0 {
		l.End = int64(f.Start + f.Len - 1)
	}
	if len(f.Owner) == 8 {
		l.Owner = binary.LittleEndian.Uint64(f.Owner)
	}
	return l
}

// lk is the exchange that asks for, sets or clears a lock.
func lk(r *remote, cmd uint32, l *xlator.Lock, rep *xdr.LkRep) exchange {
	return exchange{
		fop: xdr.FopLk, fd: r, rep: rep, owner: &l.Owner, waits: cmd == xdr.LkSetWait,
		req: &xdr.LkReq{GFID: r.key.gfid, Cmd: cmd, Type: wireType(l.Type), Flock: wireLock(l)},
	}
}

// lostReason is why an open object is LOST, or nil.
func lostReason(r *remote) error {
	if st, err := r.ref.State(); st.Phase == hint.Lost {
		return err
	}
	return nil
}

// Lk implements xlator.Fops.
func (c *Client) Lk(ctx context.Context, r *xlator.LkReq) (*xlator.LkRep, error) {
	rem := c.fd(r.FD)
	rep := &xlator.LkRep{Lock: r.Lock}
	if r.Cmd == xlator.LkCancel {
		c.s.cancelTicket(rem, r)
		return rep, nil
	}
	err := lostReason(rem)
	if err != nil {
		err = &fopError{xdr.FopLk, rem.key.gfid, "", c, &lostFile{err, syscall.EBADFD}}
		return nil, err
	}
	// A lock may have been granted to an older graph since the file moved.
	if err := c.s.takeLocks(rem.key.gfid); err != nil {
		return nil, &fopError{xdr.FopLk, rem.key.gfid, "", c, err}
	}
	switch {
	case r.Cmd == xlator.LkGet && r.Lock.Type != unix.F_UNLCK:
		var got xdr.LkRep
		x := lk(rem, xdr.LkGet, &r.Lock, &got)
		x.take = func([]byte) { rep.Lock = lockOf(&got.Flock, r.Lock) }
		err = c.do(ctx, &x, rem.key.gfid, "")
	case r.Cmd > xlator.LkWait || r.Cmd == xlator.LkGet:
		err = &fopError{xdr.FopLk, rem.key.gfid, "", c, syscall.EINVAL}
	case r.Lock.Type == unix.F_UNLCK:
		err = c.unlock(ctx, rem, r.Lock)
	case r.Cmd == xlator.LkSet:
		var got xdr.LkRep
		defer rem.file.turn(&r.Lock)()
		x := lk(rem, xdr.LkSet, &r.Lock, &got)
		// Recorded before the next session can begin, so that it is held there.
		x.take = func([]byte) { c.s.record(r.Lock, rem) }
		err = c.do(ctx, &x, rem.key.gfid, "")
	default:
		err = c.waitLock(ctx, rem, r)
	}
	// It may have become LOST while we were at it.
	if err != nil && lostReason(rem) != nil && !errors.Is(err, syscall.EBADFD) {
		err = &fopError{xdr.FopLk, rem.key.gfid, "", c, &lostFile{err, syscall.EBADFD}}
	}
	if err != nil {
		return nil, err
	}
	return rep, nil
}

// unlock takes the range out of the record first: once the brick has it, somebody
// else may have it, and it is not to be taken again.
func (c *Client) unlock(ctx context.Context, rem *remote, l xlator.Lock) error {
	c.s.dropWaits(rem.file, &l)
	defer rem.file.turn(&l)()
	had := c.s.record(l, rem)
	var rep xdr.LkRep
	x := lk(rem, xdr.LkSet, &l, &rep)
	err := c.do(ctx, &x, rem.key.gfid, "")
	if err != nil && !errors.Is(err, syscall.ENOTCONN) && lostReason(rem) == nil {
		for _, h := range had {
			c.s.record(h.Lock, h.via)
		}
	}
	return err
}

// Inodelk implements xlator.Fops.
func (c *Client) Inodelk(ctx context.Context, r *xlator.InodelkReq) (*xlator.Empty, error) {
	g := r.Inode.GFID()
	cmd := lockCmd(r.Cmd)
	return c.translatorLock(ctx, exchange{
		fop: xdr.FopInodelk, owner: &r.Lock.Owner, waits: cmd == xdr.LkSetWait,
		req: &xdr.InodelkReq{GFID: g, Cmd: cmd, Type: wireType(r.Lock.Type), Flock: wireLock(&r.Lock), Domain: r.Domain},
	}, g, r.Cmd)
}

// Finodelk implements xlator.Fops.
func (c *Client) Finodelk(ctx context.Context, r *xlator.FinodelkReq) (*xlator.Empty, error) {
	rem := c.fd(r.FD)
	cmd := lockCmd(r.Cmd)
	return c.translatorLock(ctx, exchange{
		fop: xdr.FopFinodelk, fd: rem, owner: &r.Lock.Owner, waits: cmd == xdr.LkSetWait,
		req: &xdr.FinodelkReq{GFID: rem.key.gfid, Cmd: cmd, Type: wireType(r.Lock.Type), Flock: wireLock(&r.Lock), Domain: r.Domain},
	}, rem.key.gfid, r.Cmd)
}

func lockCmd(cmd xlator.LkCmd) uint32 {
	if cmd == xlator.LkWait {
		return xdr.LkSetWait
	}
	return xdr.LkSet
}

// Entrylk implements xlator.Fops.
func (c *Client) Entrylk(ctx context.Context, r *xlator.EntrylkReq) (*xlator.Empty, error) {
	g := r.Inode.GFID()
	cmd, typ := entryCmd(r.Cmd, r.Type)
	return c.translatorLock(ctx, exchange{
		fop: xdr.FopEntrylk, owner: &r.Owner, waits: cmd == xdr.EntrylkLock,
		req: &xdr.EntrylkReq{GFID: g, Cmd: cmd, Type: typ, NameLen: uint64(flag(r.Name != "")), Name: r.Name, Domain: r.Domain},
	}, g, r.Cmd)
}

// Fentrylk implements xlator.Fops.
func (c *Client) Fentrylk(ctx context.Context, r *xlator.FentrylkReq) (*xlator.Empty, error) {
	rem := c.fd(r.FD)
	cmd, typ := entryCmd(r.Cmd, r.Type)
	return c.translatorLock(ctx, exchange{
		fop: xdr.FopFentrylk, fd: rem, owner: &r.Owner, waits: cmd == xdr.EntrylkLock,
		req: &xdr.FentrylkReq{GFID: rem.key.gfid, Cmd: cmd, Type: typ, NameLen: uint64(flag(r.Name != "")), Name: r.Name, Domain: r.Domain},
	}, rem.key.gfid, r.Cmd)
}

// entryCmd is the command and type of an entry lock on the wire.
func entryCmd(cmd xlator.LkCmd, typ int16) (wireCmd, wireTyp uint32) {
	wireTyp = xdr.LockWrite
	switch {
	case typ == unix.F_UNLCK:
		return xdr.EntrylkUnlock, wireTyp
	case typ == unix.F_RDLCK:
		wireTyp = xdr.LockRead
	}
	if cmd == xlator.LkWait {
		return xdr.EntrylkLock, wireTyp
	}
	return xdr.EntrylkLockNonblock, wireTyp
}

// translatorLock sets or clears a lock of a translator above. The brick drops them
// with the connection; who took them hears of that (ChildDown).
func (c *Client) translatorLock(ctx context.Context, x exchange, g xlator.GFID, cmd xlator.LkCmd) (*xlator.Empty, error) {
	if cmd != xlator.LkSet && cmd != xlator.LkWait {
		return nil, &fopError{x.fop, g, "", c, syscall.EINVAL}
	}
	x.rep = new(xdr.CommonRep)
	if err := c.do(ctx, &x, g, ""); err != nil {
		return nil, err
	}
	return &xlator.Empty{}, nil
}
