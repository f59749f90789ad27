package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/hint"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// remoteKey is what the open object of a base fd is kept under.
type remoteKey struct {
	base  uint64
	gfid  xlator.GFID
	flags uint32
}

// remote is an open file or directory of the brick, shared by the FDs of all
// graphs that serve one base fd. Its number is good for one session.
type remote struct {
	// Constant after construction.
	key  remoteKey
	dir  bool
	file *file

	ref hint.Ref[int64] // key: the session's number

	fds int // guarded by opened.mu
}

// file is what the session knows of a file that is open or locked.
type file struct {
	gfid xlator.GFID

	remotes []*remote // guarded by opened.mu

	// end is the size after the last write through here; nil: not known.
	end atomic.Pointer[uint64]

	mu    sync.Mutex
	locks locks           // guarded by mu
	seen  seen            // guarded by mu
	turns map[owner]*turn // guarded by mu
}

// opened is what is open on the brick.
type opened struct {
	mu    sync.Mutex
	kept  map[remoteKey]*remote // guarded by mu; of base fds
	files map[xlator.GFID]*file // guarded by mu; INVARIANT: each has remotes
}

func (o *opened) init() {
	o.kept, o.files = map[remoteKey]*remote{}, map[xlator.GFID]*file{}
}

// adopt finds the open object of a base fd, for one more FD.
func (s *session) adopt(k remoteKey) *remote {
	if k.base == 0 {
		return nil
	}
	o := &s.opened
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.kept[k]
	if r != nil {
		r.fds++
		s.counts.adopted.Add(1)
	}
	return r
}

// keep enters what was opened as that number in that session. If another open of
// the same base fd has entered meanwhile, its object is taken and this one closed.
func (s *session) keep(k remoteKey, dir bool, session uint64, number int64) *remote {
	o := &s.opened
	o.mu.Lock()
	if r := o.kept[k]; r != nil && k.base != 0 {
		r.fds++
		o.mu.Unlock()
		s.closeRemote(r, session, number)
		return r
	}
	defer o.mu.Unlock()
	f := o.files[k.gfid]
	if f == nil {
		f = &file{gfid: k.gfid}
		o.files[k.gfid] = f
	}
	r := &remote{key: k, dir: dir, file: f, fds: 1}
	r.ref.Put(session, number) // it is new: there is nothing to let go
	f.remotes = append(f.remotes, r)
	if k.base != 0 {
		o.kept[k] = r
	}
	return r
}

// letGo ends one FD's use; the last closes the remote fd.
func (s *session) letGo(r *remote) {
	o := &s.opened
	o.mu.Lock()
	if r.fds--; r.fds > 0 {
		o.mu.Unlock()
		return
	}
	if o.kept[r.key] == r {
		delete(o.kept, r.key)
	}
	s.dropLocks(r)
	f := r.file
	f.remotes = slices.DeleteFunc(f.remotes, func(x *remote) bool { return x == r })
	if len(f.remotes) == 0 {
		delete(o.files, f.gfid)
	}
	o.mu.Unlock()
	if cur := r.ref.Lose(syscall.EBADF); cur != nil {
		s.closeRemote(r, cur.Key, cur.Value)
	}
}

// closeRemote closes a remote fd, if its session is still there. Nobody waits for
// one that is not: the brick has closed it.
func (s *session) closeRemote(r *remote, session uint64, number int64) {
	x := exchange{fop: xdr.FopRelease, req: &xdr.ReleaseReq{GFID: r.key.gfid, FD: number}, rep: new(xdr.ReleaseRep), own: true}
	if r.dir {
		x.fop = xdr.FopReleasedir
	}
	refused, err := s.only(session, &x)
	if err := errors.Join(refused, err); err != nil && !errors.Is(err, syscall.ENOTCONN) {
		s.log.Warn("close on the brick", "gfid", r.key.gfid, "err", err)
	}
}

// anyRemote returns an open object of that gfid, or nil: what has lost its name
// can only be reached through one.
func (s *session) anyRemote(g xlator.GFID) *remote {
	s.opened.mu.Lock()
	defer s.opened.mu.Unlock()
	if f := s.opened.files[g]; f != nil {
		return f.remotes[0]
	}
	return nil
}

// fileOf returns what is known of a file that is open, or nil.
func (s *session) fileOf(g xlator.GFID) *file {
	s.opened.mu.Lock()
	defer s.opened.mu.Unlock()
	return s.opened.files[g]
}

// reopen opens the object again for the session of that number, together with
// whoever else needs it.
func (s *session) reopen(ctx context.Context, r *remote, number uint64) error {
	if cur := r.ref.Current(); cur != nil && cur.Key < number {
		// A number of an earlier session is worse than none.
		if old := r.ref.Drop(); old != nil && old.Key >= number {
			r.ref.Put(old.Key, old.Value) // somebody was faster
		}
	}
	p := hint.Patience{For: s.set.Load().deadline, Wait: func(done <-chan struct{}) error { return xlator.Await(ctx, done) }}
	_, err := r.ref.UsePatiently(p, s, number, func() (uint64, int64, error) { return s.openAgain(r) },
		func(old *hint.Result[int64]) { s.closeRemote(r, old.Key, old.Value) })
	return err
}

// openRemote opens by gfid.
func (s *session) openRemote(ctx context.Context, g xlator.GFID, flags uint32, dir, own bool) (session uint64, number int64, err error) {
	var rep xdr.OpenRep
	x := exchange{fop: xdr.FopOpen, req: &xdr.OpenReq{GFID: g, Flags: s.openFlags(flags)}, rep: &rep, own: own}
	if dir {
		x.fop, x.req = xdr.FopOpendir, &xdr.OpendirReq{GFID: g}
	}
	if err := s.do(ctx, &x); err != nil {
		return 0, 0, err
	}
	return x.number, rep.FD, checkNumber(rep.FD)
}

// checkNumber refuses what must never be sent: -1 kills a brick.
func checkNumber(number int64) error {
	if number < 0 {
		return fmt.Errorf("the brick gave out %d as the number of an open file: %w", number, syscall.EIO)
	}
	return nil
}

// openFlags are the flags of an open on the wire.
func (s *session) openFlags(flags uint32) uint32 {
	if s.set.Load().filterDirect {
		flags &^= syscall.O_DIRECT
	}
	return xdr.OpenFlags(flags)
}
