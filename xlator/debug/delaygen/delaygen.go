package delaygen

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/xlator"
)

// Type describes debug/delay-gen.
func Type() *xlator.Type {
	return &xlator.Type{
		Name:        "debug/delay-gen",
		Summary:     "Holds fops back, for a time or while a file exists.",
		MinChildren: 1, MaxChildren: 1,
		New: newTranslator,
		Options: []xlator.Option{
			{Name: "delay-percentage", Kind: xlator.KindPercent, Default: "10", Unit: "%", Live: true,
				Help: "Share of the matching fops that is delayed."},
			{Name: "delay-duration", Kind: xlator.KindInt, Default: "100000", Min: 0, Max: 1e10, Unit: " us", Live: true,
				Help: "For how long, in microseconds."},
			{Name: "enable", Live: true, Check: func(s string) error { _, err := xlator.ParseFopSet(s); return err },
				Help: "Fops that are held back, separated by commas (lookup,writev,fsync); empty: all."},
			{Name: "gfid", Live: true, Check: func(s string) error { _, err := xlator.ParseGFIDs(s); return err },
				Help: "Not of GlusterFS. Only fops on these files (gfids, separated by commas); of fops on names, the directory counts."},
			{Name: "gate", Kind: xlator.KindPath, Live: true,
				Help: "Not of GlusterFS. While a file of this path exists, matching fops wait. Its folder must exist. With a gate, nothing is delayed by time unless delay-percentage is given."},
			{Name: "where", Default: "before", Values: []string{"before", "after"}, Live: true,
				Help: "Not of GlusterFS. Wait before the child is asked, or after it has answered."},
		},
	}
}

type translator struct {
	xlator.Intercept

	// constant after construction
	end <-chan struct{} // the graph's

	mu      sync.Mutex
	started bool          // guarded by mu
	options xlator.Values // guarded by mu; the last that were accepted

	// atomic; stored under mu
	settings atomic.Pointer[settings]

	// atomic
	waiting, delayed atomic.Int64
}

// settings is what a Reconfigure replaces.
type settings struct {
	// constant after construction
	filter   xlator.Filter
	share    float64 // 0 to 1
	duration time.Duration
	after    bool
	gatePath string
	gate     *gate // nil: none, or not started

	// atomic
	matched atomic.Uint64
}

func newTranslator(e *xlator.Env) (xlator.Fops, error) {
	t := &translator{end: e.Context.Done()}
	t.Next = e.Children[0]
	t.Around = t.around
	return t, t.Reconfigure(e.Options)
}

func read(v xlator.Values) (*settings, error) {
	fops, err := xlator.ParseFopSet(v.String("enable"))
	if err != nil {
		return nil, fmt.Errorf("option enable: %w", err)
	}
	gfids, err := xlator.ParseGFIDs(v.String("gfid"))
	if err != nil {
		return nil, fmt.Errorf("option gfid: %w", err)
	}
	s := &settings{
		filter:   xlator.Filter{Fops: fops, GFIDs: gfids},
		share:    v.Float("delay-percentage") / 100,
		duration: time.Duration(v.Int("delay-duration")) * time.Microsecond,
		after:    v.String("where") == "after",
		gatePath: v.String("gate"),
	}
	if s.gatePath != "" && !v.IsSet("delay-percentage") {
		s.share = 0
	}
	return s, nil
}

// Start implements xlator.Starter: it begins to watch the gate.
func (t *translator) Start(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.started = true
	return t.install(t.options)
}

// Stop implements xlator.Stopper: it opens the gate.
func (t *translator) Stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.started = false
	if s := t.settings.Load(); s.gate != nil {
		s.gate.close()
	}
}

// Reconfigure implements xlator.Reconfigurer. Fops that wait at a gate that is
// no longer set go on.
func (t *translator) Reconfigure(v xlator.Values) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.install(v)
}

// install puts options in force; mu is held. A gate is kept where its path stays
// the same, and watched only once started: New must not touch the outside.
func (t *translator) install(v xlator.Values) error {
	s, err := read(v)
	if err != nil {
		return err
	}
	var old *gate
	if was := t.settings.Load(); was != nil {
		old = was.gate
	}
	if t.started && s.gatePath != "" {
		s.gate = old
		if old == nil || old.path != s.gatePath {
			if s.gate, err = openGate(s.gatePath); err != nil {
				return err
			}
		}
	}
	t.settings.Store(s)
	t.options = v
	if old != nil && old != s.gate {
		old.close()
	}
	return nil
}

func (t *translator) around(_ context.Context, f xlator.Fop, req any, next func() error) error {
	s := t.settings.Load()
	if !s.filter.Match(f, req) {
		return next()
	}
	if s.after {
		err := next()
		t.hold(s) // at the end of the graph the child's answer is still right
		return err
	}
	if !t.hold(s) {
		return fmt.Errorf("delay-gen: %s held back until its graph ended: %w", strings.ToLower(f.String()), syscall.ECANCELED)
	}
	return next()
}

// hold keeps the caller as long as the settings say; false when the graph ended
// first.
func (t *translator) hold(s *settings) bool {
	if s.gate != nil && !s.gate.pass(t.end, &t.waiting) {
		return false
	}
	n := float64(s.matched.Add(1))
	if s.duration == 0 || uint64(n*s.share) == uint64((n-1)*s.share) {
		return true // the whole number of delays due by now has not grown
	}
	t.delayed.Add(1)
	t.waiting.Add(1)
	defer t.waiting.Add(-1)
	timer := time.NewTimer(s.duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-t.end:
		return false
	}
}

// Dump implements xlator.Dumper: how many fops are held back now, and how many
// were delayed by time since the translator was made.
func (t *translator) Dump() any {
	return map[string]int64{"waiting": t.waiting.Load(), "delayed": t.delayed.Load()}
}
