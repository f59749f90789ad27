package content

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// Watch forwards every fop, and has the clock of changes know of those that may
// change the content of a file. A translator embeds it.
type Watch struct {
	xlator.Default

	// constant after construction
	Changes *Changes
	// Forget drops what is kept of a file; nothing more is kept of it until the
	// change has ended. nil: nothing to drop, Changes says it all.
	Forget func(xlator.GFID)
}

// change carries out a fop that may change the content of i.
func change[R any](w *Watch, i *xlator.Inode, fop func() (R, error)) (R, error) {
	g := i.GFID()
	w.Changes.Begin(g)
	defer w.Changes.End(g)
	w.forget(g)
	return fop()
}

func (w *Watch) forget(g xlator.GFID) {
	if w.Forget != nil {
		w.Forget(g)
	}
}

// Changed is for changes that do not pass here.
func (w *Watch) Changed(g xlator.GFID) {
	w.Changes.Changed(g)
	w.forget(g)
}

// Writev implements xlator.Fops.
func (w *Watch) Writev(ctx context.Context, r *xlator.WritevReq) (*xlator.WritevRep, error) {
	return change(w, r.FD.Inode(), func() (*xlator.WritevRep, error) { return w.Next.Writev(ctx, r) })
}

// Truncate implements xlator.Fops.
func (w *Watch) Truncate(ctx context.Context, r *xlator.TruncateReq) (*xlator.AttrRep, error) {
	return change(w, r.Inode, func() (*xlator.AttrRep, error) { return w.Next.Truncate(ctx, r) })
}

// Ftruncate implements xlator.Fops.
func (w *Watch) Ftruncate(ctx context.Context, r *xlator.FtruncateReq) (*xlator.AttrRep, error) {
	return change(w, r.FD.Inode(), func() (*xlator.AttrRep, error) { return w.Next.Ftruncate(ctx, r) })
}

// Fallocate implements xlator.Fops.
func (w *Watch) Fallocate(ctx context.Context, r *xlator.FallocateReq) (*xlator.AttrRep, error) {
	return change(w, r.FD.Inode(), func() (*xlator.AttrRep, error) { return w.Next.Fallocate(ctx, r) })
}

// Discard implements xlator.Fops.
func (w *Watch) Discard(ctx context.Context, r *xlator.DiscardReq) (*xlator.AttrRep, error) {
	return change(w, r.FD.Inode(), func() (*xlator.AttrRep, error) { return w.Next.Discard(ctx, r) })
}

// Zerofill implements xlator.Fops.
func (w *Watch) Zerofill(ctx context.Context, r *xlator.ZerofillReq) (*xlator.AttrRep, error) {
	return change(w, r.FD.Inode(), func() (*xlator.AttrRep, error) { return w.Next.Zerofill(ctx, r) })
}

// CopyFileRange implements xlator.Fops.
func (w *Watch) CopyFileRange(ctx context.Context, r *xlator.CopyFileRangeReq) (*xlator.CopyFileRangeRep, error) {
	return change(w, r.Dst.Inode(), func() (*xlator.CopyFileRangeRep, error) { return w.Next.CopyFileRange(ctx, r) })
}

// Lk implements xlator.Fops. Who got a lock wants to see what its last holder,
// perhaps another client, has done.
func (w *Watch) Lk(ctx context.Context, r *xlator.LkReq) (*xlator.LkRep, error) {
	rep, err := w.Next.Lk(ctx, r)
	if (r.Cmd == xlator.LkSet || r.Cmd == xlator.LkWait) && r.Lock.Type != unix.F_UNLCK {
		w.Changed(r.FD.Inode().GFID())
	}
	return rep, err
}
