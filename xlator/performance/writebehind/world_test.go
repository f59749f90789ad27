package writebehind

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// patience bounds waits for what must happen.
const patience = 20 * time.Second

// world is write-behind over a probe over a brick.
type world struct {
	*xlatortest.World
	t    testing.TB
	x    *translator
	p    *probe
	leaf xlator.Fops
	root *xlator.Inode
	base uint64
}

func build(t testing.TB, opts map[string]string) *world {
	t.Helper()
	return buildOn(t, opts, func(leaf xlator.Fops) xlator.Fops { return leaf })
}

// buildOn puts something between the probe and the brick.
func buildOn(t testing.TB, opts map[string]string, between func(leaf xlator.Fops) xlator.Fops) *world {
	t.Helper()
	w := &world{World: xlatortest.NewWorld(t, nil), t: t}
	w.leaf = w.Add(locks.Type(), nil, w.Add(posix.Type(), map[string]string{"directory": t.TempDir()}))
	w.above(between(w.leaf), opts)
	return w
}

// above puts the probe and write-behind above a leaf.
func (w *world) above(leaf xlator.Fops, opts map[string]string) {
	w.p = &probe{flight: map[xlator.GFID][]span{}, quit: make(chan struct{})}
	w.p.Next, w.p.Around = leaf, w.p.around
	w.x = w.Add(Type(), opts, w.p).(*translator)
	w.Start()
	w.root = w.Root(w.x)
	w.p.events()
	w.t.Cleanup(func() {
		close(w.p.quit)
		w.p.mu.Lock()
		defer w.p.mu.Unlock()
		for _, b := range w.p.broken {
			w.t.Error(b)
		}
	})
}

func (w *world) create(name string, flags uint32) *xlator.FD {
	w.t.Helper()
	w.base++
	rep, err := w.x.Create(xlator.Internal(), &xlator.CreateReq{
		MakeReq: xlator.MakeReq{Parent: w.root, Name: name, GFID: xlator.NewGFID(), Mode: 0o644}, Flags: flags, Base: w.base})
	if err != nil {
		w.t.Fatal(err)
	}
	w.p.events()
	return rep.FD
}

func (w *world) open(i *xlator.Inode, flags uint32) *xlator.FD {
	w.t.Helper()
	w.base++
	rep, err := w.x.Open(xlator.Internal(), &xlator.OpenReq{Inode: i, Flags: flags, Base: w.base})
	if err != nil {
		w.t.Fatal(err)
	}
	return rep.FD
}

func fill(b byte, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = b
	}
	return p
}

func req(fd *xlator.FD, off int64, data []byte) *xlator.WritevReq {
	return &xlator.WritevReq{FD: fd, Offset: off, Payload: xlator.Payload{Bytes: data}, Flags: fd.Flags()}
}

// write expects an early answer, or at least one.
func (w *world) write(fd *xlator.FD, off int64, data []byte) {
	w.t.Helper()
	rep, err := w.x.Writev(xlator.Internal(), req(fd, off, data))
	if err != nil || rep.Size != len(data) {
		w.t.Fatalf("write: %+v, %v", rep, err)
	}
}

// async runs f and returns a channel with what it returned.
func async(f func() error) chan error {
	c := make(chan error, 1)
	go func() { c <- f() }()
	return c
}

func (w *world) writeAsync(r *xlator.WritevReq) chan error {
	return async(func() error {
		rep, err := w.x.Writev(xlator.Internal(), r)
		if err == nil && rep.Size != len(r.Payload.Bytes) {
			return fmt.Errorf("wrote %d", rep.Size)
		}
		return err
	})
}

// eventually waits for something to be so.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("not so: %s", what)
		}
	}
}

// awaited says how many writes of a file somebody waits for.
func (w *world) awaited(i *xlator.Inode) (n int) {
	f := w.x.fileOf(i)
	f.mu.Lock()
	defer f.mu.Unlock()
	for x := f.first; x != nil; x = x.after {
		if x.done != nil {
			n++
		}
	}
	return n
}

func (w *world) queued(i *xlator.Inode) (n int) {
	f := w.x.fileOf(i)
	f.mu.Lock()
	defer f.mu.Unlock()
	for x := f.first; x != nil; x = x.after {
		n++
	}
	return n
}

// pending fails if c has an answer already.
func pending(t testing.TB, c chan error, what string) {
	t.Helper()
	select {
	case err := <-c:
		t.Fatalf("%s did not wait: %v", what, err)
	default:
	}
}

func ended(t testing.TB, c chan error, what string) {
	t.Helper()
	select {
	case err := <-c:
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	case <-time.After(patience):
		t.Fatalf("%s hangs", what)
	}
}

func (w *world) content(fd *xlator.FD) string {
	w.t.Helper()
	rep, err := w.leaf.Readv(xlator.Internal(), &xlator.ReadvReq{FD: fd, Size: 16 << 20})
	if err != nil {
		w.t.Fatal(err)
	}
	return string(rep.Data)
}

func (w *world) flushed(fd *xlator.FD) {
	w.t.Helper()
	if _, err := w.x.Flush(xlator.Internal(), &xlator.FlushReq{FD: fd}); err != nil {
		w.t.Fatal(err)
	}
}

const rdwr = unix.O_RDWR

// answers is a child that answers at once.
type answers struct{ xlator.Fops }

func (answers) Fstat(context.Context, *xlator.FstatReq) (*xlator.AttrRep, error) { return nil, nil }
