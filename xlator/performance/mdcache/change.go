package mdcache

import (
	"slices"
	"syscall"

	"github.com/holdfast/holdfast/xlator"
)

// change is a fop that runs and may change an inode.
type change struct {
	i    *xlator.Inode
	e    *entry
	kind kind
	a    asked // with the tick of its start
	sole bool  // nothing else changed the inode when it started
	keep bool
}

// kind is what a change may do to extended attributes.
type kind bool

const (
	dataOnly kind = false // take some away, as writing does
	anything kind = true
)

// begin forgets what is kept of i, and lets nothing be kept until the change has
// ended. i may be nil.
func (t *translator) begin(i *xlator.Inode, k kind) change {
	c := change{i: i, kind: k}
	if i == nil {
		return c
	}
	c.e = t.entryOf(i)
	c.a, c.keep = t.ask()
	c.e.mu.Lock()
	defer c.e.mu.Unlock()
	c.sole = c.e.running == 0
	c.e.running++
	c.a.tick = t.changes.tick(i.GFID())
	c.e.forget(bool(k))
	return c
}

// end ends the change. after is the attributes that the child gave along with it,
// or nil; they are kept if no other change of the inode was running meanwhile.
func (t *translator) end(c *change, after *xlator.Iatt) {
	if c.i == nil {
		return
	}
	c.e.mu.Lock()
	defer c.e.mu.Unlock()
	c.e.running--
	sole := c.sole && c.keep && c.e.running == 0 && t.current(c.i.GFID(), c.a)
	now := t.changes.tick(c.i.GFID())
	c.e.forget(bool(c.kind))
	if after == nil || !after.Valid() {
		return
	}
	if !sole {
		t.refused.Add(1)
		return
	}
	t.kept.Add(1)
	a := c.a
	a.tick = now
	c.e.attr.Store(&attr{asked: a, iatt: *after})
}

// changed is begin and end at once, for an inode that a fop says it has changed.
func (t *translator) changed(g xlator.GFID) {
	// The tick first: an Inode that comes up after Find keeps nothing that was
	// asked for before.
	t.changes.tick(g)
	if i := t.inodes.Find(g); i != nil {
		c := t.begin(i, anything)
		t.end(&c, nil)
	}
}

// harmless are the errors that say that nothing was done.
var harmless = []syscall.Errno{
	syscall.ENOENT, syscall.EEXIST, syscall.ENOTEMPTY, syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.EINVAL,
	syscall.ENOTDIR, syscall.EISDIR, syscall.ENAMETOOLONG, syscall.EXDEV, syscall.EBUSY, syscall.ELOOP, syscall.EMLINK,
	syscall.ENOSPC, syscall.EDQUOT, syscall.ESTALE, syscall.EOPNOTSUPP,
}

// failed is called for a fop that names what it changes by parent and name, and
// failed: unless its error says otherwise it may have done it all the same.
func (t *translator) failed(err error) {
	if !slices.Contains(harmless, xlator.Errno(err)) {
		t.changes.all()
	}
}

// ended ends a change of i that returned attributes, or an error.
func (t *translator) ended(c *change, rep *xlator.AttrRep, err error) {
	if err != nil {
		t.end(c, nil)
		return
	}
	t.end(c, &rep.Attr)
}
