package daemon

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/holdfast/holdfast/xlator"
)

// Status is what `holdfast status --json` prints.
type Status struct {
	Mount  MountStatus  `json:"mount"`
	Graph  GraphStatus  `json:"graph"`
	Graphs GraphsStatus `json:"graphs"`
	Switch SwitchStatus `json:"switch"`
	Reload lastReload   `json:"reload"`
	// Servers is about where the volfile comes from; nil if it is no server.
	Servers *ServersStatus `json:"glusterd,omitempty"`
	Files   FilesStatus    `json:"files"`
	Locks   LocksStatus    `json:"locks"`
	Process ProcessStatus  `json:"process"`
	Keeper  KeeperStatus   `json:"keeper"`
	Worker  WorkerStatus   `json:"worker"`
	// Recovery is about the requests of processes that died.
	Recovery   RecoveryStatus       `json:"recovery"`
	Guarantees []Guarantee          `json:"guarantees"`
	Kernel     KernelStatus         `json:"kernel"`
	Fops       map[string]FopStatus `json:"fops"`
}

// MountStatus is what is mounted where.
type MountStatus struct {
	Source     string    `json:"source"`
	Mountpoint string    `json:"mountpoint"`
	Volfile    string    `json:"volfile,omitempty"` // where the graph comes from, if not from the settings
	ReadOnly   bool      `json:"read_only"`
	Connection int       `json:"connection"` // number in /sys/fs/fuse/connections
	Since      time.Time `json:"since"`
	LogFile    string    `json:"log_file,omitempty"`
	Metrics    string    `json:"metrics,omitempty"`
}

// GraphStatus is the graph in service.
type GraphStatus struct {
	Generation uint64 `json:"generation"`
	// State is serving, settling, building, connecting or draining.
	State    string `json:"state"`
	VolumeID string `json:"volume_id"`
	Top      string `json:"top"`
	Requests int64  `json:"requests"` // running in it
}

// GraphsStatus counts the graphs that still exist.
type GraphsStatus struct {
	Live int `json:"live"`
}

// SwitchStatus is about changes of the graph.
type SwitchStatus struct {
	Count  uint64  `json:"count"`
	Failed uint64  `json:"failed"`
	LastMS float64 `json:"last_ms"`
}

// FilesStatus is about the files the kernel knows.
type FilesStatus struct {
	Nodes   int    `json:"nodes"`
	Open    int    `json:"open"`
	Pending int    `json:"pending"`
	Held    int    `json:"held"`
	Pinned  int    `json:"pinned"`
	Moved   uint64 `json:"moved"`
}

// LocksStatus is about fcntl(2) and flock(2) locks.
type LocksStatus struct {
	Held    int `json:"held"`
	Waiting int `json:"waiting"`
	Lost    int `json:"lost"`
}

// KeeperStatus is about the process that keeps the mount for the next worker.
type KeeperStatus struct {
	PID int `json:"pid,omitempty"`
	// State is on, off (there is none, as asked), lost, or failed: no worker
	// came to be in time, and everything is answered with EIO.
	State   string     `json:"state"`
	Service string     `json:"service,omitempty"` // its address, if it is one
	Error   string     `json:"error,omitempty"`   // why there is no worker
	Since   *time.Time `json:"since,omitempty"`   // there is none
}

// WorkerStatus is about the process that serves the mount, and those before it.
type WorkerStatus struct {
	Generation uint64 `json:"generation"` // its number, from 1
	Restarts   uint64 `json:"restarts"`
	Deaths     uint64 `json:"deaths"` // of workers that nobody had asked to end
}

// RecoveryStatus is about the requests of processes that died.
type RecoveryStatus struct {
	Requests uint64            `json:"requests"`
	ByKind   map[string]uint64 `json:"by_kind"` // by what became of them
	LastMS   float64           `json:"last_ms"`
}

// ProcessStatus is about the process that serves the mount.
type ProcessStatus struct {
	PID        int     `json:"pid"`
	RSSBytes   int64   `json:"rss_bytes"`
	Goroutines int     `json:"goroutines"`
	UptimeS    float64 `json:"uptime_s"`
	Version    string  `json:"version"`
}

// KernelStatus is about the kernel's requests.
type KernelStatus struct {
	InFlight   int   `json:"in_flight"`
	Panics     int   `json:"panics"`      // requests answered EIO because of a mistake in the program
	EarlyBytes int64 `json:"early_bytes"` // written data that was acknowledged and is on its way
}

