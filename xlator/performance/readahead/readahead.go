package readahead

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/content"
)

const (
	// maxAge is how long a page waits for its reader.
	maxAge = time.Second
	// maxMemory bounds the pages of all FDs, in bytes.
	maxMemory = 64 << 20
	// stampMemory bounds what is known of files, in bytes.
	stampMemory = 1 << 20
)

// Type describes performance/read-ahead.
func Type() *xlator.Type {
	return &xlator.Type{
		Name:        "performance/read-ahead",
		Summary:     "Asks for the next pages of a file before whoever reads it in sequence does.",
		MinChildren: 1, MaxChildren: 1,
		New: func(e *xlator.Env) (xlator.Fops, error) { return newTranslator(e, content.Clock()) },
		Options: []xlator.Option{
			{Name: "force-atime-update", Kind: xlator.KindBool, Default: "off", Live: true,
				Help: "Tell the brick about reads that were answered from memory, by reading one byte, so that it notes the time of access."},
			{Name: "page-count", Kind: xlator.KindInt, Default: "4", Min: 1, Max: 16, Live: true, Help: "How many pages to read ahead, at most."},
			{Name: "page-size", Kind: xlator.KindSize, Default: "131072", Min: 4096, Max: 64 << 20, Live: true, Help: "How large a page is."},
			{Name: "pass-through", Kind: xlator.KindBool, Default: "off", Live: true, Help: "Whether to forward every fop and read nothing ahead."},
		},
	}
}

type translator struct {
	content.Base // its Store has stamps only

	// constant after construction
	readers xlator.FDSlot[reader]
	now     func() time.Duration

	// atomic
	hits, misses, asked, wasted atomic.Uint64

	mu     sync.Mutex
	set    settings  // guarded by mu
	recent list.List // guarded by mu; of *reader with pages, the one read last in front
	bytes  int64     // guarded by mu; INVARIANT: of all pages in recent, and of those dropped on their way
}

// settings is what a Reconfigure replaces.
type settings struct {
	on        bool
	pageSize  int64
	pageCount int64
	atime     bool
}

// reader is an FD that may be read in sequence. All but fetches is guarded by
// translator.mu.
type reader struct {
	next    int64 // where the last read ended
	run     int64 // bytes read in sequence
	pages   map[int64]*page
	place   *list.Element // in recent, or nil
	end     int64         // of the file, as a page showed that was asked for at endAt
	endAt   content.Moment
	ended   bool // end is known
	touched bool // a read for the time of access is on its way

	fetches sync.WaitGroup
}

// page is a part of a file that was asked for.
type page struct {
	// constant after construction
	off, size int64
	asked     content.Moment
	at        time.Duration
	done      chan struct{}

	// constant once done is closed
	data []byte
	err  error

	// guarded by translator.mu
	used, dropped, arrived bool
}

func newTranslator(e *xlator.Env, now func() time.Duration) (*translator, error) {
	t := &translator{Base: content.NewBase(e, 1, now), now: now, readers: xlator.NewFDSlot[reader](e)}
	return t, t.Reconfigure(e.Options)
}

// Reconfigure implements xlator.Reconfigurer. What was read ahead is forgotten.
func (t *translator) Reconfigure(v xlator.Values) error {
	s := settings{on: !v.Bool("pass-through"), pageSize: v.Size("page-size"), pageCount: v.Int("page-count"), atime: v.Bool("force-atime-update")}
	t.Store.Reconfigure(content.Settings{On: s.on, Limit: stampMemory, Ctime: true})
	t.mu.Lock()
	defer t.mu.Unlock()
	t.set = s
	for t.recent.Len() > 0 {
		t.forget(t.recent.Front().Value.(*reader))
	}
	return nil
}

// Dump implements xlator.Dumper: reads answered from pages and not, pages asked for
// and those of them that nobody read, and how many bytes there are now.
func (t *translator) Dump() any {
	t.mu.Lock()
	defer t.mu.Unlock()
	return map[string]uint64{
		"hits": t.hits.Load(), "misses": t.misses.Load(), "pages_asked": t.asked.Load(), "pages_wasted": t.wasted.Load(),
		"readers": uint64(t.recent.Len()), "bytes": uint64(t.bytes),
	}
}

// opened has an FD watched if it may be read in sequence.
func (t *translator) opened(fd *xlator.FD) {
	if fd.Flags()&unix.O_ACCMODE != unix.O_WRONLY && fd.Flags()&unix.O_DIRECT == 0 {
		t.readers.Set(fd, &reader{pages: map[int64]*page{}})
	}
}

// Open implements xlator.Fops.
func (t *translator) Open(ctx context.Context, r *xlator.OpenReq) (*xlator.OpenRep, error) {
	rep, err := t.Next.Open(ctx, r)
	if err == nil {
		t.opened(rep.FD)
	}
	return rep, err
}

// Create implements xlator.Fops.
func (t *translator) Create(ctx context.Context, r *xlator.CreateReq) (*xlator.CreateRep, error) {
	rep, err := t.Base.Create(ctx, r)
	if err == nil {
		t.opened(rep.FD)
	}
	return rep, err
}

// Icreate implements xlator.Fops.
func (t *translator) Icreate(ctx context.Context, r *xlator.IcreateReq) (*xlator.CreateRep, error) {
	rep, err := t.Next.Icreate(ctx, r)
	if err == nil {
		t.opened(rep.FD)
	}
	return rep, err
}

// Release implements xlator.Fops. Pages on their way need the FD.
func (t *translator) Release(fd *xlator.FD) {
	if rd := t.readers.Get(fd); rd != nil {
		t.mu.Lock()
		t.forget(rd)
		t.mu.Unlock()
		rd.fetches.Wait()
	}
	t.Next.Release(fd)
}
