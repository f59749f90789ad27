package fdtable_test

import (
	"fmt"
	"math/rand"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable"
)

func TestIdleFilesAreClosedAndOpenedAgainButNotThoseThatCouldBeLost(t *testing.T) {
	k, dir := newKeeper(t), t.TempDir()
	m := k.worker(dir, variants[2], fdtable.IdleTimeout(20*time.Millisecond))
	idle, locked, nameless, asked := m.create("idle"), m.create("locked"), m.create("nameless"), m.create("asked")
	for i, f := range []*file{idle, locked, nameless, asked} {
		if err := f.write([]byte{byte(i)}, 0); err != nil {
			t.Fatal(err)
		}
	}
	d := m.openRoot()
	nameless.unlink("nameless")
	if err := m.table.Setlk(m.call(), locked.b, lockOf(1, unix.F_WRLCK, 0, 9), false); err != nil {
		t.Fatal(err)
	}
	for range 10 { // and nothing else, however often they are looked at
		until(t, "the idle ones are closed", func() bool { return m.table.Status().Closed == 3 })
		if err := asked.use(m.call()); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the idle ones are closed", func() bool { return m.table.Status().Closed == 3 })
	for i, f := range []*file{idle, locked, nameless, asked} {
		if got, err := f.read(1, 0); err != nil || got[0] != byte(i) {
			t.Errorf("file %d: %v, %v", i, got, err)
		}
	}
	if err := d.use(m.call()); err != nil {
		t.Error(err)
	}
	s := m.table.Status()
	if s.Reopened < 3 || s.Idled < 3 || s.Open != 5 {
		t.Errorf("%+v", s)
	}
	until(t, "they are closed again", func() bool { return m.table.Status().Closed == 3 })
	idle.close()
	m = k.worker(dir, variants[2])
	if got, err := asked.again(m).read(1, 0); err != nil || got[0] != 3 {
		t.Error(got, err)
	}
}

func TestFilesThatAreClosedAllTheTimeAreReadAndWrittenAsIfTheyWereNot(t *testing.T) {
	k, dir := newKeeper(t), t.TempDir()
	m := k.worker(dir, variants[3], fdtable.IdleTimeout(time.Millisecond))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var ops atomic.Int64
	for i := range 6 {
		f := m.create(fmt.Sprint("f", i))
		wg.Go(func() {
			defer f.close()
			rng := rand.New(rand.NewSource(int64(i)))
			want := map[int64]uint64{}
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(rng.Intn(4000)) * time.Microsecond):
				}
				if !f.turn(t, i, rng, 512, want) {
					return
				}
				ops.Add(1)
			}
		})
	}
	for i := range 10 {
		before := m.table.Status().Idled
		m.reload(variants[i%len(variants)])
		until(t, "files are closed", func() bool { return m.table.Status().Idled > before+20 || t.Failed() })
	}
	close(stop)
	wg.Wait()
	s := m.table.Status()
	t.Logf("%d operations, closed %d times, opened again %d times", ops.Load(), s.Idled, s.Reopened)
	if s.Open != 0 || s.Pinned != 0 {
		t.Errorf("%+v", s)
	}
	until(t, "one graph is left", func() bool { return m.mgr.Status().Live == 1 && m.mgr.Status().State == "serving" })
}

func TestIdleFilesAreClosedWhenDescriptorsRunShort(t *testing.T) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	}()
	m := newMount(t, variants[0])
	const limit = 400
	var files []*file
	for i := range limit {
		files = append(files, m.create(fmt.Sprint("f", i)))
	}
	m.table.CloseShort()
	if s := m.table.Status(); s.Closed != 0 {
		t.Fatalf("%d closed without need", s.Closed)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	m.table.CloseShort() // sees that they were not used
	m.table.CloseShort()
	if s := m.table.Status(); s.Closed < limit/8 || s.Closed > limit*3/4 {
		t.Errorf("%d of %d closed", s.Closed, s.Open)
	}
	for _, f := range files[:50] {
		if err := f.use(m.call()); err != nil {
			t.Fatal(err)
		}
	}
}
