package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what one worker does.
type Config struct {
	// Kind is one of Kinds.
	Kind string
	// Dir is the directory under test.
	Dir string
	// ID keeps workers of one kind apart.
	ID int
	// Seed decides everything that is random.
	Seed uint64
	// N is the number of files of kind openfiles, or of entries of kind walker;
	// 0: the kind's own choice.
	N int
	// Partner is the path of the hfload program, for kinds that need a second
	// process. Empty: the running program itself.
	Partner string
	// Progress, if not 0, is how often Report is called.
	Progress time.Duration
	// Report is given the state so far every Progress, and once, with Ready
	// set, when the worker has prepared its files.
	Report func(Result)
}

// Result is what a worker did. It is the JSON line that hfload prints.
type Result struct {
	Kind string `json:"kind"`
	ID   int    `json:"id,omitempty"`
	// State is "ready" and "running" in lines on the way, "done" in the last.
	State  string `json:"state"`
	Ops    int64  `json:"ops"`
	Errors int64  `json:"errors"`
	// FirstError is where to look.
	FirstError string `json:"first_error,omitempty"`
	// LongestPauseUS is the longest single call, waits for locks left out.
	LongestPauseUS int64 `json:"longest_pause_us"`
	// LongestAtNS is when it ended, in nanoseconds of Unix time.
	LongestAtNS int64 `json:"longest_at_ns,omitempty"`
	// Values are numbers of single kinds.
	Values map[string]int64 `json:"values,omitempty"`
	// Meter is kind meter's histogram.
	Meter *Histogram `json:"meter,omitempty"`
}

// Folder is where the worker keeps its files.
func (c Config) Folder() string {
	return filepath.Join(c.Dir, fmt.Sprintf("load-%s-%d", c.Kind, c.ID))
}

type kind func(w *worker) error

func kinds() map[string]kind {
	return map[string]kind{
		"writer":    writer,
		"reader":    reader,
		"appender":  appender,
		"mmap":      mapper,
		"locker":    locker,
		"walker":    walker,
		"renamer":   renamer,
		"tmpfile":   tmpfile,
		"xattr":     xattr,
		"truncater": truncater,
		"direct":    direct,
		"meter":     meter,
		"openfiles": openfiles,
	}
}

// Kinds are the names of all kinds of worker, sorted.
func Kinds() []string {
	var names []string
	for k := range kinds() {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}

// tooMany is how many errors end a worker.
const tooMany = 10

// worker is what all kinds share.
type worker struct {
	cfg Config
	dir string
	ctx context.Context
	rng *rand.Rand // for the kind's main goroutine only

	ops, errs, longest, longestAt atomic.Int64

	mu     sync.Mutex
	first  string           // guarded by mu
	values map[string]int64 // guarded by mu
	meter  *Histogram       // guarded by mu
	ready  bool             // guarded by mu
}

// Run works until ctx ends, verifies a last time, removes its files and tells.
// The error is about a wrong Config only.
func Run(ctx context.Context, cfg Config) (Result, error) {
	k := kinds()[cfg.Kind]
	if k == nil {
		return Result{}, fmt.Errorf("no kind of worker is called %q (there are %v)", cfg.Kind, Kinds())
	}
	w := newWorker(ctx, cfg, cfg.Folder())
	if err := w.fresh(); err != nil {
		return Result{}, err
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	if cfg.Progress > 0 && cfg.Report != nil {
		wg.Go(func() { w.progress(done) })
	}
	w.loop(k)
	close(done)
	wg.Wait()
	if err := os.RemoveAll(w.dir); err != nil {
		w.fail(fmt.Errorf("clean up: %w", err))
	}
	return w.result("done"), nil
}

// RunPartner is the second process of a kind that needs two; cfg.Dir is the
// folder of the first.
func RunPartner(ctx context.Context, cfg Config) (Result, error) {
	k := partnerKind(cfg.Kind)
	if k == nil {
		return Result{}, fmt.Errorf("kind %q has no second process", cfg.Kind)
	}
	cfg.Report = nil
	w := newWorker(ctx, cfg, cfg.Dir)
	if err := k(w); err != nil {
		w.fail(err)
	}
	return w.result("done"), nil
}

func newWorker(ctx context.Context, cfg Config, dir string) *worker {
	return &worker{cfg: cfg, dir: dir, ctx: ctx, rng: rng(cfg.Seed, uint64(cfg.ID)), values: map[string]int64{}}
}

func (w *worker) fresh() error {
	if err := os.RemoveAll(w.dir); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	return nil
}

// loop runs the kind again after an error, on fresh files, so that one error
// does not end the load.
func (w *worker) loop(k kind) {
	ctx := w.ctx
	for {
		w.ctx = ctx // a kind with a partner derives its own
		err := k(w)
		w.ctx = ctx
		if err == nil {
			return
		}
		w.fail(err)
		if w.errs.Load() >= tooMany || !w.running() {
			return
		}
		if err := w.fresh(); err != nil {
			w.fail(err)
			return
		}
	}
}

func (w *worker) running() bool { return w.ctx.Err() == nil }

// begin says that all files are there and the work begins.
func (w *worker) begin() {
	w.mu.Lock()
	first := !w.ready
	w.ready = true
	w.mu.Unlock()
	if first && w.cfg.Report != nil {
		w.cfg.Report(w.result("ready"))
	}
}

func (w *worker) progress(done chan struct{}) {
	t := time.NewTicker(w.cfg.Progress)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			w.cfg.Report(w.result("running"))
		case <-done:
			return
		}
	}
}

func (w *worker) fail(err error) {
	w.errs.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.first == "" {
		w.first = time.Now().Format("15:04:05.000000 ") + err.Error()
	}
}

// timed counts one operation and remembers the longest.
func (w *worker) timed(f func() error) error {
	start := time.Now()
	err := f()
	w.took(time.Since(start))
	return err
}

func (w *worker) took(d time.Duration) {
	w.ops.Add(1)
	us := d.Microseconds()
	for {
		old := w.longest.Load()
		if us <= old {
			return
		}
		if w.longest.CompareAndSwap(old, us) {
			w.longestAt.Store(time.Now().UnixNano())
			return
		}
	}
}

func (w *worker) set(name string, v int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.values[name] = v
}

func (w *worker) result(state string) Result {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := Result{
		Kind: w.cfg.Kind, ID: w.cfg.ID, State: state,
		Ops: w.ops.Load(), Errors: w.errs.Load(), FirstError: w.first,
		LongestPauseUS: w.longest.Load(), LongestAtNS: w.longestAt.Load(),
	}
	if len(w.values) > 0 {
		r.Values = map[string]int64{}
		for k, v := range w.values {
			r.Values[k] = v
		}
	}
	if w.meter != nil {
		r.Meter = w.meter.clone()
	}
	return r
}

func (r Result) String() string {
	b, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func rng(seed, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }
