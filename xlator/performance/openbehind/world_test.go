package openbehind

import (
	"context"
	"sync"
	"sync/atomic"
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

// probe stands between open-behind and its child: it counts opens and
// releases, holds requests before or after the child has carried them out, or fails
// them.
type probe struct {
	xlator.Intercept
	see             func(*xlator.Call, xlator.Fop) // nil: nobody looks
	quit            chan struct{}                  // closed at the end of the test
	opens, releases atomic.Int64

	mu    sync.Mutex
	gates []*gate // guarded by mu
}

type gate struct {
	fop           xlator.Fop
	after         bool
	err           error // instead of the answer
	arrived, open chan struct{}
}

func (p *probe) gate(f xlator.Fop, after bool) *gate {
	g := &gate{fop: f, after: after, arrived: make(chan struct{}), open: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gates = append(p.gates, g)
	return g
}

func (p *probe) around(ctx context.Context, f xlator.Fop, _ any, next func() error) error {
	if f == xlator.FopOpen {
		p.opens.Add(1)
	}
	if p.see != nil {
		p.see(xlator.CallFrom(ctx), f)
	}
	if err := p.pass(f, false); err != nil {
		return err
	}
	err := next()
	if gate := p.pass(f, true); gate != nil {
		return gate
	}
	return err
}

func (p *probe) Release(fd *xlator.FD) {
	p.releases.Add(1)
	p.Next.Release(fd)
}

func (p *probe) pass(f xlator.Fop, after bool) error {
	p.mu.Lock()
	var g *gate
	for n := range p.gates {
		if p.gates[n].fop == f && p.gates[n].after == after {
			g = p.gates[n]
			p.gates = append(p.gates[:n], p.gates[n+1:]...)
			break
		}
	}
	p.mu.Unlock()
	if g == nil {
		return nil
	}
	close(g.arrived)
	select {
	case <-g.open:
	case <-p.quit:
	}
	return g.err
}

func (g *gate) wait(t testing.TB) {
	t.Helper()
	ended(t, g.arrived)
}

func ended(t testing.TB, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatal("it hangs")
	}
}

// async runs f and returns a channel that is closed when it has ended.
func async(f func()) chan struct{} {
	c := make(chan struct{})
	go func() { defer close(c); f() }()
	return c
}

// world is open-behind over a probe over a brick.
type world struct {
	*xlatortest.World
	t    testing.TB
	x    *translator
	p    *probe
	leaf xlator.Fops
	root *xlator.Inode
	base atomic.Uint64
}

func build(t testing.TB, opts map[string]string) *world {
	t.Helper()
	w := &world{World: xlatortest.NewWorld(t, nil), t: t}
	w.leaf = w.Add(locks.Type(), nil, w.Add(posix.Type(), map[string]string{"directory": t.TempDir()}))
	w.p = &probe{quit: make(chan struct{})}
	w.p.Next, w.p.Around = w.leaf, w.p.around
	t.Cleanup(func() { close(w.p.quit) })
	w.x = w.Add(Type(), opts, w.p).(*translator)
	w.Start()
	w.root = w.Root(w.x)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) name(dir *xlator.Inode, n string) xlator.MakeReq {
	return xlator.MakeReq{Parent: dir, Name: n, GFID: xlator.NewGFID(), Mode: 0o644}
}

func unlink(x xlator.Fops, dir *xlator.Inode, n string) error {
	return justErr(x.Unlink(xlator.Internal(), &xlator.UnlinkReq{Parent: dir, Name: n}))
}

func justErr[T any](_ T, err error) error { return err }

// file makes a file with that content, and returns its inode; nothing is open.
func (w *world) file(n, content string) *xlator.Inode {
	w.t.Helper()
	rep, err := w.leaf.Create(xlator.Internal(), &xlator.CreateReq{MakeReq: w.name(w.root, n), Flags: unix.O_RDWR, Base: w.base.Add(1)})
	w.must(err)
	w.must(justErr(w.leaf.Writev(xlator.Internal(), &xlator.WritevReq{FD: rep.FD, Payload: xlator.Payload{Bytes: []byte(content)}})))
	w.leaf.Release(rep.FD)
	return rep.FD.Inode()
}

func caller() *xlator.Call { return &xlator.Call{PID: 1, LockOwner: 1} }

func (w *world) open(i *xlator.Inode, flags uint32) *xlator.FD {
	w.t.Helper()
	rep, err := w.x.Open(caller(), &xlator.OpenReq{Inode: i, Flags: flags, Base: w.base.Add(1)})
	w.must(err)
	return rep.FD
}

// early opens for reading, which the child must not hear of.
func (w *world) early(i *xlator.Inode) *xlator.FD {
	w.t.Helper()
	before := w.p.opens.Load()
	fd := w.open(i, unix.O_RDONLY)
	if w.p.opens.Load() != before {
		w.t.Fatal("the child was asked to open")
	}
	return fd
}

func (w *world) read(fd *xlator.FD) (string, error) {
	rep, err := w.x.Readv(caller(), &xlator.ReadvReq{FD: fd, Size: 100})
	if err != nil {
		return "", err
	}
	return string(rep.Data), nil
}

// opens says how many files f has the child open.
func (w *world) opens(f func()) int64 {
	before := w.p.opens.Load()
	f()
	return w.p.opens.Load() - before
}
