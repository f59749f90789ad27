package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable/state"
)

// TestMain makes this program a worker when a keeper has started it.
func TestMain(m *testing.M) {
	if os.Getenv(LinkEnv) != "" {
		os.Exit(work())
	}
	if path := os.Getenv(dialEnv); path != "" {
		os.Exit(dialAndStay(path))
	}
	os.Exit(m.Run())
}

// job is what the workers of these tests are told.
type job struct{ Dir string }

func (j job) has(name string) bool {
	_, err := os.Stat(filepath.Join(j.Dir, name))
	return err == nil
}

// work is a worker without a mount. Files in its directory say how it is to
// behave; each one that becomes ready leaves a line there.
func work() int {
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, unix.SIGUSR1)
	l, start, err := Inherit("version of "+filepath.Base(os.Args[0]), []uint64{state.Version})
	if err != nil {
		return 20
	}
	var j job
	if err := json.Unmarshal(start.Job, &j); err != nil {
		return 21
	}
	if j.has("hangs early") {
		select {}
	}
	if err := l.Prepared(); err != nil {
		return 22
	}
	if _, err := use(j.Dir, unix.LOCK_SH); err != nil { // to its end
		return 28
	}
	if j.has("refuses") {
		l.End(errors.New("the brick is away"))
		return 0
	}
	if j.has("crashes") {
		return 23
	}
	fd, kept, err := l.Kept("brick")
	if err != nil {
		return 27
	}
	line := fmt.Sprintf("%d restarted=%t kept=%t\n", os.Getpid(), start.Restarted, kept)
	if kept {
		unix.Close(fd)
	} else if err = l.Keep("brick", 0); err != nil {
		return 24
	}
	f, err := os.OpenFile(filepath.Join(j.Dir, "ready"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 25
	}
	f.WriteString(line)
	f.Close()
	l.Ready([]string{"something"})
	for {
		select {
		case n := <-l.News():
			switch {
			case n == KeeperOff:
				return 26
			case j.has("drains for ever"):
			default:
				l.Drained()
				return 0
			}
		case <-ends:
			l.End(nil)
			return 0
		}
	}
}

// bench is a keeper whose workers are this program.
type bench struct {
	*testing.T
	tend  Tend
	dir   string
	k     *Keeper
	over  chan error
	ready chan []string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return &bench{T: t, dir: t.TempDir(), over: make(chan error, 1), ready: make(chan []string, 1)}
}

func (b *bench) run(ctx context.Context) {
	b.Helper()
	p, err := OpenProgram("/proc/self/exe")
	if err != nil {
		b.Fatal(err)
	}
	j, err := json.Marshal(job{b.dir})
	if err != nil {
		b.Fatal(err)
	}
	b.k, err = New(Config{
		Log: slog.New(slog.NewTextHandler(b.Output(), nil)), Program: p, Args: []string{"keeper.test"}, Output: os.Stderr, Job: j, Deadline: time.Minute,
		Ready: func(missing []string) { b.ready <- missing }, Unmount: func() {}, Reopen: func() {},
		Tend: b.tend,
	})
	if err != nil {
		b.Fatal(err)
	}
	go func() { b.over <- b.k.Run(ctx) }()
}

// start runs it until the first worker is ready, and returns that.
func start(t *testing.T) (*bench, int) {
	t.Helper()
	return newBench(t).start()
}

func (b *bench) start() (*bench, int) {
	t := b.T
	t.Helper()
	b.run(t.Context())
	select {
	case m := <-b.ready:
		if len(m) != 1 {
			t.Errorf("%q", m)
		}
	case err := <-b.over:
		t.Fatalf("ended: %v", err)
	}
	return b, b.workers(1)[0]
}

// workers waits until that many have become ready in all, and returns them.
func (b *bench) workers(n int) (pids []int) {
	b.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		text, _ := os.ReadFile(filepath.Join(b.dir, "ready"))
		pids = nil
		for l := range strings.Lines(string(text)) {
			pid, _, _ := strings.Cut(l, " ")
			n, _ := strconv.Atoi(pid)
			pids = append(pids, n)
		}
		if len(pids) >= n {
			return pids
		}
		if time.Now().After(end) {
			b.Fatalf("%d workers, not %d", len(pids), n)
		}
	}
}

// end has the worker say that the mount is gone.
func (b *bench) end(worker int) {
	b.Helper()
	if err := unix.Kill(worker, unix.SIGUSR1); err != nil {
		b.Error(err)
	}
	b.ended("")
}

// ended waits for the end of the keeper.
func (b *bench) ended(want string) {
	b.Helper()
	select {
	case err := <-b.over:
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			b.Errorf("ended with %v, want %q", err, want)
		}
	case <-time.After(time.Minute):
		b.Fatal("the keeper does not end")
	}
}

