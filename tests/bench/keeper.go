package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// keeperRounds is how often the two mounts take turns.
const keeperRounds = 7

// keeperOps are run on both mounts in turn; n is how many operations one run is.
func keeperOps() []struct {
	name string
	n    int
	run  func(dir string, n int) error
} {
	type op = struct {
		name string
		n    int
		run  func(dir string, n int) error
	}
	ops := []op{
		{"4 KiB pwrite, direct", 8000, direct(4096, true)},
		{"4 KiB pread, direct", 8000, direct(4096, false)},
		{"1 MiB pwrite, direct", 300, direct(1<<20, true)},
		{"1 MiB pread, direct", 300, direct(1<<20, false)},
	}
	for _, m := range metaOps {
		ops = append(ops, op{m.name, 2000, m.run})
	}
	return ops
}

// direct writes or reads n blocks of a file past the page cache.
func direct(size int, write bool) func(string, int) error {
	return func(dir string, n int) error {
		fd, err := unix.Open(filepath.Join(dir, "..", "data"), unix.O_RDWR|unix.O_CREAT|unix.O_DIRECT|unix.O_CLOEXEC, 0o644)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		buf, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
		if err != nil {
			return err
		}
		defer unix.Munmap(buf)
		for i := range n {
			off := int64(i%(64<<20/size)) * int64(size)
			if write {
				_, err = unix.Pwrite(fd, buf, off)
			} else {
				_, err = unix.Pread(fd, buf, off)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// keeper measures what the keeper and the state memory cost.
func (b *bench) keeper() (err error) {
	with, err := b.holdfast("kept")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, with.stop()) }()
	without, err := b.holdfast("alone", "--no-keeper")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, without.stop()) }()
	type cell struct{ rate, cpu []float64 }
	res := map[string]map[*target]*cell{}
	for round := range keeperRounds {
		for _, o := range keeperOps() {
			if res[o.name] == nil {
				res[o.name] = map[*target]*cell{with: {}, without: {}}
			}
			pair := []*target{with, without}
			if round%2 == 1 {
				slices.Reverse(pair)
			}
			for _, t := range pair {
				if err := b.ctx.Err(); err != nil {
					return err
				}
				dir := filepath.Join(t.dir, strconv.Itoa(round))
				if err := os.MkdirAll(dir, 0o755); err != nil {
					return err
				}
				cpu, began := exactCPU(t.pid), time.Now()
				if err := o.run(dir, o.n); err != nil {
					return fmt.Errorf("%s: %w", o.name, err)
				}
				c := res[o.name][t]
				c.rate = append(c.rate, float64(o.n)/time.Since(began).Seconds())
				c.cpu = append(c.cpu, float64((exactCPU(t.pid)-cpu).Microseconds())/float64(o.n))
			}
		}
	}
	tab := newTable(fmt.Sprintf("what the keeper costs: medians of %d runs, the two mounts in turn", keeperRounds),
		"row", "op/s alone", "op/s kept", "kept/alone", "CPU us/op alone", "CPU us/op kept", "kept/alone")
	defer tab.end()
	for _, o := range keeperOps() {
		k, a := res[o.name][with], res[o.name][without]
		tab.row(o.name, num(median(a.rate)), num(median(k.rate)), ratio(median(k.rate), median(a.rate)),
			fmt.Sprintf("%.1f", median(a.cpu)), fmt.Sprintf("%.1f", median(k.cpu)), ratio(median(k.cpu), median(a.cpu)))
	}
	return nil
}

func median(f []float64) float64 {
	f = slices.Sorted(slices.Values(f))
	return f[len(f)/2]
}

// exactCPU is the processor time of all threads of a process, in nanoseconds
// (schedstat of proc(5)); threads that have ended are missing, and Go's do not.
func exactCPU(pid int) (sum time.Duration) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		if w := strings.Fields(string(b)); len(w) > 0 {
			n, _ := strconv.ParseInt(w[0], 10, 64)
			sum += time.Duration(n)
		}
	}
	return sum
}
