package readdirahead

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/holdfast/holdfast/xlator"
)

// stream is what was read ahead of one open directory.
type stream struct {
	// constant after construction
	fd  *xlator.FD
	dir *directory

	mu     sync.Mutex
	pieces []*piece // in order, without gaps; guarded by mu
	begun  begun    // all pieces were asked for in it; guarded by mu
	// tail is the offset after the last piece: where the child is asked next.
	// Guarded by mu.
	tail int64
	// bytes is the size of what has not been handed out. Guarded by mu.
	bytes int64
	read  bool // something was handed out since the stream began; guarded by mu
	end   bool // the child has said that nothing comes after tail; guarded by mu
	// turn counts the times the stream began anew; a goroutine of an earlier
	// turn adds nothing. Guarded by mu.
	turn    uint64
	filling bool          // a goroutine of this turn is at work; guarded by mu
	added   chan struct{} // closed when something was added or the goroutine has ended; guarded by mu
	fills   int           // goroutines of any turn; guarded by mu
	closed  bool          // released, as soon as fills is 0; guarded by mu
	last    uint64        // changes of the directory at the last request; guarded by mu
}

// begun is the state of things in which a stream began.
type begun struct {
	view    xlator.PhaseView
	changes uint64 // of the directory
	events  uint64 // changes.everything
}

// piece is one answer of the child.
type piece struct {
	from    int64 // the offset that it was asked for
	entries []xlator.DirEntry
	handed  int // entries that were handed out
	tick    uint64
	asked   time.Duration
	memory  int64
}

// Sizes of an entry in an answer to the kernel before the name: struct fuse_dirent
// and fuse_direntplus.
const (
	direntSize     = 24
	direntplusSize = 152
)

func sizeOf(e *xlator.DirEntry, overhead int) int64 { return int64(overhead+len(e.Name)+7) &^ 7 }

// entryMemory is what an entry takes beyond its name.
const entryMemory = 256

// state is the state of things; ok is false if nothing may be read ahead in it.
func (t *translator) state(s *stream) (b begun, ok bool) {
	b = begun{t.phase.Load(), s.dir.changes.Load(), t.changes.everything.Load()}
	return b, !b.view.Transparent() && s.dir.running.Load() == 0 && !t.settings.Load().through
}

// restart drops what was read ahead; the next piece is asked for from offset on. mu
// is held.
func (t *translator) restart(s *stream, b begun, offset int64) {
	if s.bytes > 0 {
		t.counts.dropped.Add(1)
	}
	for _, p := range s.pieces {
		t.memory.Add(-p.memory)
	}
	s.pieces, s.bytes, s.begun, s.tail, s.end, s.read = nil, 0, b, offset, false, false
	s.turn++
	if s.filling {
		s.filling = false
		close(s.added)
	}
}

// fill sees to it that a goroutine asks for more, where more is wanted. mu is held.
func (t *translator) fill(s *stream) {
	set := t.settings.Load()
	if s.filling || s.end || s.closed || s.bytes >= max(set.low, 1) || s.bytes >= set.high || !t.reserve(set) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		t.memory.Add(-reserved(set))
		return
	}
	s.filling, s.added = true, make(chan struct{})
	s.fills++
	turn := s.turn
	t.fills.Go(func() { t.ahead(s, set, turn) })
}

// reserved is the memory that one request may come to.
func reserved(set *settings) int64 { return 2 * int64(set.request) }

// reserve takes the memory for one request, if there is any.
func (t *translator) reserve(set *settings) bool {
	if t.memory.Add(reserved(set)) > set.limit {
		t.memory.Add(-reserved(set))
		return false
	}
	return true
}

