package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/holdfast/holdfast/tests/lab"
)

// glusterTables compare the clients of a real GlusterFS volume of one brick, which
// has its default options, mounted by holdfast and by the stock client; the last is
// of holdfast alone.
var glusterTables = []string{"gluster-fio", "gluster-meta", "gluster-pause", "gluster-memory", "gluster-gains"}

// lender is what package lab wants of a test: somebody to tell of failures, and
// to call at the end. The rest of testing.TB is not there.
type lender struct {
	testing.TB

	atEnd []func()
	errs  []error
}

// given ends a table after a failure that nothing can go on from.
type given struct{}

func (*lender) Helper()                     {}
func (*lender) Name() string                { return "bench" }
func (l *lender) Cleanup(f func())          { l.atEnd = append(l.atEnd, f) }
func (l *lender) Failed() bool              { return len(l.errs) > 0 }
func (l *lender) Log(a ...any)              { fmt.Fprintln(os.Stderr, a...) }
func (l *lender) Logf(f string, a ...any)   { fmt.Fprintf(os.Stderr, f+"\n", a...) }
func (l *lender) Error(a ...any)            { l.errs = append(l.errs, errors.New(fmt.Sprint(a...))) }
func (l *lender) Errorf(f string, a ...any) { l.errs = append(l.errs, fmt.Errorf(f, a...)) }
func (l *lender) Fatal(a ...any)            { l.Error(a...); panic(given{}) }
func (l *lender) Fatalf(f string, a ...any) { l.Errorf(f, a...); panic(given{}) }

// withVolume runs f with a volume of its own, and takes everything away.
func (b *bench) withVolume(f func(*lab.Lab, *lab.Volume) error) error {
	l := &lender{}
	guarded := func(f func()) {
		defer func() {
			if p := recover(); p != nil && p != any(given{}) {
				panic(p)
			}
		}()
		f()
	}
	guarded(func() {
		gl := lab.Start(l)
		if err := f(gl, gl.Volume("bench")); err != nil {
			l.errs = append(l.errs, err)
		}
	})
	for _, end := range slices.Backward(l.atEnd) {
		guarded(end)
	}
	return errors.Join(l.errs...)
}

// stock mounts the volume with the stock client.
func (b *bench) stock(l *lab.Lab, v *lab.Volume) (*target, error) {
	m := l.MountStock(v)
	return &target{name: "stock", dir: m.Dir, pid: m.PID(), stop: m.TryUmount}, nil
}

// ours mounts it with holdfast.
func (b *bench) ours(_ *lab.Lab, v *lab.Volume, args ...string) (*target, error) {
	mnt := filepath.Join(b.dir, "volume-mnt")
	if err := os.MkdirAll(mnt, 0o755); err != nil {
		return nil, err
	}
	return b.mounted(v.Source(), mnt, args...)
}

// clients are both, in turn.
func (b *bench) clients() []func(*lab.Lab, *lab.Volume) (*target, error) {
	return []func(*lab.Lab, *lab.Volume) (*target, error){b.stock, func(l *lab.Lab, v *lab.Volume) (*target, error) { return b.ours(l, v) }}
}

// withClients mounts the volume with both clients at once, and gives each a
// folder of its own.
func (b *bench) withClients(f func(v *lab.Volume, stock, ours *target) error) error {
	return b.withVolume(func(l *lab.Lab, v *lab.Volume) (err error) {
		var ts []*target
		for _, mount := range b.clients() {
			t, err := mount(l, v)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, t.stop()) }()
			t.dir = filepath.Join(t.dir, t.name)
			if err := os.Mkdir(t.dir, 0o755); err != nil {
				return err
			}
			ts = append(ts, t)
		}
		return f(v, ts[0], ts[1])
	})
}

// sample is what one row gave on one client, a value for each round.
type sample struct{ rate, cpu []float64 }

func (s *sample) add(rate, cpu float64) { s.rate, s.cpu = append(s.rate, rate), append(s.cpu, cpu) }

// against prints a row of two clients.
func (t *table) against(name string, stock, ours *sample) {
	sr, or, sc, oc := middle(stock.rate), middle(ours.rate), middle(stock.cpu), middle(ours.cpu)
	t.row(name, num(sr), num(or), ratio(or, sr), fmt.Sprintf("%.1f", sc), fmt.Sprintf("%.1f", oc), ratio(oc, sc))
}
