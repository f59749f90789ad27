package mdcache

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// patience bounds waits for what must happen.
const patience = 20 * time.Second

// probe stands between md-cache and its child: it counts requests, and holds or
// fails them.
type probe struct {
	xlator.Intercept
	quit  chan struct{} // closed at the end of the test
	count [xlator.FopCount]atomic.Int64

	mu    sync.Mutex
	gates []*gate // guarded by mu
}

// gate holds one request of a kind, before or after the child has carried it out.
type gate struct {
	fop     xlator.Fop
	after   bool
	err     error // instead of the answer
	arrived chan struct{}
	open    chan struct{}
}

func (p *probe) gate(f xlator.Fop, after bool) *gate {
	g := &gate{fop: f, after: after, arrived: make(chan struct{}), open: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gates = append(p.gates, g)
	return g
}

// take removes and returns the first gate for that.
func (p *probe) take(f xlator.Fop, after bool) *gate {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, g := range p.gates {
		if g.fop == f && g.after == after {
			p.gates = append(p.gates[:n], p.gates[n+1:]...)
			return g
		}
	}
	return nil
}

func (p *probe) around(_ context.Context, f xlator.Fop, _ any, next func() error) error {
	p.count[f].Add(1)
	if err := p.pass(f, false); err != nil {
		return err
	}
	if err := next(); err != nil {
		return err
	}
	return p.pass(f, true)
}

func (p *probe) pass(f xlator.Fop, after bool) error {
	g := p.take(f, after)
	if g == nil {
		return nil
	}
	close(g.arrived)
	select {
	case <-g.open:
	case <-p.quit:
	}
	return g.err
}

// wait waits until the gate holds a request.
func (g *gate) wait(t testing.TB) {
	t.Helper()
	select {
	case <-g.arrived:
	case <-time.After(patience):
		t.Fatalf("no %v came to the child", g.fop)
	}
}

// world is md-cache over a probe over a brick, with a clock of its own.
type world struct {
	*xlatortest.World
	t     testing.TB
	x     *translator
	p     *probe
	leaf  xlator.Fops
	root  *xlator.Inode
	clock atomic.Int64
	base  uint64
}

func build(t testing.TB, opts map[string]string) *world {
	t.Helper()
	return buildOn(t, opts, func(_ *world, leaf xlator.Fops) xlator.Fops { return leaf })
}

// buildOn puts something between the probe and the brick.
func buildOn(t testing.TB, opts map[string]string, between func(*world, xlator.Fops) xlator.Fops) *world {
	t.Helper()
	w := &world{World: xlatortest.NewWorld(t, nil), t: t}
	w.leaf = w.Add(locks.Type(), nil, w.Add(posix.Type(), map[string]string{"directory": t.TempDir()}))
	w.p = &probe{quit: make(chan struct{})}
	w.p.Next, w.p.Around = between(w, w.leaf), w.p.around
	t.Cleanup(func() { close(w.p.quit) })
	typ := *Type()
	typ.New = func(e *xlator.Env) (xlator.Fops, error) {
		return newTranslator(e, func() time.Duration { return time.Duration(w.clock.Load()) })
	}
	w.x = w.Add(&typ, opts, w.p).(*translator)
	w.Start()
	w.root = w.Root(w.x)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) create(name string) *xlator.FD {
	w.t.Helper()
	w.base++
	rep, err := w.x.Create(xlator.Internal(), &xlator.CreateReq{
		MakeReq: xlator.MakeReq{Parent: w.root, Name: name, GFID: xlator.NewGFID(), Mode: 0o644}, Flags: unix.O_RDWR, Base: w.base})
	w.must(err)
	return rep.FD
}

func (w *world) stat(i *xlator.Inode) xlator.Iatt {
	w.t.Helper()
	rep, err := w.x.Stat(xlator.Internal(), &xlator.StatReq{Inode: i})
	w.must(err)
	return rep.Attr
}

func (w *world) truth(i *xlator.Inode) xlator.Iatt {
	w.t.Helper()
	rep, err := w.leaf.Stat(xlator.Internal(), &xlator.StatReq{Inode: i})
	w.must(err)
	return rep.Attr
}

// asked says how many fops of a kind f sends to the child.
func (w *world) asked(fop xlator.Fop, f func()) int64 {
	before := w.p.count[fop].Load()
	f()
	return w.p.count[fop].Load() - before
}

// cached reports whether a stat is answered from memory.
func (w *world) cached(i *xlator.Inode) bool {
	w.t.Helper()
	return w.asked(xlator.FopStat, func() { w.stat(i) }) == 0
}

func (w *world) reconfigure(opts map[string]string) {
	w.t.Helper()
	v, err := Type().Defaults()
	w.must(err)
	for name, text := range opts {
		o, ok := Type().FindOption(name)
		if !ok {
			w.t.Fatalf("no option %s", name)
		}
		v[o.Name], err = o.Parse(text)
		w.must(err)
	}
	w.must(w.x.Reconfigure(v))
}

// async runs f and returns a channel that is closed when it has ended.
func async(f func()) chan struct{} {
	c := make(chan struct{})
	go func() { defer close(c); f() }()
	return c
}

func (w *world) ended(c chan struct{}) {
	w.t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		w.t.Fatal("it hangs")
	}
}