func (b *bench) write(name string) {
	b.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), nil, 0o600); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) remove(name string) {
	b.Helper()
	if err := os.Remove(filepath.Join(b.dir, name)); err != nil {
		b.Fatal(err)
	}
}

// upgrade goes over to this same program.
func (b *bench) upgrade(limit time.Duration) Outcome {
	b.Helper()
	p, err := OpenProgram("/proc/self/exe")
	if err != nil {
		b.Fatal(err)
	}
	got := make(chan Outcome, 1)
	b.k.Upgrade(p, limit, func(o Outcome) { got <- o })
	select {
	case o := <-got:
		return o
	case <-time.After(time.Minute):
		b.Fatal("an upgrade without an end")
	}
	return Outcome{}
}

func TestKeeperStartsTheNextWorker(t *testing.T) {
	before := openDescriptors(t)
	b, w := start(t)
	for i := range 10 {
		if err := unix.Kill(w, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		w = b.workers(i + 2)[i+1]
	}
	text, err := os.ReadFile(filepath.Join(b.dir, "ready"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "kept=true"); n != 10 {
		t.Errorf("what a translator keeps was there for %d of 10:\n%s", n, text)
	}
	b.end(w)
	if after := openDescriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestFirstWorkerThatCannotServeEndsTheMount(t *testing.T) {
	b := newBench(t)
	b.write("refuses")
	b.run(t.Context())
	b.ended("the brick is away")
	b = newBench(t)
	b.write("crashes")
	b.run(t.Context())
	b.ended("exit status 23")
	// And one that hangs, when whoever mounts has lost patience.
	b = newBench(t)
	b.write("hangs early")
	ctx, cancel := context.WithCancel(t.Context())
	b.run(ctx)
	cancel()
	b.ended("told to end")
}

func TestLaterWorkerThatCannotServeIsTriedAgain(t *testing.T) {
	b, w := start(t)
	b.write("refuses")
	if err := unix.Kill(w, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); b.deaths() < 4; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not tried again")
		}
	}
	b.remove("refuses")
	b.end(b.workers(2)[1])
}

// deaths is what the state memory counts, asked for in the loop.
func (b *bench) deaths() uint64 {
	got := make(chan uint64, 1)
	b.k.post(happening{do: func() { got <- b.k.mem.Deaths() }})
	return <-got
}

func TestUpgrades(t *testing.T) {
	b, _ := start(t)
	for i := range 5 {
		if o := b.upgrade(0); o.Error != "" || o.Worker != b.workers(i + 2)[i+1] || o.New != "version of keeper.test" {
			t.Errorf("%+v", o)
		}
	}
	b.write("hangs early")
	if o := b.upgrade(50 * time.Millisecond); !strings.Contains(o.Error, "not get ready in time") {
		t.Errorf("%+v", o)
	}
	b.remove("hangs early")
	b.write("crashes") // once the old one has left
	w := b.workers(6)[5]
	var wg sync.WaitGroup
	wg.Go(func() {
		if o := b.upgrade(0); !strings.Contains(o.Error, "exit status 23") {
			t.Errorf("%+v", o)
		}
	})
	wg.Wait()
	b.remove("crashes")
	n := b.workers(7)[6]
	if n == w {
		t.Error("the old worker has not left")
	}
	// Killed while it drains: the new one goes on.
	b.write("drains for ever")
	wg.Go(func() {
		if o := b.upgrade(0); o.Error != "" {
			t.Errorf("%+v", o)
		}
	})
	for end := time.Now().Add(time.Minute); b.phase() != Draining; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not drain")
		}
	}
	if o := b.upgrade(0); !strings.Contains(o.Error, "not now") {
		t.Errorf("%+v", o)
	}
	if err := unix.Kill(n, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	// Asked for while no worker serves: it is done when one does.
	b.remove("drains for ever")
	n = b.workers(8)[7]
	if err := unix.Kill(n, unix.SIGSTOP); err != nil { // so that it is not gone at once
		t.Fatal(err)
	}
	b.write("hangs early")
	if err := unix.Kill(n, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); b.phase() != Starting; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no other is started")
		}
	}
	asked := make(chan Outcome, 1)
	p, err := OpenProgram("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	b.k.Upgrade(p, 0, func(o Outcome) { asked <- o })
	b.remove("hangs early")
	b.k.post(happening{do: func() { b.k.worker.signal(unix.SIGKILL) }}) // the one that hangs
	if o := <-asked; o.Error != "" {
		t.Errorf("%+v", o)
	}
	b.end(b.workers(10)[9])
}

func (b *bench) phase() Phase {
	got := make(chan Phase, 1)
	b.k.post(happening{do: func() { got <- b.k.state.Phase }})
	return <-got
}
