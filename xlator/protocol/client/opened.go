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
	// guardian marks one that only holds locks; see restore.go.
	guardian bool
	// request is what an earlier process has opened it for; 0: nothing that the
	// kernel waits for, or this process has.
	request uint64

	ref hint.Ref[int64] // key: the session's number

	fds int // guarded by opened.mu
	// inherited says that one of fds is the base fd itself, which an earlier
	// process has opened: it ends with that. Guarded by opened.mu.
	inherited bool
	// expected says that the request which has opened it is going to come back.
	// Guarded by opened.mu.
	expected bool
}

// file is what the session knows of a file that is open or locked.
type file struct {
	gfid xlator.GFID
	kept *kept // the session's; constant after construction

	remotes []*remote // guarded by opened.mu

	// end is the size after the last write through here; nil: not known.
	end atomic.Pointer[uint64]

	mu    sync.Mutex
	locks locks           // guarded by mu
	seen  seen            // guarded by mu
	turns map[owner]*turn // guarded by mu
	// guards are open objects that are there for their locks only. Guarded by mu.
	guards []*remote
	// lost is why those who had the file open before this process cannot have
	// it any more. Guarded by mu.
	lost error
}

// opened is what is open on the brick.
type opened struct {
	mem *kept // the session's; constant after construction

	mu   sync.Mutex
	kept map[remoteKey]*remote // guarded by mu; of base fds
	// returning are inherited objects whose requests come back. Constant after the
	// session was taken over.
	returning []*remote
	files     map[xlator.GFID]*file // guarded by mu; INVARIANT: each has remotes
}

func (o *opened) init(mem *kept) {
	o.mem = mem
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
	if r := o.expected(session, number); r != nil {
		o.remove(r) // its request came back, perhaps with another base fd
		r.inherited = false
	}
	f := o.fileFor(k.gfid)
	r := &remote{key: k, dir: dir, file: f, fds: 1}
	if session != 0 {
		r.ref.Put(session, number) // it is new: there is nothing to let go
	}
	f.remotes = append(f.remotes, r)
	if k.base != 0 {
		o.kept[k] = r
	}
	return r
}

// fileFor returns what is known of a file, which gets an open object now. mu is
// held.
func (o *opened) fileFor(g xlator.GFID) *file {
	f := o.files[g]
	if f == nil {
		f = &file{gfid: g, kept: o.mem}
		o.files[g] = f
	}
	return f
}

// keepLost enters an open object that is LOST from the start, if the file is one
// that was lost with an earlier process.
func (s *session) keepLost(k remoteKey) *remote {
	f := s.fileOf(k.gfid)
	if f == nil {
		return nil
	}
	f.mu.Lock()
	why := f.lost
	f.mu.Unlock()
	if why == nil {
		return nil
	}
	r := s.keep(k, false, 0, -1)
	r.ref.Lose(why)
	return r
}

// letGo ends one FD's use; the last closes the remote fd.
func (s *session) letGo(r *remote) {
	o := &s.opened
	o.mu.Lock()
	inherited := r.inherited
	o.mu.Unlock()
	gone := inherited && (s.rec == nil || r.key.base == 0 || !s.rec.HasBase(r.key.base))
	o.mu.Lock()
	r.fds--
	if r.inherited && r.fds == 1 && gone {
		r.fds, r.inherited = 0, false
	}
	if r.fds > 0 {
		o.mu.Unlock()
		return
	}
	if o.kept[r.key] == r {
		delete(o.kept, r.key)
	}
	s.dropLocks(r)
	o.remove(r)
	o.mu.Unlock()
	if cur := r.ref.Lose(syscall.EBADF); cur != nil {
		s.closeRemote(r, cur.Key, cur.Value)
	}
}

// remove takes an open object out of its file. mu is held.
func (o *opened) remove(r *remote) {
	f := r.file
	f.remotes = slices.DeleteFunc(f.remotes, func(x *remote) bool { return x == r })
	if len(f.remotes) == 0 {
		delete(o.files, f.gfid)
	}
}

// closeRemote closes a remote fd, if its session is still there. Nobody waits for
// one that is not: the brick has closed it.
func (s *session) closeRemote(r *remote, session uint64, number int64) {
	p := place{session, number}
	// Its reply goes first. Once it is closed that number is another's.
	if unique := s.kept.uniqueOf(p); unique != 0 {
		s.conn.End(unique)
	}
	if f, recorded := s.kept.closing(p); recorded {
		s.closeRecorded(f)
		return
	}
	s.closeNumber(p, r.key.gfid, r.dir, 0)
}

// closeRecorded closes an object whose record says so.
func (s *session) closeRecorded(f found) {
	name := s.kept.closeName(f.record)
	s.closeNumber(f.place, f.key.gfid, f.dir, name)
	s.kept.closed(f.record)
	s.conn.End(name)
}

func (s *session) closeNumber(p place, g xlator.GFID, dir bool, name uint64) {
	x := exchange{fop: xdr.FopRelease, req: &xdr.ReleaseReq{GFID: g, FD: p.number}, rep: new(xdr.ReleaseRep), own: true, unique: name}
	if dir {
		x.fop = xdr.FopReleasedir
	}
	refused, err := s.undo(p.session, &x)
	if err := errors.Join(refused, err); err != nil && !errors.Is(err, syscall.ENOTCONN) {
		s.log.Warn("close on the brick", "gfid", g, "err", err)
	}
}

// anyRemote returns an open object of that gfid, or nil: what has lost its name
// can only be reached through one.
func (s *session) anyRemote(g xlator.GFID) *remote {
	s.opened.mu.Lock()
	defer s.opened.mu.Unlock()
	f := s.opened.files[g]
	if f == nil {
		return nil
	}
	for _, r := range f.remotes {
		if r.ref.Current() != nil {
			return r
		}
	}
	return f.remotes[0]
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
func (s *session) openRemote(ctx context.Context, k remoteKey, dir, own bool) (session uint64, number int64, err error) {
	var rep xdr.OpenRep
	g, flags := k.gfid, k.flags
	x := exchange{fop: xdr.FopOpen, req: &xdr.OpenReq{GFID: g, Flags: s.openFlags(flags)}, rep: &rep, own: own}
	if dir {
		x.fop, x.req = xdr.FopOpendir, &xdr.OpendirReq{GFID: g}
	}
	x.take = func([]byte) { s.opens(&x, k, dir, rep.FD) }
	if err := s.do(ctx, &x); err != nil {
		return 0, 0, err
	}
	return x.number, rep.FD, checkNumber(rep.FD)
}

// opens records what a reply says is open now.
func (s *session) opens(x *exchange, k remoteKey, dir bool, number int64) {
	if number >= 0 {
		s.kept.opened(place{x.number, number}, k, dir, x.unique)
	}
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
