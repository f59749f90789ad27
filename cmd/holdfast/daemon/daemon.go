package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/cmd/holdfast/glusterd"
	"github.com/holdfast/holdfast/cmd/holdfast/mountopt"
	"github.com/holdfast/holdfast/cmd/holdfast/source"
	"github.com/holdfast/holdfast/fdtable"
	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/fuse"
	"github.com/holdfast/holdfast/fuse/keeper"
	"github.com/holdfast/holdfast/graph"
	"github.com/holdfast/holdfast/xlator"
)

// Config is one mount.
type Config struct {
	// Source is as given; it is the mount's device name.
	Source     string
	Mountpoint string
	Options    mountopt.Options
	// Words are the options as they were given, and Sloppy how they are read:
	// another version of the program reads them for itself.
	Words  []string
	Sloppy bool
	// LogFile is where the log goes; "" is standard error.
	LogFile string
	// Detached says that standard output and error belong to the log.
	Detached bool
	Version  string
	// Types and Refused are the table of translators.
	Types   func(name string) *xlator.Type
	Refused func(name string) (why string, known bool)
}

// Daemon is the process that serves one mount.
type Daemon struct {
	// Constant after construction.
	cfg        Config
	mountpoint string
	began      time.Time
	log        *slog.Logger
	level      *slog.LevelVar
	out        *logOutput
	link       *keeper.Link // nil: there is no keeper
	mem        *state.Memory
	renewed    bool // the memory of the process before was damaged; this one knows nothing
	room       room
	pool       *xlator.Pool
	table      *fdtable.Table
	changes    changes // has its own lock
	mgr        *graph.Manager
	servers    *glusterd.Client // nil: the source is no volume of a server

	// Constant once mounted.
	session  *fuse.Session
	files    *control.Files
	ctl      *control.Server
	since    time.Time
	promises []Guarantee

	wg      sync.WaitGroup
	rewatch chan struct{}
	setTurn chan struct{} // holds one token per change of settings in progress: one
	leaving atomic.Bool   // another process is to serve the mount
	drained chan struct{} // closed when there is nothing left to do before it does

	loadTurn chan struct{} // holds a token while a volfile is read and its wish numbered

	recordMu sync.Mutex
	earlier  record // guarded by recordMu; what the state memory says

	mu     sync.Mutex
	src    source.Source    // guarded by mu; of the graph in service
	set    source.Settings  // guarded by mu; never changed in place
	from   glusterd.Fetched // guarded by mu; of the graph in service, if it is a server's
	wishes uint64           // guarded by mu
	latest *wish            // guarded by mu
	last   lastReload       // guarded by mu
	// metricsAddr is guarded by mu.
	metricsAddr string
}

// Ready is what there is to tell once the mount stands.
type Ready struct {
	Mountpoint string `json:"mountpoint"`
	Minor      int    `json:"minor"`
	PID        int    `json:"pid"`
	// Missing are guarantees that do not hold here, each with its reason.
	Missing []string `json:"missing,omitempty"`
}

// Run mounts and serves until the mount is gone, in this process alone: the
// mount dies with it. ready is called once when it stands. An error before that
// leaves nothing behind. ctx ends the attempt to mount; what is mounted is ended
// by an unmount or a signal.
func Run(ctx context.Context, cfg Config, ready func(Ready)) error {
	sig := catchSignals()
	defer signal.Stop(sig)
	mountpoint, err := checkMountpoint(cfg.Mountpoint)
	if err != nil {
		return err
	}
	d, err := newDaemon(cfg, mountpoint, nil)
	if err != nil {
		return err
	}
	defer d.out.Close()
	d.mem = state.Plain()
	return d.run(ctx, sig, ready)
}

// newDaemon opens the log.
func newDaemon(cfg Config, mountpoint string, link *keeper.Link) (*Daemon, error) {
	d := &Daemon{
		cfg: cfg, mountpoint: mountpoint, link: link, began: time.Now(), level: &slog.LevelVar{},
		rewatch: make(chan struct{}, 1), setTurn: make(chan struct{}, 1), loadTurn: make(chan struct{}, 1), drained: make(chan struct{}),
	}
	d.level.Set(cfg.Options.LogLevel)
	var err error
	if d.out, err = openLog(&d.cfg); err != nil {
		return nil, err
	}
	d.log = newLogger(d.out, d.level)
	return d, nil
}

