package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/holdfast/holdfast/tests/lab"
)

const (
	glusterRounds = 3
	// glusterFiles are made and listed, and with the first glusterSome of them the
	// rest is done.
	glusterFiles = 10_000
	glusterSome  = 2_500
)

// glusterFio runs the rows of fio on both clients in turn.
func (b *bench) glusterFio() error {
	return b.withClients(func(_ *lab.Volume, stock, ours *target) error {
		cells := map[string]map[*target]*sample{}
		for round := range glusterRounds {
			for _, r := range fioRows() {
				if cells[r.name] == nil {
					cells[r.name] = map[*target]*sample{stock: {}, ours: {}}
				}
				for _, t := range turns(round, stock, ours) {
					if err := b.ctx.Err(); err != nil {
						return err
					}
					x, err := b.fioRun(t, r)
					if err != nil {
						return fmt.Errorf("%s on %s: %w", r.name, t.name, err)
					}
					cells[r.name][t].add(x.iops, x.behind)
				}
			}
		}
		tab := newTable(fmt.Sprintf("a GlusterFS volume of one brick, fio: operations per second (1M rows: MiB/s), median of %d rounds of %v; microseconds of the client's processor time for one", glusterRounds, b.each),
			"row", "stock", "holdfast", "holdfast/stock", "CPU stock", "CPU holdfast", "holdfast/stock")
		defer tab.end()
		for _, r := range fioRows() {
			tab.against(r.name, cells[r.name][stock], cells[r.name][ours])
		}
		return nil
	})
}

// turns has the clients begin in turn.
func turns(round int, ts ...*target) []*target {
	if round%2 == 1 {
		slices.Reverse(ts)
	}
	return ts
}

// glusterOps are those of metaOps that GlusterFS is known by, and a listing
// without attributes.
func glusterOps() (names []string, run map[string]func(string, int) error) {
	run = map[string]func(string, int) error{}
	for _, o := range metaOps {
		if slices.Contains([]string{"create", "stat", "open+close", "rename", "unlink"}, o.name) {
			names, run[o.name] = append(names, o.name), o.run
		}
		if o.name == "stat" {
			names = append(names, "readdir")
			run["readdir"] = func(dir string, n int) error {
				es, err := os.ReadDir(dir)
				if err == nil && len(es) != n {
					err = fmt.Errorf("%d names of %d", len(es), n)
				}
				return err
			}
		}
	}
	return names, run
}

// glusterMeta runs them. No name is in the kernel's cache when a row begins.
func (b *bench) glusterMeta() error {
	return b.withClients(func(_ *lab.Volume, stock, ours *target) error {
		names, run := glusterOps()
		cells := map[string]map[*target]*sample{}
		for round := range glusterRounds {
			for _, name := range names {
				if cells[name] == nil {
					cells[name] = map[*target]*sample{stock: {}, ours: {}}
				}
				time.Sleep(kernelKeeps + 100*time.Millisecond)
				for _, t := range turns(round, stock, ours) {
					if err := b.ctx.Err(); err != nil {
						return err
					}
					dir := filepath.Join(t.dir, fmt.Sprintf("meta-%d", round))
					if err := os.MkdirAll(dir, 0o755); err != nil {
						return err
					}
					n := glusterSome
					if name == "create" || name == "readdir" {
						n = glusterFiles
					}
					cpu, began := t.cpu(), time.Now()
					if err := run[name](dir, n); err != nil {
						return fmt.Errorf("%s on %s: %w", name, t.name, err)
					}
					cells[name][t].add(float64(n)/time.Since(began).Seconds(), (t.cpu()-cpu).Seconds()/float64(n)*1e6)
				}
			}
		}
		tab := newTable(fmt.Sprintf("a GlusterFS volume of one brick, metadata: operations per second, one thread, a folder of %d files (readdir: names a second; the others but create: %d of them), median of %d rounds; microseconds of the client's processor time for one", glusterFiles, glusterSome, glusterRounds),
			"row", "stock", "holdfast", "holdfast/stock", "CPU stock", "CPU holdfast", "holdfast/stock")
		defer tab.end()
		for _, name := range names {
			tab.against(name, cells[name][stock], cells[name][ours])
		}
		return nil
	})
}
