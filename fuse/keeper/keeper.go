package keeper

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/fuse"
)

const (
	// steadyAfter is how long a worker has to be ready for its death not to be
	// the next of a series.
	steadyAfter = 5 * time.Second
	// drainLimit is how long the old worker of an upgrade may finish what it
	// has; the rest is the next one's.
	drainLimit = 5 * time.Second
	// DefaultDeadline is how long requests wait for a worker.
	DefaultDeadline = 60 * time.Second
	// DefaultUpgradeLimit is how long a new program has to get ready.
	DefaultUpgradeLimit = 30 * time.Second
)

// Keeper keeps one mount whose workers are its children.
type Keeper struct {
	// Constant after construction.
	cfg      Config
	log      *slog.Logger
	store    *Store
	mem      *state.Memory
	oomScore string
	events   chan happening
	over     chan struct{} // closed when the loop has ended
	wg       sync.WaitGroup

	// Of the loop.
	state   State
	dev     *fuse.Device
	worker  *worker
	next    *worker // of an upgrade
	program *Program
	before  *Program // the one before the last upgrade
	clock   timer
	pause   timer
	late    timer
	upgrade *upgrade
	asked   *upgrade // for when a worker serves
	stop    func()   // ends answering with EIO; nil: not doing it
	tending *tending // nil: a worker has what is kept, or nobody has kept anything
	trouble Trouble
	failure error // of a mount that nobody has served
}

// upgrade is one that was asked for.
type upgrade struct {
	program *Program
	limit   time.Duration
	began   time.Time
	drain   time.Time
	reply   func(Outcome)
	why     string // it failed
}

// happening is what the loop is told.
type happening struct {
	worker *worker
	msg    Message
	fds    []int
	gone   bool // the worker is
	exit   *os.ProcessState
	err    error

	do func() // or this, in the loop

	// Or a timer, as it was set then.
	what int
	of   *timer
	set  time.Time
}

// timer is one of the loop's clocks. What fires late is known by its setting.
type timer struct {
	t   *time.Timer
	set time.Time
}

func newKeeper(cfg Config, mem *state.Memory) *Keeper {
	if cfg.Deadline <= 0 {
		cfg.Deadline = DefaultDeadline
	}
	return &Keeper{
		cfg: cfg, log: cfg.Log, store: NewStore(), mem: mem, program: cfg.Program, oomScore: lowerOOMScore(),
		events: make(chan happening), over: make(chan struct{}),
	}
}

// New returns a Keeper for a mount that is to be made.
func New(cfg Config) (*Keeper, error) {
	mem, err := state.Create()
	if err != nil {
		return nil, err
	}
	k := newKeeper(cfg, mem)
	if err := k.store.PutCopy(StateFD, int(mem.File().Fd())); err != nil {
		return nil, errors.Join(err, mem.Close())
	}
	return k, nil
}

// Run keeps the mount until it is gone. An error means that nobody has ever
// served it; nothing is left of it then. ctx ends the attempt to mount, and
// nothing else.
func (k *Keeper) Run(ctx context.Context) error {
	if k.worker == nil {
		k.act(ActStart)
	}
	given := context.AfterFunc(ctx, func() {
		k.post(happening{do: func() {
			if !k.state.Served && k.worker != nil {
				k.worker.kill("told to end")
			}
		}})
	})
	defer given()
	for k.state.Phase != Ended {
		k.handle(<-k.events)
		k.beginUpgrade()
	}
	close(k.over)
	k.end()
	return k.failure
}

// end waits for everything and lets go of it.
func (k *Keeper) end() {
	k.stopTending()
	k.wg.Wait()
	k.store.Close()
	k.program.close()
	k.before.close()
	if err := k.mem.Close(); err != nil {
		k.log.Warn("state memory", "err", err)
	}
}

// post tells the loop; what comes after its end is forgotten.
func (k *Keeper) post(h happening) {
	select {
	case k.events <- h:
	case <-k.over:
		closeAll(h.fds)
	}
}

// Hangup passes a SIGHUP on to the worker.
func (k *Keeper) Hangup() {
	k.post(happening{do: func() {
		if k.worker != nil {
			_ = k.worker.signal(unix.SIGHUP)
		}
	}})
}

// Upgrade asks for the worker to be replaced by one of program, which is the
// Keeper's then. reply is called once.
func (k *Keeper) Upgrade(program *Program, limit time.Duration, reply func(Outcome)) {
	k.post(happening{do: func() { k.askUpgrade(program, limit, reply) }})
}

// handle does what one happening asks for.
func (k *Keeper) handle(h happening) {
	switch {
	case h.do != nil:
		h.do()
	case h.worker != nil && h.gone:
		k.workerGone(h)
	case h.worker != nil:
		k.message(h.worker, h.msg, h.fds)
	case h.of.set.Equal(h.set):
		k.step(Event{What: h.what})
	}
}

func (k *Keeper) step(e Event) {
	was := k.state.Phase
	s, did := Step(k.state, e)
	k.state = s
	for _, a := range did {
		k.act(a)
	}
	if s.Phase != was {
		k.log.Debug("keeper", "phase", s.Phase.String(), "was", was.String())
	}
}

// act carries out one action.
func (k *Keeper) act(a Action) {
	switch a {
	case ActStart:
		k.start()
	case ActPause:
		k.set(&k.pause, k.state.Wait, EvPaused)
	case ActKill:
		k.worker.kill("not ready in time")
	case ActClock:
		if k.clock.t == nil {
			k.set(&k.clock, k.cfg.Deadline, EvDeadline)
		}
	case ActStopClock:
		k.unset(&k.clock)
	case ActAnswer:
		k.answer()
	case ActStopAnswer:
		k.stop()
		k.stop = nil
	case ActStartNew:
		k.startNew()
	case ActKillNew:
		k.killNew()
	case ActDrain:
		k.upgrade.drain = time.Now()
		k.set(&k.late, drainLimit, EvTooLate)
		_ = k.worker.conn.Send(Message{Kind: Drain})
	case ActGoNew:
		k.set(&k.late, k.upgrade.limit, EvTooLate)
		k.worker, k.next = k.next, nil
		k.goOn(k.worker)
	case ActDone:
		k.done()
	case ActUndone:
		k.undone()
	case ActRollBack:
		k.rollBack()
	case ActRefuse: // where it is asked
	case ActFinish:
		k.unset(&k.clock)
		k.unset(&k.pause)
		k.unset(&k.late)
	}
}

func (k *Keeper) set(t *timer, d time.Duration, what int) {
	k.unset(t)
	at := time.Now()
	t.set = at
	t.t = time.AfterFunc(d, func() { k.post(happening{what: what, of: t, set: at}) })
}

func (k *Keeper) unset(t *timer) {
	if t.t != nil {
		t.t.Stop()
	}
	t.t, t.set = nil, time.Time{}
}

// start starts a worker of the program in use.
func (k *Keeper) start() {
	w, err := k.spawn(k.program)
	if err == nil {
		k.worker = w
		k.log.Debug("worker started", "pid", w.pid)
		return
	}
	k.log.Error("no worker", "err", err)
	k.trouble.Error = err.Error()
	if !k.state.Served {
		k.failure = err
	}
	// As a worker that dies at once. Not from here: this is an action.
	k.wg.Go(func() { k.post(happening{do: func() { k.step(Event{What: EvDied, Death: Crashed}) }}) })
}