// run brings the graph up, mounts if nobody has, and serves to the end.
func (d *Daemon) run(ctx context.Context, sig chan os.Signal, ready func(Ready)) error {
	defer d.closeServers()
	err := d.firstGraph(ctx)
	if err == nil {
		if err = ctx.Err(); err == nil {
			err = d.open()
		}
		if err != nil && !d.goesOn() {
			d.closeGraphs()
		}
	}
	if err != nil {
		d.log.Error("mount failed", "source", d.cfg.Source, "mountpoint", d.mountpoint, "err", err)
		return err
	}
	return d.serve(sig, ready)
}

// firstGraph brings up the graph that an earlier process served, or else what
// the source says.
func (d *Daemon) firstGraph(ctx context.Context) error {
	o := &d.cfg.Options
	d.log.Info("holdfast begins", "version", d.cfg.Version, "pid", os.Getpid(), "worker", d.mem.Worker(), "source", d.cfg.Source, "mountpoint", d.mountpoint)
	if len(o.Ignored) > 0 {
		d.log.Info("mount options without effect", "options", o.Ignored)
	}
	if err := raiseFileLimit(); err != nil {
		d.log.Warn("limit of open files", "err", err)
	}
	w, again, err := d.firstWish(ctx)
	if err != nil {
		return err
	}
	d.room = newRoom()
	addProcessor()
	d.pool = xlator.NewPool()
	d.table = fdtable.New(d.log, d.mem, fdtable.RecoveryDeadline(o.RecoveryDeadline), fdtable.IdleTimeout(o.IdleTimeout))
	cfg := graph.Config{
		Types: d.cfg.Types, Refused: d.cfg.Refused, Pool: d.pool, Errors: d.table, Log: d.log,
		Mount: xlator.MountOptions{
			AllowForeignBrick: o.AllowForeignBrick, ReadOnly: o.ReadOnly(), RecoveryDeadline: o.RecoveryDeadline, LockLoss: o.LockLoss,
		},
		DrainTimeout: o.DrainTimeout, Tenant: d.table, Opens: d.table, Generation: d.mem.Graph(), Event: d.changes.event,
	}
	if d.link != nil {
		cfg.Descriptors, cfg.Recovery = d.link, d.table
	}
	d.mgr = graph.NewManager(cfg)
	d.table.Attach(d.mgr)
	d.applyLogLevel(w.file)
	if warnings, err := d.mgr.Config().Check(w.file); err == nil {
		for _, w := range warnings {
			d.log.Warn("volfile", "warning", w)
		}
	}
	if !again && d.servers == nil {
		waitForEnding(ctx, d.cfg.Source, o.DrainTimeout)
	}
	if err := d.mgr.Start(ctx, w.file); err != nil {
		d.closeGraphs()
		return err
	}
	if err := d.table.RestoreLocks(); err != nil {
		d.log.Error("locks of applications are lost", "err", err)
	}
	d.record(w)
	return nil
}

// waitForEnding lets the process of an earlier mount of the same source end: it
// lives a moment longer than its mount.
func waitForEnding(ctx context.Context, src string, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit+5*time.Second)
	defer cancel()
	for _, s := range control.Ending() {
		if s.Source == src {
			control.WaitGone(ctx, s)
		}
	}
}

// closeGraphs is for the end of the mount: bricks let go of everything, also of
// what the keeper holds for them.
func (d *Daemon) closeGraphs() {
	if err := d.mgr.Close(); err != nil {
		d.log.Error("acknowledged data may not have been written", "err", err)
	}
	d.table.Close()
}

// errDrained ends a process that leaves the mount to the next.
var errDrained = errors.New("another process serves the mount now")

