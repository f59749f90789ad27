package readdirahead

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// world is readdir-ahead over a probe over a brick, with a clock of its own.
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

// name is what to make. Each has a cell of the clock of changes of its own.
func (w *world) name(dir *xlator.Inode, n string) xlator.MakeReq {
	g, cell := xlator.NewGFID(), w.base.Add(1)+16
	g[14], g[15] = byte(cell>>8), byte(cell)
	return xlator.MakeReq{Parent: dir, Name: n, GFID: g, Mode: 0o755}
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

// fill makes files in a new directory, each of a size of its own.
func (w *world) fill(files int) *xlator.Inode {
	w.t.Helper()
	d := w.mkdir(w.leaf, w.root, fmt.Sprint("dir", w.base.Add(1)))
	for n := range files {
		w.must(w.create(w.leaf, d, fmt.Sprintf("file-%04d", n)))
	}
	return d
}

func (w *world) opendir(x xlator.Fops, d *xlator.Inode) *xlator.FD {
	w.t.Helper()
	rep, err := x.Opendir(xlator.Internal(), &xlator.OpenReq{Inode: d, Flags: unix.O_DIRECTORY, Base: w.base.Add(1)})
	w.must(err)
	return rep.FD
}

// piece asks for one piece of the listing.
func (w *world) piece(x xlator.Fops, fd *xlator.FD, from int64, size int) []xlator.DirEntry {
	w.t.Helper()
	rep, err := x.Readdirp(xlator.Internal(), &xlator.ReaddirReq{FD: fd, Offset: from, Size: size})
	w.must(err)
	return rep.Entries
}

// list lists the rest in pieces.
func (w *world) list(x xlator.Fops, fd *xlator.FD, from int64, size int) (all []xlator.DirEntry) {
	w.t.Helper()
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
	w.t.Helper()
	s := w.x.streams.Get(fd)
	for {
		s.mu.Lock()
		filling, added := s.filling, s.added
		s.mu.Unlock()
		if !filling {
			return
		}
		xlatortest.Ended(w.t, added)
	}
}

// asked says how many listings f sends to the child.
func (w *world) asked(f func()) int64 {
	return w.p.During(f, xlator.FopReaddir, xlator.FopReaddirp)
}
