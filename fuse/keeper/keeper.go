package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
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

// Config is what a Keeper needs. The functions are called by its loop, one at a
// time, but for Mount.
type Config struct {
	Log *slog.Logger
	// Program is what workers run; the Keeper's from then on.
	Program *Program
	Args    []string // of workers
	Output  *os.File // their standard output and error
	// Job is what is mounted; workers get it as it is.
	Job json.RawMessage
	// Deadline is how long everything may wait for a worker before it is
	// answered with EIO; 0: 60 s.
	Deadline time.Duration

	// Mount makes the mount and whatever else each worker gets, by name.
	Mount func() (*fuse.Device, map[string]int, error)
	// Unmount takes away a mount that nobody has served.
	Unmount func()
	// Ready is told when the mount serves, for the first time, and what it does
	// not promise.
	Ready func(missing []string)
	// Answer takes the commands over while there is no worker and will be
	// none. stop returns when it has let go of them.
	Answer func(Trouble) (stop func())
	// Reply answers an upgrade on the connection of who asked, and closes it.
	Reply func(client int, o Outcome)
	// Reopen opens the log again.
	Reopen func()
}

// Trouble is why there is no worker.
type Trouble struct {
	Since   time.Time
	Workers uint64 // so far
	Deaths  uint64
	Error   string // of the last
	Control int    // the listening control socket; the keeper's
}

// Outcome is how an upgrade ended.
type Outcome struct {
	// Old and New are versions; New serves if there is no Error, else Old.
	Old        string  `json:"old"`
	New        string  `json:"new,omitempty"`
	Generation uint64  `json:"generation"` // of the worker that serves
	Worker     int     `json:"worker,omitempty"`
	MS         float64 `json:"ms"`       // all of it
	PauseMS    float64 `json:"pause_ms"` // from the drain's beginning to its end, and to the new worker
	Error      string  `json:"error,omitempty"`
}

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
	stop    func() // ends answering with EIO; nil: not doing it
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
	}
	close(k.over)
	k.end()
	return k.failure
}

