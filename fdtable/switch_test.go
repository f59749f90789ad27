package fdtable_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable"
	"github.com/holdfast/holdfast/graph"
	"github.com/holdfast/holdfast/graph/volfile"
	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/all"
)

// mount is everything of a mount but the kernel.
type mount struct {
	t     testing.TB
	dir   string
	table *fdtable.Table
	mgr   *graph.Manager
	calls atomic.Uint64
}

func newMount(t testing.TB, text string) *mount {
	m := &mount{t: t, dir: t.TempDir()}
	log := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	m.table = fdtable.New(log, nil)
	m.mgr = graph.NewManager(graph.Config{
		Types: all.Find, Refused: all.Refused, Pool: xlator.NewPool(), Errors: m.table, Log: log,
		Tenant: m.table, DrainTimeout: time.Second, ConnectTimeout: 5 * time.Second,
	})
	m.table.Attach(m.mgr)
	if err := m.mgr.Start(context.Background(), m.parse(text)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.mgr.Close(); err != nil {
			t.Error(err)
		}
		m.table.Close()
	})
	return m
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}

func (m *mount) parse(text string) *volfile.File {
	m.t.Helper()
	f, err := volfile.Parse("test.vol", []byte(fmt.Sprintf("volume b\n type storage/posix\n option directory %s\nend-volume\n", m.dir)+text))
	if err != nil {
		m.t.Fatal(err)
	}
	return f
}

func layers(types ...string) string {
	var b bytes.Buffer
	below := "b"
	for i, typ := range types {
		name := fmt.Sprintf("x%d", i)
		fmt.Fprintf(&b, "volume %s\n type %s\n subvolumes %s\nend-volume\n", name, typ, below)
		below = name
	}
	return b.String()
}

