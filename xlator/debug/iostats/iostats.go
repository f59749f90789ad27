package iostats

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/xlator"
)

// Type describes debug/io-stats.
func Type() *xlator.Type {
	return &xlator.Type{
		Name:        "debug/io-stats",
		Summary:     "Counts fops, errors and bytes, and measures how long fops take.",
		Options:     options(),
		MinChildren: 1, MaxChildren: 1,
		New: newTranslator,
	}
}

type translator struct {
	xlator.Observe

	// constant after construction
	pool *xlator.Pool
	key  string
	born time.Time

	// of Start and Stop
	release func() error

	// atomic
	counters atomic.Pointer[counters] // nil until Start
	measure  atomic.Bool
}

func newTranslator(e *xlator.Env) (xlator.Fops, error) {
	t := &translator{pool: e.Pool, key: "io-stats:" + e.Volume, born: time.Now()}
	t.Next = e.Children[0]
	t.Begin, t.End = t.begin, t.end
	return t, t.Reconfigure(e.Options)
}

// Start implements xlator.Starter: it joins the totals of the mount.
func (t *translator) Start(context.Context) error {
	c, release, err := xlator.Share(t.pool, t.key, func() (*counters, error) { return &counters{}, nil })
	if err != nil {
		return err
	}
	t.release = release
	t.counters.Store(c)
	return nil
}

// Stop implements xlator.Stopper.
func (t *translator) Stop() {
	if t.release != nil {
		t.release() // closing counters does not fail
	}
}

// Reconfigure implements xlator.Reconfigurer.
func (t *translator) Reconfigure(v xlator.Values) error {
	t.measure.Store(v.Bool("latency-measurement"))
	return nil
}

// FopStats implements xlator.StatsProvider.
func (t *translator) FopStats() []xlator.FopStats {
	if c := t.counters.Load(); c != nil {
		return c.stats()
	}
	return nil
}

// Dump implements xlator.Dumper.
func (t *translator) Dump() any {
	return map[string]any{"latency-measurement": t.measure.Load(), "fops": t.FopStats()}
}

// begin returns the nanoseconds since the translator was made, or -1 when they
// are not wanted.
func (t *translator) begin(context.Context, xlator.Fop, any) int64 {
	if !t.measure.Load() {
		return -1
	}
	return int64(time.Since(t.born))
}

func (t *translator) end(_ context.Context, f xlator.Fop, _, rep any, begun int64, err error) {
	c := t.counters.Load()
	if c == nil {
		return
	}
	s := c.of(f)
	s.count.Add(1)
	if err != nil {
		// A detached wait is asked again and ends then.
		if !errors.Is(err, xlator.ErrDetached) {
			s.errors.Add(1)
		}
	} else {
		switch r := rep.(type) {
		case *xlator.ReadvRep:
			s.bytes.Add(uint64(len(r.Data)))
		case *xlator.WritevRep:
			s.bytes.Add(uint64(r.Size))
		}
	}
	if begun >= 0 {
		s.latency.add(int64(time.Since(t.born)) - begun)
	}
}
