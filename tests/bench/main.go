package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	only := flag.String("only", "pause,resolve,keeper,kill,fio,meta", "tables to print; gluster: those of a GlusterFS volume")
	seconds := flag.Int("seconds", 3, "duration of one fio row")
	bin := flag.String("bin", "bin/holdfast", "the program")
	dir := flag.String("dir", "", "where to work (default: a new folder in the current one)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *bin, *dir, strings.Split(*only, ","), time.Duration(*seconds)*time.Second); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin, dir string, only []string, each time.Duration) error {
	if dir == "" {
		wd, err := os.Getwd()
		if err != nil {
			return err
		}
		if dir, err = os.MkdirTemp(wd, ".bench-"); err != nil {
			return err
		}
	}
	defer os.RemoveAll(dir)
	b := &bench{ctx: ctx, bin: bin, dir: dir, each: each}
	tables := map[string]func() error{"keeper": b.keeper, "kill": b.kills, "pause": b.pauses, "resolve": b.resolve, "fio": b.fio, "meta": b.meta,
		"gluster-fio": b.glusterFio, "gluster-meta": b.glusterMeta, "gluster-pause": b.glusterPause, "gluster-memory": b.glusterMemory, "gluster-gains": b.glusterGains}
	if i := slices.Index(only, "gluster"); i >= 0 {
		only = slices.Replace(only, i, i+1, glusterTables...)
	}
	for _, name := range only {
		t, ok := tables[name]
		if !ok {
			return fmt.Errorf("no table %q", name)
		}
		if err := t(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// bench is one run.
type bench struct {
	ctx  context.Context
	bin  string
	dir  string
	each time.Duration
}
