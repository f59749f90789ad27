package keeper

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// use locks a file in dir, as somebody does who uses what is kept: workers
// together, Tend alone. It is not waited for.
func use(dir string, how int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "in use"), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	}
	return f, err
}

// call is one of Tend.
type call struct {
	err error
	end chan struct{} // closed by who got it
}

// tended gives each call of Tend to the channel, and returns when it is done with.
func (b *bench) tended() (*bench, chan call) {
	calls := make(chan call)
	b.tend = func(names []string, kept func(string) (int, bool, error)) (int, error) {
		c := call{end: make(chan struct{})}
		var f *os.File
		if f, c.err = use(b.dir, unix.LOCK_EX); c.err != nil {
			c.err = fmt.Errorf("beside a worker: %w", c.err)
		}
		if c.err == nil && !slices.Equal(names, []string{"brick"}) {
			c.err = fmt.Errorf("kept is %q", names)
		}
		if c.err == nil {
			fd, ok, err := kept("brick")
			if c.err = err; !ok {
				c.err = errors.New("what is kept is not there")
			} else {
				unix.Close(fd)
			}
		}
		select {
		case calls <- c:
			<-c.end
		case <-b.Context().Done():
		}
		f.Close()
		return 1, nil
	}
	return b, calls
}

// next waits for a call.
func next(t *testing.T, calls chan call) call {
	t.Helper()
	select {
	case c := <-calls:
		if c.err != nil {
			t.Fatal(c.err)
		}
		return c
	case <-time.After(time.Minute):
		t.Fatal("what is kept is not looked after")
	}
	return call{}
}

func TestWhatIsKeptIsLookedAfterUntilAWorkerHasIt(t *testing.T) {
	b, calls := newBench(t).tended()
	_, w := b.start()
	b.write("hangs early")
	b.kill(w)
	for range 2 { // beside one that has not got it
		close(next(t, calls).end)
	}
	// The next one does not get it before Tend has returned.
	c := next(t, calls)
	b.remove("hangs early")
	b.k.post(happening{do: func() { _ = b.k.worker.signal(unix.SIGKILL) }})
	select {
	case <-time.After(300 * time.Millisecond): // for it to come so far
	case c := <-calls:
		t.Fatalf("two at a time: %+v", c)
	}
	if n := b.served(); n != 1 {
		t.Errorf("%d workers became ready while what is kept was in use", n)
	}
	close(c.end)
	w = b.workers(2)[1]
	if b.looksAfter() {
		t.Error("what a worker has is looked after")
	}
	// Between many that do not live long.
	b.write("crashes")
	b.kill(w)
	for range 4 {
		close(next(t, calls).end)
	}
	b.remove("crashes")
	for b.served() < 3 {
		select {
		case c := <-calls:
			if c.err != nil {
				t.Fatal(c.err)
			}
			close(c.end)
		case <-time.After(time.Millisecond):
		}
	}
	b.end(b.workers(3)[2])
}

func (b *bench) kill(worker int) {
	b.Helper()
	if err := unix.Kill(worker, unix.SIGKILL); err != nil {
		b.Fatal(err)
	}
}

// served is how many workers have become ready so far.
func (b *bench) served() int {
	b.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, "ready"))
	if err != nil {
		b.Fatal(err)
	}
	return bytes.Count(text, []byte("\n"))
}

// looksAfter reports whether Tend may be called.
func (b *bench) looksAfter() bool {
	got := make(chan bool, 1)
	b.k.post(happening{do: func() { got <- b.k.tending != nil }})
	return <-got
}

// TestNothingIsLookedAfterBesideAProcessThatLives: its connection may be lost.
func TestNothingIsLookedAfterBesideAProcessThatLives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	lis, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), dialEnv+"="+path)
	stays, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stays.Close()
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	u, err := lis.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	c := newConn(u)
	defer c.Close()
	p := peerOf(c)
	if p == nil {
		t.Fatal("the kernel does not tell who it is")
	}
	defer p.close()
	if _, _, err := c.Receive(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	asked, called := make(chan bool), make(chan struct{}, 100)
	gone := func() bool {
		g := p.gone()
		asked <- g
		return g
	}
	tend := func([]string, func(string) (int, bool, error)) (int, error) {
		called <- struct{}{}
		return 0, nil
	}
	tt := startTending(tend, NewStore(), 0, gone, slog.New(slog.DiscardHandler))
	for range 2 {
		if <-asked || len(called) != 0 {
			t.Error("it is held to be gone, and lives")
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed
	for !<-asked {
	}
	<-called
	go func() {
		for range asked { // once more, perhaps
		}
	}()
	tt.stop()
	close(asked)
	if (*peer)(nil).gone() {
		t.Error("nobody is gone who is not known")
	}
}

const dialEnv = "HOLDFAST_TEST_DIAL"

// dialAndStay connects, closes the connection, and stays.
func dialAndStay(path string) int {
	c, err := net.Dial("unixpacket", path)
	if err != nil {
		return 30
	}
	c.Close()
	_, _ = io.Copy(io.Discard, os.Stdin) // nothing comes
	return 0
}
