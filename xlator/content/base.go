package content

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// Base is a translator that keeps pieces of files in a Store, as far as it is the
// same for all: it drops what is changed, compares all attributes that pass, and
// listens to what happens below. Who embeds it writes Readv.
type Base struct {
	Watch

	// constant after construction
	Store *Store
}

// NewBase returns one above e's only child; pieces are pieceSize bytes long, now
// is a monotonic clock.
func NewBase(e *xlator.Env, pieceSize int64, now func() time.Duration) Base {
	changes := NewChanges(e.Phase)
	s := newStore(e, changes, pieceSize, now)
	return Base{Watch{xlator.Default{Next: e.Children[0]}, changes, s.Forget}, s}
}

// Clock is a monotonic clock that begins now.
func Clock() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// Cacheable reports whether a read may be answered from memory, and its answer be
// kept. Who reads with O_DIRECT wants to have it from the brick, and a read that
// must fail has to.
func Cacheable(r *xlator.ReadvReq) bool {
	return r.Size > 0 && r.Offset >= 0 && (r.Flags|r.FD.Flags())&unix.O_DIRECT == 0 &&
		r.FD.Flags()&unix.O_ACCMODE != unix.O_WRONLY && r.FD.Inode().Type() == xlator.TypeRegular
}

// Notified implements xlator.Listener.
func (b *Base) Notified(_ xlator.Fops, e xlator.Event) bool {
	switch {
	case e.Kind == xlator.ChildDown:
		b.Store.ForgetAll()
	case e.Kind == xlator.Invalidate && e.Stale&(xlator.StaleData|xlator.StaleAttr|xlator.StaleName) != 0:
		b.Changed(e.File)
	}
	return true
}

// see has the Store look at the attributes of a reply.
func (b *Base) see(a Asked, keep bool, i *xlator.Inode, attr *xlator.Iatt) {
	if keep {
		b.Store.See(a, i, attr)
	}
}

// Lookup implements xlator.Fops.
func (b *Base) Lookup(ctx context.Context, r *xlator.LookupReq) (*xlator.LookupRep, error) {
	a, keep := b.Store.Ask()
	rep, err := b.Next.Lookup(ctx, r)
	if err == nil && keep {
		if r.Parent != nil {
			b.Store.Weigh(rep.Inode, r.Name)
		}
		b.Store.See(a, rep.Inode, &rep.Attr)
	}
	return rep, err
}

// Create implements xlator.Fops.
func (b *Base) Create(ctx context.Context, r *xlator.CreateReq) (*xlator.CreateRep, error) {
	a, keep := b.Store.Ask()
	rep, err := b.Next.Create(ctx, r)
	if err == nil && keep {
		b.Store.Weigh(rep.FD.Inode(), r.Name)
		b.Store.See(a, rep.FD.Inode(), &rep.Attr)
	}
	return rep, err
}

// Stat implements xlator.Fops.
func (b *Base) Stat(ctx context.Context, r *xlator.StatReq) (*xlator.AttrRep, error) {
	return b.attrs(r.Inode, func() (*xlator.AttrRep, error) { return b.Next.Stat(ctx, r) })
}

// Fstat implements xlator.Fops.
func (b *Base) Fstat(ctx context.Context, r *xlator.FstatReq) (*xlator.AttrRep, error) {
	return b.attrs(r.FD.Inode(), func() (*xlator.AttrRep, error) { return b.Next.Fstat(ctx, r) })
}

// Fsync implements xlator.Fops.
func (b *Base) Fsync(ctx context.Context, r *xlator.FsyncReq) (*xlator.AttrRep, error) {
	return b.attrs(r.FD.Inode(), func() (*xlator.AttrRep, error) { return b.Next.Fsync(ctx, r) })
}

// Setattr implements xlator.Fops.
func (b *Base) Setattr(ctx context.Context, r *xlator.SetattrReq) (*xlator.AttrRep, error) {
	return b.attrs(r.Inode, func() (*xlator.AttrRep, error) { return b.Next.Setattr(ctx, r) })
}

// Fsetattr implements xlator.Fops.
func (b *Base) Fsetattr(ctx context.Context, r *xlator.FsetattrReq) (*xlator.AttrRep, error) {
	return b.attrs(r.FD.Inode(), func() (*xlator.AttrRep, error) { return b.Next.Fsetattr(ctx, r) })
}

// attrs carries out a fop that returns attributes of i.
func (b *Base) attrs(i *xlator.Inode, fop func() (*xlator.AttrRep, error)) (*xlator.AttrRep, error) {
	a, keep := b.Store.Ask()
	rep, err := fop()
	if err == nil {
		b.see(a, keep, i, &rep.Attr)
	}
	return rep, err
}

// Link implements xlator.Fops.
func (b *Base) Link(ctx context.Context, r *xlator.LinkReq) (*xlator.EntryRep, error) {
	a, keep := b.Store.Ask()
	rep, err := b.Next.Link(ctx, r)
	if err == nil {
		b.see(a, keep, r.Inode, &rep.Attr)
	}
	return rep, err
}

// Readdirp implements xlator.Fops.
func (b *Base) Readdirp(ctx context.Context, r *xlator.ReaddirReq) (*xlator.ReaddirRep, error) {
	a, keep := b.Store.Ask()
	rep, err := b.Next.Readdirp(ctx, r)
	if err != nil || !keep {
		return rep, err
	}
	for n := range rep.Entries {
		if e := &rep.Entries[n]; e.Inode != nil {
			b.Store.Compare(a, e.Inode, &e.Attr)
		}
	}
	return rep, nil
}
