package delaygen

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// reached is a child that says when a STAT reaches it.
type reached struct {
	xlator.Fops
	c chan struct{}
}

func (r *reached) Stat(context.Context, *xlator.StatReq) (*xlator.AttrRep, error) {
	r.c <- struct{}{}
	return &xlator.AttrRep{}, nil
}

type world struct {
	*xlatortest.World
	x    *translator
	leaf *reached
	end  context.CancelFunc
}

// build makes and starts a delay-gen whose graph can be ended.
func build(t *testing.T, opts map[string]string) *world {
	w := &world{World: xlatortest.NewWorld(t, nil), leaf: &reached{c: make(chan struct{}, 100)}}
	ctx, cancel := context.WithCancel(t.Context())
	w.end = cancel
	typ := *Type()
	typ.New = func(e *xlator.Env) (xlator.Fops, error) {
		e.Context = ctx
		return newTranslator(e)
	}
	w.x = w.Add(&typ, opts, w.leaf).(*translator)
	w.Start()
	return w
}

// stat sends a STAT from another goroutine.
func (w *world) stat(ctx context.Context) chan error {
	c := make(chan error, 1)
	go func() {
		_, err := w.x.Stat(ctx, &xlator.StatReq{})
		c <- err
	}()
	return c
}

// held waits until n fops are held back.
func (w *world) held(t *testing.T, n int64) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); w.x.waiting.Load() != n; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d fops are held back, not %d", w.x.waiting.Load(), n)
		}
	}
}

func (w *world) reconfigure(t *testing.T, opts map[string]string) {
	t.Helper()
	v, err := Type().Defaults()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range opts {
		o, _ := Type().FindOption(name)
		if v[name], err = o.Parse(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.x.Reconfigure(v); err != nil {
		t.Fatal(err)
	}
}

func shut(t *testing.T, gate string) {
	t.Helper()
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, gate string) {
	t.Helper()
	if err := os.Remove(gate); err != nil {
		t.Fatal(err)
	}
}

func TestDelayLastsAsLongAsItSays(t *testing.T) {
	w := build(t, map[string]string{"delay-percentage": "50", "delay-duration": "30000"})
	begin := time.Now()
	for range 4 {
		if err := <-w.stat(xlator.Internal()); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begin); took < 60*time.Millisecond {
		t.Errorf("two of four delayed by 30 ms took %v", took)
	}
	if n := w.x.delayed.Load(); n != 2 {
		t.Errorf("%d delayed", n)
	}
}

func TestOtherFopsAreNotDelayed(t *testing.T) {
	w := build(t, map[string]string{"delay-percentage": "100", "delay-duration": "1000000000", "enable": "writev"})
	if err := <-w.stat(xlator.Internal()); err != nil {
		t.Fatal(err)
	}
}

func TestGateHoldsUntilItsFileIsGone(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	w := build(t, map[string]string{"gate": gate, "enable": "stat"})
	for range 20 {
		if err := <-w.stat(xlator.Internal()); err != nil {
			t.Fatal(err)
		}
		<-w.leaf.c
		shut(t, gate)
		one, two := w.stat(xlator.Internal()), w.stat(xlator.Internal())
		w.held(t, 2)
		select {
		case <-w.leaf.c:
			t.Fatal("a fop went through the shut gate")
		default:
		}
		open(t, gate)
		if err := errors.Join(<-one, <-two); err != nil {
			t.Fatal(err)
		}
		<-w.leaf.c
		<-w.leaf.c
	}
	if n := w.x.delayed.Load(); n != 0 {
		t.Errorf("%d delayed by time as well", n)
	}
}

func TestGateMayBeMovedAway(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	w := build(t, map[string]string{"gate": gate})
	shut(t, gate)
	c := w.stat(xlator.Internal())
	w.held(t, 1)
	if err := os.Rename(gate, gate+".away"); err != nil {
		t.Fatal(err)
	}
	if err := <-c; err != nil {
		t.Fatal(err)
	}
}

func TestGateAfterTheChildAnswered(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	w := build(t, map[string]string{"gate": gate, "where": "after"})
	shut(t, gate)
	c := w.stat(xlator.Internal())
	<-w.leaf.c
	w.held(t, 1)
	open(t, gate)
	if err := <-c; err != nil {
		t.Fatal(err)
	}
}

func TestInterruptDoesNotEndTheWait(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	w := build(t, map[string]string{"gate": gate})
	shut(t, gate)
	call := xlator.Internal()
	c := w.stat(call)
	w.held(t, 1)
	call.Interrupt()
	select {
	case err := <-c:
		t.Fatalf("interrupted: %v", err)
	case <-time.After(20 * time.Millisecond): // long enough for a wrong answer
	}
	open(t, gate)
	if err := <-c; err != nil {
		t.Fatal(err)
	}
}

func TestEndOfTheGraphEndsTheWait(t *testing.T) {
	for name, opts := range map[string]map[string]string{
		"gate":  {"gate": filepath.Join(t.TempDir(), "gate")},
		"delay": {"delay-percentage": "100", "delay-duration": "1000000000"},
	} {
		for where, want := range map[string]error{"before": syscall.ECANCELED, "after": nil} {
			t.Run(name+" "+where, func(t *testing.T) {
				opts["where"] = where
				w := build(t, opts)
				if gate := opts["gate"]; gate != "" {
					shut(t, gate)
				}
				c := w.stat(xlator.Internal())
				w.held(t, 1)
				w.end()
				if err := <-c; !errors.Is(err, want) {
					t.Errorf("%v, want %v", err, want)
				}
			})
		}
	}
}

func TestReconfigureMovesTheGate(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	w := build(t, map[string]string{"gate": a})
	shut(t, a)
	shut(t, b)
	c := w.stat(xlator.Internal())
	w.held(t, 1)
	w.reconfigure(t, map[string]string{"gate": a, "gfid": xlator.RootGFID.String()})
	w.held(t, 1) // the same gate: still waiting
	w.reconfigure(t, map[string]string{"gate": b})
	if err := <-c; err != nil { // the old gate is no more
		t.Fatal(err)
	}
	c = w.stat(xlator.Internal())
	w.held(t, 1)
	open(t, b)
	if err := <-c; err != nil {
		t.Fatal(err)
	}
}

func TestStopOpensTheGate(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	w := build(t, map[string]string{"gate": gate})
	shut(t, gate)
	c := w.stat(xlator.Internal())
	w.held(t, 1)
	w.x.Stop()
	if err := <-c; err != nil {
		t.Fatal(err)
	}
}

func TestGateInAFolderThatIsNotThere(t *testing.T) {
	w := xlatortest.NewWorld(t, nil)
	x := w.Add(Type(), map[string]string{"gate": "/nonexistent/gate"}, &reached{}).(*translator)
	if err := x.Start(t.Context()); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("%v", err)
	}
}
