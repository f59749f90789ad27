package client

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/protocol/xdr"
)

// siblings are the mount's sessions. Two of them are with one brick while a graph
// takes over that names it in another way: by another address, over TLS. Then locks
// move from the older to the newer, as the brick does that between its clients
// (trusted.glusterfs.lockinfo), so they are never free.
type siblings struct {
	mu  sync.Mutex
	all map[*session]bool // guarded by mu

	moving sync.Mutex // one file's locks at a time
}

// siblingsName is what they are in the pool.
const siblingsName = "sessions of protocol/client"

func newSiblings() (*siblings, error) { return &siblings{all: map[*session]bool{}}, nil }

// Close implements io.Closer.
func (*siblings) Close() error { return nil }

func (b *siblings) add(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all[s] = true
	s.siblings.Store(b)
}

func (b *siblings) remove(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.all, s)
}

// of returns the other sessions with the brick of s.
func (b *siblings) of(s *session) (others []*session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.all) < 2 {
		return nil
	}
	volume := s.volumeID()
	for o := range b.all {
		if o != s && o.key.subvolume == s.key.subvolume && o.key.subdir == s.key.subdir && o.volumeID() == volume {
			others = append(others, o)
		}
	}
	return others
}

// generation is the newest graph's that uses the session, or used it last.
func (s *session) generation() uint64 {
	s.tellMu.Lock()
	defer s.tellMu.Unlock()
	return s.newest
}

// takeLocks takes over what older sessions have locked of the file. If that fails
// the file is to stay where it is.
func (s *session) takeLocks(g xlator.GFID) error {
	b := s.siblings.Load()
	if b == nil {
		return nil
	}
	for _, from := range b.of(s) {
		if from.lockedFiles.Load() == 0 || from.generation() > s.generation() {
			continue
		}
		if f := from.fileOf(g); f != nil {
			if err := b.move(f, from, s); err != nil {
				return fmt.Errorf("move locks from another connection to the brick: %w", err)
			}
		}
	}
	return nil
}

// giveLocks gives what is locked to a newer session, when this one ends.
func (s *session) giveLocks() {
	b := s.siblings.Load()
	if b == nil {
		return
	}
	defer b.remove(s)
	if s.lockedFiles.Load() == 0 {
		return
	}
	for _, to := range b.of(s) {
		if to.generation() < s.generation() {
			continue
		}
		for _, r := range s.lockers() {
			if err := b.move(r.file, s, to); err != nil {
				s.log.Error("locks are lost with their connection", "gfid", r.file.gfid, "err", err)
			}
		}
	}
}

// move moves what is locked of a file. In the other session it is held through an
// object that nobody has open, until it is unlocked.
func (b *siblings) move(f *file, from, to *session) error {
	b.moving.Lock()
	defer b.moving.Unlock()
	vias := f.vias()
	if len(vias) == 0 {
		return nil
	}
	number, err := to.enter(to.ctx)
	if err != nil {
		return err
	}
	to.leave()
	guard := to.newGuardian(f.gfid)
	defer func() {
		if !guard.file.guardedBy(guard) {
			to.letGo(guard)
		}
	}()
	if err := to.reopen(to.ctx, guard, number); err != nil {
		return err
	}
	for _, via := range vias {
		cur, end := via.ref.Current(), guard.ref.Current()
		if cur == nil || end == nil {
			return errAnother // they are taken again by who had them, or lost
		}
		if err := moveOnBrick(from, cur.Key, cur.Value, to, end.Key, end.Value, f.gfid); err != nil {
			return err
		}
		for _, h := range from.surrender(via) {
			to.record(h.Lock, guard)
			to.counts.moved.Add(1)
		}
	}
	return nil
}

// moveOnBrick has the brick hand the locks of one number of one session to another.
func moveOnBrick(from *session, fromSession uint64, fromFD int64, to *session, toSession uint64, toFD int64, g xlator.GFID) error {
	var info xdr.XattrRep
	x := exchange{fop: xdr.FopFgetxattr, req: &xdr.FgetxattrReq{GFID: g, FD: fromFD, NameLen: 1, Name: lockinfo}, rep: &info, own: true, reserve: roomXattrs}
	var got *xlator.Dict
	x.take = func([]byte) { got = xattrsOf(info.Dict) }
	if err := errors.Join(from.only(fromSession, &x)); err != nil {
		return err
	}
	locked, ok := got.Bytes(lockinfo)
	if !ok {
		return nil // the brick knows of none
	}
	return errors.Join(to.only(toSession, &exchange{fop: xdr.FopFsetxattr, req: &xdr.FsetxattrReq{GFID: g, FD: toFD, Dict: xdr.Dict{xdr.DictBytes(lockinfo, locked)}}, rep: new(xdr.FsetxattrRep), own: true}))
}

// lockinfo is the attribute under which a brick tells, and takes, what is locked
// through an open file.
const lockinfo = "trusted.glusterfs.lockinfo"

// vias are the open objects through which something of the file is locked.
func (f *file) vias() (all []*remote) {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := map[*remote]bool{}
	for _, h := range f.locks {
		if !seen[h.via] {
			seen[h.via] = true
			all = append(all, h.via)
		}
	}
	return all
}

// guardedBy reports whether locks are held through that guardian.
func (f *file) guardedBy(r *remote) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.guards, r)
}

// surrender takes the locks held through an open object out of the record.
func (s *session) surrender(via *remote) []held {
	gone := s.dropLocks(via)
	f := via.file
	f.mu.Lock()
	defer f.mu.Unlock()
	s.relieve(f)
	return gone
}