// ahead asks the child until the stream is full, or another turn has begun. Memory
// for the first request is reserved.
func (t *translator) ahead(s *stream, set *settings, turn uint64) {
	s.mu.Lock()
	for more := true; more; {
		from := s.tail // of another turn, perhaps: then add refuses the answer
		s.mu.Unlock()
		p := &piece{from: from}
		rep, err := t.read(xlator.Internal(), &xlator.ReaddirReq{FD: s.fd, Offset: from, Size: set.request},
			func(ctx context.Context, r *xlator.ReaddirReq) (*xlator.ReaddirRep, error) {
				p.tick, p.asked = t.changes.clock.Load(), t.now()
				return t.Next.Readdirp(ctx, r)
			})
		s.mu.Lock()
		t.memory.Add(-reserved(set))
		more = err == nil && t.add(s, turn, p, rep.Entries) && s.bytes < set.high && t.reserve(set)
	}
	if s.turn == turn && s.filling {
		s.filling = false
		close(s.added)
	}
	s.fills--
	release := s.closed && s.fills == 0
	s.mu.Unlock()
	if release {
		t.Next.Release(s.fd)
	}
}

// add puts an answer of the child at the end of the stream, and reports whether
// there may be more. mu is held.
func (t *translator) add(s *stream, turn uint64, p *piece, entries []xlator.DirEntry) bool {
	if s.turn != turn || s.closed {
		return false
	}
	if b, ok := t.state(s); !ok || b != s.begun {
		return false // who reads it notices
	}
	if len(entries) == 0 {
		s.end = true
		return false
	}
	p.entries = entries
	for i := range entries {
		s.bytes += sizeOf(&entries[i], direntplusSize)
		p.memory += entryMemory + int64(len(entries[i].Name))
	}
	t.memory.Add(p.memory)
	s.pieces = append(s.pieces, p)
	s.tail = entries[len(entries)-1].Offset
	close(s.added)
	s.added = make(chan struct{})
	return true
}

// find returns where the listing goes on at that offset: in which piece, at which
// entry. The piece after the last one stands for the end of the stream. mu is held.
func (s *stream) find(offset int64) (n, at int, ok bool) {
	if offset == 0 && s.read {
		return 0, 0, false // a rewind wants to see what is new
	}
	for n, p := range s.pieces {
		if p.from == offset {
			return n, 0, true
		}
		for at := p.handed; at > 0; at-- {
			if p.entries[at-1].Offset == offset && at < len(p.entries) {
				return n, at, true
			}
		}
	}
	return len(s.pieces), 0, s.tail == offset
}

// take answers a request from the stream. ok is false if the child has to be asked;
// then the stream is at its beginning.
func (t *translator) take(ctx context.Context, s *stream, r *xlator.ReaddirReq, overhead int) (es []xlator.DirEntry, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		b, calm := t.state(s)
		n, at, found := s.find(r.Offset)
		if !calm || b != s.begun || !found {
			t.restart(s, b, r.Offset)
			return nil, false, nil
		}
		if n < len(s.pieces) {
			return t.hand(s, n, at, r.Size, overhead), true, nil
		}
		if s.end {
			return nil, true, nil
		}
		if !s.filling {
			return nil, false, nil
		}
		added := s.added
		s.mu.Unlock()
		err := xlator.Await(ctx, added)
		s.mu.Lock()
		if err != nil {
			return nil, false, err
		}
	}
}

// hand gives out entries of one piece. Those before it have been received; those
// that are given out now may not fit, and be asked for again. mu is held.
func (t *translator) hand(s *stream, n, at, size, overhead int) []xlator.DirEntry {
	for _, p := range s.pieces[:n] {
		t.memory.Add(-p.memory)
	}
	s.pieces = slices.Delete(s.pieces, 0, n)
	p := s.pieces[0]
	to, room := at, int64(size)
	for ; to < len(p.entries); to++ {
		room -= sizeOf(&p.entries[to], overhead)
		if room < 0 && to > at {
			break
		}
	}
	es := slices.Clone(p.entries[at:to])
	old := t.now() > p.asked+maxAge
	for i := range es {
		if e := &es[i]; e.Attr.Valid() && (old || t.changes.since(e.Attr.GFID, p.tick)) {
			e.Attr = xlator.Iatt{}
			t.counts.withheld.Add(1)
		}
	}
	for ; p.handed < to; p.handed++ {
		s.bytes -= sizeOf(&p.entries[p.handed], direntplusSize)
	}
	s.read = true
	t.fill(s)
	return es
}
