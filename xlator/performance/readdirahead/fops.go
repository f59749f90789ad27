package readdirahead

import (
	"context"

	"github.com/holdfast/holdfast/xlator"
)

// Opendir implements xlator.Fops. The listing is read from its beginning at once,
// unless the directory was open before and its reader may be anywhere.
func (t *translator) Opendir(ctx context.Context, r *xlator.OpenReq) (*xlator.OpenRep, error) {
	rep, err := t.Next.Opendir(ctx, r)
	if err != nil {
		return rep, err
	}
	s := &stream{fd: rep.FD, dir: t.dirOf(rep.FD.Inode())}
	s.mu.Lock()
	b, ok := t.state(s)
	s.begun, s.last = b, b.changes
	if ok && !r.Reopen {
		t.fill(s)
	}
	s.mu.Unlock()
	t.streams.Set(rep.FD, s)
	return rep, nil
}

// Release implements xlator.Fops.
func (t *translator) Release(fd *xlator.FD) {
	if s := t.streams.Get(fd); s != nil {
		s.mu.Lock()
		t.restart(s, s.begun, 0)
		s.closed = true
		busy := s.fills > 0
		s.mu.Unlock()
		if busy {
			return // the last of them does it
		}
	}
	t.Next.Release(fd)
}

// Readdir implements xlator.Fops.
func (t *translator) Readdir(ctx context.Context, r *xlator.ReaddirReq) (*xlator.ReaddirRep, error) {
	return t.list(ctx, r, direntSize, t.Next.Readdir)
}

// Readdirp implements xlator.Fops.
func (t *translator) Readdirp(ctx context.Context, r *xlator.ReaddirReq) (*xlator.ReaddirRep, error) {
	return t.list(ctx, r, direntplusSize, t.Next.Readdirp)
}

// lister is one of the child's two fops.
type lister func(context.Context, *xlator.ReaddirReq) (*xlator.ReaddirRep, error)

// read asks the child, which changes the directory's time of access.
func (t *translator) read(ctx context.Context, r *xlator.ReaddirReq, ask lister) (*xlator.ReaddirRep, error) {
	t.changes.tick(r.FD.Inode().GFID())
	t.counts.asked.Add(1)
	return ask(ctx, r)
}

func (t *translator) list(ctx context.Context, r *xlator.ReaddirReq, overhead int, ask lister) (*xlator.ReaddirRep, error) {
	s := t.streams.Get(r.FD)
	if s == nil || r.Xdata.Len() > 0 {
		return t.read(ctx, r, ask)
	}
	es, ok, err := t.take(ctx, s, r, overhead)
	if err != nil {
		return nil, err
	}
	if ok {
		t.counts.hits.Add(1)
		return &xlator.ReaddirRep{Entries: es}, nil
	}
	t.counts.misses.Add(1)
	before, calm := t.state(s)
	rep, err := t.read(ctx, r, ask)
	if err == nil && len(rep.Entries) > 0 {
		t.after(s, before, calm, rep.Entries[len(rep.Entries)-1].Offset)
	}
	return rep, err
}

// after lets the stream begin where an answer of the child ended, if nothing has
// changed in the directory since the request before.
func (t *translator) after(s *stream, before begun, calm bool, offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.last
	s.last = before.changes
	if s.closed {
		return
	}
	t.restart(s, before, offset)
	s.read = true
	if b, ok := t.state(s); ok && calm && b == before && last == before.changes {
		t.fill(s)
	}
}
