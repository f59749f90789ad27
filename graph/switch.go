package graph

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast/holdfast/graph/volfile"
	"github.com/holdfast/holdfast/xlator"
)

// job is one Reload on its way.
type job struct {
	file   *volfile.File
	ctx    context.Context // bounds building and connecting
	cancel context.CancelFunc
	began  time.Time
	mark   time.Time // end of the last phase
	g      *Graph    // the new graph, once built
	up     chan struct{}
	// discarded says that a graph was built for it and will not serve.
	discarded bool

	// Set before done is closed.
	res  Result
	err  error
	by   *job // the one that superseded it
	done chan struct{}
}

func newJob(m *Manager, ctx context.Context, f *volfile.File) *job {
	j := &job{file: f, done: make(chan struct{}), began: time.Now()}
	j.mark = j.began
	jctx, cancel := context.WithTimeout(m.ctx, m.cfg.ConnectTimeout)
	stop := context.AfterFunc(ctx, cancel)
	j.ctx, j.cancel = jctx, func() { stop(); cancel() }
	return j
}

func (j *job) phase(name string) {
	now := time.Now()
	j.res.Phases = append(j.res.Phases, PhaseTime{name, now.Sub(j.mark)})
	j.mark = now
}

type event struct {
	kind SwitchEvent
	job  *job
	err  error
}

// loopState belongs to the loop goroutine.
type loopState struct {
	sw   SwitchState
	job  *job // in progress
	next *job // waits for it to end
	gen  uint64
}

func (m *Manager) loop() {
	defer close(m.closed)
	for e := range m.events {
		if e.kind == EvWant {
			m.admit(e.job)
		}
		if e.err != nil && m.job != nil {
			m.job.err = e.err
		}
		var acts []SwitchAction
		m.sw, acts = StepSwitch(m.sw, e.kind)
		m.mu.Lock()
		m.stage = m.sw.Stage
		m.mu.Unlock()
		for _, a := range acts {
			m.act(a, e)
		}
		if m.sw.Stage == StageClosed && m.job == nil {
			return
		}
	}
}

// admit makes j the job in progress or the one that waits; one that waited
// already is superseded by it.
func (m *Manager) admit(j *job) {
	switch {
	case m.sw.Stage == StageClosed:
	case m.job == nil:
		m.job = j
	default:
		if m.next != nil {
			m.next.by = j
			close(m.next.done)
		}
		m.next = j
	}
}

func (m *Manager) act(a SwitchAction, e event) {
	j := m.job
	switch a {
	case ActBuild:
		m.gen++
		gen := m.gen
		m.async(func() event { return m.doBuild(j, gen) })
	case ActConnect:
		m.async(func() event { return m.doConnect(j) })
	case ActCancel:
		j.cancel()
	case ActDiscard:
		m.discard(j)
	case ActDrain:
		m.setDraining(true)
		m.async(func() event { return m.doDrain(j) })
	case ActUndrain:
		m.setDraining(false)
	case ActHold:
		m.hold(j)
	case ActSwap:
		m.swap(j)
	case ActReport:
		if e.kind == EvWant { // refused: the mount is ending
			e.job.err = errClosed
			close(e.job.done)
			return
		}
		m.report(j)
	}
}

// async runs a step of the job in progress; the loop waits for its event.
func (m *Manager) async(step func() event) {
	m.wg.Go(func() { m.post(step()) })
}

func (m *Manager) setDraining(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.draining = on
	m.applyPhase()
}

func (m *Manager) doBuild(j *job, gen uint64) event {
	warnings, err := m.cfg.Check(j.file)
	j.res.Warnings = warnings
	if err != nil {
		return event{kind: EvFailed, err: err}
	}
	cur := m.cur.Load()
	if cur != nil {
		d := volfile.Diff(cur.File(), j.file)
		if d.Kind == volfile.Same {
			return event{kind: EvSame}
		}
		if d.Kind == volfile.OptionsOnly {
			changes, ok, err := cur.liveChanges(j.file, d)
			if err == nil && ok {
				err = cur.reconfigure(j.file, changes)
				j.phase("reconfigure")
				if err == nil {
					return event{kind: EvReconfigured}
				}
			}
			if err != nil {
				return event{kind: EvFailed, err: err}
			}
		}
		m.cfg.Log.Info("graph switch begins", "from", cur.Generation, "to", gen, "why", d.Reason)
	}
	j.g, err = m.build(j.file, gen)
	j.phase("build")
	if err != nil {
		return event{kind: EvFailed, err: err}
	}
	return event{kind: EvBuilt}
}

func (m *Manager) doConnect(j *job) event {
	var what atomic.Pointer[string]
	ended := make(chan error, 1)
	// Past its time-out the start goes on by itself; the job may be gone then.
	g, ctx, up := j.g, j.ctx, make(chan struct{})
	j.up = up
	m.wg.Go(func() {
		defer close(up)
		ended <- g.connect(ctx, func(s string) { what.Store(&s) })
	})
	var err error
	select {
	case err = <-ended:
		if err == nil {
			err = m.admissible(g)
		}
	case <-j.ctx.Done():
		err = j.ctx.Err()
		if s := what.Load(); s != nil {
			err = fmt.Errorf("the new graph did not come up in %s: waiting for %s", time.Since(j.mark).Round(time.Millisecond), *s)
		}
	}
	j.phase("connect")
	if err != nil {
		return event{kind: EvFailed, err: err}
	}
	return event{kind: EvConnected}
}

