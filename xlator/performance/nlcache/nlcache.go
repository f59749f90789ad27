package nlcache

import (
	"container/list"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/xlator"
)

// Type describes performance/nl-cache.
func Type() *xlator.Type {
	return &xlator.Type{
		Name:        "performance/nl-cache",
		Summary:     "Answers lookups of names that were not there a moment ago.",
		MinChildren: 1, MaxChildren: 1,
		New: func(e *xlator.Env) (xlator.Fops, error) { return newTranslator(e, sinceStart()) },
		Options: []xlator.Option{
			{Name: "nl-cache-positive-entry", Kind: xlator.KindBool, Default: "off", Live: true,
				Help: "Whether to know all names of a directory that was made through this client, so that any other name is absent."},
			{Name: "nl-cache-limit", Kind: xlator.KindSize, Default: "131072", Min: 0, Max: 100 << 20, Live: true,
				Help: "How much memory the names may take in all; the least recently used are dropped. 0: no name is kept."},
			{Name: "nl-cache-timeout", Kind: xlator.KindTime, Default: "60", Min: 0, Max: 600, Unit: " s", Live: true,
				Help: "How long a name is believed to be absent without asking the child again; 0: not at all."},
			{Name: "pass-through", Kind: xlator.KindBool, Default: "off", Live: true,
				Help: "Whether to forward every fop and keep nothing."},
		},
	}
}

// settings is what a Reconfigure replaces.
type settings struct {
	// constant after construction
	timeout  time.Duration // 0: keep nothing
	limit    int64
	complete bool // know whole directories
}

type translator struct {
	xlator.Default

	// constant after construction
	phase  *xlator.Phase
	inodes *xlator.InodeTable
	dirs   xlator.InodeSlot[directory]
	now    func() time.Duration // since some moment; monotonic

	// atomic
	settings                    atomic.Pointer[settings]
	hits, misses, kept, refused atomic.Uint64

	mu    sync.Mutex
	list  list.List // of *name, latest used first; guarded by mu
	bytes int64     // of the names in list; guarded by mu
	// epoch counts the times when everything was forgotten; what was asked in
	// an earlier one is not kept. Guarded by mu.
	epoch uint64
	// unknown counts invalidations of directories of which nothing is known.
	// Guarded by mu.
	unknown uint64
}

// sinceStart is a clock from now on.
func sinceStart() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

func newTranslator(e *xlator.Env, now func() time.Duration) (*translator, error) {
	t := &translator{phase: e.Phase, inodes: e.Inodes, now: now, dirs: xlator.NewInodeSlot[directory](e)}
	t.Next = e.Children[0]
	return t, t.Reconfigure(e.Options)
}

// Reconfigure implements xlator.Reconfigurer. What was kept is forgotten.
func (t *translator) Reconfigure(v xlator.Values) error {
	s := &settings{
		timeout:  v.Duration("nl-cache-timeout"),
		limit:    v.Size("nl-cache-limit"),
		complete: v.Bool("nl-cache-positive-entry"),
	}
	if v.Bool("pass-through") {
		s.timeout = 0
	}
	t.settings.Store(s)
	t.forgetAll()
	return nil
}

// Notified implements xlator.Listener.
func (t *translator) Notified(_ xlator.Fops, e xlator.Event) bool {
	switch e.Kind {
	case xlator.ChildDown, xlator.ChildUp:
		t.forgetAll()
	case xlator.Invalidate:
		if e.Stale&(xlator.StaleEntries|xlator.StaleName) != 0 {
			t.invalidated(e.File)
		}
	}
	return true
}

// Dump implements xlator.Dumper: the names kept and what they take, lookups
// answered from memory and not, and answers kept or, because something else
// happened to the name meanwhile, not.
func (t *translator) Dump() any {
	t.mu.Lock()
	names, bytes := t.list.Len(), t.bytes
	t.mu.Unlock()
	return map[string]uint64{
		"names": uint64(names), "bytes": uint64(bytes),
		"hits": t.hits.Load(), "misses": t.misses.Load(),
		"kept": t.kept.Load(), "refused": t.refused.Load(),
	}
}
