package readahead

import (
	"context"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/content"
)

// step notes a read, begins to read ahead of it, and returns the pages that its
// range begins in, one after another. mu is held.
func (t *translator) step(ctx context.Context, rd *reader, r *xlator.ReadvReq, m content.Moment) []*page {
	size, end := t.set.pageSize, r.Offset+int64(r.Size)
	slack := max(size, int64(r.Size)) // as far as reads overtake each other
	if r.Offset > rd.next+slack || end < rd.next-slack {
		t.forget(rd)
		rd.next, rd.run = end, 0
		return nil
	}
	rd.run += max(0, end-rd.next)
	rd.next = max(rd.next, end)
	pages := t.covering(rd, r)
	for n := range rd.pages {
		if (n+1)*size <= r.Offset-slack {
			t.drop(rd, n)
		}
	}
	first := end / size
	for n := first; n < first+min(rd.run/size, t.set.pageCount); n++ {
		if !t.start(ctx, rd, r, n, m) {
			break
		}
	}
	return pages
}

// covering returns the pages that the range begins in. mu is held.
func (t *translator) covering(rd *reader, r *xlator.ReadvReq) (pages []*page) {
	g, size := r.FD.Inode().GFID(), t.set.pageSize
	for n := r.Offset / size; n*size < r.Offset+int64(r.Size); n++ {
		p := rd.pages[n]
		if p == nil {
			break
		}
		if !t.Changes.Holds(g, p.asked) {
			t.forget(rd)
			return nil
		}
		if t.now() >= p.at+maxAge {
			t.forget(rd)
			rd.run = 0
			return nil
		}
		p.used = true
		pages = append(pages, p)
	}
	return pages
}

// start begins to read a page, unless it is there or nothing is to be read there.
// It reports false if no further page should be read. mu is held.
func (t *translator) start(ctx context.Context, rd *reader, r *xlator.ReadvReq, n int64, m content.Moment) bool {
	size := t.set.pageSize
	if p := rd.pages[n]; p != nil {
		if t.Changes.Holds(r.FD.Inode().GFID(), p.asked) {
			return true
		}
		t.drop(rd, n)
	}
	if rd.ended && t.Changes.Holds(r.FD.Inode().GFID(), rd.endAt) && n*size >= rd.end {
		return false
	}
	if !t.Changes.Holds(r.FD.Inode().GFID(), m) || !t.room(rd, size) {
		return false
	}
	p := &page{off: n * size, size: size, asked: m, at: t.now(), done: make(chan struct{})}
	rd.pages[n] = p
	t.bytes += size
	t.asked.Add(1)
	if rd.place == nil {
		rd.place = t.recent.PushFront(rd)
	} else {
		t.recent.MoveToFront(rd.place)
	}
	call, fd, flags := content.Background(ctx), r.FD, r.Flags
	rd.fetches.Go(func() { t.fetch(call, rd, fd, flags, p) })
	return true
}

// room reports whether there is memory for a page of rd; others lose theirs for it,
// if they were not read for longer. mu is held.
func (t *translator) room(rd *reader, size int64) bool {
	limit := max(maxMemory, t.set.pageCount*size)
	for t.bytes+size > limit {
		last := t.recent.Back()
		if last == nil || last.Value.(*reader) == rd {
			return false
		}
		t.forget(last.Value.(*reader))
	}
	return true
}

// fetch reads a page.
func (t *translator) fetch(call *xlator.Call, rd *reader, fd *xlator.FD, flags uint32, p *page) {
	a, keep := t.Store.Ask()
	rep, err := t.Next.Readv(call, &xlator.ReadvReq{FD: fd, Offset: p.off, Size: int(p.size), Flags: flags})
	if err == nil && keep && rep.Attr.Valid() {
		t.Store.See(a, fd.Inode(), &rep.Attr)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p.arrived = true
	if p.dropped {
		t.bytes -= p.size
	}
	if err != nil {
		p.err = err
	} else if p.data = rep.Data; int64(len(p.data)) < p.size && t.Changes.Holds(fd.Inode().GFID(), p.asked) {
		if end := p.off + int64(len(p.data)); !rd.ended || end < rd.end || !t.Changes.Holds(fd.Inode().GFID(), rd.endAt) {
			rd.end, rd.endAt, rd.ended = end, p.asked, true
		}
	}
	close(p.done)
}

// forget drops all pages of a reader. mu is held.
func (t *translator) forget(rd *reader) {
	for n := range rd.pages {
		t.drop(rd, n)
	}
	if rd.place != nil {
		t.recent.Remove(rd.place)
		rd.place = nil
	}
}

// drop drops a page. What is on its way still takes memory. mu is held.
func (t *translator) drop(rd *reader, n int64) {
	p := rd.pages[n]
	delete(rd.pages, n)
	p.dropped = true
	if p.arrived {
		t.bytes -= p.size
	}
	if !p.used {
		t.wasted.Add(1)
	}
}
