package iostats

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// answers is a child that answers at once, so that what io-stats adds can be
// seen.
type answers struct {
	xlator.Fops
	err   error
	read  xlator.ReadvRep
	wrote xlator.WritevRep
	stat  xlator.AttrRep
}

func (a *answers) Stat(context.Context, *xlator.StatReq) (*xlator.AttrRep, error) {
	return &a.stat, a.err
}

func (a *answers) Readv(context.Context, *xlator.ReadvReq) (*xlator.ReadvRep, error) {
	return &a.read, a.err
}

func (a *answers) Writev(context.Context, *xlator.WritevReq) (*xlator.WritevRep, error) {
	return &a.wrote, a.err
}

func (a *answers) Lk(context.Context, *xlator.LkReq) (*xlator.LkRep, error) {
	return nil, xlator.ErrDetached
}

func start(t testing.TB, pool *xlator.Pool, leaf xlator.Fops, opts map[string]string) *translator {
	w := xlatortest.NewWorld(t, pool)
	x := w.Add(Type(), opts, leaf).(*translator)
	w.Start()
	return x
}

func of(t testing.TB, x *translator, fop string) xlator.FopStats {
	t.Helper()
	for _, s := range x.FopStats() {
		if s.Fop == fop {
			return s
		}
	}
	t.Fatalf("no %s in %+v", fop, x.FopStats())
	return xlator.FopStats{}
}

func TestCountsFopsErrorsAndBytes(t *testing.T) {
	leaf := &answers{read: xlator.ReadvRep{Data: make([]byte, 100)}, wrote: xlator.WritevRep{Size: 7}}
	x := start(t, nil, leaf, nil)
	if got := x.FopStats(); len(got) != 0 {
		t.Errorf("before the first fop: %+v", got)
	}
	ctx := xlator.Internal()
	for range 3 {
		x.Readv(ctx, &xlator.ReadvReq{})
		x.Writev(ctx, &xlator.WritevReq{})
	}
	leaf.err = syscall.EIO
	x.Readv(ctx, &xlator.ReadvReq{})
	x.Lk(ctx, &xlator.LkReq{})
	if s := of(t, x, "READV"); s.Count != 4 || s.Errors != 1 || s.Bytes != 300 {
		t.Errorf("%+v", s)
	}
	if s := of(t, x, "WRITEV"); s.Count != 3 || s.Errors != 0 || s.Bytes != 21 {
		t.Errorf("%+v", s)
	}
	if s := of(t, x, "LK"); s.Count != 1 || s.Errors != 0 {
		t.Errorf("a detached wait is no error: %+v", s)
	}
}

func TestTotalsSurviveASwitch(t *testing.T) {
	pool := xlator.NewPool()
	leaf := &answers{}
	old := start(t, pool, leaf, nil)
	old.Stat(xlator.Internal(), &xlator.StatReq{})
	new := start(t, pool, leaf, nil)
	new.Stat(xlator.Internal(), &xlator.StatReq{})
	old.Stop()
	new.Stat(xlator.Internal(), &xlator.StatReq{})
	if s := of(t, new, "STAT"); s.Count != 3 {
		t.Errorf("%+v", s)
	}
	new.Stop()
	if keys := pool.Keys(); len(keys) != 0 {
		t.Errorf("left in the pool: %v", keys)
	}
}

func TestMeasurementCanBeTurnedOffAndOn(t *testing.T) {
	x := start(t, nil, &answers{}, map[string]string{"latency-measurement": "off"})
	x.Stat(xlator.Internal(), &xlator.StatReq{})
	if s := of(t, x, "STAT"); s.Count != 1 || s.Max != 0 || s.P50 != 0 {
		t.Errorf("off: %+v", s)
	}
	v, err := Type().Defaults()
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Reconfigure(v); err != nil {
		t.Fatal(err)
	}
	x.Stat(xlator.Internal(), &xlator.StatReq{})
	if s := of(t, x, "STAT"); s.Count != 2 || s.Max <= 0 || s.P99 <= 0 || s.P99 > s.Max {
		t.Errorf("on: %+v", s)
	}
}

