package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/glusterd"
	"github.com/holdfast/holdfast/cmd/holdfast/mountopt"
	"github.com/holdfast/holdfast/cmd/holdfast/source"
	"github.com/holdfast/holdfast/graph"
	"github.com/holdfast/holdfast/graph/volfile"
)

// reloadTimeout bounds a change that nobody gave a time for.
const reloadTimeout = 60 * time.Second

// wish is a graph that was asked for.
type wish struct {
	seq  uint64
	src  source.Source
	set  source.Settings
	file *volfile.File
	from glusterd.Fetched // where the file was fetched, if it was
	done bool             // guarded by Daemon.mu; it serves, or was refused
}

// Who asks for a reload without anybody having asked for it.
const (
	byWatch   = "watch"
	byServers = "glusterd"
)

// lastReload is how the latest change ended.
type lastReload struct {
	By    string    `json:"by"` // command, signal, watch, glusterd
	At    time.Time `json:"at"`
	Error string    `json:"error,omitempty"`
}

// reload brings the graph that change makes of the current source and settings
// into service; nil keeps both and reads the volfile again. On an error
// everything stays as it was.
func (d *Daemon) reload(ctx context.Context, by string, change func(*wish) error) (graph.Result, error) {
	res, err := d.tryReload(ctx, change)
	if errors.Is(err, errNothingNew) {
		return res, err
	}
	last := lastReload{By: by, At: time.Now()}
	if err != nil {
		last.Error = err.Error()
		d.log.Error("reload failed", "by", by, "err", err)
	} else if by != byWatch && by != byServers || res.Action != "none" {
		d.log.Info("reload", "by", by, "action", res.Action, "generation", res.Generation)
	}
	for _, w := range res.Warnings {
		d.log.Warn("volfile", "warning", w)
	}
	d.mu.Lock()
	d.last = last
	d.mu.Unlock()
	return res, err
}

func (d *Daemon) tryReload(ctx context.Context, change func(*wish) error) (graph.Result, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, reloadTimeout)
		defer cancel()
	}
	w, err := d.wishFor(ctx, change)
	if err != nil {
		return graph.Result{}, err
	}
	defer func() {
		d.mu.Lock()
		w.done = true
		d.mu.Unlock()
	}()
	// The Manager lets the latest wish win, in the order in which they reach
	// it, which need not be the order in which the volfile was read. So who
	// meets a later wish than its own sees to it that it is the last.
	var did graph.Result // what the change itself did
	for {
		res, err := d.mgr.Reload(ctx, w.file)
		if err == nil && res.Action == "none" && did.Action != "" {
			did.Generation, res = res.Generation, did
		} else if err == nil {
			did = res
		}
		latest := d.latestWish()
		if latest.seq == w.seq {
			if err == nil && volfile.Diff(d.mgr.Current().File(), w.file).Kind != volfile.Same && ctx.Err() == nil {
				continue // an older one came after it
			}
			if err == nil {
				d.commit(w)
			}
			return res, err
		}
		if err == nil && d.mgr.Current().File() == w.file {
			d.commit(w)
		}
		d.mu.Lock()
		w.done = true
		d.mu.Unlock()
		w = latest
	}
}

// errNothingNew ends a re-read for a change of the watched file when what is on
// its way is of another file, or says the same already.
var errNothingNew = errors.New("nothing new")

// reread is the change that a change of the watched file makes.
func (d *Daemon) reread(ctx context.Context, file string) {
	d.reload(ctx, byWatch, func(w *wish) error {
		if w.src.Volfile != file {
			return errNothingNew
		}
		d.mu.Lock()
		l := d.latest
		pending := l != nil && !l.done
		d.mu.Unlock()
		if f, err := w.src.Load(w.set); pending && err == nil && volfile.Diff(l.file, f).Kind == volfile.Same {
			return errNothingNew
		}
		return nil
	})
}