// end waits for everything and lets go of it.
func (k *Keeper) end() {
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

// message is one from a worker.
func (k *Keeper) message(w *worker, m Message, fds []int) {
	switch m.Kind {
	case Hello:
		w.program.Version = m.Program
		if !slices.Contains(m.Layouts, state.Version) {
			w.kill(fmt.Sprintf("it knows the layouts %d of the state memory, the mount has %d", m.Layouts, state.Version))
			break
		}
		_ = w.conn.Send(Message{Kind: Start, Job: k.cfg.Job, Keeper: os.Getpid(), OOMScore: k.oomScore, Restarted: k.dev != nil})
	case Prepared:
		if w == k.worker {
			k.goOn(w)
		} else if w == k.next {
			k.step(Event{What: EvPrepared})
		}
	case Mount:
		k.mount(w)
	case Renew:
		k.renew(w)
	case Ready:
		w.readyAt = time.Now()
		if w == k.worker {
			k.ready(w, m.Missing)
		}
	case Keep:
		if len(fds) != 1 || w != k.worker {
			_ = w.conn.Send(Message{Kind: Failed, Error: "keep: not one descriptor, or not from the worker"})
			break
		}
		k.store.Put(keptFD+m.Name, fds[0])
		fds = nil
		_ = w.conn.Send(Message{Kind: OK})
	case Drop:
		k.store.Drop(keptFD + m.Name)
		_ = w.conn.Send(Message{Kind: OK})
	case Upgrade:
		fds = k.upgradeFrom(m, fds)
	case Reopen:
		k.cfg.Reopen()
	case Drained:
		w.drained = true
	case End:
		w.ended = &m
	}
	closeAll(fds)
}

// goOn gives a worker the mount.
func (k *Keeper) goOn(w *worker) {
	if err := k.store.SendAll(w.conn, Message{Kind: Go}); err != nil {
		w.kill(err.Error())
	}
}

// mount makes the mount for the first worker.
func (k *Keeper) mount(w *worker) {
	if k.dev != nil {
		_ = w.conn.Send(Message{Kind: Failed, Error: "it is mounted already"})
		return
	}
	k.wg.Go(func() { // the kernel may let it wait
		dev, fds, err := k.cfg.Mount()
		done := make(chan struct{})
		k.post(happening{do: func() { k.mounted(w, dev, fds, err); close(done) }})
		select {
		case <-done:
		case <-k.over:
			if err == nil {
				k.cfg.Unmount()
				_ = dev.Close()
			}
		}
	})
}

// renew gives a worker another state memory.
func (k *Keeper) renew(w *worker) {
	err := errors.New("there is no mount yet")
	if k.dev != nil && w == k.worker {
		k.mem, err = k.store.renew(k.mem, k.dev)
	}
	if err != nil {
		_ = w.conn.Send(Message{Kind: Failed, Error: err.Error()})
		return
	}
	k.log.Error("the state memory was damaged: what was open is lost", "workers", k.mem.Worker())
	if err := k.store.SendAll(w.conn, Message{Kind: Mounted}); err != nil {
		w.kill(err.Error())
	}
}

func (k *Keeper) mounted(w *worker, dev *fuse.Device, fds map[string]int, err error) {
	if err == nil {
		err = k.mem.SetInit(state.Init{Connection: dev.Minor, In: dev.InitIn, Out: dev.InitOut})
	}
	if err != nil {
		_ = w.conn.Send(Message{Kind: Failed, Error: err.Error()})
		return
	}
	k.dev = dev
	k.store.Put(DeviceFD, dev.FD)
	for n, fd := range fds {
		k.store.Put(n, fd)
	}
	if err := k.store.SendAll(w.conn, Message{Kind: Mounted}); err != nil {
		w.kill(err.Error())
	}
}

func (k *Keeper) ready(w *worker, missing []string) {
	first := !k.state.Served
	k.step(Event{What: EvReady})
	k.trouble = Trouble{}
	if first {
		k.cfg.Ready(missing)
		return
	}
	k.log.Info("a worker serves again", "pid", w.pid, "generation", k.mem.Worker(), "version", w.program.Version)
}

// workerGone is the end of a worker.
func (k *Keeper) workerGone(h happening) {
	w := h.worker
	defer w.close()
	death, why := w.death(h.exit, h.err)
	if w == k.next {
		k.next = nil
		k.upgrade.why = why
		k.step(Event{What: EvNewDied})
		return
	}
	if w != k.worker {
		return // of an upgrade that was given up
	}
	k.worker = nil
	steady := !w.readyAt.IsZero() && time.Since(w.readyAt) >= steadyAfter
	if death == Killed || death == Crashed || death == Refused {
		k.mem.CountDeath()
		k.log.Warn("the worker is gone", "pid", w.pid, "why", why, "deaths", k.mem.Deaths())
		if k.trouble.Since.IsZero() {
			k.trouble.Since = time.Now()
		}
		k.trouble.Error = why
	}
	k.mem.SetDeath(death == Crashed)
	if k.state.Trial {
		k.upgrade.why = why
	}
	if !k.state.Served && death != Unmounted {
		k.failure = errors.New(why)
		if death != Refused {
			k.failure = fmt.Errorf("the worker ended while it mounted: %s", why)
		}
		if k.dev != nil {
			k.cfg.Unmount()
		}
	}
	k.step(Event{What: EvDied, Death: death, Steady: steady})
}

// answer answers everything with EIO, so that processes can end and the mount can
// be unmounted.
func (k *Keeper) answer() {
	k.unset(&k.clock)
	k.log.Error("no worker in time: everything is answered with EIO", "deadline", k.cfg.Deadline, "deaths", k.mem.Deaths(), "last", k.trouble.Error)
	t := k.trouble
	t.Workers, t.Deaths = k.mem.Worker(), k.mem.Deaths()
	t.Control, _ = k.store.Get(ControlFD)
	silence := k.cfg.Answer(t)
	quit, done := make(chan struct{}), make(chan struct{})
	k.wg.Go(func() {
		gone, err := fuse.AnswerAll(k.dev, k.mem, unix.EIO, quit)
		close(done)
		if err != nil {
			k.log.Error("answer with EIO", "err", err)
		}
		if !gone {
			return
		}
		k.post(happening{do: func() {
			if k.stop != nil {
				k.stop()
				k.stop = nil
				k.step(Event{What: EvGone})
			}
		}})
	})
	k.stop = func() {
		close(quit)
		<-done
		silence()
	}
}