// serve runs from the mount to its end, or to that of this process's part.
func (d *Daemon) serve(sig chan os.Signal, ready func(Ready)) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	fail := func(err error) error {
		d.log.Error("mount failed", "err", err)
		if uerr := d.session.Unmount(); uerr != nil {
			d.log.Error("unmount", "err", uerr)
		}
		return err
	}
	served := make(chan error, 1)
	d.wg.Go(func() { served <- d.session.Serve(d.table) })

	var err error
	var metrics *metricsServer
	if d.cfg.Options.Metrics != "" {
		metrics, err = d.serveMetrics(d.cfg.Options.Metrics)
		if err != nil && d.mem.Worker() > 1 { // no reason to end what works
			d.log.Error("no metrics", "err", err)
			err = nil
		} else if err != nil {
			err = fail(err)
		}
	}
	if err == nil {
		d.log.Info(map[bool]string{false: "mounted", true: "serving again"}[d.mem.Worker() > 1], "source", d.cfg.Source, "mountpoint", d.mountpoint, "connection", d.session.Connection(),
			"volume_id", d.mgr.Status().VolumeID, "generation", d.mgr.Status().Generation)
		d.wg.Go(func() { d.watch(ctx) })
		d.wg.Go(func() { d.signals(ctx, sig) })
		d.wg.Go(func() { d.dropForgotten(ctx) })
		ready(Ready{Mountpoint: d.mountpoint, Minor: d.session.Connection(), PID: os.Getpid(), Missing: missing(d.promises)})
	}
	select {
	case serr := <-served:
		if d.leaving.Load() && d.connected() { // it only stopped reading
			<-d.drained
			return errDrained
		}
		if serr != nil {
			d.log.Error("session ended", "err", serr)
			if d.goesOn() {
				return fmt.Errorf("%s: %w", d.mountpoint, serr)
			}
			err = errors.Join(err, fmt.Errorf("%s: %w", d.mountpoint, serr))
		}
	case <-d.drained: // everything else is left as it stands
		return errDrained
	}
	removeDead(d.session.Connection(), d.cfg.Source, d.log)
	d.log.Info("unmounted", "mountpoint", d.mountpoint)
	if err := d.files.Ending(); err != nil {
		d.log.Warn("control socket", "err", err)
	}
	cancel()
	if metrics != nil {
		metrics.Close()
	}
	d.closeGraphs()
	d.wg.Wait()
	d.ctl.Close()
	if !d.kept() {
		if err := d.files.Remove(); err != nil {
			d.log.Warn("control socket", "err", err)
		}
	}
	d.log.Info("holdfast ends")
	return err
}

// removeDead unmounts a mount whose connection was aborted: nothing answers
// there any more. After an unmount the number may be another mount's already,
// but not that of one with our source, which still has us in its way.
func removeDead(minor int, src string, log *slog.Logger) {
	m, err := control.MountOf(minor)
	if err != nil || m.Source != src {
		return
	}
	if err := m.Unmount(unix.MNT_DETACH); err != nil {
		log.Error("unmount what was aborted", "err", err)
	}
}

// answer is the control socket's handler.
func (d *Daemon) answer(ctx context.Context, r *control.Request) (any, error) {
	switch r.Op {
	case control.OpStatus:
		return d.Status(), nil
	case control.OpReload:
		if r.Volfile == "" {
			return d.reload(ctx, "command", reread)
		}
		return d.reload(ctx, "command", func(w *wish) error {
			src, err := source.Open(r.Volfile)
			if err == nil && src.Dir != "" {
				err = fmt.Errorf("%s is a directory, not a volfile", r.Volfile)
			}
			w.src, w.set = src, nil
			return err
		})
	case control.OpSet:
		return d.changeSettings(ctx, r.Pairs, r.Reset)
	case control.OpSettings:
		d.mu.Lock()
		src, set := d.src, d.set
		d.mu.Unlock()
		if src.Dir == "" {
			return nil, fmt.Errorf("the graph comes from %s: it has no settings here%s", src, whereSet(src))
		}
		return set.List(d.cfg.Types), nil
	case control.OpGraph:
		g := d.mgr.Current()
		return GraphReply{Generation: g.Generation, Name: g.File().Name, Volfile: string(g.File().Format())}, nil
	case control.OpDump:
		return d.dump()
	case control.OpVersion:
		return d.cfg.Version, nil
	case control.OpUpgrade:
		return nil, d.passOnUpgrade(r)
	case control.OpAdopt:
		return nil, d.adopt(r)
	}
	return nil, fmt.Errorf("unknown request %q; is the process of another version (%s)?", r.Op, d.cfg.Version)
}

// GraphReply is the graph in service.
type GraphReply struct {
	Generation uint64 `json:"generation"`
	Name       string `json:"name"`
	Volfile    string `json:"volfile"`
}

// Dump is everything there is to see.
type Dump struct {
	Status  Status             `json:"status"`
	Graphs  []graph.Dump       `json:"graphs"`
	Nodes   []fdtable.NodeDump `json:"nodes"`
	Pool    []string           `json:"pool"`
	Session fuse.Stats         `json:"session"`
}

func (d *Daemon) dump() (any, error) {
	return Dump{Status: d.Status(), Graphs: d.mgr.Dump(), Nodes: d.table.Dump(), Pool: d.pool.Keys(), Session: d.session.Stats()}, nil
}
