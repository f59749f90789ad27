package openbehind

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/hint"
)

// late is an open that was answered before the child had it.
type late struct {
	// constant after construction
	inode *xlator.Inode
	req   xlator.OpenReq
	call  *xlator.Call // who opened it
	file  *file

	// ref is the child's FD, under fresh.
	ref hint.Ref[*xlator.FD]

	// atomic
	drained atomic.Bool // it could not be opened when the graph was drained
}

// fresh is the one key of a late.ref: an FD serves as long as its graph.
const fresh = 1

// quiet are the flags of an open for reading to which a brick has no objection
// other than whether this caller may read.
const quiet = unix.O_RDONLY | unix.O_LARGEFILE | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOFOLLOW | largefile

// largefile is O_LARGEFILE as the kernel's side passes it.
const largefile = 0o100000

func (t *translator) fileOf(i *xlator.Inode) *file {
	if f := t.files.Get(i); f != nil {
		return f
	}
	return t.files.GetOrSet(i, &file{})
}

// answer answers an open early; nil if the child has to be asked.
func (t *translator) answer(ctx context.Context, r *xlator.OpenReq) *xlator.FD {
	s := t.settings.Load()
	if s.through || r.Reopen || r.Base == 0 || r.Flags&^uint32(quiet) != 0 || r.Inode.Type() != xlator.TypeRegular {
		return nil
	}
	f := t.fileOf(r.Inode)
	l := &late{inode: r.Inode, req: *r, file: f, call: callerOf(ctx)}
	if !t.admit(l) {
		return nil
	}
	t.early.Add(1)
	fd := t.inodes.NewFD(r.Inode, r.Flags, r.Base)
	t.fds.Set(fd, l)
	if !s.lazy {
		t.Go(func() { t.open(context.Background(), hint.Here{}, l) })
	}
	return fd
}

// admit puts an open among the late ones, unless it has to be carried out now.
func (t *translator) admit(l *late) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := l.file
	if t.phase.Load().Transparent() || t.removing > 0 || f.open > 0 || f.removed {
		return false
	}
	f.open, f.late = 1, l
	t.late[l] = struct{}{}
	return true
}

// callerOf is a copy of who asks, for an open that is no part of the request any
// more.
func callerOf(ctx context.Context) *xlator.Call {
	c := xlator.CallFrom(ctx)
	return &xlator.Call{UID: c.UID, GID: c.GID, PID: c.PID, LockOwner: c.LockOwner, Groups: slices.Clone(c.Groups)}
}

// open returns the child's FD, and opens the file if it is not open yet: one
// attempt for all who ask meanwhile.
func (t *translator) open(ctx context.Context, own hint.Owner, l *late) (*xlator.FD, error) {
	if c := l.ref.Current(); c != nil {
		return c.Value, nil
	}
	wait := hint.Patience{Wait: func(done <-chan struct{}) error { return xlator.Await(ctx, done) }}
	c, err := l.ref.UsePatiently(wait, own, fresh, func() (uint64, *xlator.FD, error) { return t.attempt(l) }, t.letGo)
	if err != nil {
		return nil, err
	}
	return c.Value, nil
}

func (t *translator) attempt(l *late) (uint64, *xlator.FD, error) {
	rep, err := t.Next.Open(l.call, &l.req)
	if err != nil {
		t.failures.Add(1)
		return 0, nil, fmt.Errorf("open gfid %s, which was answered before: %w", l.inode.GFID(), err)
	}
	t.opened.Add(1)
	t.settle(l)
	return fresh, rep.FD, nil
}

func (t *translator) letGo(r *hint.Result[*xlator.FD]) { t.Next.Release(r.Value) }

// settle takes an open out of the late ones.
func (t *translator) settle(l *late) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.late, l)
	if l.file.late == l {
		l.file.late = nil
	}
}

// counted counts an FD that the child has opened.
func (t *translator) counted(fd *xlator.FD) {
	f := t.fileOf(fd.Inode())
	t.mu.Lock()
	defer t.mu.Unlock()
	f.open++
}

// Release implements xlator.Fops.
func (t *translator) Release(fd *xlator.FD) {
	l := t.fds.Get(fd)
	if fd.Inode().Type() != xlator.TypeDirectory {
		f := t.fileOf(fd.Inode())
		t.mu.Lock()
		f.open--
		t.mu.Unlock()
	}
	if l == nil {
		t.Next.Release(fd)
		return
	}
	t.settle(l)
	if c := l.ref.Lose(syscall.EBADF); c != nil {
		t.Next.Release(c.Value)
		return
	}
	t.never.Add(1)
}

// real is what the child knows fd as.
func (t *translator) real(ctx context.Context, fd *xlator.FD) (*xlator.FD, error) {
	l := t.fds.Get(fd)
	if l == nil {
		return fd, nil
	}
	return t.open(ctx, t, l)
}

// force opens a file that waits to be, before something makes that impossible or
// decides it otherwise. An error is for who uses the file.
func (t *translator) force(ctx context.Context, i *xlator.Inode) {
	f := t.files.Get(i)
	if f == nil {
		return
	}
	t.mu.Lock()
	l := f.late
	t.mu.Unlock()
	if l != nil {
		_, _ = t.open(ctx, t, l)
	}
}

// nameLost notes that a file may be gone.
func (t *translator) nameLost(g xlator.GFID) {
	if g.IsZero() {
		return
	}
	if i := t.inodes.Find(g); i != nil && i.Type() == xlator.TypeRegular {
		f := t.fileOf(i)
		t.mu.Lock()
		f.removed = true
		t.mu.Unlock()
	}
}
