package nlcache

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// world is nl-cache over a probe over a brick, with a clock of its own.
type world struct {
	*xlatortest.World
	t     testing.TB
	x     *translator
	p     *xlatortest.Probe
	leaf  xlator.Fops
	root  *xlator.Inode
	clock atomic.Int64
	base  atomic.Uint64
}

func build(t testing.TB, opts map[string]string) *world {
	t.Helper()
	w := &world{World: xlatortest.NewWorld(t, nil), t: t}
	w.leaf = w.Add(locks.Type(), nil, w.Add(posix.Type(), map[string]string{"directory": t.TempDir()}))
	w.p = xlatortest.NewProbe(t, w.leaf)
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

func (w *world) reconfigure(opts map[string]string) {
	w.t.Helper()
	w.must(w.x.Reconfigure(xlatortest.Values(w.t, Type(), opts)))
}

// there looks a name up.
func there(t testing.TB, x xlator.Fops, dir *xlator.Inode, name string) bool {
	t.Helper()
	_, err := x.Lookup(xlator.Internal(), &xlator.LookupReq{Parent: dir, Name: name})
	if err != nil && !errors.Is(err, syscall.ENOENT) {
		t.Fatalf("lookup %s: %v", name, err)
	}
	return err == nil
}

// right demands that a lookup says what the brick says.
func (w *world) right(dir *xlator.Inode, name string) {
	w.t.Helper()
	if got, want := there(w.t, w.x, dir, name), there(w.t, w.leaf, dir, name); got != want {
		w.t.Errorf("%s: there %v, at the brick %v", name, got, want)
	}
}

// asked says how many lookups f sends to the child.
func (w *world) asked(f func()) int64 {
	return w.p.During(f, xlator.FopLookup)
}

// cached reports whether the name, which is not there, is known to be absent.
func (w *world) cached(dir *xlator.Inode, name string) bool {
	w.t.Helper()
	return w.asked(func() {
		if there(w.t, w.x, dir, name) {
			w.t.Errorf("%s is there", name)
		}
	}) == 0
}

func (w *world) name(dir *xlator.Inode, n string) xlator.MakeReq {
	return xlator.MakeReq{Parent: dir, Name: n, GFID: xlator.NewGFID(), Mode: 0o755}
}

func (w *world) create(x xlator.Fops, dir *xlator.Inode, n string) error {
	rep, err := x.Create(xlator.Internal(), &xlator.CreateReq{MakeReq: w.name(dir, n), Flags: unix.O_RDWR, Base: w.base.Add(1)})
	if err == nil {
		x.Release(rep.FD)
	}
	return err
}

func (w *world) mkdir(x xlator.Fops, dir *xlator.Inode, n string) *xlator.Inode {
	w.t.Helper()
	rep, err := x.Mkdir(xlator.Internal(), &xlator.MkdirReq{MakeReq: w.name(dir, n)})
	w.must(err)
	return rep.Inode
}

func unlink(x xlator.Fops, dir *xlator.Inode, n string) error {
	return justErr(x.Unlink(xlator.Internal(), &xlator.UnlinkReq{Parent: dir, Name: n}))
}

func justErr[T any](_ T, err error) error { return err }
