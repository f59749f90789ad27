package client

import (
	"fmt"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// RestoreLocks implements xlator.LockRestorer: it is told, before the first request
// of this process, what applications have locked through an earlier one. If its
// connection was taken over, the brick has the locks still, and they are only
// recorded. Otherwise it has dropped them, and they are taken again now. What
// applications have open is not known here then; the locks are held through an
// open object of our own, the guardian, until they are unlocked.
func (c *Client) RestoreLocks(g xlator.GFID, held []xlator.Lock) error {
	s := c.s
	if len(held) == 0 {
		return nil
	}
	vias := s.recordRestored(g, held)
	number, err := s.enter(xlator.Internal())
	if err == nil {
		s.leave()
		for _, r := range vias {
			if e := s.restore(r, number); e != nil && err == nil {
				err = e
				r.file.lose(e)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("brick %s: %w", c.key.brick(), err)
	}
	return nil
}

// recordRestored records the locks, and returns the open objects that they are held
// through.
func (s *session) recordRestored(g xlator.GFID, all []xlator.Lock) (vias []*remote) {
	var guardian *remote
	s.keepGuardians(g)
	var was seen
	if s.kept != nil {
		was = s.kept.seen.get(g)
	}
	for _, l := range all {
		via := s.inheritedBy(g, l.Base)
		if via == nil {
			if guardian == nil {
				guardian = s.newGuardian(g)
			}
			via = guardian
		}
		l.Base = 0
		s.record(l, via)
		if !slices.Contains(vias, via) {
			vias = append(vias, via)
		}
	}
	if was.known {
		f := vias[0].file
		f.mu.Lock()
		f.seen = was
		f.noteSeen()
		f.mu.Unlock()
	}
	return vias
}

// restore sees to it that the locks which are recorded as held through r are held
// in the session of that number, as far as the rule for lost sessions lets them.
func (s *session) restore(r *remote, number uint64) error {
	loss := s.set.Load().loss
	switch {
	case number == s.resumed && !r.guardian: // they have never been lost
		return nil
	case number == s.resumed || loss == lossCheck:
		return s.reopen(xlator.Internal(), r, number)
	case loss == lossDrop:
		s.forsake(r, nil)
		return nil
	}
	err := fmt.Errorf("the process that held the connection has died, and the locks with it (lock-loss=fail): %w", syscall.EIO)
	s.forsake(r, err)
	r.ref.Lose(&lostFile{err, syscall.EIO})
	return err
}

// guardians is the base fd of guardians in the records of what is open.
const guardians = 1 << 63

// newGuardian enters an open object that no application has.
func (s *session) newGuardian(g xlator.GFID) *remote {
	o := &s.opened
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.fileFor(g)
	r := &remote{key: remoteKey{guardians, g, unix.O_RDWR}, file: f, fds: 1, guardian: true}
	f.remotes = append(f.remotes, r)
	return r
}

// keepGuardians has the guardians of an earlier process stay until the file's locks
// are gone: which of them the brick would drop with these is not known.
func (s *session) keepGuardians(g xlator.GFID) {
	o := &s.opened
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.files[g]
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.remotes {
		if r.guardian && r.inherited {
			r.inherited = false
			f.guards = append(f.guards, r)
		}
	}
}

// relieve lets guardians go when the file's last lock is gone. f.mu is held.
func (s *session) relieve(f *file) {
	if len(f.locks) > 0 {
		return
	}
	for _, r := range f.guards {
		s.wg.Go(func() { s.letGo(r) })
	}
	f.guards = nil
}

// lose makes LOST what is open of the file, and what will be opened again for
// those who had it open before.
func (f *file) lose(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost = &lostFile{why, syscall.EIO}
}
