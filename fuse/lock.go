package fuse

import (
	"math"
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// lockOf is the lock that a request is about. Its end is inclusive there and
// here; the largest offset is "to the end of the file".
func lockOf(in *gofuse.LkIn) (xlator.Lock, error) {
	l := xlator.Lock{
		Type: int16(in.Lk.Typ), Start: int64(in.Lk.Start), End: int64(min(in.Lk.End, math.MaxInt64)),
		Owner: in.Owner, PID: in.Lk.Pid, Flock: in.LkFlags&gofuse.LK_FLOCK != 0,
	}
	if l.PID == 0 {
		l.PID = in.Pid
	}
	if l.Start < 0 || l.Start > l.End {
		return l, syscall.EINVAL
	}
	switch l.Type {
	case unix.F_RDLCK, unix.F_WRLCK, unix.F_UNLCK:
		return l, nil
	}
	return l, syscall.EINVAL
}

func (b *bridge) getlk(r *request, in *gofuse.LkIn, out *gofuse.LkOut) error {
	l, err := lockOf(in)
	if err != nil {
		return err
	}
	f, err := b.fd(in.Fh)
	if err != nil {
		return err
	}
	r.call.LockOwner = in.Owner
	found, err := b.t.Getlk(&r.call, f, l)
	if err != nil {
		return err
	}
	out.Lk = gofuse.FileLock{Typ: unix.F_UNLCK}
	if found.Type != unix.F_UNLCK {
		out.Lk = gofuse.FileLock{Start: uint64(found.Start), End: uint64(found.End), Typ: uint32(uint16(found.Type)), Pid: found.PID}
	}
	return nil
}

// setlk sets or clears a lock. A wait for one holds no more than its small
// request, and ends when the application is interrupted.
func (b *bridge) setlk(r *request, in *gofuse.LkIn, wait bool) error {
	l, err := lockOf(in)
	if err != nil {
		return err
	}
	f, err := b.fd(in.Fh)
	if err != nil {
		return err
	}
	r.call.LockOwner = in.Owner
	return b.t.Setlk(&r.call, f, l, wait)
}
