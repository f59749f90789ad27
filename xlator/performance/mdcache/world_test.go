package mdcache

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// world is md-cache over a probe over a brick, with a clock of its own.
type world struct{ *xlatortest.Stack[*translator] }

func build(t testing.TB, opts map[string]string) *world {
	t.Helper()
	return &world{plan(opts).Build(t)}
}

func plan(opts map[string]string) xlatortest.Plan[*translator] {
	return xlatortest.Plan[*translator]{Type: Type(), New: newTranslator, Options: opts, Leaf: xlatortest.LeafOf(posix.Type(), locks.Type())}
}

func (w *world) create(name string) *xlator.FD {
	w.T().Helper()
	rep, err := w.X.Create(xlator.Internal(), &xlator.CreateReq{
		MakeReq: xlator.MakeReq{Parent: w.Root, Name: name, GFID: xlator.NewGFID(), Mode: 0o644}, Flags: unix.O_RDWR, Base: w.NextBase()})
	w.Must(err)
	return rep.FD
}

func (w *world) stat(i *xlator.Inode) xlator.Iatt {
	w.T().Helper()
	rep, err := w.X.Stat(xlator.Internal(), &xlator.StatReq{Inode: i})
	w.Must(err)
	return rep.Attr
}

func (w *world) truth(i *xlator.Inode) xlator.Iatt {
	w.T().Helper()
	rep, err := w.Leaf.Stat(xlator.Internal(), &xlator.StatReq{Inode: i})
	w.Must(err)
	return rep.Attr
}

// asked says how many fops of a kind f sends to the child.
func (w *world) asked(fop xlator.Fop, f func()) int64 {
	return w.P.During(f, fop)
}

// cached reports whether a stat is answered from memory.
func (w *world) cached(i *xlator.Inode) bool {
	w.T().Helper()
	return w.asked(xlator.FopStat, func() { w.stat(i) }) == 0
}
