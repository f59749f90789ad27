package mdcache

import (
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// world is md-cache over a probe over a brick, with a clock of its own.
type world struct {
	*xlatortest.World
	t     testing.TB
	x     *translator
	p     *xlatortest.Probe
	leaf  xlator.Fops
	root  *xlator.Inode
	clock atomic.Int64
	base  uint64
}

func build(t testing.TB, opts map[string]string) *world {
	t.Helper()
	return buildOn(t, opts, func(_ *world, leaf xlator.Fops) xlator.Fops { return leaf })
}

// buildOn puts something between the probe and the brick.
func buildOn(t testing.TB, opts map[string]string, between func(*world, xlator.Fops) xlator.Fops) *world {
	t.Helper()
	w := &world{World: xlatortest.NewWorld(t, nil), t: t}
	w.leaf = w.Add(locks.Type(), nil, w.Add(posix.Type(), map[string]string{"directory": t.TempDir()}))
	w.p = xlatortest.NewProbe(t, between(w, w.leaf))
	typ := *Type()
	typ.New = func(e *xlator.Env) (xlator.Fops, error) {
		return newTranslator(e, func() time.Duration { return time.Duration(w.clock.Load()) })
	}
	w.x = w.Add(&typ, opts, w.p).(*translator)
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

func (w *world) create(name string) *xlator.FD {
	w.t.Helper()
	w.base++
	rep, err := w.x.Create(xlator.Internal(), &xlator.CreateReq{
		MakeReq: xlator.MakeReq{Parent: w.root, Name: name, GFID: xlator.NewGFID(), Mode: 0o644}, Flags: unix.O_RDWR, Base: w.base})
	w.must(err)
	return rep.FD
}

func (w *world) stat(i *xlator.Inode) xlator.Iatt {
	w.t.Helper()
	rep, err := w.x.Stat(xlator.Internal(), &xlator.StatReq{Inode: i})
	w.must(err)
	return rep.Attr
}

func (w *world) truth(i *xlator.Inode) xlator.Iatt {
	w.t.Helper()
	rep, err := w.leaf.Stat(xlator.Internal(), &xlator.StatReq{Inode: i})
	w.must(err)
	return rep.Attr
}

// asked says how many fops of a kind f sends to the child.
func (w *world) asked(fop xlator.Fop, f func()) int64 {
	return w.p.During(f, fop)
}

// cached reports whether a stat is answered from memory.
func (w *world) cached(i *xlator.Inode) bool {
	w.t.Helper()
	return w.asked(xlator.FopStat, func() { w.stat(i) }) == 0
}

func (w *world) reconfigure(opts map[string]string) {
	w.t.Helper()
	w.must(w.x.Reconfigure(xlatortest.Values(w.t, Type(), opts)))
}
