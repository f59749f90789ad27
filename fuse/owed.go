package fuse

import (
	"context"
	"fmt"
	"io"
	"syscall"
	"time"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable"
	"github.com/holdfast/holdfast/xlator"
)

// debt is the acknowledged writes of one file that are not on its brick.
type debt struct {
	s    *Session
	t    *fdtable.Table
	file xlator.GFID

	writes []*found // in order
	buf    []byte   // for neighbours that are written together
	paid   chan struct{}
}

func (f *found) isWrite() bool {
	return f.header().Opcode == opWrite && len(f.in) >= headSize && int(f.writeIn().Size) == len(f.in)-headSize
}

func (f *found) writeIn() *gofuse.WriteIn { return (*gofuse.WriteIn)(unsafe.Pointer(f.header())) }

// payOwed writes out what was acknowledged, each file's writes in order, files
// side by side. A file for which that takes too long is held: requests for it
// wait, others do not.
func (r *recovery) payOwed() {
	debts := map[xlator.GFID]*debt{}
	for _, f := range r.owed {
		f.sl.owe()
		r.count(&r.rec.Owed, f)
		g := xlator.GFID(f.sl.entry.File())
		d := debts[g]
		if d == nil {
			d = &debt{s: r.s, t: r.t, file: g, paid: make(chan struct{})}
			debts[g] = d
		}
		d.writes = append(d.writes, f)
	}
	for _, d := range debts {
		r.s.readers.Go(d.pay)
	}
	late := time.NewTimer(r.s.opts.DrainTimeout)
	defer late.Stop()
	for _, d := range debts {
		select {
		case <-d.paid:
			continue
		case <-late.C:
			late.Reset(0) // for the others, too
		}
		select {
		case <-d.paid:
		default:
			r.rec.Held++
			r.t.HoldFile(d.file, d.wait)
		}
	}
}

