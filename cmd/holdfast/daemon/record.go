package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/glusterd"
	"github.com/holdfast/holdfast/cmd/holdfast/source"
	"github.com/holdfast/holdfast/fuse"
	"github.com/holdfast/holdfast/graph/volfile"
)

// record is what the state memory says of the graph in service, so that the
// next process serves the same one whatever has become of the volfile.
type record struct {
	Mountpoint string            `json:"mountpoint"`
	Since      time.Time         `json:"since"`
	Source     source.Source     `json:"source"`
	Settings   source.Settings   `json:"settings,omitempty"`
	Name       string            `json:"name"` // of the volfile
	Volfile    string            `json:"volfile"`
	From       glusterd.Fetched  `json:"from"`                // where it was fetched, if it was
	Recovered  map[string]uint64 `json:"recovered,omitempty"` // by kind, of all processes
}

// readRecord reads what an earlier process has left; ok is false for a new
// mount.
func (d *Daemon) readRecord() (ok bool, err error) {
	b := d.mem.Config()
	if len(b) == 0 {
		return false, nil
	}
	if err := json.Unmarshal(b, &d.earlier); err != nil {
		return false, fmt.Errorf("what the process before served: %w", err)
	}
	return true, nil
}

// firstWish is what an earlier process served, or what the source says.
func (d *Daemon) firstWish(ctx context.Context) (w *wish, again bool, err error) {
	if again, err = d.readRecord(); err != nil {
		return nil, false, err
	}
	if err = d.openServers(); err != nil {
		return nil, false, err
	}
	if again {
		d.src, d.set, d.from = d.earlier.Source, d.earlier.Settings, d.earlier.From
		f, err := volfile.Parse(d.earlier.Name, []byte(d.earlier.Volfile))
		return &wish{src: d.src, set: d.set, file: f, from: d.from}, true, err
	}
	if d.src, err = source.Open(d.cfg.Source); err != nil {
		return nil, false, err
	}
	if d.src.Dir != "" {
		if d.set, err = source.LoadSettings(d.src.Dir); err != nil {
			return nil, false, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	if w, err = d.wishFor(ctx, nil); err != nil {
		return nil, false, err
	}
	d.from = w.from
	return w, false, d.checkStarted(ctx, w.src)
}

// record has the state memory say that w is served.
func (d *Daemon) record(w *wish) {
	if !d.mem.Durable() {
		return
	}
	d.recordMu.Lock()
	defer d.recordMu.Unlock()
	d.earlier.Mountpoint, d.earlier.Source, d.earlier.Settings = d.mountpoint, w.src, w.set
	d.earlier.Name, d.earlier.Volfile, d.earlier.From = w.file.Name, string(w.file.Format()), w.from
	if d.earlier.Since.IsZero() {
		d.earlier.Since = time.Now()
	}
	d.mem.SetGraph(d.mgr.Current().Generation)
	d.writeRecord()
}

// writeRecord is called with recordMu held.
func (d *Daemon) writeRecord() {
	b, err := json.Marshal(&d.earlier)
	if err == nil {
		err = d.mem.SetConfig(b)
	}
	if err != nil {
		d.log.Error("the next process will not know the graph in service", "err", err)
	}
}

// countRecovered adds what was found of the process before.
func (d *Daemon) countRecovered(r *fuse.Recovered) {
	if !d.mem.Durable() {
		return
	}
	d.recordMu.Lock()
	defer d.recordMu.Unlock()
	if d.earlier.Recovered == nil {
		d.earlier.Recovered = map[string]uint64{}
	}
	for kind, n := range map[string]int{
		"answered": r.Answered, "again": r.Again, "begun": r.Begun, "poison": r.Poison, "owed": r.Owed, "held": r.Held,
		"forgets": r.Forgets, "interrupts": r.Interrupts, "damaged": r.Damaged,
	} {
		if n > 0 {
			d.earlier.Recovered[kind] += uint64(n)
		}
	}
	d.writeRecord()
}

// recoveredByKind returns a copy of the counts.
func (d *Daemon) recoveredByKind() map[string]uint64 {
	d.recordMu.Lock()
	defer d.recordMu.Unlock()
	all := map[string]uint64{}
	for k, n := range d.earlier.Recovered {
		all[k] = n
	}
	return all
}
