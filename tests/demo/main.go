package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/tests/workload"
)

func main() {
	d := &demo{}
	flag.IntVar(&d.switches, "switches", 100, "how many times the graph is switched")
	flag.IntVar(&d.kills, "kills", 50, "how many times the worker is killed meanwhile")
	flag.DurationVar(&d.every, "every", 200*time.Millisecond, "time between switches")
	flag.StringVar(&d.dir, "dir", "demo", "where the volume is")
	flag.StringVar(&d.binary, "holdfast", "bin/holdfast", "the program")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	if err := d.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// demo is one run.
type demo struct {
	switches, kills int
	killed          int
	every           time.Duration
	dir, binary     string
	brick, mnt, log string
	hfload          string
	workers         []*workload.Process
	results         []workload.Result
	took            []time.Duration // of each switch
	graphsLeft      int
	recovered       uint64
	pinned          int
}

// kinds are the workers; openfiles has this many files open.
var kinds = []string{"writer", "reader", "appender", "mmap", "locker", "walker", "renamer", "openfiles", "meter"}

const openFiles = 500

func (d *demo) run(ctx context.Context) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("mounting needs root")
	}
	if err := d.prepare(ctx); err != nil {
		return err
	}
	defer func() {
		if cerr := d.cleanUp(err == nil); err == nil {
			err = cerr
		}
	}()
	fmt.Printf("%s: a volume with the graph\n\n", d.mnt)
	if err := d.holdfast(ctx, "graph", d.mnt); err != nil {
		return err
	}
	if err := d.launch(ctx); err != nil {
		return err
	}
	fmt.Printf("\n%d programs work in it and verify what they read; one has %d files open.\n", len(kinds), openFiles)
	switchErr := d.switchAll(ctx)
	if err := errors.Join(switchErr, d.finish(ctx)); err != nil {
		return err
	}
	return d.report(os.Stdout)
}

// prepare builds what it needs, and mounts.
func (d *demo) prepare(ctx context.Context) error {
	dir, err := filepath.Abs(d.dir)
	if err != nil {
		return err
	}
	d.dir = dir
	d.brick, d.mnt, d.log = filepath.Join(dir, "brick"), filepath.Join(dir, "mnt"), filepath.Join(dir, "holdfast.log")
	if m, err := control.FindMount(d.mnt); err == nil { // of a run that was killed
		if err := d.holdfast(ctx, "umount", "-l", "-f", m.Mountpoint); err != nil {
			return err
		}
	}
	for _, p := range []string{d.brick, d.mnt} {
		if err := os.MkdirAll(p, 0o755); err != nil {
			return err
		}
	}
	d.hfload = filepath.Join(dir, "hfload")
	build := exec.CommandContext(ctx, "go", "build", "-o", d.hfload, "github.com/holdfast/holdfast/tests/hfload")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the workers: %w\n%s", err, out)
	}
	return d.holdfast(ctx, "mount", d.brick, d.mnt, "--log-file", d.log)
}

// holdfast runs a command of the program.
func (d *demo) holdfast(ctx context.Context, args ...string) error {
	c := exec.CommandContext(ctx, d.binary, args...)
	c.Stdout = os.Stdout
	var errs strings.Builder
	c.Stderr = &errs
	if err := c.Run(); err != nil {
		return fmt.Errorf("holdfast %s: %w: %s", args[0], err, strings.TrimSpace(errs.String()))
	}
	return nil
}

func (d *demo) launch(ctx context.Context) error {
	for i, k := range kinds {
		cfg := workload.Config{Kind: k, Dir: d.mnt, ID: i, Seed: uint64(time.Now().UnixNano()), Progress: 250 * time.Millisecond}
		if k == "openfiles" {
			cfg.N = openFiles
		}
		p, err := workload.Launch(ctx, d.hfload, cfg)
		if err != nil {
			return err
		}
		d.workers = append(d.workers, p)
	}
	for _, p := range d.workers {
		if err := p.Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// finish stops the workers and sees what is left of the old graphs.
func (d *demo) finish(ctx context.Context) error {
	var errs []error
	for _, p := range d.workers {
		r, err := p.Stop()
		d.results = append(d.results, r)
		errs = append(errs, err)
	}
	d.workers = nil
	return errors.Join(append(errs, d.settle(ctx))...)
}

// cleanUp leaves nothing mounted, and nothing else either if all went well.
func (d *demo) cleanUp(well bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, p := range d.workers {
		p.Stop()
	}
	if _, err := control.FindMount(d.mnt); err == nil {
		args := []string{"umount", d.mnt}
		if !well {
			args = append(args, "-l", "-f")
		}
		if err := d.holdfast(ctx, args...); err != nil {
			return err
		}
	}
	if !well {
		fmt.Fprintln(os.Stderr, "the log is", d.log)
		return nil
	}
	return os.RemoveAll(d.dir)
}