// wait waits until everything is written.
func (d *debt) wait(ctx context.Context) error {
	select {
	case <-d.paid:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pay writes everything. An error goes where write-behind's would have gone: to
// the next write, fsync or close of whoever has the file open.
func (d *debt) pay() {
	defer close(d.paid)
	var err error
	through := map[uint64]*fdtable.Use{} // by base fd
	for left := d.writes; len(left) > 0; {
		n := neighbours(left, d.s.opts.MaxWrite)
		// Each goes through what it came through: a brick may heed how that was
		// opened (O_DIRECT, O_APPEND).
		u := through[left[0].writeIn().Fh]
		if u == nil && err == nil {
			var opened fdtable.Use
			var done func()
			if opened, done, err = d.open(left[0].writeIn().Fh); err == nil {
				defer done()
				u = &opened
				through[left[0].writeIn().Fh] = u
			}
		}
		if u != nil {
			if werr := write(u, left[0].writeIn(), d.together(left[:n])); werr != nil {
				d.t.Record(d.file, fmt.Errorf("a write of an earlier process: %w", werr))
			}
		}
		for _, f := range left[:n] {
			f.sl.Release()
		}
		left = left[n:]
	}
	switch {
	case err == nil, xlator.Errno(err) == syscall.ENOENT, xlator.Errno(err) == syscall.ESTALE: // nobody has it any more
	default:
		d.t.Record(d.file, fmt.Errorf("%d writes of an earlier process: %w", len(d.writes), err))
	}
}

// neighbours is how many of the writes, from the first, continue each other and
// are alike, up to limit bytes: a log that was written line by line is one write.
func neighbours(writes []*found, limit int) int {
	first := writes[0].writeIn()
	size := uint64(first.Size)
	for i, f := range writes[1:] {
		in := f.writeIn()
		if in.Fh != first.Fh || in.Offset != first.Offset+size || size+uint64(in.Size) > uint64(limit) ||
			in.Flags != first.Flags || in.WriteFlags != first.WriteFlags || in.LockOwner != first.LockOwner || in.Caller != first.Caller {
			return i + 1
		}
		size += uint64(in.Size)
	}
	return len(writes)
}

// together is the data of neighbours.
func (d *debt) together(writes []*found) []byte {
	if len(writes) == 1 {
		return writes[0].in[headSize:]
	}
	d.buf = d.buf[:0]
	for _, f := range writes {
		d.buf = append(d.buf, f.in[headSize:]...)
	}
	return d.buf
}

// Bounds of the pause between two attempts to open a file.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// open opens the file for the writes, again and again until it can be or the
// recovery deadline is over.
func (d *debt) open(fh uint64) (u fdtable.Use, done func(), err error) {
	deadline := time.Now().Add(d.s.opts.RecoveryDeadline)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		u, done, err = d.tryOpen(fh)
		if e := xlator.Errno(err); err == nil || e == syscall.ENOENT || e == syscall.ESTALE || time.Now().After(deadline) {
			return u, done, err
		}
		select {
		case <-d.s.gone:
			return u, done, err
		case <-time.After(pause):
		}
	}
}

// tryOpen opens what a write came through. If that has been released, anything
// else that is plainly for writing does, or the file by its identity; one without a
// name has only what is open.
func (d *debt) tryOpen(fh uint64) (u fdtable.Use, done func(), err error) {
	apart := func(b *fdtable.BaseFD) (fdtable.Use, func(), error) {
		u, err := d.t.OpenApart(b)
		return u, func() { d.t.CloseApart(u) }, err
	}
	if b := d.base(fh); b != nil {
		return apart(b)
	}
	var odd *fdtable.BaseFD
	for _, f := range d.writes {
		b := d.base(f.writeIn().Fh)
		switch {
		case b == nil:
		case b.Flags()&(unix.O_APPEND|unix.O_DIRECT) == 0:
			return apart(b)
		default:
			odd = b
		}
	}
	u, done, err = d.byIdentity(fh)
	if e := xlator.Errno(err); odd != nil && (e == syscall.ENOENT || e == syscall.ESTALE) {
		return apart(odd)
	}
	return u, done, err
}

// base is the base fd of that number, if it is one of the file.
func (d *debt) base(fh uint64) *fdtable.BaseFD {
	b := d.t.FD(fh)
	if b == nil || b.Node() == nil || b.Node().GFID() != d.file {
		return nil
	}
	return b
}

func (d *debt) byIdentity(fh uint64) (u fdtable.Use, done func(), err error) {
	if u, err = d.t.UseNode(xlator.Internal(), d.t.Root()); err != nil {
		return u, nil, err
	}
	rep, err := u.G.Top.Open(xlator.Internal(), &xlator.OpenReq{
		Inode: u.G.Inodes.Get(d.file, xlator.TypeRegular), Flags: unix.O_WRONLY, Base: fh, Reopen: true,
	})
	if err != nil {
		u.Done()
		return u, nil, err
	}
	u.FD = rep.FD
	return u, func() { u.G.Top.Release(u.FD); u.Done() }, nil
}

// here is memory that nobody may keep: what is written from it has to be written
// when the call returns.
type here struct{}

func (here) Retain() bool { return false }
func (here) Release()     {}

// write carries out an acknowledged write, or neighbours of which in is the
// first.
func write(u *fdtable.Use, in *gofuse.WriteIn, data []byte) error {
	call := &xlator.Call{Unique: in.Unique &^ resent, UID: in.Uid, GID: in.Gid, PID: in.Pid}
	if in.WriteFlags&gofuse.WRITE_LOCKOWNER != 0 {
		call.LockOwner = in.LockOwner
	}
	req := &xlator.WritevReq{
		FD: u.FD, Payload: xlator.Payload{Bytes: data, Owner: here{}}, Offset: int64(in.Offset), Flags: in.Flags,
		KillPriv: in.WriteFlags&gofuse.WRITE_KILL_SUIDGID != 0, Paged: in.WriteFlags&gofuse.WRITE_CACHE != 0,
	}
	for len(req.Payload.Bytes) > 0 {
		rep, err := u.G.Top.Writev(call, req)
		switch {
		case err != nil:
			return err
		case rep.Size <= 0:
			return io.ErrShortWrite
		}
		n := min(rep.Size, len(req.Payload.Bytes))
		req.Payload.Bytes, req.Offset = req.Payload.Bytes[n:], req.Offset+int64(n)
	}
	return nil
}

// owe takes the data of an earlier process over: the slot counts as one whose
// payload somebody has retained, and Release ends that.
func (s *slot) owe() {
	s.pool.owner.early.used.Add(int64(len(s.mem)))
	s.mu.Lock()
	s.retained = 1
	s.mu.Unlock()
}
