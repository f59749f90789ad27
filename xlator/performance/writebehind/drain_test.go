package writebehind

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

func TestDrainWritesEverythingOut(t *testing.T) {
	w := build(t, nil)
	var fds []*xlator.FD
	for n := range 50 {
		fd := w.create(fmt.Sprint("f", n), rdwr)
		fds = append(fds, fd)
		for m := range 10 {
			w.write(fd, int64(m)*5000, fill('a', 4096))
		}
	}
	w.Drain()
	for _, fd := range fds {
		if got := len(w.content(fd)); got != 9*5000+4096 {
			t.Errorf("%d bytes", got)
		}
	}
	if err := w.x.Drain(t.Context()); err != nil {
		t.Errorf("with nothing to do: %v", err)
	}
}

func TestDrainThatCannotFinishSaysWhichFilesAreDirty(t *testing.T) {
	w := build(t, nil)
	hung, good := w.create("hung", rdwr), w.create("good", rdwr)
	hold := w.p.hold(writeOf(hung.Inode().GFID()))
	w.write(hung, 0, fill('a', 4096))
	w.write(good, 0, fill('b', 4096))
	h := hold.next(t)
	w.Phase.Set(xlator.PhaseDraining)
	ctx, cancel := context.WithCancelCause(t.Context())
	drained := async(func() error { return w.x.Drain(ctx) })
	eventually(t, "the good file is written", func() bool { return len(w.x.Dirty()) == 1 })
	pending(t, drained, "drain")
	cancel(context.DeadlineExceeded)
	if err := <-drained; err == nil || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 file") {
		t.Errorf("drain: %v", err)
	}
	if d := w.x.Dirty(); !slices.Equal(d, []xlator.GFID{hung.Inode().GFID()}) {
		t.Errorf("dirty: %v", d)
	}
	if err := w.x.WaitClean(t.Context(), good.Inode().GFID()); err != nil {
		t.Errorf("wait for a clean file: %v", err)
	}
	if err := w.x.WaitClean(ctx, hung.Inode().GFID()); !errors.Is(err, context.Canceled) {
		t.Errorf("wait that is given up: %v", err)
	}
	clean := async(func() error { return w.x.WaitClean(t.Context(), hung.Inode().GFID()) })
	eventually(t, "somebody waits", func() bool { return w.awaited(hung.Inode()) == 1 })
	pending(t, clean, "WaitClean")
	h.refuse(unix.ENOTCONN)
	ended(t, clean, "WaitClean") // failed is clean, and recorded
	if errs := w.Errors.Of(hung.Inode().GFID()); len(errs) != 1 {
		t.Errorf("recorded: %v", errs)
	}
	if d := w.x.Dirty(); len(d) != 0 {
		t.Errorf("dirty: %v", d)
	}
}

// An abandoned switch: the graph serves again, and answers early.
func TestAnswersEarlyAgainAfterAnAbandonedDrain(t *testing.T) {
	w := build(t, nil)
	fd := w.create("f", rdwr)
	w.write(fd, 0, fill('a', 10))
	w.Drain()
	w.Phase.Set(xlator.PhaseServing)
	hold := w.p.hold(writes)
	w.write(fd, 0, fill('b', 10))
	if len(w.x.Dirty()) != 1 {
		t.Error("not answered early")
	}
	hold.next(t).pass()
}

// Writers go on while the graph drains and serves again, many times: after each
// drain nothing is dirty, and nothing gets dirty before the graph serves again.
func TestNothingIsAcknowledgedBehindTheBackOfADrain(t *testing.T) {
	for _, procs := range []int{1, 2} {
		t.Run(fmt.Sprint(procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			w := build(t, map[string]string{"trickling-writes": "off"})
			stop := make(chan struct{})
			var wg sync.WaitGroup
			for n := range 4 {
				// Two files with two writers each.
				i := w.create(fmt.Sprint("f", n/2), rdwr).Inode()
				fd := w.open(i, rdwr)
				wg.Go(func() {
					for m := int64(0); ; m++ {
						select {
						case <-stop:
							return
						default:
							w.write(fd, (m*7+int64(n)*1000)%100000, fill(byte(m), 1000))
							runtime.Gosched()
						}
					}
				})
			}
			for range 50 {
				w.Phase.Set(xlator.PhaseDraining)
				if err := w.x.Drain(t.Context()); err != nil {
					t.Error(err)
				}
				for range 3 {
					if d := w.x.Dirty(); len(d) > 0 {
						t.Fatalf("dirty after the drain: %v", d)
					}
					runtime.Gosched()
				}
				w.Phase.Set(xlator.PhaseServing)
				for early := w.x.counts.early.Load(); early == w.x.counts.early.Load(); {
					runtime.Gosched()
				}
			}
			close(stop)
			wg.Wait()
			w.x.force()
		})
	}
}

func TestStopSendsWhatIsQueuedAndLeavesNothingBehind(t *testing.T) {
	xlatortest.NoLeaks(t, func() {
		w := build(t, map[string]string{"trickling-writes": "off"})
		fd := w.create("f", rdwr)
		for n := range 100 {
			w.write(fd, int64(n)*8192, fill('a', 4096))
		}
		w.x.Stop()
		if got := len(w.content(fd)); got != 99*8192+4096 {
			t.Errorf("%d bytes", got)
		}
		hold := w.p.hold(writes)
		done := w.writeAsync(req(fd, 0, fill('b', 10)))
		h := hold.next(t)
		pending(t, done, "a write after the stop")
		h.pass()
		ended(t, done, "a write after the stop")
		w.x.Release(fd)
		w.Stop()
	})
}

func TestDumpShowsDirtyFiles(t *testing.T) {
	w := build(t, nil)
	fd := w.create("f", rdwr)
	hold := w.p.hold(writes)
	w.write(fd, 0, fill('a', 4096))
	w.write(fd, 4096, fill('a', 100))
	h := hold.next(t)
	text, err := json.Marshal(w.x.Dump())
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"dirty":[{"gfid":"%s","bytes":4196,"writes":2,"in_flight":1}],"bytes":4196,"early":2,"through":0,"sent":1,"merged":0,"failed":0}`, fd.Inode().GFID())
	if string(text) != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
	w.p.end(hold)
	h.pass()
}
