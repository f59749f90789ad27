package graph

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast/holdfast/graph/volfile"
	"github.com/holdfast/holdfast/xlator"
)

// Default time-outs.
const (
	DefaultDrainTimeout   = 5 * time.Second
	DefaultConnectTimeout = 30 * time.Second
)

// Config is what a Manager needs. All fields but the time-outs must be set.
type Config struct {
	// Types finds a translator type; Refused says why a known one is not
	// served.
	Types   func(name string) *xlator.Type
	Refused func(name string) (why string, known bool)
	Pool    *xlator.Pool
	Errors  xlator.WriteErrors
	Opens   xlator.Opens // may be nil
	// Descriptors outlive the process; may be nil.
	Descriptors xlator.Descriptors
	Recovery    xlator.Recovery // may be nil
	Log         *slog.Logger
	Mount       xlator.MountOptions
	// Event is told what happens at the bottom of a graph and passes all of its
	// translators, from any goroutine; it does not block. May be nil.
	Event func(*Graph, xlator.Event)
	// DrainTimeout is how long a drain may take before the files that are
	// still dirty are held and the swap goes ahead; 0 means 5 s.
	DrainTimeout time.Duration
	// ConnectTimeout is how long a new graph may take to come up; 0: 30 s.
	ConnectTimeout time.Duration
	// Generation is that of the last graph of an earlier process of the mount:
	// the first graph gets the number after it.
	Generation uint64
	Tenant     Tenant
}

// Tenant owns the open files that move from graph to graph.
type Tenant interface {
	// Hold is told, before a swap, of a file with acknowledged data that has
	// not reached the old graph's bricks. Until clean returns, requests for
	// it wait. clean must be called; it ends when ctx does.
	Hold(g *Graph, file xlator.GFID, clean func(ctx context.Context) error)
	// Sweep is called after a swap, in a goroutine of the Manager: it moves
	// the open files, a bounded number at a time, and returns when each has
	// moved or had its try, or when g is no longer the current graph.
	Sweep(ctx context.Context, g *Graph) Swept
	// LocksHeld is how many locks applications hold.
	LocksHeld() int
}

// Swept is what a sweep did.
type Swept struct{ Moved, Pinned, Held int }

// Manager holds the graphs of one mount and switches them.
type Manager struct {
	cfg Config
	cur atomic.Pointer[Graph] // written by the loop

	events chan event
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // goroutines of the Manager
	closed chan struct{}  // closed when the loop has ended

	loopState // owned by the loop

	mu       sync.Mutex
	live     map[uint64]*Graph // guarded by mu
	settle   SettleState       // guarded by mu
	draining bool              // guarded by mu: the current graph
	stage    Stage             // guarded by mu: copy of the loop's, for Status
	count    uint64            // guarded by mu
	failed   uint64            // guarded by mu
	lastMS   float64           // guarded by mu
	lastErr  string            // guarded by mu
	lastSwap Result            // guarded by mu
}

// NewManager returns a Manager without a graph; Start gives it one.
func NewManager(cfg Config) *Manager {
	if cfg.DrainTimeout <= 0 {
		cfg.DrainTimeout = DefaultDrainTimeout
	}
	if cfg.ConnectTimeout <= 0 {
		cfg.ConnectTimeout = DefaultConnectTimeout
	}
	m := &Manager{cfg: cfg, events: make(chan event), closed: make(chan struct{}), live: map[uint64]*Graph{}}
	m.gen = cfg.Generation
	m.ctx, m.cancel = context.WithCancel(context.Background())
	go m.loop()
	return m
}

// Config returns what the Manager was made with.
func (m *Manager) Config() *Config { return &m.cfg }

// Current is the graph in service; nil before Start.
func (m *Manager) Current() *Graph { return m.cur.Load() }

// Start builds and connects the first graph.
func (m *Manager) Start(ctx context.Context, f *volfile.File) error {
	_, err := m.Reload(ctx, f)
	return err
}

// PhaseTime is how long one phase of a switch took.
type PhaseTime struct {
	Name string        `json:"name"`
	Took time.Duration `json:"took_ns"`
}

