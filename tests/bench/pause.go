package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
)

const switchesPerRow = 10

// pauses measures what a loop of 4 KiB pread and pwrite sees around a switch,
// by the number of open files.
func (b *bench) pauses() error {
	tab := newTable(fmt.Sprintf("longest pause of a 4 KiB pread/pwrite loop around a switch (%d switches a row; no switch: the same time without one)", switchesPerRow),
		"open files", "median", "worst", "no switch: worst", "move of all files", "errors")
	defer tab.end()
	for _, n := range []int{1, 100, 1000, 10000} {
		if err := b.ctx.Err(); err != nil {
			return err
		}
		r, err := b.pause(n)
		if err != nil {
			return err
		}
		sort.Slice(r.pauses, func(i, j int) bool { return r.pauses[i] < r.pauses[j] })
		tab.row(fmt.Sprint(n), ms(r.pauses[len(r.pauses)/2]), ms(r.pauses[len(r.pauses)-1]), ms(r.quiet), ms(r.move), fmt.Sprint(r.errors))
	}
	return nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }

type pauseResult struct {
	pauses []time.Duration // longest around each switch
	quiet  time.Duration   // longest of the same windows without a switch
	move   time.Duration   // until every file had moved, mean
	errors int
}

func (b *bench) pause(n int) (r pauseResult, err error) {
	t, err := b.holdfast()
	if err != nil {
		return r, err
	}
	defer func() {
		if e := t.stop(); err == nil {
			err = e
		}
	}()
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	for i := range n {
		f, err := os.OpenFile(filepath.Join(t.dir, fmt.Sprintf("open-%d", i)), os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return r, err
		}
		files = append(files, f)
	}
	// Asked in this process: commands would take the processor that is measured.
	client, err := control.Open(t.dir)
	if err != nil {
		return r, err
	}
	m := startMeter(files[0])
	window := func() time.Duration { time.Sleep(300 * time.Millisecond); return m.take() }
	for i := range switchesPerRow {
		m.take()
		r.quiet = max(r.quiet, window())
		began := time.Now()
		value := []string{"off", "on"}[i%2]
		set := control.Request{Op: control.OpSet, Pairs: [][2]string{{"performance.write-behind", value}}}
		if err := client.Ask(b.ctx, set, nil); err != nil {
			return r, fmt.Errorf("set: %w", err)
		}
		if err := b.settled(client); err != nil {
			return r, err
		}
		r.move += time.Since(began) / switchesPerRow
		r.pauses = append(r.pauses, window())
	}
	r.errors = m.stop()
	return r, nil
}

// settled waits until every open file is on the latest graph.
func (b *bench) settled(client *control.Client) error {
	for range 1000 {
		var s struct {
			Graphs struct{ Live int }
			Files  struct{ Pending int }
		}
		if err := client.Ask(b.ctx, control.Request{Op: control.OpStatus}, &s); err != nil {
			return err
		}
		if s.Files.Pending == 0 && s.Graphs.Live == 1 {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("files never reach the new graph")
}

// meter reads and writes without a break and notes the longest operation.
type meter struct {
	ask  chan chan time.Duration
	quit chan chan int
}

func startMeter(f *os.File) *meter {
	m := &meter{make(chan chan time.Duration), make(chan chan int)}
	go func() {
		buf := []byte(strings.Repeat("m", 4096))
		var longest time.Duration
		errors := 0
		for i := 0; ; i++ {
			select {
			case c := <-m.ask:
				c <- longest
				longest = 0
			case c := <-m.quit:
				c <- errors
				return
			default:
			}
			began := time.Now()
			var err error
			if i%2 == 0 {
				_, err = f.WriteAt(buf, int64(i%64)*4096)
			} else {
				_, err = f.ReadAt(buf, int64((i-1)%64)*4096)
			}
			longest = max(longest, time.Since(began))
			if err != nil {
				errors++
			}
		}
	}()
	return m
}

// take returns the longest operation since the last take.
func (m *meter) take() time.Duration {
	c := make(chan time.Duration)
	m.ask <- c
	return <-c
}

func (m *meter) stop() int {
	c := make(chan int)
	m.quit <- c
	return <-c
}
