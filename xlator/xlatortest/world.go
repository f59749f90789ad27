package xlatortest

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/holdfast/holdfast/xlator"
)

// World is what the translators of one graph under test share.
type World struct {
	Slots  *xlator.Slots
	Inodes *xlator.InodeTable
	Phase  *xlator.Phase
	Pool   *xlator.Pool
	Errors *Errors
	Mount  xlator.MountOptions
	// Salt, if not zero, is what the gfids of this World begin with, for leaves
	// that must never see one again.
	Salt uint32
	// Opens and Descriptors are what translators added later are given; may be
	// nil.
	Opens       xlator.Opens
	Descriptors xlator.Descriptors
	// Recovery is what they are told of an earlier process; may be nil.
	Recovery xlator.Recovery

	mu     sync.Mutex
	events []xlator.Event // guarded by mu

	t       testing.TB
	ctx     context.Context
	started []any
}

// NewWorld returns an empty graph that serves. With a pool of another World it
// is another graph of the same mount; nil makes a new one.
func NewWorld(t testing.TB, pool *xlator.Pool) *World {
	if pool == nil {
		pool = xlator.NewPool()
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &World{Slots: &xlator.Slots{}, Phase: &xlator.Phase{}, Pool: pool, Errors: &Errors{}, t: t, ctx: ctx}
	w.Inodes = xlator.NewInodeTable(w.Slots)
	w.Phase.Set(xlator.PhaseServing)
	t.Cleanup(func() { w.Stop(); cancel() })
	return w
}

// T is the test that the World was made for.
func (w *World) T() testing.TB { return w.t }

func (w *World) notify(e xlator.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// Events is what translators have told their parents so far.
func (w *World) Events() []xlator.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]xlator.Event(nil), w.events...)
}

// Add makes a translator above children; opts are as in a volfile.
func (w *World) Add(typ *xlator.Type, opts map[string]string, children ...xlator.Fops) xlator.Fops {
	w.t.Helper()
	vs, err := typ.Defaults()
	if err != nil {
		w.t.Fatal(err)
	}
	for k, s := range opts {
		o, ok := typ.FindOption(k)
		if !ok {
			w.t.Fatalf("%s has no option %q", typ.Name, k)
		}
		v, err := o.Parse(s)
		if err != nil {
			w.t.Fatal(err)
		}
		vs[o.Name] = v
	}
	x, err := typ.New(&xlator.Env{
		Volume: "test-" + typ.Name, Type: typ, Options: vs, Children: children,
		Inodes: w.Inodes, Slots: w.Slots, Phase: w.Phase, Pool: w.Pool, Errors: w.Errors,
		Log: slog.New(slog.DiscardHandler), Generation: 1, Context: w.ctx, Mount: w.Mount,
		Opens: w.Opens, Descriptors: w.Descriptors, Recovery: w.Recovery, Notify: w.notify,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.started = append(w.started, x)
	return x
}

// Start starts everything, leaf first.
func (w *World) Start() {
	w.t.Helper()
	for _, x := range w.started {
		if s, ok := x.(xlator.Starter); ok {
			if err := s.Start(w.ctx); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// Stop stops everything, leaf first; a second call does nothing.
func (w *World) Stop() {
	for _, x := range w.started {
		if s, ok := x.(xlator.Stopper); ok {
			s.Stop()
		}
	}
	w.started = nil
}

// Drain does what a switch does to its old graph: it says that the graph drains
// and has every translator write out what it holds, from the top down.
func (w *World) Drain() {
	w.t.Helper()
	w.Phase.Set(xlator.PhaseDraining)
	for i := len(w.started) - 1; i >= 0; i-- {
		if d, ok := w.started[i].(xlator.Drainer); ok {
			if err := d.Drain(w.ctx); err != nil {
				w.t.Errorf("drain: %v", err)
			}
			if dirty := d.Dirty(); len(dirty) > 0 {
				w.t.Errorf("drained, and dirty: %v", dirty)
			}
		}
	}
}

// Root looks the root up.
func (w *World) Root(top xlator.Fops) *xlator.Inode {
	w.t.Helper()
	rep, err := top.Lookup(xlator.Internal(), &xlator.LookupReq{GFID: xlator.RootGFID})
	if err != nil {
		w.t.Fatal(err)
	}
	return rep.Inode
}

// Errors keeps the write errors that translators record.
type Errors struct {
	mu sync.Mutex
	m  map[xlator.GFID][]error
}

// Record implements xlator.WriteErrors.
func (e *Errors) Record(g xlator.GFID, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.m == nil {
		e.m = map[xlator.GFID][]error{}
	}
	e.m[g] = append(e.m[g], err)
}

// Of returns what was recorded for a file, in order.
func (e *Errors) Of(g xlator.GFID) []error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]error(nil), e.m[g]...)
}
