package readdirahead

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// world is readdir-ahead over a probe over a brick, with a clock of its own.
type world struct{ *xlatortest.Stack[*translator] }

func build(t testing.TB, opts map[string]string) *world {
	t.Helper()
	return &world{xlatortest.Plan[*translator]{Type: Type(), New: newTranslator, Options: opts, Leaf: xlatortest.LeafOf(posix.Type(), locks.Type())}.Build(t)}
}

// name is what to make. Each has a cell of the clock of changes of its own.
func (w *world) name(dir *xlator.Inode, n string) xlator.MakeReq {
	g, cell := xlator.NewGFID(), w.NextBase()+16
	g[14], g[15] = byte(cell>>8), byte(cell)
	return xlator.MakeReq{Parent: dir, Name: n, GFID: g, Mode: 0o755}
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

// fill makes files in a new directory, each of a size of its own.
func (w *world) fill(files int) *xlator.Inode {
	w.T().Helper()
	d := w.mkdir(w.Leaf, w.Root, fmt.Sprint("dir", w.NextBase()))
	for n := range files {
		w.Must(w.create(w.Leaf, d, fmt.Sprintf("file-%04d", n)))
	}
	return d
}

func (w *world) opendir(x xlator.Fops, d *xlator.Inode) *xlator.FD {
	w.T().Helper()
	rep, err := x.Opendir(xlator.Internal(), &xlator.OpenReq{Inode: d, Flags: unix.O_DIRECTORY, Base: w.NextBase()})
	w.Must(err)
	return rep.FD
}

// piece asks for one piece of the listing.
func (w *world) piece(x xlator.Fops, fd *xlator.FD, from int64, size int) []xlator.DirEntry {
	w.T().Helper()
	rep, err := x.Readdirp(xlator.Internal(), &xlator.ReaddirReq{FD: fd, Offset: from, Size: size})
	w.Must(err)
	return rep.Entries
}

// list lists the rest in pieces.
func (w *world) list(x xlator.Fops, fd *xlator.FD, from int64, size int) (all []xlator.DirEntry) {
	w.T().Helper()
	for {
		es := w.piece(x, fd, from, size)
		if len(es) == 0 {
			return all
		}
		all, from = append(all, es...), es[len(es)-1].Offset
	}
}

// told describes what a listing says.
func told(es []xlator.DirEntry) (out []string) {
	for _, e := range es {
		if e.Name == "." || e.Name == ".." {
			e.GFID = xlator.GFID{}
		}
		out = append(out, fmt.Sprint(e.Name, e.Offset, e.Type, e.GFID))
	}
	return out
}

// idle waits until nothing is being asked for.
func (w *world) idle(fd *xlator.FD) {
	w.T().Helper()
	s := w.X.streams.Get(fd)
	for {
		s.mu.Lock()
		filling, added := s.filling, s.added
		s.mu.Unlock()
		if !filling {
			return
		}
		xlatortest.Ended(w.T(), added)
	}
}

// asked says how many listings f sends to the child.
func (w *world) asked(f func()) int64 {
	return w.P.During(f, xlator.FopReaddir, xlator.FopReaddirp)
}
