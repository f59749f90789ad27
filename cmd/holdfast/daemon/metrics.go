package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metric is one gauge or counter of the mount.
type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*Status) float64
}

// collector turns a Status into metrics when Prometheus asks.
type collector struct {
	d       *Daemon
	plain   []metric
	count   *prometheus.Desc
	errors  *prometheus.Desc
	bytes   *prometheus.Desc
	latency *prometheus.Desc
	phase   *prometheus.Desc
}

func newCollector(d *Daemon) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("holdfast_"+name, help, labels, nil)
	}
	c := &collector{
		d:       d,
		count:   desc("fop_total", "Fops answered.", "fop"),
		errors:  desc("fop_errors_total", "Fops answered with an error.", "fop"),
		bytes:   desc("fop_bytes_total", "Bytes that READV returned or WRITEV wrote.", "fop"),
		latency: desc("fop_latency_seconds", "Latency of fops as the top translator saw it; there is no sum.", "fop", "quantile"),
		phase:   desc("graph_state", "1 for the state the current graph is in.", "state"),
	}
	add := func(kind prometheus.ValueType, name, help string, v func(*Status) float64) {
		c.plain = append(c.plain, metric{desc(name, help), kind, v})
	}
	g, n := prometheus.GaugeValue, prometheus.CounterValue
	add(g, "graph_generation", "Number of the graph in service.", func(s *Status) float64 { return float64(s.Graph.Generation) })
	add(g, "graphs_live", "Graphs that exist.", func(s *Status) float64 { return float64(s.Graphs.Live) })
	add(n, "switch_total", "Graph switches done.", func(s *Status) float64 { return float64(s.Switch.Count) })
	add(n, "switch_failed_total", "Graph changes refused or given up.", func(s *Status) float64 { return float64(s.Switch.Failed) })
	add(g, "switch_last_seconds", "How long the last switch took.", func(s *Status) float64 { return s.Switch.LastMS / 1000 })
	add(g, "nodes", "Files the kernel knows.", func(s *Status) float64 { return float64(s.Files.Nodes) })
	add(g, "files_open", "Open files.", func(s *Status) float64 { return float64(s.Files.Open) })
	add(g, "files_pending", "Open files that have not moved to the current graph yet.", func(s *Status) float64 { return float64(s.Files.Pending) })
	add(g, "files_held", "Files that wait for older data to be written.", func(s *Status) float64 { return float64(s.Files.Held) })
	add(g, "files_pinned", "Open files that could not move when they were tried last.", func(s *Status) float64 { return float64(s.Files.Pinned) })
	add(n, "files_moved_total", "Moves of files to a newer graph.", func(s *Status) float64 { return float64(s.Files.Moved) })
	add(g, "locks_held", "Locks that applications hold.", func(s *Status) float64 { return float64(s.Locks.Held) })
	add(g, "locks_waiting", "Locks that applications wait for.", func(s *Status) float64 { return float64(s.Locks.Waiting) })
	add(n, "locks_lost_total", "Locks that were lost.", func(s *Status) float64 { return float64(s.Locks.Lost) })
	add(n, "worker_restarts_total", "Workers started after the first.", func(s *Status) float64 { return float64(s.Worker.Restarts) })
	add(n, "worker_deaths_total", "Workers that ended without being asked to.", func(s *Status) float64 { return float64(s.Worker.Deaths) })
	add(n, "recovered_requests_total", "Requests of dead workers that were brought to their end.", func(s *Status) float64 { return float64(s.Recovery.Requests) })
	add(g, "recovery_last_seconds", "How long the last recovery took.", func(s *Status) float64 { return s.Recovery.LastMS / 1000 })
	add(g, "keeper_up", "1 if the mount would survive this process.", func(s *Status) float64 {
		if s.Keeper.State == "on" {
			return 1
		}
		return 0
	})
	add(g, "requests_in_flight", "Requests of the kernel being worked on.", func(s *Status) float64 { return float64(s.Kernel.InFlight) })
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range c.plain {
		ch <- m.desc
	}
	for _, d := range []*prometheus.Desc{c.count, c.errors, c.bytes, c.latency, c.phase} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.d.Status()
	for _, m := range c.plain {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&s))
	}
	ch <- prometheus.MustNewConstMetric(c.phase, prometheus.GaugeValue, 1, s.Graph.State)
	for name, f := range s.Fops {
		counter := func(d *prometheus.Desc, v uint64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), name)
		}
		counter(c.count, f.Count)
		counter(c.errors, f.Errors)
		counter(c.bytes, f.Bytes)
		for q, us := range map[string]float64{"0.5": f.P50US, "0.9": f.P90US, "0.99": f.P99US, "1": f.MaxUS} {
			ch <- prometheus.MustNewConstMetric(c.latency, prometheus.GaugeValue, us/1e6, name, q)
		}
	}
}

// metricsServer answers Prometheus.
type metricsServer struct {
	srv  *http.Server
	lis  net.Listener
	done chan struct{}
}

// serveMetrics listens on HOST:PORT or unix:/PATH.
func (d *Daemon) serveMetrics(addr string) (*metricsServer, error) {
	lis, err := listenMetrics(addr)
	if err != nil {
		return nil, fmt.Errorf("metrics on %s: %w", addr, err)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(newCollector(d), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	m := &metricsServer{lis: lis, done: make(chan struct{}), srv: &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}}
	go func() {
		defer close(m.done)
		if err := m.srv.Serve(lis); err != nil && !errors.Is(err, http.ErrServerClosed) {
			d.log.Error("metrics", "err", err)
		}
	}()
	if lis.Addr().Network() != "unix" {
		addr = lis.Addr().String()
	}
	d.mu.Lock()
	d.metricsAddr = addr
	d.mu.Unlock()
	return m, nil
}

func listenMetrics(addr string) (net.Listener, error) {
	path, ok := strings.CutPrefix(addr, "unix:")
	if !ok {
		return net.Listen("tcp", addr)
	}
	lis, err := net.Listen("unix", path)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return lis, err
	}
	// A socket that nobody answers is left over from a crash.
	if c, derr := net.DialTimeout("unix", path, time.Second); derr == nil {
		c.Close()
		return nil, err
	} else if !errors.Is(derr, syscall.ECONNREFUSED) {
		return nil, err
	}
	if rerr := os.Remove(path); rerr != nil {
		return nil, rerr
	}
	return net.Listen("unix", path)
}

// Close stops answering, and waits for it.
func (m *metricsServer) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if m.srv.Shutdown(ctx) != nil {
		m.srv.Close()
	}
	<-m.done
}