// admissible says whether a connected graph may replace the current one.
func (m *Manager) admissible(g *Graph) error {
	cur := m.cur.Load()
	if cur == nil {
		return nil
	}
	if cur.VolumeID != uuid.Nil && g.VolumeID != cur.VolumeID {
		return fmt.Errorf("%s is of %w: volume-id %s, while %s is mounted", g.File().Name, errOtherVolume, g.VolumeID, cur.VolumeID)
	}
	if n := m.cfg.Tenant.LocksHeld(); n > 0 && !g.providesLocks() {
		return fmt.Errorf("%s has no features/locks, and applications hold %d locks", g.File().Name, n)
	}
	return nil
}

func (m *Manager) doDrain(j *job) event {
	old := m.cur.Load()
	if old == nil {
		return event{kind: EvDrained}
	}
	ctx, cancel := context.WithTimeout(m.ctx, m.cfg.DrainTimeout)
	defer cancel()
	err := old.drain(ctx)
	j.phase("drain")
	if err == nil || len(old.dirty()) == 0 {
		return event{kind: EvDrained}
	}
	return event{kind: EvDrainDeadline}
}

// drain flushes every translator that holds acknowledged data, top first.
func (g *Graph) drain(ctx context.Context) error {
	var errs []error
	g.each(func(n *node) {
		if d, ok := n.x.(xlator.Drainer); ok {
			if err := d.Drain(ctx); err != nil {
				errs = append(errs, fmt.Errorf("drain %s: %w", n.name, err))
			}
		}
	})
	return errors.Join(errs...)
}

// dirty maps files with acknowledged data to the translators that have it.
func (g *Graph) dirty() map[xlator.GFID][]xlator.Drainer {
	files := map[xlator.GFID][]xlator.Drainer{}
	g.each(func(n *node) {
		if d, ok := n.x.(xlator.Drainer); ok {
			for _, f := range d.Dirty() {
				files[f] = append(files[f], d)
			}
		}
	})
	return files
}

func (m *Manager) hold(j *job) {
	old := m.cur.Load()
	files := old.dirty()
	j.res.Held = len(files)
	for f, ds := range files {
		m.cfg.Tenant.Hold(old, f, func(ctx context.Context) error {
			for _, d := range ds {
				if err := d.WaitClean(ctx, f); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// swap makes the new graph the current one.
func (m *Manager) swap(j *job) {
	g, old := j.g, m.cur.Load()
	g.follows = old != nil
	m.mu.Lock()
	m.live[g.Generation] = g
	m.draining = false
	if old != nil {
		m.settle, _ = StepSettle(m.settle, SettleSwapped)
		m.count++
	}
	m.cur.Store(g)
	m.applyPhase()
	m.mu.Unlock()
	j.phase("swap")
	if old == nil {
		return
	}
	old.out.Store(true)
	close(old.detach)
	old.stepRetire(RetireOut)
	m.wg.Go(func() { m.retire(old) })
	held, began, phases := j.res.Held, j.began, j.res.Phases
	m.wg.Go(func() {
		moveBegan := time.Now()
		swept := m.cfg.Tenant.Sweep(m.ctx, g)
		attrs := []any{"from", old.Generation, "to", g.Generation, "took", time.Since(began).Round(time.Microsecond),
			"moved", swept.Moved, "pinned", swept.Pinned, "held", held}
		for _, p := range phases {
			attrs = append(attrs, p.Name, p.Took.Round(time.Microsecond))
		}
		attrs = append(attrs, "move", time.Since(moveBegan).Round(time.Microsecond))
		m.cfg.Log.Info("graph switch ends", attrs...)
	})
}

func (m *Manager) retire(g *Graph) {
	if !g.runRetirement(m.ctx, func() { m.stepSettle(SettleQuiet) }) {
		return // Close stops what is left
	}
	g.releaseLate()
	g.stop()
	m.mu.Lock()
	delete(m.live, g.Generation)
	m.mu.Unlock()
	m.cfg.Log.Debug("graph retired", "graph", g.Generation)
}

// discard stops a graph that never served. What hangs in its start is waited
// for in the background.
func (m *Manager) discard(j *job) {
	g := j.g
	if g == nil {
		return
	}
	j.g, j.discarded = nil, true
	g.cancel()
	up := j.up
	m.wg.Go(func() {
		if up != nil {
			<-up
		}
		g.stop()
	})
}

// report ends the job in progress and lets the next one in.
func (m *Manager) report(j *job) {
	if j == nil {
		return
	}
	if j.err == nil && j.discarded && m.next == nil {
		j.err = errClosed
	}
	if m.next != nil && (j.err != nil || j.discarded) {
		j.by = m.next // a later request decides how this one ends
	}
	m.account(j)
	if j.g == nil {
		m.gen-- // the number was not used: the next graph gets it
	}
	j.cancel()
	m.job, m.next = m.next, nil
	close(j.done)
	if m.sw.Stage == StageClosed && m.job != nil {
		m.job.err = errClosed
		close(m.job.done)
		m.job = nil
	}
}

// account fills in the result of a job that ends, and what Status shows of it.
func (m *Manager) account(j *job) {
	cur := m.cur.Load()
	m.mu.Lock()
	defer m.mu.Unlock()
	if cur != nil {
		j.res.Generation = cur.Generation
	}
	switch {
	case j.by != nil:
		return
	case j.err != nil:
		m.failed++
		m.lastErr = j.err.Error()
		if cur != nil {
			m.cfg.Log.Error("graph change refused, the old graph serves on", "err", j.err)
		}
		return
	case j.g != nil:
		j.res.Action = "switched"
		m.lastMS = float64(time.Since(j.began).Microseconds()) / 1000
	case len(j.res.Phases) > 0:
		j.res.Action = "reconfigured"
	default:
		j.res.Action = "none"
	}
	m.lastErr, m.lastSwap = "", j.res
}