func (m *mount) reload(text string) graph.Result {
	m.t.Helper()
	r, err := m.mgr.Reload(context.Background(), m.parse(text))
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

func (m *mount) call() *xlator.Call { return &xlator.Call{Unique: m.calls.Add(1) * 2} }

type file struct {
	m *mount
	n *fdtable.Node
	b *fdtable.BaseFD
}

func (m *mount) create(name string) *file {
	m.t.Helper()
	call := m.call()
	u, err := m.table.UseNode(call, m.table.Root())
	if err != nil {
		m.t.Fatal(err)
	}
	defer u.Done()
	b := m.table.Reserve(unix.O_RDWR)
	rep, err := u.G.Top.Create(call, &xlator.CreateReq{
		MakeReq: xlator.MakeReq{Parent: u.Inode, Name: name, GFID: xlator.NewGFID(), Mode: 0o644}, Flags: unix.O_RDWR, Base: b.FH()})
	if err != nil {
		m.t.Fatal(err)
	}
	n := m.table.Found(rep.FD.Inode().GFID(), xlator.TypeRegular)
	m.table.Publish(&u, b, n, rep.FD)
	return &file{m, n, b}
}

func (f *file) write(p []byte, off int64) error {
	call := f.m.call()
	u, err := f.m.table.UseFD(call, f.b)
	if err != nil {
		return err
	}
	defer u.Done()
	rep, err := u.G.Top.Writev(call, &xlator.WritevReq{FD: u.FD, Payload: xlator.Payload{Bytes: bytes.Clone(p)}, Offset: off})
	if err == nil && rep.Size != len(p) {
		err = fmt.Errorf("wrote %d of %d bytes", rep.Size, len(p))
	}
	return err
}

func (f *file) read(n int, off int64) ([]byte, error) {
	call := f.m.call()
	u, err := f.m.table.UseFD(call, f.b)
	if err != nil {
		return nil, err
	}
	defer u.Done()
	rep, err := u.G.Top.Readv(call, &xlator.ReadvReq{FD: u.FD, Size: n, Offset: off})
	if err != nil {
		return nil, err
	}
	return rep.Data, nil
}

func (f *file) unlink(name string) {
	f.m.t.Helper()
	call := f.m.call()
	u, err := f.m.table.UseNode(call, f.m.table.Root())
	if err != nil {
		f.m.t.Fatal(err)
	}
	defer u.Done()
	if _, err := u.G.Top.Unlink(call, &xlator.UnlinkReq{Parent: u.Inode, Name: name}); err != nil {
		f.m.t.Fatal(err)
	}
}

func (f *file) close() {
	f.m.table.Release(f.m.call(), f.b)
	f.m.table.Forget(f.n.ID(), 1)
}

// until waits for a condition that the product brings about by itself.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

var variants = []string{
	layers("features/locks"),
	layers("features/locks", "debug/io-stats"),
	layers("features/locks", "performance/write-behind", "debug/io-stats"),
	layers("features/locks", "performance/write-behind", "performance/md-cache", "debug/io-stats"),
	layers("features/locks", "performance/io-cache"),
}

// turn writes a number somewhere into file i, in a block of that size, or reads one
// back. want is what was written where. It reports whether all was well.
func (f *file) turn(t *testing.T, i int, rng *rand.Rand, size int, want map[int64]uint64) bool {
	off := int64(rng.Intn(32) * size)
	if v, ok := want[off]; ok && rng.Intn(2) == 0 {
		got, err := f.read(size, off)
		if err != nil || len(got) != size || binary.LittleEndian.Uint64(got) != v {
			t.Errorf("file %d at %d: %v, want %d", i, off, err, v)
			return false
		}
		return true
	}
	v, buf := rng.Uint64(), make([]byte, size)
	binary.LittleEndian.PutUint64(buf, v)
	if err := f.write(buf, off); err != nil {
		t.Errorf("file %d at %d: %v", i, off, err)
		return false
	}
	want[off] = v
	return true
}

func TestOpenFilesReadBackWhatWasWrittenAcrossSwitches(t *testing.T) {
	m := newMount(t, variants[0])
	const files = 8
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var ops atomic.Int64
	for i := range files {
		name := fmt.Sprintf("f%d", i)
		f := m.create(name)
		if i%2 == 0 {
			f.unlink(name)
		}
		wg.Go(func() {
			defer f.close()
			rng := rand.New(rand.NewSource(int64(i)))
			want := map[int64]uint64{}
			for {
				select {
				case <-stop:
					return
				default:
				}
				if !f.turn(t, i, rng, 4096, want) {
					return
				}
				ops.Add(1)
			}
		})
	}
	const switches = 100
	for i := range switches {
		before := ops.Load()
		if r := m.reload(variants[(i+1)%len(variants)]); r.Action != "switched" {
			t.Fatalf("switch %d: %+v", i, r)
		}
		until(t, "requests go on", func() bool { return ops.Load() > before+files || t.Failed() })
	}
	until(t, "one graph is left while files are open", func() bool { return m.mgr.Status().Live == 1 })
	s := m.table.Status()
	if s.Pinned != 0 || s.Pending != 0 {
		t.Errorf("%+v", s)
	}
	close(stop)
	wg.Wait()
	if s := m.table.Status(); s.Open != 0 {
		t.Errorf("%d base fds left", s.Open)
	}
}

func TestWaitingLockKeepsItsPlaceAcrossSwitches(t *testing.T) {
	m := newMount(t, variants[0])
	f := m.create("f")
	defer f.close()
	lock := func(owner uint64, typ int16) xlator.Lock {
		return xlator.Lock{Type: typ, Start: 0, End: 9, Owner: owner, PID: uint32(owner)}
	}
	if err := m.table.Setlk(m.call(), f.b, lock(1, unix.F_WRLCK), false); err != nil {
		t.Fatal(err)
	}
	order := make(chan uint64, 3)
	var wg sync.WaitGroup
	for _, owner := range []uint64{2, 3} {
		wg.Go(func() {
			if err := m.table.Setlk(m.call(), f.b, lock(owner, unix.F_WRLCK), true); err != nil {
				t.Error(err)
			}
			order <- owner
			if err := m.table.Setlk(m.call(), f.b, lock(owner, unix.F_UNLCK), false); err != nil {
				t.Error(err)
			}
		})
		until(t, "it waits", func() bool { return m.table.Status().LocksWaiting == int(owner-1) })
	}
	interrupted := m.call()
	ended := make(chan error)
	go func() { ended <- m.table.Setlk(interrupted, f.b, lock(4, unix.F_WRLCK), true) }()
	until(t, "it waits", func() bool { return m.table.Status().LocksWaiting == 3 })
	for i := range 10 {
		m.reload(variants[(i+1)%len(variants)])
		if err := m.table.Setlk(m.call(), f.b, lock(9, unix.F_WRLCK), false); xlator.Errno(err) != unix.EAGAIN {
			t.Fatalf("a second owner got the lock: %v", err)
		}
	}
	interrupted.Interrupt()
	if err := <-ended; xlator.Errno(err) != unix.EINTR {
		t.Fatalf("interrupted wait: %v", err)
	}
	if err := m.table.Setlk(m.call(), f.b, lock(1, unix.F_UNLCK), false); err != nil {
		t.Fatal(err)
	}
	if a, b := <-order, <-order; a != 2 || b != 3 {
		t.Fatalf("granted to %d before %d", a, b)
	}
	wg.Wait()
	if err := m.table.Setlk(m.call(), f.b, lock(9, unix.F_WRLCK), false); err != nil {
		t.Fatalf("a ghost holds the lock: %v", err)
	}
	call := m.call()
	call.LockOwner = 9
	if err := m.table.FlushLocks(call, f.b); err != nil {
		t.Fatal(err)
	}
	if n := m.table.Status().LocksHeld; n != 0 {
		t.Fatalf("%d locks left", n)
	}
}

func TestLatestOfSeveralReloadsWins(t *testing.T) {
	m := newMount(t, variants[0])
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if _, err := m.mgr.Reload(context.Background(), m.parse(variants[i%len(variants)])); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	m.reload(variants[1])
	if got := m.mgr.Current().File(); volfile.Diff(got, m.parse(variants[1])).Kind != volfile.Same {
		t.Error("the last one asked for does not serve")
	}
	until(t, "one graph is left", func() bool { return m.mgr.Status().Live == 1 })
}

func TestGraphThatHangsOrFailsLeavesTheOldOneInService(t *testing.T) {
	m := newMount(t, variants[0])
	f := m.create("f")
	defer f.close()
	if err := f.write([]byte("before"), 0); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ text, want string }{
		{"volume x\n type debug/error-gen\n option failure 100\n option enable lookup\n subvolumes b\nend-volume\n", "lookup of the root"},
		{"volume x\n type no/such\n subvolumes b\nend-volume\n", "test.vol:5: volume x: unknown translator type no/such"},
		{"volume x\n type performance/write-behind\n option cache-size 3\n subvolumes b\nend-volume\n", "test.vol:7"},
		{"volume x\n type debug/delay-gen\n option delay-percentage 100\n option delay-duration 60000000\n option enable lookup\n subvolumes b\nend-volume\n", "did not come up"},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		_, err := m.mgr.Reload(ctx, m.parse(c.text))
		cancel()
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte(c.want)) {
			t.Errorf("got %v, want %q", err, c.want)
		}
		if got, err := f.read(6, 0); err != nil || string(got) != "before" {
			t.Fatalf("old graph: %q, %v", got, err)
		}
		if s := m.mgr.Status(); s.Generation != 1 || s.Live != 1 {
			t.Errorf("%+v", s)
		}
	}
}

func BenchmarkUseFD(b *testing.B) {
	m := newMount(b, variants[0])
	f := m.create("f")
	defer f.close()
	call := m.call()
	b.ReportAllocs()
	for b.Loop() {
		u, err := m.table.UseFD(call, f.b)
		if err != nil {
			b.Fatal(err)
		}
		u.Done()
	}
}
