package workload

import (
	"fmt"
	"math/bits"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Histogram is of the latency of a 4 KiB pwrite and pread.
type Histogram struct {
	// Buckets[i] counts the calls that took less than 2^i µs and not less than
	// half of that.
	Buckets [32]int64 `json:"buckets"`
	// Worst are the longest calls, the longest first.
	Worst []Pause `json:"worst"`
}

// Pause is one long call.
type Pause struct {
	// StartNS is when it began, in nanoseconds of Unix time.
	StartNS int64  `json:"start_ns"`
	US      int64  `json:"us"`
	Call    string `json:"call"`
}

const worst = 16

func (h *Histogram) clone() *Histogram {
	c := *h
	c.Worst = slices.Clone(h.Worst)
	return &c
}

func (h *Histogram) add(call string, start time.Time, d time.Duration) {
	us := d.Microseconds()
	h.Buckets[min(bits.Len64(uint64(us)), len(h.Buckets)-1)]++
	if len(h.Worst) == worst && us <= h.Worst[worst-1].US {
		return
	}
	h.Worst = append(h.Worst, Pause{StartNS: start.UnixNano(), US: us, Call: call})
	slices.SortStableFunc(h.Worst, func(a, b Pause) int { return int(b.US - a.US) })
	h.Worst = h.Worst[:min(len(h.Worst), worst)]
}

// meter measures pauses: it writes and reads 4 KiB in turn and nothing else.
// The reads are cold, so that each is a call to the file system.
func meter(w *worker) error {
	f, err := w.open(w.path("meter"), unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return err
	}
	defer f.drop()
	h := &Histogram{}
	w.mu.Lock()
	w.meter = h
	w.mu.Unlock()
	b, got := make([]byte, 4096), make([]byte, 4096)
	if err := f.pwrite(make([]byte, 256*4096), 0); err != nil {
		return err
	}
	w.longest.Store(0)
	w.begin()
	for seq := uint64(1); w.running(); seq++ {
		off := int64(w.rng.IntN(256)) * 4096
		fill(b, 0, off, seq)
		if err := w.measure(h, "pwrite", func() error { return f.pwrite(b, off) }); err != nil {
			return err
		}
		if err := unix.Fadvise(f.fd, off, 4096, unix.FADV_DONTNEED); err != nil {
			return fmt.Errorf("fadvise: %w", err)
		}
		if err := w.measure(h, "pread", func() error { return f.pread(got, off) }); err != nil {
			return err
		}
		if err := same("meter", got, b, off); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) measure(h *Histogram, call string, f func() error) error {
	start := time.Now()
	err := f()
	d := time.Since(start)
	w.mu.Lock()
	h.add(call, start, d)
	w.mu.Unlock()
	return err
}
