package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast/holdfast/tests/lab"
)

const (
	glusterSwitches = 3
	// switchWindow is how long a loop goes on after `gluster volume set` was begun,
	// and fileWindow how much longer for each open file: the stock client stands
	// still for that long.
	switchWindow   = 1500 * time.Millisecond
	fileWindow     = 800 * time.Microsecond
	memorySwitches = 30
)

// volumeSwitch changes the clients' graph, and back the next time.
type volumeSwitch struct {
	v  *lab.Volume
	on bool
}

func (s *volumeSwitch) change() {
	s.v.Set("performance.write-behind", map[bool]string{true: "on", false: "off"}[s.on])
	s.on = !s.on
}

// glusterPause measures what a loop of 4 KiB pread and pwrite sees around a
// switch, by the number of open files, one client at a time.
func (b *bench) glusterPause() error {
	type row struct{ switched, quiet []time.Duration }
	counts := []int{1, 100, 1000, 10000}
	rows := map[string]*row{}
	failed := 0
	for _, mount := range b.clients() {
		for _, n := range counts {
			err := b.withVolume(func(l *lab.Lab, v *lab.Volume) (err error) {
				t, err := mount(l, v)
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, t.stop()) }()
				files, err := openFiles(t.dir, n)
				defer closeFiles(files)
				if err != nil {
					return err
				}
				r := &row{}
				rows[t.name+strconv.Itoa(n)] = r
				window := switchWindow + time.Duration(n)*fileWindow
				change := volumeSwitch{v: v}
				for range glusterSwitches {
					if err := b.ctx.Err(); err != nil {
						return err
					}
					longest, errs := exercise(files[0], switchWindow)
					r.quiet, failed = append(r.quiet, longest), failed+errs
					measured := make(chan struct{})
					go func() {
						defer close(measured)
						longest, errs = exercise(files[0], window)
					}()
					change.change()
					<-measured
					r.switched, failed = append(r.switched, longest), failed+errs
				}
				return nil
			})
			if err != nil {
				return fmt.Errorf("%d open files: %w", n, err)
			}
		}
	}
	tab := newTable(fmt.Sprintf("a GlusterFS volume of one brick: longest operation of a 4 KiB pread/pwrite loop around `gluster volume set`, %d switches a row; no switch: the same without one; %d errors", glusterSwitches, failed),
		"open files", "stock: median", "worst", "no switch", "holdfast: median", "worst", "no switch", "holdfast/stock (median)")
	defer tab.end()
	for _, n := range counts {
		s, o := rows["stock"+strconv.Itoa(n)], rows["holdfast"+strconv.Itoa(n)]
		tab.row(strconv.Itoa(n), ms(share(s.switched, 50)), ms(share(s.switched, 100)), ms(share(s.quiet, 50)),
			ms(share(o.switched, 50)), ms(share(o.switched, 100)), ms(share(o.quiet, 50)), ratio(float64(share(o.switched, 50)), float64(share(s.switched, 50))))
	}
	return nil
}

// openFiles makes n files and keeps them open; also after an error those that are.
func openFiles(dir string, n int) (files []*os.File, err error) {
	for i := range n {
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("open-%d", i)), os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return files, err
		}
		files = append(files, f)
	}
	return files, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// glusterMemory switches both clients 30 times while each has files open.
func (b *bench) glusterMemory() error {
	return b.withClients(func(v *lab.Volume, stock, ours *target) error {
		type memory struct{ before, after int }
		mem := map[*target]*memory{}
		for _, t := range []*target{stock, ours} {
			files, err := openFiles(t.dir, 100)
			defer closeFiles(files)
			if err != nil {
				return err
			}
			mem[t] = &memory{before: rss(t.pid)}
		}
		change := volumeSwitch{v: v}
		for range memorySwitches {
			if err := b.ctx.Err(); err != nil {
				return err
			}
			change.change()
			time.Sleep(switchWindow) // the stock client does not tell when it has done it
		}
		tab := newTable(fmt.Sprintf("a GlusterFS volume of one brick: resident memory of the client, 100 open files, %d switches", memorySwitches),
			"client", "before, MiB", "after, MiB", "growth, MiB", "graphs left")
		defer tab.end()
		for _, t := range []*target{stock, ours} {
			graphs := "?"
			if t == ours {
				var s struct{ Graphs struct{ Live int } }
				if err := b.ask(&s, "status", filepath.Dir(t.dir), "--json"); err != nil {
					return err
				}
				graphs = strconv.Itoa(s.Graphs.Live)
			}
			m := mem[t]
			m.after = rss(t.pid)
			tab.row(t.name, mib(m.before), mib(m.after), mib(m.after-m.before), graphs)
		}
		return nil
	})
}

func mib(kib int) string { return fmt.Sprintf("%.1f", float64(kib)/1024) }

// rss is the resident memory of a process in KiB; 0 if it is gone.
func rss(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(v), " kB"))
			return n
		}
	}
	return 0
}
