package iocache

import (
	"context"
	"time"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/content"
)

// Readv implements xlator.Fops.
func (t *translator) Readv(ctx context.Context, r *xlator.ReadvReq) (*xlator.ReadvRep, error) {
	a, keep := t.Store.Ask()
	if !keep || !content.Cacheable(r) {
		return t.Next.Readv(ctx, r)
	}
	g := r.FD.Inode().GFID()
	f := t.Store.Find(g, r.Offset, r.Size, content.Never)
	from, to, missing := f.Missing()
	if f.Known && !f.Fresh && len(f.Pieces) > 0 && !missing {
		if since, ok := t.check(ctx, r.FD); ok {
			f = t.Store.Find(g, r.Offset, r.Size, since)
			from, to, missing = f.Missing()
		}
		if a, keep = t.Store.Ask(); !keep {
			return t.Next.Readv(ctx, r)
		}
	}
	whole := missing && from*pageSize >= r.Offset && to*pageSize <= r.Offset+int64(r.Size) && to-from == int64(len(f.Pieces))
	switch {
	case !f.Fresh || len(f.Pieces) == 0 || whole || !t.Changes.Holds(g, a.Moment):
		t.Store.Miss()
		return t.through(ctx, r, a, &f)
	case !missing:
		t.Store.Hit()
		return answer(r, &f), nil
	}
	t.Store.Miss()
	if t.fill(ctx, r, a, &f, from, to) {
		return answer(r, &f), nil
	}
	return t.Next.Readv(ctx, r)
}

// check asks whether the file has changed. What is found of it that was seen at
// since or later is right; ok is false if that is not known.
func (t *translator) check(ctx context.Context, fd *xlator.FD) (since time.Duration, ok bool) {
	a, keep := t.Store.Ask()
	if !keep {
		return 0, false
	}
	t.Store.Check()
	rep, err := t.Next.Fstat(content.Own(ctx), &xlator.FstatReq{FD: fd})
	if err != nil || !rep.Attr.Valid() {
		return 0, false
	}
	t.Store.See(a, fd.Inode(), &rep.Attr)
	return a.At(), true
}

// through has the child answer, and keeps the whole pages of its answer.
func (t *translator) through(ctx context.Context, r *xlator.ReadvReq, a content.Asked, f *content.Found) (*xlator.ReadvRep, error) {
	rep, err := t.Next.Readv(ctx, r)
	if err != nil {
		return rep, err
	}
	i := r.FD.Inode()
	if rep.Attr.Valid() {
		t.Store.See(a, i, &rep.Attr)
	}
	if f.Known {
		t.Store.Put(a, i, r.Offset, r.Size, rep.Data)
	} else if !rep.Attr.Valid() {
		t.learn(ctx, r.FD)
	}
	return rep, nil
}

// learn asks for the stamp of a file whose reads bring no attributes, so that the
// next pages can be kept.
func (t *translator) learn(ctx context.Context, fd *xlator.FD) {
	a, keep := t.Store.Ask()
	if !keep {
		return
	}
	if rep, err := t.Next.Fstat(content.Own(ctx), &xlator.FstatReq{FD: fd}); err == nil && rep.Attr.Valid() {
		t.Store.See(a, fd.Inode(), &rep.Attr)
	}
}

// fill asks the child for the pages from from to to, and puts them into f. It
// reports false if that failed, or something has changed: then f is of no use.
func (t *translator) fill(ctx context.Context, r *xlator.ReadvReq, a content.Asked, f *content.Found, from, to int64) bool {
	off, size := from*pageSize, int((to-from)*pageSize)
	rep, err := t.Next.Readv(content.Own(ctx), &xlator.ReadvReq{FD: r.FD, Offset: off, Size: size, Flags: r.Flags})
	if err != nil {
		return false
	}
	i := r.FD.Inode()
	if rep.Attr.Valid() {
		t.Store.See(a, i, &rep.Attr)
	}
	if !t.Store.Put(a, i, off, size, rep.Data) {
		return false
	}
	for n := from; n < to; n++ {
		f.Pieces[n-f.First] = rep.Data[(n-from)*pageSize : min((n-from+1)*pageSize, int64(len(rep.Data)))]
	}
	return true
}

// answer puts together what was asked for; no piece is missing.
func answer(r *xlator.ReadvReq, f *content.Found) *xlator.ReadvRep {
	skip := r.Offset - f.First*pageSize
	data := r.GrabDst(int(min(int64(r.Size), f.Size-r.Offset)))
	n := copy(data, f.Pieces[0][skip:])
	for _, p := range f.Pieces[1:] {
		n += copy(data[n:], p)
	}
	return &xlator.ReadvRep{Data: data}
}