// wishFor reads or fetches the volfile, or makes the default graph, and numbers
// the wish.
func (d *Daemon) wishFor(ctx context.Context, change func(*wish) error) (*wish, error) {
	select {
	case d.loadTurn <- struct{}{}:
		defer func() { <-d.loadTurn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("another volfile is still being read: %w", ctx.Err())
	}
	w := &wish{}
	d.mu.Lock()
	w.src, w.set = d.src, d.set
	if l := d.latest; l != nil && !l.done {
		w.src, w.set = l.src, l.set // what is on its way is not to be taken back
	}
	d.mu.Unlock()
	if change != nil {
		if err := change(w); err != nil {
			return nil, err
		}
	}
	var err error
	if w.src.Remote != "" {
		w.file, w.from, err = d.fetch(ctx, w.src)
	} else {
		w.file, err = w.src.Load(w.set)
	}
	if err != nil {
		return nil, err
	}
	if err := checkApart(d.mountpoint, source.Bricks(w.file)); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wishes++
	w.seq = d.wishes
	d.latest = w
	return w, nil
}

func (d *Daemon) latestWish() *wish {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.latest
}

// commit makes the source and settings of a graph that serves the current ones.
func (d *Daemon) commit(w *wish) {
	d.mu.Lock()
	moved := d.src != w.src
	d.src, d.set, d.from = w.src, w.set, w.from
	d.mu.Unlock()
	d.record(w)
	d.applyLogLevel(w.file)
	if moved {
		select {
		case d.rewatch <- struct{}{}:
		default:
		}
	}
}

// applyLogLevel takes the log level from the top of the graph, GlusterFS's
// diagnostics.client-log-level, unless the mount was given one.
func (d *Daemon) applyLogLevel(f *volfile.File) {
	if d.cfg.Options.LogLevelGiven {
		return
	}
	level := d.cfg.Options.LogLevel
	if s, ok := f.Top().Option("log-level"); ok {
		if l, err := mountopt.ParseLevel(s); err == nil {
			level = l
		}
	}
	d.level.Set(level)
}

// whereSet says how the options of a graph from elsewhere are changed.
func whereSet(src source.Source) string {
	v, err := src.Volume()
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (`gluster volume set %s KEY VALUE` on one of its servers; mounts follow by themselves)", v.Name)
}

// SetReply is the answer to a change of settings.
type SetReply struct {
	graph.Result
	// NotKept says why the settings will not hold at the next mount.
	NotKept string `json:"not_kept,omitempty"`
}

// changeSettings changes settings of a directory volume: one at a time, so that each is
// judged for itself.
func (d *Daemon) changeSettings(ctx context.Context, pairs [][2]string, reset []string) (SetReply, error) {
	select {
	case d.setTurn <- struct{}{}:
		defer func() { <-d.setTurn }()
	case <-ctx.Done():
		return SetReply{}, fmt.Errorf("another change of settings is still on its way: %w", ctx.Err())
	}
	var changed source.Settings
	res, err := d.reload(ctx, "set", func(w *wish) (err error) {
		if w.src.Dir == "" {
			return fmt.Errorf("the graph comes from %s: change it there%s", w.src, whereSet(w.src))
		}
		w.set, err = w.set.Change(d.cfg.Types, pairs, reset)
		changed = w.set
		return err
	})
	if err != nil {
		return SetReply{}, err
	}
	r := SetReply{Result: res}
	d.mu.Lock()
	dir := d.src.Dir
	d.mu.Unlock()
	if err := changed.Save(dir); err != nil {
		d.log.Error("settings are in force, but not kept", "err", err)
		r.NotKept = err.Error()
	}
	return r, nil
}

// reread is for a reload without a new file: the settings of a directory
// volume are read again too.
func reread(w *wish) (err error) {
	if w.src.Dir != "" {
		w.set, err = source.LoadSettings(w.src.Dir)
	}
	return err
}
