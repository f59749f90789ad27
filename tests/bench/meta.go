package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// metaOps are run one after another on one directory.
var metaOps = []struct {
	name string
	ops  int // 0: n
	run  func(dir string, n int) error
}{
	{"create", 0, each(func(p string, _ int) error { return os.WriteFile(p, nil, 0o644) })},
	{"stat", 0, each(func(p string, _ int) error { _, err := os.Lstat(p); return err })},
	{"open+close", 0, each(func(p string, _ int) error {
		f, err := os.Open(p)
		if err == nil {
			err = f.Close()
		}
		return err
	})},
	{"readdir+stat", 0, func(dir string, n int) error {
		es, err := os.ReadDir(dir)
		for _, e := range es {
			if err == nil {
				_, err = e.Info()
			}
		}
		return err
	}},
	{"chmod", 0, each(func(p string, _ int) error { return os.Chmod(p, 0o600) })},
	{"rename", 0, each(func(p string, _ int) error { return os.Rename(p, p+".r") })},
	{"unlink", 0, each(func(p string, _ int) error { return os.Remove(p + ".r") })},
	{"mkdir", 0, each(func(p string, _ int) error { return os.Mkdir(p, 0o755) })},
	{"rmdir", 0, each(func(p string, _ int) error { return os.Remove(p) })},
}

func each(op func(path string, i int) error) func(string, int) error {
	return func(dir string, n int) error {
		for i := range n {
			if err := op(filepath.Join(dir, fmt.Sprintf("file-%06d", i)), i); err != nil {
				return err
			}
		}
		return nil
	}
}

const (
	metaFiles  = 5000
	metaRounds = 3
	// kernelKeeps is for how long the kernel may answer for names and
	// attributes by itself, on each mount alike. It is over when a row begins.
	kernelKeeps = time.Second
)

// metaCell is what one row gave on one target, a value for each round.
type metaCell struct{ rate, cpu []float64 }

// meta runs the rows on each target in turn, so that what else the machine does
// falls on all of them. Every name is used once in a row, and none is in the
// kernel's cache any more when the row begins.
func (b *bench) meta() error {
	ts, stop, err := b.all()
	if err != nil {
		return err
	}
	defer stop()
	cells := map[string]*metaCell{}
	for round := range metaRounds {
		for _, o := range metaOps {
			time.Sleep(kernelKeeps + 100*time.Millisecond)
			for _, t := range ts {
				if err := b.ctx.Err(); err != nil {
					return err
				}
				dir := filepath.Join(t.dir, fmt.Sprintf("meta-%d", round))
				if err := os.MkdirAll(dir, 0o755); err != nil {
					return err
				}
				cpu, began := t.cpu(), time.Now()
				if err := o.run(dir, metaFiles); err != nil {
					return fmt.Errorf("%s on %s: %w", o.name, t.name, err)
				}
				c := cells[o.name+t.name]
				if c == nil {
					c = &metaCell{}
					cells[o.name+t.name] = c
				}
				c.rate = append(c.rate, metaFiles/time.Since(began).Seconds())
				c.cpu = append(c.cpu, (t.cpu()-cpu).Seconds()/metaFiles*1e6)
			}
		}
	}
	tab := newTable(fmt.Sprintf("metadata: operations per second, one thread, %d files, median of %d rounds; microseconds of the daemon's processor time for one.\n"+
		"Kernel caches: entries and attributes %v on bindfs and holdfast, run out before each row.", metaFiles, metaRounds, kernelKeeps),
		"row", "native", "bindfs", "holdfast", "holdfast/bindfs", "holdfast/native", "CPU bindfs", "CPU holdfast")
	defer tab.end()
	for _, o := range metaOps {
		x, f, h := cells[o.name+"native"], cells[o.name+"bindfs"], cells[o.name+"holdfast"]
		tab.row(o.name, num(middle(x.rate)), num(middle(f.rate)), num(middle(h.rate)), ratio(middle(h.rate), middle(f.rate)), ratio(middle(h.rate), middle(x.rate)),
			num(middle(f.cpu)), num(middle(h.cpu)))
	}
	return nil
}

func middle(v []float64) float64 { return slices.Sorted(slices.Values(v))[len(v)/2] }
