package nlcache

import (
	"errors"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// world is nl-cache over a probe over a brick, with a clock of its own.
type world struct{ *xlatortest.Stack[*translator] }

func build(t testing.TB, opts map[string]string) *world {
	t.Helper()
	return &world{xlatortest.Plan[*translator]{Type: Type(), New: newTranslator, Options: opts, Leaf: xlatortest.LeafOf(posix.Type(), locks.Type())}.Build(t)}
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
	w.T().Helper()
	if got, want := there(w.T(), w.X, dir, name), there(w.T(), w.Leaf, dir, name); got != want {
		w.T().Errorf("%s: there %v, at the brick %v", name, got, want)
	}
}

// asked says how many lookups f sends to the child.
func (w *world) asked(f func()) int64 {
	return w.P.During(f, xlator.FopLookup)
}

// cached reports whether the name, which is not there, is known to be absent.
func (w *world) cached(dir *xlator.Inode, name string) bool {
	w.T().Helper()
	return w.asked(func() {
		if there(w.T(), w.X, dir, name) {
			w.T().Errorf("%s is there", name)
		}
	}) == 0
}

func (w *world) name(dir *xlator.Inode, n string) xlator.MakeReq {
	return xlator.MakeReq{Parent: dir, Name: n, GFID: xlator.NewGFID(), Mode: 0o755}
}

func (w *world) create(x xlator.Fops, dir *xlator.Inode, n string) error {
	rep, err := x.Create(xlator.Internal(), &xlator.CreateReq{MakeReq: w.name(dir, n), Flags: unix.O_RDWR, Base: w.NextBase()})
	if err == nil {
		x.Release(rep.FD)
	}
	return err
}

func (w *world) mkdir(x xlator.Fops, dir *xlator.Inode, n string) *xlator.Inode {
	w.T().Helper()
	rep, err := x.Mkdir(xlator.Internal(), &xlator.MkdirReq{MakeReq: w.name(dir, n)})
	w.Must(err)
	return rep.Inode
}

func unlink(x xlator.Fops, dir *xlator.Inode, n string) error {
	return justErr(x.Unlink(xlator.Internal(), &xlator.UnlinkReq{Parent: dir, Name: n}))
}

func justErr[T any](_ T, err error) error { return err }