// FopStatus is one kind of fop.
type FopStatus struct {
	Count  uint64  `json:"count"`
	Errors uint64  `json:"errors"`
	Bytes  uint64  `json:"bytes,omitempty"`
	P50US  float64 `json:"p50_us"`
	P90US  float64 `json:"p90_us"`
	P99US  float64 `json:"p99_us"`
	MaxUS  float64 `json:"max_us"`
}

// Status gathers it. It takes only short locks, and none that a request to a
// brick may hold.
func (d *Daemon) Status() Status {
	gs, ts, ks := d.mgr.Status(), d.table.Status(), d.session.Stats()
	s := Status{
		Mount: MountStatus{
			Source: d.cfg.Source, Mountpoint: d.mountpoint, ReadOnly: d.cfg.Options.ReadOnly(),
			Connection: d.session.Connection(), Since: d.since, LogFile: d.cfg.LogFile,
		},
		Graph:   GraphStatus{Generation: gs.Generation, State: gs.State, VolumeID: gs.VolumeID.String()},
		Graphs:  GraphsStatus{Live: gs.Live},
		Switch:  SwitchStatus{Count: gs.Count, Failed: gs.Failed, LastMS: gs.LastMS},
		Files:   FilesStatus{Nodes: ts.Nodes, Open: ts.Open, Pending: ts.Pending, Held: ts.Held, Pinned: ts.Pinned, Moved: ts.Moved},
		Locks:   LocksStatus{Held: ts.LocksHeld, Waiting: ts.LocksWaiting, Lost: ts.LocksLost},
		Process: ProcessStatus{PID: os.Getpid(), RSSBytes: rss(), Goroutines: runtime.NumGoroutine(), UptimeS: time.Since(d.began).Seconds(), Version: d.cfg.Version},
		Kernel:  KernelStatus{InFlight: ks.InFlight, Panics: int(ks.Panics), EarlyBytes: ks.EarlyBytes},
		Fops:    map[string]FopStatus{}, Guarantees: d.promises,
	}
	d.keeping(&s)
	s.Servers = d.serversStatus()
	d.mu.Lock()
	s.Reload = d.last
	s.Mount.Metrics = d.metricsAddr
	s.Mount.Volfile = d.src.Volfile
	d.mu.Unlock()
	if g := d.mgr.Current(); g != nil {
		s.Graph.Requests = g.Running()
		if f := g.File(); f != nil && f.Top() != nil {
			s.Graph.Top = f.Top().Name
		}
	}
	fops, counted := d.fops()
	for _, f := range fops {
		s.Fops[f.Fop] = FopStatus{Count: f.Count, Errors: f.Errors, Bytes: f.Bytes, P50US: us(f.P50), P90US: us(f.P90), P99US: us(f.P99), MaxUS: us(f.Max)}
	}
	if !counted { // then at least what the kernel asked for
		for name, n := range ks.Requests {
			s.Fops[name] = FopStatus{Count: n}
		}
	}
	return s
}

// keeping fills in who keeps the mount, and what became of earlier processes.
func (d *Daemon) keeping(s *Status) {
	s.Keeper.State = "off"
	if d.link != nil {
		s.Keeper.State = "on"
		if s.Keeper.PID, s.Keeper.Service = d.link.Keeper(); s.Keeper.PID == 0 {
			s.Keeper.State = "lost"
		}
	}
	s.Worker = WorkerStatus{Generation: max(d.mem.Worker(), 1), Restarts: restarts(d.mem.Worker()), Deaths: d.mem.Deaths()}
	n, nanos := d.mem.Recovered()
	s.Recovery = RecoveryStatus{Requests: n, ByKind: d.recoveredByKind(), LastMS: float64(nanos) / 1e6}
}

func us(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// fops is what the top of the graph has counted, if it counts.
func (d *Daemon) fops() (stats []xlator.FopStats, ok bool) {
	if g := d.mgr.Current(); g != nil {
		if p, ok := g.Top.(xlator.StatsProvider); ok {
			return p.FopStats(), true
		}
	}
	return nil, false
}

// rss is the resident memory of the process in bytes, 0 if it cannot be read.
func rss() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	if f := bytes.Fields(b); len(f) > 1 {
		pages, _ := strconv.ParseInt(string(f[1]), 10, 64)
		return pages * int64(os.Getpagesize())
	}
	return 0
}
