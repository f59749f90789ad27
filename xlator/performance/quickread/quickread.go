package quickread

import (
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/content"
)

// pieceSize is more than any file that is kept: each is one piece.
const pieceSize = 1 << 40

// Type describes performance/quick-read.
func Type() *xlator.Type {
	return &xlator.Type{
		Name:        "performance/quick-read",
		Summary:     "Has small files brought along with their lookup, and answers reads from that.",
		MinChildren: 1, MaxChildren: 1,
		New: func(e *xlator.Env) (xlator.Fops, error) { return newTranslator(e, content.Clock()) },
		Options: []xlator.Option{
			{Name: "priority", Live: true, Check: content.CheckPriorities,
				Help: "Which files to keep longest, as pattern:priority, separated by commas; patterns are of names, without folders. 0: not at all; files that match nothing have 1."},
			{Name: "cache-size", Kind: xlator.KindSize, Default: "128MB", Min: 0, Max: 32 << 30, Live: true,
				Help: "How much is kept in all."},
			{Name: "cache-timeout", Kind: xlator.KindTime, Default: "1", Min: 0, Max: 600, Unit: " s", Live: true,
				Help: "How long content is used after its file's attributes were seen."},
			{Name: "max-file-size", Kind: xlator.KindSize, Default: "64KB", Min: 0, Max: 1 << 20, Live: true,
				Help: "Larger files are not brought; 0: none."},
			{Name: "quick-read-cache-invalidation", Alias: []string{"cache-invalidation"}, Kind: xlator.KindBool, Default: "off", Live: true, Ignored: true,
				Help: "Accepted and without effect: content is always dropped when the brick says that it changed."},
			{Name: "ctime-invalidation", Kind: xlator.KindBool, Default: "off", Live: true,
				Help: "Whether content is dropped when ctime changed, not only when size or mtime did."},
			{Name: "pass-through", Kind: xlator.KindBool, Default: "off", Live: true, Help: "Whether to forward every fop and keep nothing."},
		},
	}
}

type translator struct {
	content.Base

	// atomic
	largest        atomic.Int64  // file that is kept
	asked, brought atomic.Uint64 // lookups that asked for content, and got some
}

func newTranslator(e *xlator.Env, now func() time.Duration) (*translator, error) {
	t := &translator{Base: content.NewBase(e, pieceSize, now)}
	return t, t.Reconfigure(e.Options)
}

// Reconfigure implements xlator.Reconfigurer. What was kept is forgotten.
func (t *translator) Reconfigure(v xlator.Values) error {
	priorities, err := content.ParsePriorities(v.String("priority"))
	if err != nil {
		return err
	}
	largest := v.Size("max-file-size")
	t.largest.Store(largest)
	t.Store.Reconfigure(content.Settings{
		On: !v.Bool("pass-through") && largest > 0, Timeout: v.Duration("cache-timeout"), Limit: v.Size("cache-size"),
		Max: uint64(largest), Ctime: v.Bool("ctime-invalidation"), Priorities: priorities,
	})
	return nil
}

// Dump implements xlator.Dumper: lookups that asked for content and how many got
// some, reads answered from memory and not, and what is kept.
func (t *translator) Dump() any {
	d := t.Store.Dump()
	d["lookups_asking"], d["lookups_bringing"] = t.asked.Load(), t.brought.Load()
	return d
}
