package posix

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// Kinds of xlator.Intent that are recorded here, and what they say. A is the
// object concerned.
//
// A request that is carried out again because a process died over it looks at
// its intent and at the disk, after the sweep: the disk says whether the change
// was made. What would fail if it were made twice, or would do something else,
// is left alone then and only answered. What makes an object needs no intent:
// the object bears the gfid that was chosen for it.
//
// That names, attributes and sizes are as the dead process left them is the
// kernel's doing: while a request has no answer, it locks the directories and
// inodes that the request changes.
const (
	_ uint32 = iota
	// intentRemove: A, of type Flags, loses the name.
	intentRemove
	// intentRename: A gets the new name, which is that of B, of type Size (zero:
	// nobody's).
	intentRename
	// intentLink: A gets the name, which is nobody's.
	intentLink
	// intentSetxattr: A gets attributes that it does not have.
	intentSetxattr
	// intentRemovexattr: A loses an attribute that it has.
	intentRemovexattr
	// intentTruncated: A has been cut to Size. Recorded after it was done: an
	// open with O_TRUNC does not keep others from writing before its answer,
	// and what they wrote must not be cut as well.
	intentTruncated
)

// intended is the intent of that kind which an earlier process recorded for the
// call.
func intended(c *xlator.Call, kind uint32) (xlator.Intent, bool) {
	i, ok := c.Intended()
	return i, ok && i.Kind == kind
}

// madeBefore answers a request to make what is there already: with why, unless
// it bears the gfid that was chosen for this request, and was made by a process
// that died before the answer.
func (b *Brick) madeBefore(ctx context.Context, r *xlator.MakeReq, p *pass, dir *object, dfd *kfd, why error) (*xlator.EntryRep, error) {
	if xlator.CallFrom(ctx).Journal == nil || why != unix.EEXIST || r.GFID.IsZero() {
		return nil, why
	}
	var st unix.Statx_t
	o, err := b.rt.lookup(p, dir, dfd, r.Name, &st)
	if err != nil || o.gfid != r.GFID {
		return nil, why
	}
	return &xlator.EntryRep{Inode: b.inode(o), Attr: b.rt.iatt(o, &st, nil), PostParent: b.rt.after(dir, dfd)}, nil
}

// remains is the attributes of an object that has lost a name, or been cut, by
// an earlier process: of one that is gone nothing is known but what it was.
func (rt *Runtime) remains(g xlator.GFID, typ xlator.FileType) xlator.Iatt {
	o, err := rt.find(g)
	if err == nil {
		var k *kfd
		if k, err = rt.acquire(o); err == nil {
			defer k.put()
			return rt.after(o, k)
		}
	}
	return xlator.Iatt{GFID: g, Type: typ}
}
