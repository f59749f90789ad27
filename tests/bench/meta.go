package main

import (
	"fmt"
	"os"
	"path/filepath"
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

func (b *bench) meta() error {
	ts, stop, err := b.all()
	if err != nil {
		return err
	}
	defer stop()
	const n = 10000
	type cell struct{ rate, cpu float64 }
	res := map[string]map[string]cell{}
	for _, t := range ts {
		dir := filepath.Join(t.dir, "meta")
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		res[t.name] = map[string]cell{}
		for _, o := range metaOps {
			if err := b.ctx.Err(); err != nil {
				return err
			}
			cpu, began := t.cpu(), time.Now()
			if err := o.run(dir, n); err != nil {
				return fmt.Errorf("%s on %s: %w", o.name, t.name, err)
			}
			res[t.name][o.name] = cell{n / time.Since(began).Seconds(), (t.cpu() - cpu).Seconds()}
		}
	}
	tab := newTable("metadata: operations per second, one thread; CPU seconds of the daemon per 10,000 operations",
		"row", "native", "bindfs", "holdfast", "holdfast/bindfs", "holdfast/native", "CPU bindfs", "CPU holdfast")
	defer tab.end()
	for _, o := range metaOps {
		x, f, h := res["native"][o.name], res["bindfs"][o.name], res["holdfast"][o.name]
		tab.row(o.name, num(x.rate), num(f.rate), num(h.rate), ratio(h.rate, f.rate), ratio(h.rate, x.rate),
			fmt.Sprintf("%.2f", f.cpu), fmt.Sprintf("%.2f", h.cpu))
	}
	return nil
}
