package fuse_test

import (
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkMount is what operations on a real mount cost the process that serves
// it, in CPU time, if it leaves a record for the next one ("kept") and if it
// does not ("plain"):
//
//	go test -run xxx -bench Mount ./fuse
//
// cpu-ns/op is the number to compare: the application's time is not in it.
func BenchmarkMount(b *testing.B) {
	names := []string{"plain", "kept"}
	at := map[string]*mortal{}
	for _, name := range names {
		m := mountMortal(b, plain, nil)
		m.config.Plain = name == "plain"
		m.start()
		m.serving()
		at[name] = m
	}
	for _, op := range []struct {
		name string
		run  func(b *testing.B, m *mortal)
	}{
		{"pread-4k", func(b *testing.B, m *mortal) { benchmarkDirect(b, m, 4096, unix.Pread) }},
		{"pwrite-4k", func(b *testing.B, m *mortal) { benchmarkDirect(b, m, 4096, unix.Pwrite) }},
		{"pwrite-1M", func(b *testing.B, m *mortal) { benchmarkDirect(b, m, 1<<20, unix.Pwrite) }},
		{"lookup", func(b *testing.B, m *mortal) {
			name := m.mnt + "/none"
			var st unix.Stat_t
			for b.Loop() {
				if err := unix.Lstat(name, &st); err != unix.ENOENT {
					b.Fatal(err)
				}
			}
		}},
		{"open-close", func(b *testing.B, m *mortal) {
			name := m.mnt + "/file"
			check(b, os.WriteFile(name, nil, 0o644))
			for b.Loop() {
				fd, err := unix.Open(name, unix.O_RDONLY, 0)
				check(b, err)
				unix.Close(fd)
			}
		}},
		{"create-unlink", func(b *testing.B, m *mortal) {
			for i := 0; b.Loop(); i++ {
				name := fmt.Sprint(m.mnt, "/new", i)
				fd, err := unix.Open(name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644)
				check(b, err)
				unix.Close(fd)
				check(b, unix.Unlink(name))
			}
		}},
		{"rename", func(b *testing.B, m *mortal) {
			from, to := m.mnt+"/from", m.mnt+"/to"
			check(b, os.WriteFile(from, nil, 0o644))
			for b.Loop() {
				check(b, unix.Rename(from, to))
				from, to = to, from
			}
			unix.Unlink(from)
		}},
	} {
		for _, name := range names {
			b.Run(op.name+"/"+name, func(b *testing.B) {
				m := at[name]
				before := m.cpu()
				op.run(b, m)
				b.ReportMetric(float64(m.cpu()-before)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

func benchmarkDirect(b *testing.B, m *mortal, n int, do func(int, []byte, int64) (int, error)) {
	const size = 16 << 20
	fd, err := unix.Open(m.mnt+"/direct", unix.O_CREAT|unix.O_RDWR|unix.O_DIRECT, 0o644)
	check(b, err)
	defer unix.Close(fd)
	check(b, unix.Fallocate(fd, 0, 0, size))
	buf := pages(n)
	off := int64(0)
	for b.Loop() {
		if k, err := do(fd, buf, off); k != n || err != nil {
			b.Fatal(k, err)
		}
		off = (off + int64(n)) % size
	}
}

// cpu is what the worker's threads have used, those that have ended aside.
func (m *mortal) cpu() (all time.Duration) {
	m.Helper()
	dir := fmt.Sprintf("/proc/%d/task", m.cmd.Process.Pid)
	tasks, err := os.ReadDir(dir)
	check(m.TB, err)
	for _, t := range tasks {
		b, err := os.ReadFile(dir + "/" + t.Name() + "/schedstat")
		if err != nil {
			continue // it has ended
		}
		var ns int64
		fmt.Sscan(string(b), &ns)
		all += time.Duration(ns)
	}
	return all
}

// BenchmarkPause is how long a lookup takes that meets the death of the process
// that serves the mount and the start of the next; files are open meanwhile, by
// another process:
//
//	go test -run xxx -bench Pause -benchtime 100x ./fuse
func BenchmarkPause(b *testing.B) {
	m := mountMortal(b, plain, nil)
	m.start()
	m.serving()
	l := m.load([]string{"pread-pwrite", "locks", "unlinked"})
	defer l.stop()
	stop, pauses := make(chan struct{}), make(chan time.Duration)
	var worst, done atomic.Int64
	go func() {
		defer close(pauses)
		var st unix.Stat_t
		for {
			select {
			case <-stop:
				return
			default:
			}
			began := time.Now()
			if err := unix.Lstat(m.mnt+"/none", &st); err != unix.ENOENT {
				b.Error(err)
				return
			}
			worst.Store(max(worst.Load(), int64(time.Since(began))))
			done.Add(1)
		}
	}()
	var all []time.Duration
	for b.Loop() {
		time.Sleep(50 * time.Millisecond) // some work between deaths, as in life
		worst.Store(0)
		m.kill()
		m.start()
		m.serving()
		n := done.Load()
		m.await("the lookup that met it", func() bool { return done.Load() > n+1 })
		all = append(all, time.Duration(worst.Load()))
	}
	close(stop)
	<-pauses
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2])/1e6, "median-ms")
	b.ReportMetric(float64(all[len(all)-1])/1e6, "worst-ms")
}