// Result is how a Reload ended.
type Result struct {
	Generation uint64 `json:"generation"`
	// Action is "none", "reconfigured" or "switched".
	Action   string      `json:"action"`
	Phases   []PhaseTime `json:"phases"`
	Warnings []string    `json:"warnings,omitempty"`
	// Held is how many files were still dirty at the swap.
	Held int `json:"held,omitempty"`
}

// Reload makes f the volfile in service and returns when it is: nothing to do,
// options reconfigured in place, or a new graph current. On an error the old
// graph serves on as if nothing had been asked. When a later Reload comes
// before this one is done, the later one wins, and both return its outcome.
// ctx bounds the time until the new graph is connected.
func (m *Manager) Reload(ctx context.Context, f *volfile.File) (Result, error) {
	j := newJob(m, ctx, f)
	defer j.cancel()
	if !m.post(event{kind: EvWant, job: j}) {
		return Result{}, errClosed
	}
	for {
		<-j.done
		if j.by == nil {
			return j.res, j.err
		}
		j = j.by
	}
}

var errClosed = errors.New("the mount is ending")

func (m *Manager) post(e event) bool {
	select {
	case m.events <- e:
		return true
	case <-m.closed:
		return false
	}
}

// Astray tells that a file is going to be served by an older graph (held or
// pinned); until Home is called for it the current graph's caches are off.
// Call it before a request enters the older graph because of that.
func (m *Manager) Astray() { m.stepSettle(SettleAstray) }

// Home undoes one Astray: the file has moved, or is closed. If requests may
// still run because of it on the older graph, that is from; else from is nil.
func (m *Manager) Home(from *Graph) {
	if from == nil {
		m.stepSettle(SettleHome)
		return
	}
	m.stepSettle(SettleLeft)
	m.wg.Go(func() {
		if from.quiesce(m.ctx) == nil {
			m.stepSettle(SettleQuiet)
		}
	})
}

func (m *Manager) stepSettle(e SettleEvent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settle, _ = StepSettle(m.settle, e)
	m.applyPhase()
}

// applyPhase sets the phase of the current graph. Called with mu held.
func (m *Manager) applyPhase() {
	g := m.cur.Load()
	switch {
	case g == nil:
	case m.draining:
		g.phase.Set(xlator.PhaseDraining)
	case m.settle.Older == 0 && m.settle.Astray == 0:
		g.phase.Set(xlator.PhaseServing)
	default:
		g.phase.Set(xlator.PhaseSettling)
	}
}

// Status is what there is to know at a glance.
type Status struct {
	Generation uint64
	// State is serving, settling, building, connecting or draining.
	State    string
	VolumeID uuid.UUID
	Live     int
	Count    uint64
	Failed   uint64
	LastMS   float64
	LastErr  string
	Last     Result
}

// Status returns it.
func (m *Manager) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Status{State: m.stage.String(), Live: len(m.live), Count: m.count, Failed: m.failed, LastMS: m.lastMS, LastErr: m.lastErr, Last: m.lastSwap}
	if g := m.cur.Load(); g != nil {
		s.Generation, s.VolumeID = g.Generation, g.VolumeID
		if m.stage == StageIdle {
			s.State = g.phase.Load().Name().String()
		}
	}
	return s
}

// Close ends the graphs: what is in progress is given up, the current graph is
// drained within the drain time-out, everything is stopped. The kernel must not
// send requests any more.
func (m *Manager) Close() error {
	m.post(event{kind: EvClose})
	<-m.closed
	m.cancel()
	var err error
	if g := m.cur.Load(); g != nil {
		m.mu.Lock()
		m.draining = true
		m.applyPhase()
		m.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), m.cfg.DrainTimeout)
		err = g.drain(ctx)
		if qerr := g.quiesce(ctx); err == nil {
			err = qerr
		}
		cancel()
	}
	m.waitBriefly()
	m.mu.Lock()
	live := m.live
	m.live = map[uint64]*Graph{}
	m.mu.Unlock()
	for _, g := range live {
		g.releaseLate()
		g.stop()
	}
	return err
}

// waitBriefly waits for the Manager's goroutines, but not for a translator that
// hangs in its start for ever.
func (m *Manager) waitBriefly() {
	done := make(chan struct{})
	go func() { m.wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(m.cfg.DrainTimeout):
		m.cfg.Log.Warn("a translator does not end its start; leaving it behind")
	}
}
