package writebehind

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/xlator"
)

// probe stands between write-behind and its child: it holds requests, fails them
// and writes down what went through.
type probe struct {
	xlator.Intercept
	quit chan struct{} // closed at the end of the test: nothing is held any more

	mu     sync.Mutex
	rules  []*rule                // guarded by mu
	log    []event                // guarded by mu
	most   int                    // guarded by mu; most writes of one file at once
	broken []string               // guarded by mu
	flight map[xlator.GFID][]span // guarded by mu; writes in the child
}

// event is a request that has ended, in order of ending.
type event struct {
	fop  xlator.Fop
	gfid xlator.GFID
	off  int64
	size int
	call *xlator.Call
}

type match func(xlator.Fop, any) bool

// rule holds requests, before or after the child has answered, or fails them.
type rule struct {
	match   match
	after   bool
	arrived chan *held
	fail    error
	ended   chan struct{} // closed by end
}

// held is a request that waits for goOn.
type held struct {
	fop  xlator.Fop
	req  any
	goOn chan error
}

// pass lets the request go on.
func (h *held) pass() { h.goOn <- nil }

// refuse fails it.
func (h *held) refuse(err error) { h.goOn <- err }

func (p *probe) rule(r *rule) *rule {
	r.ended = make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, r)
	return r
}

// hold holds every request that matches.
func (p *probe) hold(m match) *rule {
	return p.rule(&rule{match: m, arrived: make(chan *held, 5000)})
}

// holdAfter holds it after the child has answered.
func (p *probe) holdAfter(m match) *rule {
	return p.rule(&rule{match: m, after: true, arrived: make(chan *held, 5000)})
}

func (p *probe) fail(m match, err error) *rule { return p.rule(&rule{match: m, fail: err}) }

// end stops a rule and lets go of what it holds and was not refused.
func (p *probe) end(r *rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = slices.DeleteFunc(p.rules, func(x *rule) bool { return x == r })
	close(r.ended)
}

// next is the next request that is held.
func (r *rule) next(t testing.TB) *held {
	t.Helper()
	select {
	case h := <-r.arrived:
		return h
	case <-time.After(patience):
		t.Fatal("no request came to the child")
		return nil
	}
}

// none says that nothing more is held.
func (r *rule) none(t testing.TB, why string) {
	t.Helper()
	select {
	case h := <-r.arrived:
		t.Fatalf("%s: %v came to the child", why, h.fop)
	default:
	}
}

func (p *probe) find(after bool, f xlator.Fop, req any) *rule {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.rules {
		if r.after == after && r.match(f, req) {
			return r
		}
	}
	return nil
}

func (p *probe) around(ctx context.Context, f xlator.Fop, req any, next func() error) error {
	w, _ := req.(*xlator.WritevReq)
	if w != nil {
		p.enter(w)
	}
	err := p.play(false, f, req)
	if err == nil {
		err = next()
	}
	if err == nil {
		err = p.play(true, f, req)
	}
	e := event{fop: f, call: xlator.CallFrom(ctx)}
	if i := xlator.RequestInode(req); i != nil {
		e.gfid = i.GFID()
	}
	if w != nil {
		e.off, e.size = w.Offset, len(w.Payload.Bytes)
		p.leave(w)
	}
	p.mu.Lock()
	p.log = append(p.log, e)
	p.mu.Unlock()
	return err
}

func (p *probe) play(after bool, f xlator.Fop, req any) error {
	r := p.find(after, f, req)
	if r == nil {
		return nil
	}
	if r.fail != nil {
		return r.fail
	}
	h := &held{f, req, make(chan error, 1)}
	r.arrived <- h
	select {
	case err := <-h.goOn:
		return err
	case <-r.ended:
	case <-p.quit:
	}
	select {
	case err := <-h.goOn:
		return err
	default:
		return nil
	}
}

func (p *probe) enter(w *xlator.WritevReq) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g, s := w.FD.Inode().GFID(), spanOf(w.Offset, len(w.Payload.Bytes))
	for _, other := range p.flight[g] {
		if other.overlaps(s) {
			p.broken = append(p.broken, fmt.Sprintf("writes %v and %v were in the child together", other, s))
		}
	}
	p.flight[g] = append(p.flight[g], s)
	p.most = max(p.most, len(p.flight[g]))
}

func (p *probe) leave(w *xlator.WritevReq) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g, s := w.FD.Inode().GFID(), spanOf(w.Offset, len(w.Payload.Bytes))
	for i, other := range p.flight[g] {
		if other == s {
			p.flight[g] = append(p.flight[g][:i], p.flight[g][i+1:]...)
			return
		}
	}
}

// events returns what has ended since the last call.
func (p *probe) events() []event {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.log
	p.log = nil
	return l
}

func of(fops ...xlator.Fop) match {
	return func(f xlator.Fop, _ any) bool {
		for _, x := range fops {
			if x == f {
				return true
			}
		}
		return false
	}
}

var writes = of(xlator.FopWritev)

func writeAt(off int64) match {
	return func(_ xlator.Fop, req any) bool {
		w, ok := req.(*xlator.WritevReq)
		return ok && w.Offset == off
	}
}

func writeOf(g xlator.GFID) match {
	return func(_ xlator.Fop, req any) bool {
		w, ok := req.(*xlator.WritevReq)
		return ok && w.FD.Inode().GFID() == g
	}
}
