package writebehind

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/holdfast/holdfast/xlator"
)

const (
	// maxDirty bounds the files with acknowledged data, and so the goroutines:
	// each such file has a writer of its own, so that one whose brick hangs
	// delays no other.
	maxDirty = 1024
	// extraWriters bounds the writers beyond one for each file.
	extraWriters = 32
	// maxInFlight bounds the writers of one file.
	maxInFlight = 8
	// maxAnswered bounds the acknowledged writes of one file, whatever their
	// size.
	maxAnswered = 4096
	// maxAggregate bounds what is copied together for one write.
	maxAggregate = 1 << 20
)

// Type describes performance/write-behind.
func Type() *xlator.Type {
	return &xlator.Type{
		Name:        "performance/write-behind",
		Summary:     "Answers writes before the child has the data, and sends them in order, small ones together.",
		MinChildren: 1, MaxChildren: 1,
		New: newTranslator,
		Options: []xlator.Option{
			{Name: "cache-size", Alias: []string{"window-size"}, Kind: xlator.KindSize, Default: "1MB", Min: 512 << 10, Max: 1 << 30, Live: true,
				Help: "How much acknowledged data one file may have that the child has not got; more is written through."},
			{Name: "aggregate-size", Kind: xlator.KindSize, Default: "128KB", Min: 0, Max: 1 << 30, Live: true,
				Help: "Adjacent small writes of one open file are sent together up to this size; at most 1MB is used, 0 sends each by itself."},
			{Name: "trickling-writes", Kind: xlator.KindBool, Default: "on", Live: true,
				Help: "Whether a write smaller than aggregate-size is sent when nothing else of its file is on its way. With off it waits until it is full, followed by one that is not adjacent, or waited for."},
			{Name: "strict-O_DIRECT", Kind: xlator.KindBool, Default: "off", Live: true,
				Help: "Whether writes with O_DIRECT are written through."},
			{Name: "strict-write-ordering", Kind: xlator.KindBool, Default: "off", Live: true,
				Help: "Whether writes of one file reach the child one after another even when they do not overlap."},
			{Name: "pass-through", Kind: xlator.KindBool, Default: "off", Live: true,
				Help: "Whether every write is written through, behind what is queued already."},
			{Name: "flush-behind", Kind: xlator.KindBool, Default: "on", Live: true, Ignored: true,
				Help: "Accepted and without effect: close(2) always waits until the child has the file's data, so that no error is lost."},
			{Name: "resync-failed-syncs-after-fsync", Kind: xlator.KindBool, Default: "off", Live: true, Ignored: true,
				Help: "Accepted and without effect: data that could not be written is dropped and the error is reported once by each open file, as Linux does."},
		},
	}
}

// settings is what a Reconfigure replaces.
type settings struct {
	// constant after construction
	window, aggregate     int64
	trickle, strictDirect bool
	strictOrder, through  bool
}

type translator struct {
	xlator.Default

	// constant after construction
	phase  *xlator.Phase
	inodes *xlator.InodeTable
	errors xlator.WriteErrors
	files  xlator.InodeSlot[file]

	// atomic
	settings atomic.Pointer[settings]
	extra    atomic.Int32 // writers beyond one for each file
	ndirty   atomic.Int32 // len(dirty)
	stopped  atomic.Bool  // set under mu
	ticks    ticks
	counts   counts

	writers sync.WaitGroup
	buffers sync.Pool // of *[]byte, for writes sent together

	mu    sync.Mutex
	dirty map[xlator.GFID]*file // guarded by mu; files with acknowledged data
	clean chan struct{}         // guarded by mu; closed when dirty gets empty; nil: nobody waits
}

// counts is for people to look at.
type counts struct {
	early, through, sent, merged, failed atomic.Uint64
}

func newTranslator(e *xlator.Env) (xlator.Fops, error) {
	t := &translator{
		phase: e.Phase, inodes: e.Inodes, errors: e.Errors,
		files: xlator.NewInodeSlot[file](e),
		dirty: map[xlator.GFID]*file{},
	}
	t.Next = e.Children[0]
	return t, t.Reconfigure(e.Options)
}

// Reconfigure implements xlator.Reconfigurer. What is queued goes on as it was.
func (t *translator) Reconfigure(v xlator.Values) error {
	t.settings.Store(&settings{
		window:       v.Size("cache-size"),
		aggregate:    min(v.Size("aggregate-size"), maxAggregate),
		trickle:      v.Bool("trickling-writes"),
		strictDirect: v.Bool("strict-O_DIRECT"),
		strictOrder:  v.Bool("strict-write-ordering"),
		through:      v.Bool("pass-through"),
	})
	t.force() // what waited for trickling-writes off must not wait for ever
	return nil
}

// Stop implements xlator.Stopper: nothing is answered early any more, and what
// is queued is sent. The leaves have stopped before, so no write hangs.
func (t *translator) Stop() {
	t.mu.Lock() // list must not be between looking at stopped and listing
	t.stopped.Store(true)
	t.mu.Unlock()
	t.force()
	<-t.whenClean()
	t.writers.Wait()
}

// fileOf is the queue of an inode, made if there is none.
func (t *translator) fileOf(i *xlator.Inode) *file {
	if f := t.files.Get(i); f != nil {
		return f
	}
	return t.files.GetOrSet(i, &file{gfid: i.GFID()})
}

// Dump implements xlator.Dumper: the files with acknowledged data that the
// child has not got, and what was done since the translator was made.
func (t *translator) Dump() any {
	type dirtyFile struct {
		GFID     xlator.GFID `json:"gfid"`
		Bytes    int64       `json:"bytes"`
		Writes   int         `json:"writes"`
		InFlight int         `json:"in_flight"`
	}
	d := struct {
		Dirty   []dirtyFile `json:"dirty"`
		Bytes   int64       `json:"bytes"`
		Early   uint64      `json:"early"`
		Through uint64      `json:"through"`
		Sent    uint64      `json:"sent"`
		Merged  uint64      `json:"merged"`
		Failed  uint64      `json:"failed"`
	}{
		Dirty: []dirtyFile{}, Early: t.counts.early.Load(), Through: t.counts.through.Load(),
		Sent: t.counts.sent.Load(), Merged: t.counts.merged.Load(), Failed: t.counts.failed.Load(),
	}
	for _, f := range t.dirtyFiles() {
		f.mu.Lock()
		d.Dirty = append(d.Dirty, dirtyFile{f.gfid, f.bytes, f.answered, f.inFlight})
		d.Bytes += f.bytes
		f.mu.Unlock()
	}
	return d
}

func failure(f *file, w *write, err error) error {
	return fmt.Errorf("write %d bytes at %d of gfid %s behind: %w", w.size, w.off, f.gfid, err)
}
