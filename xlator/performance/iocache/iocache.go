package iocache

import (
	"math"
	"time"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/content"
)

// pageSize is GlusterFS's.
const pageSize = 128 << 10

// Type describes performance/io-cache.
func Type() *xlator.Type {
	return &xlator.Type{
		Name:        "performance/io-cache",
		Summary:     "Answers reads from pages that were read before.",
		MinChildren: 1, MaxChildren: 1,
		New: func(e *xlator.Env) (xlator.Fops, error) { return newTranslator(e, content.Clock()) },
		Options: []xlator.Option{
			{Name: "priority", Live: true, Check: content.CheckPriorities,
				Help: "Which files to keep longest, as pattern:priority, separated by commas; patterns are of names, without folders. 0: not at all; files that match nothing have 1."},
			{Name: "cache-timeout", Alias: []string{"force-revalidate-timeout"}, Kind: xlator.KindTime, Default: "1", Min: 0, Max: 60, Unit: " s", Live: true,
				Help: "How long pages are used before the child is asked whether the file has changed."},
			{Name: "cache-size", Kind: xlator.KindSize, Default: "32MB", Min: 4 << 20, Max: 32 << 30, Live: true,
				Help: "How much is kept in all."},
			{Name: "min-file-size", Kind: xlator.KindSize, Default: "0", Live: true, Help: "Smaller files are not kept."},
			{Name: "max-file-size", Kind: xlator.KindSize, Default: "0", Live: true, Help: "Larger files are not kept; 0: no limit."},
			{Name: "pass-through", Kind: xlator.KindBool, Default: "off", Live: true, Help: "Whether to forward every fop and keep nothing."},
		},
	}
}

type translator struct{ content.Base }

func newTranslator(e *xlator.Env, now func() time.Duration) (*translator, error) {
	t := &translator{content.NewBase(e, pageSize, now)}
	return t, t.Reconfigure(e.Options)
}

// Reconfigure implements xlator.Reconfigurer. What was kept is forgotten.
func (t *translator) Reconfigure(v xlator.Values) error {
	priorities, err := content.ParsePriorities(v.String("priority"))
	if err != nil {
		return err
	}
	s := content.Settings{
		On: !v.Bool("pass-through"), Timeout: v.Duration("cache-timeout"), Limit: v.Size("cache-size"),
		Min: uint64(v.Size("min-file-size")), Max: uint64(v.Size("max-file-size")),
		Ctime: true, Priorities: priorities,
	}
	if s.Max == 0 {
		s.Max = math.MaxInt64
	}
	t.Store.Reconfigure(s)
	return nil
}

// Dump implements xlator.Dumper: reads answered from memory and not, FSTATs sent
// because pages were too old, and what is kept.
func (t *translator) Dump() any { return t.Store.Dump() }
