package posix

import (
	"bytes"
	"context"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// Rename implements xlator.Fops. For an exchange, Replaced is the other object,
// which lives on under the old name.
func (b *Brick) Rename(ctx context.Context, r *xlator.RenameReq) (*xlator.RenameRep, error) {
	rep, err := b.rename(xlator.CallFrom(ctx), r)
	return rep, fail("rename", r.OldParent.GFID(), r.OldName, err)
}

// move is one attempt at a rename.
type move struct {
	b          *Brick
	rt         *Runtime
	p          pass
	call       *xlator.Call
	r          *xlator.RenameReq
	from, to   *object // directories
	ffd, tfd   *kfd
	it, victim *object // what is moved; what is in the way, or exchanged
}

func (b *Brick) rename(c *xlator.Call, r *xlator.RenameReq) (*xlator.RenameRep, error) {
	if r.Flags&^(unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE) != 0 || r.Flags == unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE {
		return nil, unix.EINVAL
	}
	for _, n := range []struct {
		dir  *xlator.Inode
		name string
	}{{r.OldParent, r.OldName}, {r.NewParent, r.NewName}} {
		if err := b.checkName(n.dir, n.name); err != nil {
			if n.name == "." || n.name == ".." {
				err = unix.EBUSY
			}
			return nil, err
		}
	}
	m := &move{b: b, rt: b.rt, call: c, r: r, p: b.rt.enter()}
	defer m.p.out()
	var err error
	if m.from, m.ffd, err = b.parent(r.OldParent); err != nil {
		return nil, err
	}
	defer m.ffd.put()
	if m.to, m.tfd, err = b.parent(r.NewParent); err != nil {
		return nil, err
	}
	defer m.tfd.put()
	if before, again := intended(c, intentRename); again && m.doneBefore(before) {
		return m.reportAgain(before), nil
	}
	for range retries {
		rep, err := m.try()
		if err != errMoved {
			return rep, err
		}
	}
	return nil, unix.ESTALE
}

func (m *move) try() (*xlator.RenameRep, error) {
	var st unix.Statx_t
	var err error
	if m.it, err = m.rt.lookup(&m.p, m.from, m.ffd, m.r.OldName, &st); err != nil {
		return nil, err
	}
	m.victim, err = m.rt.lookup(&m.p, m.to, m.tfd, m.r.NewName, &st)
	switch {
	case err == unix.ENOENT:
		m.victim = nil
		if m.r.Flags&unix.RENAME_EXCHANGE != 0 {
			return nil, err
		}
	case err != nil:
		return nil, err
	case m.r.Flags&unix.RENAME_NOREPLACE != 0:
		return nil, unix.EEXIST
	}
	m.p.out()
	unlock := lockBoth(m.it, m.victim)
	defer unlock()
	m.p.in(m.rt)
	if !m.still(m.it, m.ffd, m.r.OldName) || m.victim != nil && !m.still(m.victim, m.tfd, m.r.NewName) {
		return nil, errMoved
	}
	if m.victim != m.it {
		m.intend()
	}
	switch {
	case m.victim == m.it:
		// Two names of one object: rename(2) does nothing.
		err = nil
	case m.r.Flags&unix.RENAME_EXCHANGE != 0:
		err = m.exchange()
	default:
		return m.replace()
	}
	if err != nil {
		return nil, err
	}
	rep := m.report()
	if m.victim != m.it {
		rep.Replaced = m.victim.gfid
		rep.ReplacedAttr = m.attr(m.victim)
	}
	return rep, nil
}

// intend records the two objects. They differ, so the new name tells afterwards
// whether the rename was done: it is not the moved object's before.
func (m *move) intend() {
	i := xlator.Intent{Kind: intentRename, A: m.it.gfid}
	if m.victim != nil {
		i.B, i.Size = m.victim.gfid, uint64(m.victim.typ)
	}
	m.call.Intend(i)
}

// doneBefore reports whether an earlier process did the rename. Handles of
// directories that it had no time to move were moved by the sweep.
func (m *move) doneBefore(before xlator.Intent) bool {
	var st unix.Statx_t
	var err error
	m.it, err = m.rt.lookup(&m.p, m.to, m.tfd, m.r.NewName, &st)
	return err == nil && m.it.gfid == before.A
}

func (m *move) reportAgain(before xlator.Intent) *xlator.RenameRep {
	rep := m.report()
	if !before.B.IsZero() {
		rep.Replaced, rep.ReplacedAttr = before.B, m.rt.remains(before.B, xlator.FileType(before.Size))
	}
	return rep
}

func (m *move) still(o *object, dfd *kfd, name string) bool {
	return o.state() != gone && m.rt.names(dfd, name, o)
}

// lockBoth locks the names of two objects, the second perhaps nil or the same.
func lockBoth(a, b *object) (unlock func()) {
	if b == nil || a == b {
		a.names.Lock()
		return a.names.Unlock
	}
	if bytes.Compare(a.gfid[:], b.gfid[:]) > 0 {
		a, b = b, a
	}
	a.names.Lock()
	b.names.Lock()
	return func() { b.names.Unlock(); a.names.Unlock() }
}

// handles prepares the handles that moved directories will have. Their use
// comes after the rename; a crash in between leaves them to the sweep.
func (m *move) handles() (use func(), undo func(), err error) {
	type one struct {
		o      *object
		staged string
	}
	var all []one
	undo = func() {
		for _, h := range all {
			unix.Unlinkat(m.rt.staging, h.staged, 0)
		}
	}
	stage := func(o *object, parent *object, name string) error {
		if o.typ != xlator.TypeDirectory {
			return nil
		}
		staged, err := m.rt.stageDirHandle(o.gfid, parent.gfid, name)
		if err == nil {
			all = append(all, one{o, staged})
		}
		return err
	}
	err = stage(m.it, m.to, m.r.NewName)
	if err == nil && m.r.Flags&unix.RENAME_EXCHANGE != 0 {
		err = stage(m.victim, m.from, m.r.OldName)
	}
	if err != nil {
		undo()
		return nil, nil, err
	}
	return func() {
		for _, h := range all {
			if err := m.rt.useDirHandle(h.o.gfid, h.staged); err != nil {
				m.rt.log.Warn("move a directory's handle", "brick", m.rt.dir, "gfid", h.o.gfid, "error", err)
			}
		}
	}, undo, nil
}

func (m *move) exchange() error {
	use, undo, err := m.handles()
	if err != nil {
		return err
	}
	if err := unix.Renameat2(m.ffd.n, m.r.OldName, m.tfd.n, m.r.NewName, unix.RENAME_EXCHANGE); err != nil {
		undo()
		return err
	}
	use()
	return nil
}

// replace is a rename onto a free name or over a victim.
func (m *move) replace() (*xlator.RenameRep, error) {
	if m.victim != nil {
		switch {
		case m.victim.typ == xlator.TypeDirectory && m.it.typ != xlator.TypeDirectory:
			return nil, unix.EISDIR
		case m.victim.typ != xlator.TypeDirectory && m.it.typ == xlator.TypeDirectory:
			return nil, unix.ENOTDIR
		}
	}
	use, undo, err := m.handles()
	if err != nil {
		return nil, err
	}
	var l *loss
	flags := uint(unix.RENAME_NOREPLACE)
	if m.victim != nil {
		flags = 0
		k, err := m.rt.acquire(m.victim)
		if err != nil {
			undo()
			return nil, err
		}
		defer k.put()
		if l, err = m.rt.prepareLoss(m.victim, k); err != nil {
			undo()
			return nil, err
		}
	}
	if err := unix.Renameat2(m.ffd.n, m.r.OldName, m.tfd.n, m.r.NewName, flags); err != nil {
		undo()
		if l != nil {
			l.undo()
		}
		if err == unix.EEXIST && m.victim == nil && m.r.Flags&unix.RENAME_NOREPLACE == 0 {
			err = errMoved // somebody filled the name meanwhile
		}
		return nil, err
	}
	use()
	var rep *xlator.RenameRep
	if l != nil {
		m.rt.touch(m.victim, l.k, stampCtime)
		last := l.done()
		rep = m.report()
		rep.Replaced, rep.ReplacedAttr = m.victim.gfid, last
		return rep, nil
	}
	return m.report(), nil
}

func (m *move) attr(o *object) xlator.Iatt {
	k, err := m.rt.acquire(o)
	if err != nil {
		return xlator.Iatt{}
	}
	defer k.put()
	m.rt.touch(o, k, stampCtime)
	return m.rt.after(o, k)
}

func (m *move) report() *xlator.RenameRep {
	m.rt.touch(m.from, m.ffd, stampCtime|stampMtime)
	m.rt.touch(m.to, m.tfd, stampCtime|stampMtime)
	return &xlator.RenameRep{
		Moved: m.it.gfid, Attr: m.attr(m.it),
		PostOldParent: m.rt.after(m.from, m.ffd), PostNewParent: m.rt.after(m.to, m.tfd),
	}
}
