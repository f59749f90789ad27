package client

import (
	"errors"
	"slices"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/rpc"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// once reports whether a fop is one whose second time is not as good as its first:
// it changes something, or acquires it.
func once(f xdr.Fop) bool {
	switch f {
	case xdr.FopLookup, xdr.FopStat, xdr.FopFstat, xdr.FopRead, xdr.FopReaddir, xdr.FopReaddirp, xdr.FopReadlink, xdr.FopAccess, xdr.FopStatfs,
		xdr.FopGetxattr, xdr.FopFgetxattr, xdr.FopFsync, xdr.FopFsyncdir, xdr.FopFlush, xdr.FopSeek, xdr.FopRchecksum:
		return false
	}
	return true
}

// acquires reports whether a fop gets something that ends with the session.
func acquires(f xdr.Fop) bool {
	switch f {
	case xdr.FopOpen, xdr.FopOpendir, xdr.FopCreate, xdr.FopLk, xdr.FopInodelk, xdr.FopFinodelk, xdr.FopEntrylk, xdr.FopFentrylk:
		return true
	}
	return false
}

// spared are calls of an earlier process whose end nobody has to wait for before
// there are new ones.
func spared(prog, proc uint32) bool { return prog != xdr.ProgramFops || !once(xdr.Fop(proc)) }

// inherits reports whether there was a process before that had this session.
func (s *session) inherits() bool { return s.kept != nil && s.kept.found }

// inherit takes over what the process before has left: the connection with the
// calls on it, and what is open. If that is lost, there are still the calls of
// which it is not known whether they were carried out. Nothing is sent yet.
func (s *session) inherit() {
	if !s.inherits() {
		return
	}
	sock := s.kept.lastSocket()
	conn, err := rpc.Resume(s.mem, sock, s.options(s.set.Load()))
	if err != nil {
		s.log.Warn("the connection of the process before cannot be taken over", "err", err)
		if sock != nil {
			_ = sock.Close() // nothing of it is of use
		}
		s.kept.reset()
		return
	}
	s.conn, s.volume = conn, s.kept.volume()
	s.stamped.Store(s.kept.stamped())
	lost := conn.Err()
	if lost == nil {
		s.resumed = conn.Epoch()
		s.inheritOpen(conn)
	} else {
		s.kept.reset()
		s.cause = lost
	}
	for _, u := range conn.Inherited() {
		if u&closeNames == 0 && s.comesBack(u) {
			conn.Claim(u)
		}
	}
}

// comesBack reports whether a request of the kernel is going to be carried out
// again.
func (s *session) comesBack(unique uint64) bool { return s.rec != nil && s.rec.ComesBack(unique, s) }

// inheritOpen takes over what is open on the brick. Each belongs to the base fd
// that it was opened for; whoever opens it for that adopts it.
func (s *session) inheritOpen(conn *rpc.Conn) {
	o := &s.opened
	o.mu.Lock()
	defer o.mu.Unlock()
	closing := map[uint64]bool{}
	open, half := s.kept.open.all(s.resumed)
	for _, f := range half {
		name := s.kept.closeName(f.record)
		closing[name] = true
		conn.Claim(name)
	}
	s.leftovers = half
	for _, f := range open {
		expected := f.unique != 0 && s.comesBack(f.unique)
		if f.unique != 0 && !expected {
			conn.End(f.unique) // its reply is recorded: here
		}
		r := &remote{key: f.key, dir: f.dir, file: o.fileFor(f.key.gfid), fds: 1, inherited: true, expected: expected, guardian: f.key.base == guardians, request: f.unique}
		r.ref.Put(f.session, f.number)
		r.file.remotes = append(r.file.remotes, r)
		switch {
		case expected: // its base fd's number may be another's now
			o.returning = append(o.returning, r)
		case f.key.base != 0 && !r.guardian && o.kept[f.key] == nil:
			o.kept[f.key] = r
		case !r.guardian:
			r.key.base = 0 // it was about to be closed: there is another for that base fd
		}
		s.counts.inherited.Add(1)
	}
	for _, u := range conn.Inherited() {
		if u&closeNames != 0 && !closing[u] {
			conn.End(u) // it was closed
		}
	}
}

// expected finds an inherited object by its number whose request comes back. mu is
// held.
func (o *opened) expected(session uint64, number int64) *remote {
	for _, r := range o.returning {
		if cur := r.ref.Current(); cur != nil && cur.Key == session && cur.Value == number && r.fds == 1 && r.inherited {
			return r
		}
	}
	return nil
}

// errTakenOver is why the session is not up while it is taken over.
var errTakenOver = errors.New("the connection of the process before was lost")

// resume goes on with the session of the process before. What that has sent ends
// first: the brick may not carry out an old request after a new one.
func (s *session) resume() (*rpc.Conn, uint64, error) {
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if err := conn.Quiet(s.ctx, spared); err != nil {
		return nil, 0, err
	}
	if err := conn.Err(); err != nil {
		<-conn.Lost()
		return nil, 0, errors.Join(errTakenOver, err)
	}
	s.counts.resumed.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number, s.sick = s.resumed, s.kept.sick()
	if s.sick {
		s.cause = errSick
		s.changed()
		return conn, s.number, nil
	}
	s.rise()
	for _, f := range s.leftovers {
		s.wg.Go(func() { s.closeRecorded(f) })
	}
	s.leftovers = nil
	return conn, s.number, nil
}

// settleInheritance makes an end with what nobody asks for: open objects whose
// base fd is gone, replies that nobody waits for.
func (s *session) settleInheritance() {
	if !s.inherits() {
		return
	}
	if s.rec != nil {
		select {
		case <-s.rec.LocksRestored():
		case <-s.ctx.Done():
			return
		}
	}
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if conn == nil {
		return
	}
	conn.Settle()
	for _, r := range s.unclaimed() {
		s.letGo(r)
	}
}

// unclaimed are the inherited objects that nobody will adopt.
func (s *session) unclaimed() (all []*remote) {
	o := &s.opened
	o.mu.Lock()
	var look []*remote
	for _, f := range o.files {
		for _, r := range f.remotes {
			if r.inherited && !r.expected && r.fds == 1 {
				look = append(look, r)
			}
		}
	}
	o.mu.Unlock()
	look = slices.DeleteFunc(look, func(r *remote) bool { return r.key.base != 0 && s.rec != nil && s.rec.HasBase(r.key.base) })
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range look {
		if r.inherited && r.fds == 1 {
			r.inherited = false
			all = append(all, r)
		}
	}
	return all
}

// EndCall implements xlator.Ender: the request has been answered. What the process
// before had opened for it, and it has not asked for again, is closed.
func (s *session) EndCall(unique uint64) {
	s.conn.End(unique)
	for _, r := range s.opened.returning {
		if r.request == unique && s.opened.disown(r) {
			s.letGo(r)
		}
	}
}

// disown makes an inherited object whose request did not ask for it one that
// nobody has; false: it did, or it is somebody's.
func (o *opened) disown(r *remote) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !r.inherited || r.fds != 1 {
		return false
	}
	r.inherited = false
	return true
}

// inheritedBy finds the open object of a base fd that is open now, or nil.
func (s *session) inheritedBy(g xlator.GFID, base uint64) *remote {
	o := &s.opened
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.files[g]
	if f == nil || base == 0 {
		return nil
	}
	for _, r := range f.remotes {
		if r.key.base == base && r.ref.Current() != nil {
			return r
		}
	}
	return nil
}
