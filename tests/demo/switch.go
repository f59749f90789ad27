package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/cmd/holdfast/daemon"
	"github.com/holdfast/holdfast/tests/kill"
)

// toggles are translators that may be in the graph or not, and are at first.
var toggles = map[string]bool{
	"performance.write-behind":  true,
	"performance.stat-prefetch": true,
	"performance.io-cache":      false,
	"performance.quick-read":    false,
	"performance.open-behind":   false,
	"performance.read-ahead":    false,
	"performance.readdir-ahead": false,
}

// switchAll switches the graph again and again, each time by putting one
// translator in or taking it out.
func (d *demo) switchAll(ctx context.Context) error {
	client, err := control.Open(d.mnt)
	if err != nil {
		return err
	}
	show := newProgress(d.switches)
	defer show.finish()
	on := map[string]bool{}
	var names []string
	for k, v := range toggles {
		on[k] = v
		names = append(names, k)
	}
	slices.Sort(names)
	keeper, err := d.keeper(ctx, client)
	if err != nil {
		return err
	}
	tick := time.NewTicker(d.every)
	defer tick.Stop()
	for i := range d.switches {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		k := names[rand.IntN(len(names))]
		value := map[bool]string{true: "off", false: "on"}[on[k]]
		killed := d.killSometime(i, keeper)
		begin := time.Now()
		err := set(ctx, client, k, value)
		d.killed += <-killed
		if err != nil {
			return err
		}
		on[k] = !on[k]
		d.took = append(d.took, time.Since(begin))
		ops, errs := d.sofar()
		show.step(fmt.Sprintf("%d operations, %d errors", ops, errs))
	}
	return nil
}

// keeper is the process whose worker is killed.
func (d *demo) keeper(ctx context.Context, client *control.Client) (int, error) {
	var s daemon.Status
	err := client.Ask(ctx, control.Request{Op: control.OpStatus}, &s)
	return s.Keeper.PID, err
}

// killSometime kills the worker at some moment of switch i or after it, if it
// is the turn of a kill.
func (d *demo) killSometime(i, keeper int) <-chan int {
	n := make(chan int, 1)
	if i*d.kills/d.switches == (i+1)*d.kills/d.switches {
		n <- 0
		return n
	}
	after := time.Duration(rand.Int64N(int64(d.every)))
	time.AfterFunc(after, func() { n <- kill.Now(keeper) })
	return n
}

// set makes one switch. If the worker is killed under it the next one is asked,
// which may find it done.
func set(ctx context.Context, client *control.Client, key, value string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var r daemon.SetReply
	err := client.Ask(ctx, control.Request{Op: control.OpSet, Pairs: [][2]string{{key, value}}}, &r)
	if err == nil && r.Action != "switched" && r.Action != "none" {
		err = fmt.Errorf("%s %s was no switch: %s", key, value, r.Action)
	}
	return err
}

// sofar adds up what the workers have reported last.
func (d *demo) sofar() (ops, errs int64) {
	for _, p := range d.workers {
		r := p.Last()
		ops += r.Ops
		errs += r.Errors
	}
	return ops, errs
}

// settle waits until the older graphs are gone.
func (d *demo) settle(ctx context.Context) error {
	client, err := control.Open(d.mnt)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		var s daemon.Status
		if err := client.Ask(ctx, control.Request{Op: control.OpStatus}, &s); err != nil {
			return err
		}
		d.graphsLeft, d.recovered, d.pinned = s.Graphs.Live, s.Recovery.Requests, s.Files.Pinned
		if s.Graphs.Live == 1 {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil // the report shows it
		}
	}
}

// report prints the outcome, and is an error if it is not what was promised.
func (d *demo) report(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\nPROGRAM\tOPERATIONS\tERRORS\tLONGEST PAUSE\t")
	var ops, errs, longest int64
	for _, r := range d.results {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t\n", r.Kind, r.Ops, r.Errors, ms(r.LongestPauseUS))
		ops, errs, longest = ops+r.Ops, errs+r.Errors, max(longest, r.LongestPauseUS)
	}
	fmt.Fprintf(w, "all\t%d\t%d\t%s\t\n", ops, errs, ms(longest))
	if err := w.Flush(); err != nil {
		return err
	}
	slices.Sort(d.took)
	var median, worst time.Duration
	if n := len(d.took); n > 0 {
		median, worst = d.took[n/2], d.took[n-1]
	}
	fmt.Fprintf(out, "\n%d switches, median %s, longest %s; %d kills, %d requests carried on by the next worker; graphs left: %d\n",
		len(d.took), median.Round(100*time.Microsecond), worst.Round(100*time.Microsecond), d.killed, d.recovered, d.graphsLeft)
	switch {
	case errs > 0:
		return fmt.Errorf("%d errors", errs)
	case d.killed < d.kills:
		return fmt.Errorf("%d kills, not %d", d.killed, d.kills)
	case d.graphsLeft != 1:
		return fmt.Errorf("%d graphs are left, not 1", d.graphsLeft)
	case d.pinned > 0:
		return fmt.Errorf("%d files did not move", d.pinned)
	}
	return nil
}

func ms(us int64) string { return fmt.Sprintf("%.1f ms", float64(us)/1000) }

// progress is a bar on a terminal, and a line now and then elsewhere.
type progress struct {
	bar     *progressbar.ProgressBar
	n, done int
}

func newProgress(n int) *progress {
	p := &progress{n: n}
	if term.IsTerminal(int(os.Stdout.Fd())) {
		p.bar = progressbar.NewOptions(n, progressbar.OptionSetWriter(os.Stdout), progressbar.OptionSetDescription("switching"),
			progressbar.OptionShowCount(), progressbar.OptionSetWidth(30), progressbar.OptionThrottle(50*time.Millisecond))
	}
	return p
}

func (p *progress) step(text string) {
	p.done++
	if p.bar != nil {
		p.bar.Describe(text)
		p.bar.Add(1)
	} else if p.done%max(p.n/10, 1) == 0 {
		fmt.Printf("switch %d of %d: %s\n", p.done, p.n, text)
	}
}

func (p *progress) finish() {
	if p.bar != nil {
		fmt.Println()
	}
}
