package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/tests/kill"
)

const (
	killRounds = 100
	killWindow = 250 * time.Millisecond
)

// kills measures what a loop of 4 KiB pread and pwrite sees when the worker is
// killed, with little and with much that the next one takes over.
func (b *bench) kills() error {
	tab := newTable(fmt.Sprintf("longest operation of a 4 KiB pread/pwrite loop in the %v around a SIGKILL of the worker, %d kills a row; no kill: the same without one",
		killWindow, killRounds),
		"known files", "open files", "median", "90 %", "worst", "no kill: median", "worst", "worker ready (last)", "errors")
	defer tab.end()
	for _, r := range []struct{ known, open int }{{1, 1}, {1000, 100}, {100_000, 10_000}} {
		if err := b.killRow(tab, r.known, r.open); err != nil {
			return fmt.Errorf("%d files, %d open: %w", r.known, r.open, err)
		}
	}
	return nil
}

func (b *bench) killRow(tab *table, known, open int) (err error) {
	t, err := b.holdfast(fmt.Sprintf("kill-%d", open), "-o", "entry-timeout=3600,attribute-timeout=3600")
	if err != nil {
		return err
	}
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close()
		}
		err = errors.Join(err, t.stop())
	}()
	for i := range known {
		path := filepath.Join(t.dir, fmt.Sprintf("%d-%d", i/1000, i))
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		if i < open {
			files = append(files, f)
			continue
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	client, err := control.Open(t.dir)
	if err != nil {
		return err
	}
	var quiet, killed []time.Duration
	bad := 0
	keeper, _, err := keeperOf(b.ctx, client)
	if err != nil {
		return err
	}
	for range killRounds {
		if err := b.ctx.Err(); err != nil {
			return err
		}
		longest, errs := exercise(files[0], killWindow)
		quiet, bad = append(quiet, longest), bad+errs
		hit := make(chan int, 1)
		time.AfterFunc(killWindow/5, func() { hit <- kill.Now(keeper) })
		longest, errs = exercise(files[0], killWindow)
		killed, bad = append(killed, longest), bad+errs
		if <-hit != 1 {
			return errors.New("nothing was killed")
		}
	}
	_, ready, err := keeperOf(b.ctx, client)
	if err != nil {
		return err
	}
	tab.row(fmt.Sprint(known), fmt.Sprint(open), ms(share(killed, 50)), ms(share(killed, 90)), ms(share(killed, 100)),
		ms(share(quiet, 50)), ms(share(quiet, 100)), ms(ready), fmt.Sprint(bad))
	return nil
}

// keeperOf is the keeper's process, and how long its worker took to go on with
// what was in the slots.
func keeperOf(ctx context.Context, c *control.Client) (pid int, ready time.Duration, err error) {
	var s struct {
		Keeper   struct{ PID int }
		Recovery struct {
			LastMS float64 `json:"last_ms"`
		}
	}
	err = c.Ask(ctx, control.Request{Op: control.OpStatus}, &s)
	return s.Keeper.PID, time.Duration(s.Recovery.LastMS * float64(time.Millisecond)), err
}
