package readahead

import (
	"context"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/content"
)

// Readv implements xlator.Fops.
func (t *translator) Readv(ctx context.Context, r *xlator.ReadvReq) (*xlator.ReadvRep, error) {
	rd := t.readers.Get(r.FD)
	a, keep := t.Store.Ask()
	if !keep || rd == nil || !content.Cacheable(r) {
		return t.Next.Readv(ctx, r)
	}
	t.mu.Lock()
	pages := t.step(ctx, rd, r, a.Moment)
	atime := t.set.atime
	t.mu.Unlock()
	if len(pages) > 0 {
		if rep := t.answer(ctx, r, a, pages); rep != nil {
			t.hits.Add(1)
			if atime {
				t.touch(ctx, rd, r)
			}
			return rep, nil
		}
	}
	t.misses.Add(1)
	rep, err := t.Next.Readv(ctx, r)
	if err == nil && rep.Attr.Valid() {
		t.Store.See(a, r.FD.Inode(), &rep.Attr)
	}
	return rep, err
}

// answer puts together what was asked for from pages, and from the child what lies
// behind them. It returns nil if that is not possible.
func (t *translator) answer(ctx context.Context, r *xlator.ReadvReq, a content.Asked, pages []*page) *xlator.ReadvRep {
	var rest []byte
	last := pages[len(pages)-1]
	if end := r.Offset + int64(r.Size); last.off+last.size < end {
		// First, so that it is on its way together with the pages.
		from := last.off + last.size
		rep, err := t.Next.Readv(content.Own(ctx), &xlator.ReadvReq{FD: r.FD, Offset: from, Size: int(end - from), Flags: r.Flags})
		if err != nil {
			return nil
		}
		if rep.Attr.Valid() {
			t.Store.See(a, r.FD.Inode(), &rep.Attr)
		}
		rest = rep.Data
	}
	parts := make([][]byte, 0, len(pages)+1)
	size := 0
	for _, p := range pages {
		if xlator.Await(ctx, p.done) != nil || p.err != nil || !t.Changes.Holds(r.FD.Inode().GFID(), p.asked) {
			return nil
		}
		data := p.data
		data = data[min(max(r.Offset-p.off, 0), int64(len(data))):]
		data = data[:min(r.Size-size, len(data))]
		parts = append(parts, data)
		size += len(data)
		if int64(len(p.data)) < p.size {
			rest = nil // the file ends here
			break
		}
	}
	parts = append(parts, rest)
	out := r.GrabDst(size + len(rest))
	n := 0
	for _, part := range parts {
		n += copy(out[n:], part)
	}
	return &xlator.ReadvRep{Data: out}
}

// touch reads one byte, so that the brick notes the time of access. One such read is
// on its way at most.
func (t *translator) touch(ctx context.Context, rd *reader, r *xlator.ReadvReq) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if rd.touched {
		return
	}
	rd.touched = true
	call, fd, off := content.Background(ctx), r.FD, r.Offset
	rd.fetches.Go(func() {
		// Whether it succeeds is nobody's concern.
		t.Next.Readv(call, &xlator.ReadvReq{FD: fd, Offset: off, Size: 1})
		t.mu.Lock()
		rd.touched = false
		t.mu.Unlock()
	})
}
