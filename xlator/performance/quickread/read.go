package quickread

import (
	"context"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/content"
)

// contentKey asks a brick for the content of a file that is not larger than its
// value, and names it in the reply.
const contentKey = "glusterfs.content"

// Lookup implements xlator.Fops.
func (t *translator) Lookup(ctx context.Context, r *xlator.LookupReq) (*xlator.LookupRep, error) {
	if r.Xdata.Has(contentKey) || !t.wants(r) {
		return t.Base.Lookup(ctx, r)
	}
	a, keep := t.Store.Ask()
	if !keep {
		return t.Base.Lookup(ctx, r)
	}
	t.asked.Add(1)
	asking := *r
	asking.Xdata = &xlator.Dict{}
	for _, p := range r.Xdata.Pairs() {
		asking.Xdata.Set(p)
	}
	asking.Xdata.Set(xlator.Pair{Key: contentKey, Type: xlator.DictUint, Num: t.largest.Load()})
	rep, err := t.Next.Lookup(ctx, &asking)
	if err != nil {
		return rep, err
	}
	if r.Parent != nil {
		t.Store.Weigh(rep.Inode, r.Name)
	}
	data, brought := rep.Xdata.Bytes(contentKey)
	if brought {
		t.brought.Add(1)
		t.Store.Take(a, rep.Inode, &rep.Attr, data)
		rep.Xdata = without(rep.Xdata, contentKey)
	} else {
		t.Store.See(a, rep.Inode, &rep.Attr)
	}
	if r.Parent != nil {
		t.Store.Enter(rep.Inode, content.Name{Parent: r.Parent.GFID(), Name: r.Name})
	}
	return rep, nil
}

// wants reports whether a lookup should bring content: not of what is kept already.
func (t *translator) wants(r *xlator.LookupReq) bool {
	if r.Parent == nil {
		return r.GFID != xlator.RootGFID && !t.Store.Has(r.GFID)
	}
	return !t.Store.HasNamed(content.Name{Parent: r.Parent.GFID(), Name: r.Name})
}

// without is d without one entry.
func without(d *xlator.Dict, key string) *xlator.Dict {
	left := &xlator.Dict{}
	for _, p := range d.Pairs() {
		if p.Key != key {
			left.Set(p)
		}
	}
	if left.Len() == 0 {
		return nil
	}
	return left
}

// Readv implements xlator.Fops.
func (t *translator) Readv(ctx context.Context, r *xlator.ReadvReq) (*xlator.ReadvRep, error) {
	a, keep := t.Store.Ask()
	if !keep || !content.Cacheable(r) {
		return t.Next.Readv(ctx, r)
	}
	i := r.FD.Inode()
	f := t.Store.Find(i.GFID(), r.Offset, r.Size, content.Never)
	if f.Fresh && len(f.Pieces) == 1 && f.Pieces[0] != nil && t.Changes.Holds(i.GFID(), a.Moment) {
		t.Store.Hit()
		data := r.GrabDst(int(min(int64(r.Size), f.Size-r.Offset)))
		copy(data, f.Pieces[0][r.Offset:])
		return &xlator.ReadvRep{Data: data}, nil
	}
	t.Store.Miss()
	rep, err := t.Next.Readv(ctx, r)
	if err != nil {
		return rep, err
	}
	if rep.Attr.Valid() {
		t.Store.See(a, i, &rep.Attr)
	}
	if f.Known {
		t.Store.Put(a, i, r.Offset, r.Size, rep.Data)
	}
	return rep, nil
}
