package openbehind

import (
	"sync"
	"sync/atomic"

	"github.com/holdfast/holdfast/xlator"
)

// Type describes performance/open-behind.
func Type() *xlator.Type {
	return &xlator.Type{
		Name:        "performance/open-behind",
		Summary:     "Answers opens for reading before the brick has them, and opens when something needs it.",
		MinChildren: 1, MaxChildren: 1,
		New: newTranslator,
		Options: []xlator.Option{
			{Name: "lazy-open", Kind: xlator.KindBool, Default: "on", Live: true,
				Help: "Whether to open only when a fop needs it; with off, in the background as soon as the open is answered."},
			{Name: "use-anonymous-fd", Kind: xlator.KindBool, Default: "off", Live: true,
				Help: "Whether FSTAT of a file that is not open yet is answered without opening it. Reads always open it: a brick is never asked to read what is not open."},
			{Name: "read-after-open", Kind: xlator.KindBool, Default: "on", Live: true, Ignored: true,
				Help: "Accepted and without effect: a read always opens the file first."},
			{Name: "pass-through", Kind: xlator.KindBool, Default: "off", Live: true,
				Help: "Whether to open every file at once."},
		},
	}
}

// settings is what a Reconfigure replaces.
type settings struct {
	// constant after construction
	lazy, anonymous, through bool
}

type translator struct {
	xlator.Default

	// constant after construction
	phase  *xlator.Phase
	inodes *xlator.InodeTable
	files  xlator.InodeSlot[file]
	fds    xlator.FDSlot[late]

	// atomic
	settings                       atomic.Pointer[settings]
	early, opened, never, failures atomic.Uint64

	attempts sync.WaitGroup

	mu       sync.Mutex
	late     map[*late]struct{} // guarded by mu; answered, not open and not released
	removing int                // guarded by mu; fops that may take a name away
}

// file is what is known of an inode. Guarded by translator.mu.
type file struct {
	open    int   // FDs that were not released
	late    *late // one of them that is not open yet, or nil
	removed bool  // it has lost a name, and may be gone
}

func newTranslator(e *xlator.Env) (xlator.Fops, error) {
	t := &translator{
		phase: e.Phase, inodes: e.Inodes,
		files: xlator.NewInodeSlot[file](e), fds: xlator.NewFDSlot[late](e),
		late: map[*late]struct{}{},
	}
	t.Next = e.Children[0]
	return t, t.Reconfigure(e.Options)
}

// Reconfigure implements xlator.Reconfigurer. What was answered early stays so.
func (t *translator) Reconfigure(v xlator.Values) error {
	t.settings.Store(&settings{
		lazy: v.Bool("lazy-open"), anonymous: v.Bool("use-anonymous-fd"), through: v.Bool("pass-through"),
	})
	return nil
}

// Go implements hint.Owner.
func (t *translator) Go(f func()) { t.attempts.Go(f) }

// Stop implements xlator.Stopper. The leaves have stopped before, so no attempt
// hangs.
func (t *translator) Stop() { t.attempts.Wait() }

// Notified implements xlator.Listener.
func (t *translator) Notified(_ xlator.Fops, e xlator.Event) bool {
	if e.Kind == xlator.Invalidate && e.Stale&xlator.StaleName != 0 {
		t.nameLost(e.File)
	}
	return true
}

// Dump implements xlator.Dumper: files that are not open yet, opens that were
// answered early, and of those the ones that were opened late, that were closed
// without it, and attempts that failed.
func (t *translator) Dump() any {
	t.mu.Lock()
	waiting := len(t.late)
	t.mu.Unlock()
	return map[string]uint64{
		"waiting": uint64(waiting), "early": t.early.Load(), "opened": t.opened.Load(),
		"never": t.never.Load(), "failed": t.failures.Load(),
	}
}
