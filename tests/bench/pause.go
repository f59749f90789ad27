package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
)

const (
	pauseSwitches = 25
	// pauseWindow is long enough for every file to move.
	pauseWindow = 500 * time.Millisecond
)

// pauses measures what a loop of 4 KiB pread and pwrite sees around a switch, by
// the number of open files. The rows take turns, so that whatever else the
// machine does falls on all of them, and before each switch the same loop runs
// for the same time without one.
func (b *bench) pauses() (err error) {
	var rows []*pauseRow
	defer func() {
		for _, r := range rows {
			if e := r.close(); err == nil {
				err = e
			}
		}
	}()
	for _, n := range []int{1, 100, 1000, 10000} {
		r, err := b.openPause(n)
		if err != nil {
			return err
		}
		rows = append(rows, r)
	}
	for range pauseSwitches {
		for _, r := range rows {
			if err := b.ctx.Err(); err != nil {
				return err
			}
			if err := r.round(b); err != nil {
				return fmt.Errorf("%d open files: %w", r.n, err)
			}
		}
	}
	tab := newTable(fmt.Sprintf("longest operation of a 4 KiB pread/pwrite loop in the %v after a switch was asked for, %d switches a row; no switch: the same without one",
		pauseWindow, pauseSwitches),
		"open files", "median", "90 %", "worst", "no switch: median", "90 %", "worst", "one graph again", "errors")
	defer tab.end()
	for _, r := range rows {
		tab.row(fmt.Sprint(r.n), ms(share(r.switched, 50)), ms(share(r.switched, 90)), ms(share(r.switched, 100)),
			ms(share(r.quiet, 50)), ms(share(r.quiet, 90)), ms(share(r.quiet, 100)), ms(share(r.settled, 50)), fmt.Sprint(r.errors))
	}
	first, last := rows[0], rows[len(rows)-1]
	tab.row(fmt.Sprintf("%d / %d", last.n, first.n), ratio(float64(share(last.switched, 50)), float64(share(first.switched, 50))), "", "",
		ratio(float64(share(last.quiet, 50)), float64(share(first.quiet, 50))), "", "", "", "")
	return nil
}

// share is the duration that so many in a hundred do not exceed.
func share(d []time.Duration, percent int) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[min(len(d)*percent/100, len(d)-1)]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }

// pauseRow is one mount with n open files.
type pauseRow struct {
	n      int
	t      *target
	client *control.Client
	files  []*os.File
	on     bool // what the next switch sets

	switched []time.Duration // longest operation around each switch
	quiet    []time.Duration // longest operation in the same time without one
	settled  []time.Duration // from the wish to one graph that has all files
	errors   int
}

func (b *bench) openPause(n int) (r *pauseRow, err error) {
	r = &pauseRow{n: n}
	if r.t, err = b.holdfast(fmt.Sprintf("pause-%d", n)); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	for i := range n {
		f, err := os.OpenFile(filepath.Join(r.t.dir, fmt.Sprintf("open-%d", i)), os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, err
		}
		r.files = append(r.files, f)
	}
	// Asked in this process: commands would take the processor that is measured.
	r.client, err = control.Open(r.t.dir)
	return r, err
}

func (r *pauseRow) close() error {
	for _, f := range r.files {
		f.Close()
	}
	return r.t.stop()
}

// round measures once without a switch and once with one, and then how long
// another switch takes, which nobody may ask about while the loop is measured.
func (r *pauseRow) round(b *bench) error {
	longest, errors := exercise(r.files[0], pauseWindow)
	r.quiet = append(r.quiet, longest)
	r.errors += errors

	asked := make(chan error, 1)
	go func() { asked <- r.change(b) }()
	longest, errors = exercise(r.files[0], pauseWindow)
	r.switched = append(r.switched, longest)
	r.errors += errors
	if err := <-asked; err != nil {
		return err
	}
	if _, err := r.settle(b); err != nil {
		return err
	}
	began := time.Now()
	if err := r.change(b); err != nil {
		return err
	}
	end, err := r.settle(b)
	r.settled = append(r.settled, end.Sub(began))
	return err
}

// change asks for another graph, and returns when it serves.
func (r *pauseRow) change(b *bench) error {
	value := "off"
	if r.on {
		value = "on"
	}
	r.on = !r.on
	set := control.Request{Op: control.OpSet, Pairs: [][2]string{{"performance.write-behind", value}}}
	if err := r.client.Ask(b.ctx, set, nil); err != nil {
		return fmt.Errorf("set: %w", err)
	}
	return nil
}

// settle waits until one graph is left, and every open file is on it.
func (r *pauseRow) settle(b *bench) (time.Time, error) {
	for range 2000 {
		var s struct {
			Graphs struct{ Live int }
			Files  struct{ Pending int }
		}
		if err := r.client.Ask(b.ctx, control.Request{Op: control.OpStatus}, &s); err != nil {
			return time.Time{}, err
		}
		if s.Files.Pending == 0 && s.Graphs.Live == 1 {
			return time.Now(), nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Time{}, fmt.Errorf("files never reach the new graph")
}

// exercise writes and reads without a break for d, and returns the longest
// operation and how many failed. It allocates nothing.
func exercise(f *os.File, d time.Duration) (longest time.Duration, errors int) {
	buf := make([]byte, 4096)
	began := time.Now()
	for i, now := 0, began; now.Sub(began) < d; i++ {
		var err error
		if i%2 == 0 {
			_, err = f.WriteAt(buf, int64(i%64)*4096)
		} else {
			_, err = f.ReadAt(buf, int64((i-1)%64)*4096)
		}
		if err != nil {
			errors++
		}
		end := time.Now()
		longest = max(longest, end.Sub(now))
		now = end
	}
	return longest, errors
}
