package daemon

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/glusterd"
	"github.com/holdfast/holdfast/cmd/holdfast/mountopt"
	"github.com/holdfast/holdfast/cmd/holdfast/source"
	"github.com/holdfast/holdfast/graph/volfile"
)

// Servers is what a client of the management daemons of a volume needs.
func Servers(v glusterd.Volume, o *mountopt.Options) glusterd.Config {
	cfg := glusterd.Config{Servers: v.Servers, Port: o.ServerPort, Volume: v.Name}
	for _, s := range o.BackupServers {
		if !slices.Contains(cfg.Servers, s) {
			cfg.Servers = append(slices.Clip(cfg.Servers), s)
		}
	}
	return cfg
}

// openServers begins to talk to the management daemons, if the mount is of a
// volume of theirs.
func (d *Daemon) openServers() error {
	src, err := source.Open(d.cfg.Source)
	if d.mem.Worker() > 1 && src.Remote == "" {
		return nil // whatever has become of a file: it is not needed now
	}
	if err != nil || src.Remote == "" {
		return err
	}
	v, err := src.Volume()
	if err != nil {
		return err
	}
	cfg := Servers(v, &d.cfg.Options)
	cfg.Log = d.log
	d.servers = glusterd.New(cfg)
	return nil
}

func (d *Daemon) closeServers() {
	if d.servers != nil {
		d.servers.Close()
	}
}

// fetch gets the volfile of a remote source.
func (d *Daemon) fetch(ctx context.Context, src source.Source) (*volfile.File, glusterd.Fetched, error) {
	if d.servers == nil || src.Remote != d.cfg.Source {
		return nil, glusterd.Fetched{}, fmt.Errorf("the mount is of %s, not of %s: unmount and mount again", d.cfg.Source, src.Remote)
	}
	text, from, err := d.servers.Fetch(ctx)
	if err != nil {
		return nil, from, err
	}
	f, err := src.Parse(text)
	return f, from, err
}

// startedLimit bounds the question whether a volume is started.
const startedLimit = 10 * time.Second

// checkStarted says that a volume which is to be mounted is not started: its
// bricks would be waited for in vain.
func (d *Daemon) checkStarted(ctx context.Context, src source.Source) error {
	if src.Remote == "" {
		return nil
	}
	v, err := src.Volume()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startedLimit)
	defer cancel()
	if started, known := d.servers.Started(ctx); known && !started {
		return fmt.Errorf("volume %s is not started; `gluster volume start %[1]s` on one of its servers starts it", v.Name)
	}
	return nil
}

// watchServers reloads when the servers say that something may have changed. It
// returns when the graph comes from elsewhere, or ctx ends.
func (d *Daemon) watchServers(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.rewatch:
			return
		case <-d.servers.Changed():
			// Beside the loop, as for a file.
			d.wg.Go(func() { d.refetch(ctx) })
		}
	}
}

// refetch is the change that news from the servers make.
func (d *Daemon) refetch(ctx context.Context) {
	d.reload(ctx, byServers, func(w *wish) error {
		if w.src.Remote == "" {
			return errNothingNew
		}
		return nil
	})
}

// ServersStatus is about the management daemons that the volfile comes from.
type ServersStatus struct {
	glusterd.Status
	// Volfile says where the graph in service comes from.
	Volfile glusterd.Fetched `json:"volfile"`
}

// serversStatus is nil for a graph from elsewhere.
func (d *Daemon) serversStatus() *ServersStatus {
	d.mu.Lock()
	remote, from := d.src.Remote != "", d.from
	d.mu.Unlock()
	if !remote || d.servers == nil {
		return nil
	}
	return &ServersStatus{Status: d.servers.Status(), Volfile: from}
}
