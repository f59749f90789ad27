package contenttest

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

// Probe stands between a translator and its child: it counts requests, takes its
// time over them, and holds some.
type Probe struct {
	xlator.Intercept

	// constant after construction
	quit chan struct{} // closed at the end of the test
	end  sync.Once

	// atomic
	Count [xlator.FopCount]atomic.Int64
	turns atomic.Int64 // of the scheduler that each request takes, 0 to that many
	dice  atomic.Uint64

	mu    sync.Mutex
	gates []*Gate // guarded by mu
}

// Gate holds one request of a kind, before or after the child has carried it out.
type Gate struct {
	fop     xlator.Fop
	after   bool
	Err     error          // instead of the answer; set before the request comes
	match   func(any) bool // which requests; nil: all
	arrived chan struct{}
	open    chan struct{}
}

func newProbe(child xlator.Fops) *Probe {
	p := &Probe{quit: make(chan struct{})}
	p.Next, p.Around = child, p.around
	return p
}

// Gate sets one up for the next request of that kind that matches, if match is not
// nil.
func (p *Probe) Gate(f xlator.Fop, after bool, match func(req any) bool) *Gate {
	g := &Gate{fop: f, after: after, match: match, arrived: make(chan struct{}), open: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gates = append(p.gates, g)
	return g
}

// Slow has each request take some turns of the scheduler before and after.
func (p *Probe) Slow(turns int) { p.turns.Store(int64(turns)) }

// Open lets the request go on.
func (g *Gate) Open() { close(g.open) }

// Wait waits until the gate holds a request.
func (g *Gate) Wait(t testing.TB) {
	t.Helper()
	select {
	case <-g.arrived:
	case <-time.After(Patience):
		t.Fatalf("no %v came to the child", g.fop)
	}
}

// stop opens all gates for good.
func (p *Probe) stop() { p.end.Do(func() { close(p.quit) }) }

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

func (p *Probe) around(_ context.Context, f xlator.Fop, req any, next func() error) error {
	p.Count[f].Add(1)
	if err := p.pass(f, false, req); err != nil {
		return err
	}
	if err := next(); err != nil {
		return err
	}
	return p.pass(f, true, req)
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
	case <-g.open:
	case <-p.quit:
	}
	return g.Err
}