func TestCountingIsExactUnderConcurrency(t *testing.T) {
	x := start(t, nil, &answers{wrote: xlator.WritevRep{Size: 3}}, nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				x.Writev(xlator.Internal(), &xlator.WritevReq{})
				x.FopStats()
			}
		})
	}
	wg.Wait()
	if s := of(t, x, "WRITEV"); s.Count != 8000 || s.Bytes != 24000 {
		t.Errorf("%+v", s)
	}
}

func TestAFopAllocatesNothing(t *testing.T) {
	x := start(t, nil, &answers{}, nil)
	ctx, stat, write := xlator.Internal(), &xlator.StatReq{}, &xlator.WritevReq{}
	x.Stat(ctx, stat)
	x.Writev(ctx, write)
	if n := testing.AllocsPerRun(1000, func() {
		x.Stat(ctx, stat)
		x.Writev(ctx, write)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestBucketsAreInOrderAndNarrow(t *testing.T) {
	for ns := int64(1); ns < 1<<41; ns += 1 + ns/37 {
		b := bucketOf(ns)
		if up := upper(b); ns >= up {
			t.Fatalf("%d ns is in bucket %d, which ends at %d", ns, b, up)
		}
		if b > 0 {
			low := upper(b - 1)
			if ns < low {
				t.Fatalf("%d ns is in bucket %d, which begins at %d", ns, b, low)
			}
			if width := upper(b) - low; width > 64 && float64(width) > float64(low)/15.9 {
				t.Fatalf("bucket %d from %d is %d wide", b, low, width)
			}
		}
	}
	for _, ns := range []int64{-1, math.MinInt64} {
		if b := bucketOf(ns); b != 0 {
			t.Errorf("%d in %d", ns, b)
		}
	}
	if b := bucketOf(math.MaxInt64); b != buckets-1 {
		t.Errorf("longest in %d", b)
	}
}

func TestQuantilesAreCloseToTheTruth(t *testing.T) {
	var h histogram
	r := rand.New(rand.NewPCG(1, 2))
	var all []int64
	for range 100000 {
		ns := int64(math.Exp(r.NormFloat64()*1.5 + 11)) // around 60 us, with a long tail
		all = append(all, ns)
		h.add(ns)
	}
	slices.Sort(all)
	var counts [buckets]uint64
	for i := range counts {
		counts[i] = h.n[i].Load()
	}
	longest := time.Duration(h.max.Load())
	shares := []float64{0.5, 0.9, 0.99, 1}
	for i, got := range quantiles(&counts, longest, shares...) {
		want := all[min(int(shares[i]*float64(len(all))), len(all)-1)]
		if math.Abs(float64(got)-float64(want)) > float64(want)*0.07+64 {
			t.Errorf("quantile %v: %v, want %v", shares[i], got, time.Duration(want))
		}
	}
	if int64(longest) != all[len(all)-1] {
		t.Errorf("longest %v", longest)
	}
}

func TestQuantilesOfOneAndOfNone(t *testing.T) {
	var counts [buckets]uint64
	if q := quantiles(&counts, 0, 0.5); q[0] != 0 {
		t.Errorf("%v of nothing", q)
	}
	counts[bucketOf(1000)] = 1
	if q := quantiles(&counts, 1000, 0.5, 0.99); q[0] != 1000 || q[1] != 1000 {
		t.Errorf("%v of one", q)
	}
}

// BenchmarkFop shows what io-stats adds to a fop: compare with BenchmarkChild.
//
//	go test -bench . -cpu 1,2,8 ./xlator/debug/iostats
func BenchmarkFop(b *testing.B) {
	x := start(b, nil, &answers{}, nil)
	b.RunParallel(func(pb *testing.PB) {
		ctx, req := xlator.Internal(), &xlator.StatReq{}
		for pb.Next() {
			x.Stat(ctx, req)
		}
	})
}

// BenchmarkChild is the fop without io-stats.
func BenchmarkChild(b *testing.B) {
	var x xlator.Fops = &answers{}
	b.RunParallel(func(pb *testing.PB) {
		ctx, req := xlator.Internal(), &xlator.StatReq{}
		for pb.Next() {
			x.Stat(ctx, req)
		}
	})
}
