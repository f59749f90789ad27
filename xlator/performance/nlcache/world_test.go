package nlcache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
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

// probe stands between nl-cache and its child: it counts lookups and holds
// requests before or after the child has carried them out.
type probe struct {
	xlator.Intercept
	quit    chan struct{} // closed at the end of the test
	lookups atomic.Int64

	mu    sync.Mutex
	gates []*gate // guarded by mu
}

type gate struct {
	fop           xlator.Fop
	after         bool
	arrived, open chan struct{}
}

func (p *probe) gate(f xlator.Fop, after bool) *gate {
	g := &gate{fop: f, after: after, arrived: make(chan struct{}), open: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gates = append(p.gates, g)
	return g
}

func (p *probe) around(_ context.Context, f xlator.Fop, _ any, next func() error) error {
	if f == xlator.FopLookup {
		p.lookups.Add(1)
	}
	p.pass(f, false)
	err := next()
	p.pass(f, true)
	return err
}

func (p *probe) pass(f xlator.Fop, after bool) {
	p.mu.Lock()
	var g *gate
	for n := range p.gates {
		if p.gates[n].fop == f && p.gates[n].after == after {
			g = p.gates[n]
			p.gates = append(p.gates[:n], p.gates[n+1:]...)
			break
		}
	}
	p.mu.Unlock()
	if g == nil {
		return
	}
	close(g.arrived)
	select {
	case <-g.open:
	case <-p.quit:
	}
}

func (g *gate) wait(t testing.TB) {
	t.Helper()
	ended(t, g.arrived)
}

func ended(t testing.TB, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatal("it hangs")
	}
}

// async runs f and returns a channel that is closed when it has ended.
func async(f func()) chan struct{} {
	c := make(chan struct{})
	go func() { defer close(c); f() }()
	return c
}

// world is nl-cache over a probe over a brick, with a clock of its own.
type world struct {
	*xlatortest.World
	t     testing.TB
	x     *translator
	p     *probe
	leaf  xlator.Fops
	root  *xlator.Inode
	clock atomic.Int64
	base  atomic.Uint64
}

func build(t testing.TB, opts map[string]string) *world {
	t.Helper()
	w := &world{World: xlatortest.NewWorld(t, nil), t: t}
	w.leaf = w.Add(locks.Type(), nil, w.Add(posix.Type(), map[string]string{"directory": t.TempDir()}))
	w.p = &probe{quit: make(chan struct{})}
	w.p.Next, w.p.Around = w.leaf, w.p.around
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

// there looks a name up.
func there(t testing.TB, x xlator.Fops, dir *xlator.Inode, name string) bool {
	t.Helper()
	_, err := x.Lookup(xlator.Internal(), &xlator.LookupReq{Parent: dir, Name: name})
	if err != nil && !errors.Is(err, syscall.ENOENT) {
		t.Fatalf("lookup %s: %v", name, err)
	}
	return err == nil
}

// right demands that a lookup says what the brick says.
func (w *world) right(dir *xlator.Inode, name string) {
	w.t.Helper()
	if got, want := there(w.t, w.x, dir, name), there(w.t, w.leaf, dir, name); got != want {
		w.t.Errorf("%s: there %v, at the brick %v", name, got, want)
	}
}

// asked says how many lookups f sends to the child.
func (w *world) asked(f func()) int64 {
	before := w.p.lookups.Load()
	f()
	return w.p.lookups.Load() - before
}

// cached reports whether the name, which is not there, is known to be absent.
func (w *world) cached(dir *xlator.Inode, name string) bool {
	w.t.Helper()
	return w.asked(func() {
		if there(w.t, w.x, dir, name) {
			w.t.Errorf("%s is there", name)
		}
	}) == 0
}

func (w *world) name(dir *xlator.Inode, n string) xlator.MakeReq {
	return xlator.MakeReq{Parent: dir, Name: n, GFID: xlator.NewGFID(), Mode: 0o755}
}

func (w *world) create(x xlator.Fops, dir *xlator.Inode, n string) error {
	rep, err := x.Create(xlator.Internal(), &xlator.CreateReq{MakeReq: w.name(dir, n), Flags: unix.O_RDWR, Base: w.base.Add(1)})
	if err == nil {
		x.Release(rep.FD)
	}
	return err
}

func (w *world) mkdir(x xlator.Fops, dir *xlator.Inode, n string) *xlator.Inode {
	w.t.Helper()
	rep, err := x.Mkdir(xlator.Internal(), &xlator.MkdirReq{MakeReq: w.name(dir, n)})
	w.must(err)
	return rep.Inode
}

func unlink(x xlator.Fops, dir *xlator.Inode, n string) error {
	return justErr(x.Unlink(xlator.Internal(), &xlator.UnlinkReq{Parent: dir, Name: n}))
}

func justErr[T any](_ T, err error) error { return err }
