package readdirahead

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/xlator"
)

// Type describes performance/readdir-ahead.
func Type() *xlator.Type {
	return &xlator.Type{
		Name:        "performance/readdir-ahead",
		Summary:     "Lists an open directory ahead of whoever reads it.",
		MinChildren: 1, MaxChildren: 1,
		New: func(e *xlator.Env) (xlator.Fops, error) { return newTranslator(e, sinceStart()) },
		Options: []xlator.Option{
			{Name: "rda-request-size", Kind: xlator.KindSize, Default: "131072", Min: 4096, Max: 131072, Live: true,
				Help: "How much of a directory to ask the child for at once."},
			{Name: "rda-low-wmark", Kind: xlator.KindSize, Default: "4096", Min: 0, Max: 10 << 20, Live: true,
				Help: "When less than this is left of what was read ahead, more is asked for."},
			{Name: "rda-high-wmark", Kind: xlator.KindSize, Default: "128KB", Min: 0, Max: 100 << 20, Live: true,
				Help: "How much of a directory is read ahead: no more is asked for beyond it."},
			{Name: "rda-cache-limit", Kind: xlator.KindSize, Default: "10MB", Live: true,
				Help: "How much memory all directories together may take; beyond it nothing is read ahead."},
			{Name: "pass-through", Kind: xlator.KindBool, Default: "off", Live: true,
				Help: "Whether to forward every fop and read nothing ahead."},
			{Name: "parallel-readdir", Kind: xlator.KindBool, Default: "off", Live: true, Ignored: true,
				Help: "Accepted and without effect here: it makes glusterd put one readdir-ahead below each child of cluster/distribute."},
			{Name: "performance.readdir-ahead", Kind: xlator.KindBool, Default: "on", Live: true, Ignored: true,
				Help: "Accepted and without effect: glusterd writes it together with parallel-readdir."},
		},
	}
}

// maxAge is how long attributes are given out without asking the child again: who
// opens a directory may read it much later.
const maxAge = time.Second

// settings is what a Reconfigure replaces.
type settings struct {
	// constant after construction
	request          int
	low, high, limit int64
	through          bool
}

type translator struct {
	xlator.Observe

	// constant after construction
	phase   *xlator.Phase
	inodes  *xlator.InodeTable
	dirs    xlator.InodeSlot[directory]
	streams xlator.FDSlot[stream]
	now     func() time.Duration // since some moment; monotonic

	// atomic
	settings atomic.Pointer[settings]
	changes  changes
	memory   atomic.Int64 // of all pieces, and of those that are being asked for
	counts   counts

	fills sync.WaitGroup

	mu      sync.Mutex
	stopped bool // guarded by mu
}

// counts is for people to look at.
type counts struct {
	hits, misses, asked, dropped, withheld atomic.Uint64
}

// sinceStart is a clock from now on.
func sinceStart() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

func newTranslator(e *xlator.Env, now func() time.Duration) (*translator, error) {
	t := &translator{
		phase: e.Phase, inodes: e.Inodes, now: now,
		dirs: xlator.NewInodeSlot[directory](e), streams: xlator.NewFDSlot[stream](e),
	}
	t.Next = e.Children[0]
	t.Begin, t.End = t.begin, t.end
	return t, t.Reconfigure(e.Options)
}

// Reconfigure implements xlator.Reconfigurer. What was read ahead stays.
func (t *translator) Reconfigure(v xlator.Values) error {
	t.settings.Store(&settings{
		request: int(v.Size("rda-request-size")),
		low:     v.Size("rda-low-wmark"),
		high:    v.Size("rda-high-wmark"),
		limit:   v.Size("rda-cache-limit"),
		through: v.Bool("pass-through"),
	})
	return nil
}

// Stop implements xlator.Stopper: nothing more is read ahead. The leaves have
// stopped before, so no request hangs.
func (t *translator) Stop() {
	t.mu.Lock()
	t.stopped = true
	t.mu.Unlock()
	t.fills.Wait()
}

// Notified implements xlator.Listener.
func (t *translator) Notified(_ xlator.Fops, e xlator.Event) bool {
	switch e.Kind {
	case xlator.ChildDown, xlator.ChildUp:
		t.changes.all()
	case xlator.Invalidate:
		t.changes.tick(e.File)
		if e.Stale&(xlator.StaleEntries|xlator.StaleName) != 0 {
			t.renewed(e.File)
		}
	}
	return true
}

// Dump implements xlator.Dumper: what is kept, requests answered from what was read
// ahead and not, requests to the child, streams that were dropped with something in
// them, and entries given without attributes that may have changed.
func (t *translator) Dump() any {
	return map[string]uint64{
		"bytes": uint64(t.memory.Load()), "hits": t.counts.hits.Load(), "misses": t.counts.misses.Load(),
		"requests": t.counts.asked.Load(), "dropped": t.counts.dropped.Load(), "withheld": t.counts.withheld.Load(),
	}
}
