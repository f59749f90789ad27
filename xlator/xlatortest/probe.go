package xlatortest

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast/holdfast/xlator"
)

// Patience bounds waits for what must happen.
const Patience = 20 * time.Second

// Probe stands between a translator under test and its child: it counts
// requests, takes its time over them, holds them before or after the child has
// carried them out, and fails them.
type Probe struct {
	xlator.Intercept
	// See is told of each request before it is carried out. nil: nobody looks.
	See func(*xlator.Call, xlator.Fop)

	quit     chan struct{} // closed by End
	end      sync.Once
	turns    atomic.Int64 // of the scheduler that each request takes, 0 to that many
	dice     atomic.Uint64
	counts   [xlator.FopCount]atomic.Int64
	releases atomic.Int64

	mu    sync.Mutex
	gates []*Gate // guarded by mu
}

// NewProbe makes a Probe above a child. The end of the test opens all its gates.
func NewProbe(t testing.TB, child xlator.Fops) *Probe {
	p := &Probe{quit: make(chan struct{})}
	p.Next, p.Around = child, p.around
	t.Cleanup(p.End)
	return p
}

// End opens all gates for good.
func (p *Probe) End() { p.end.Do(func() { close(p.quit) }) }

// Slow has each request take some turns of the scheduler before and after.
func (p *Probe) Slow(turns int) { p.turns.Store(int64(turns)) }

// Count is how many requests of these kinds have come.
func (p *Probe) Count(fops ...xlator.Fop) (n int64) {
	for _, f := range fops {
		n += p.counts[f].Load()
	}
	return n
}

// Releases is how many files were released.
func (p *Probe) Releases() int64 { return p.releases.Load() }

// During is how many requests of these kinds f sends to the child.
func (p *Probe) During(f func(), fops ...xlator.Fop) int64 {
	before := p.Count(fops...)
	f()
	return p.Count(fops...) - before
}

// Gate holds one request of a kind, before or after the child has carried it out.
type Gate struct {
	// Err is returned instead of the child's answer; set before a request comes.
	Err error
	// Open lets the request go on when it is closed.
	Open chan struct{}

	fop     xlator.Fop
	after   bool
	match   func(any) bool // which requests; nil: all
	arrived chan struct{}
}

// Gate makes a Gate for the next request of a kind that has none yet.
func (p *Probe) Gate(f xlator.Fop, after bool) *Gate { return p.GateFor(f, after, nil) }

// GateFor makes a Gate for the next request of a kind that matches and has none
// yet. match nil: all do.
func (p *Probe) GateFor(f xlator.Fop, after bool, match func(req any) bool) *Gate {
	g := &Gate{fop: f, after: after, match: match, arrived: make(chan struct{}), Open: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gates = append(p.gates, g)
	return g
}

// Wait waits until the gate holds a request.
func (g *Gate) Wait(t testing.TB) {
	t.Helper()
	select {
	case <-g.arrived:
	case <-time.After(Patience):
		t.Fatalf("no %v came to the child", g.fop)
	}
}

// take removes and returns the first gate for that.
func (p *Probe) take(f xlator.Fop, after bool, req any) *Gate {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, g := range p.gates {
		if g.fop == f && g.after == after && (g.match == nil || g.match(req)) {
			p.gates = append(p.gates[:n], p.gates[n+1:]...)
			return g
		}
	}
	return nil
}

func (p *Probe) around(ctx context.Context, f xlator.Fop, req any, next func() error) error {
	p.counts[f].Add(1)
	if p.See != nil {
		p.See(xlator.CallFrom(ctx), f)
	}
	if err := p.pass(f, false, req); err != nil {
		return err
	}
	err := next()
	if instead := p.pass(f, true, req); instead != nil {
		return instead
	}
	return err
}

func (p *Probe) pass(f xlator.Fop, after bool, req any) error {
	if n := p.turns.Load(); n > 0 {
		for range int64(p.dice.Add(0x9e3779b97f4a7c15)>>33) % n {
			runtime.Gosched()
		}
	}
	g := p.take(f, after, req)
	if g == nil {
		return nil
	}
	close(g.arrived)
	select {
	case <-g.Open:
	case <-p.quit:
	}
	return g.Err
}

// Release implements xlator.Fops.
func (p *Probe) Release(fd *xlator.FD) {
	p.releases.Add(1)
	p.Next.Release(fd)
}

// Async runs f and returns a channel that is closed when it has ended.
func Async(f func()) <-chan struct{} {
	c := make(chan struct{})
	go func() { defer close(c); f() }()
	return c
}

// Ended waits until a channel is closed.
func Ended(t testing.TB, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(Patience):
		t.Fatal("it hangs")
	}
}

// Values are a type's options: those given, and defaults.
func Values(t testing.TB, typ *xlator.Type, opts map[string]string) xlator.Values {
	t.Helper()
	v, err := typ.Defaults()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range opts {
		o, ok := typ.FindOption(name)
		if !ok {
			t.Fatalf("no option %s", name)
		}
		if v[o.Name], err = o.Parse(text); err != nil {
			t.Fatal(err)
		}
	}
	return v
}
