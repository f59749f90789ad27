package mdcache

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/performance/writebehind"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// changing is a fop that changes the file, or the directory when dir is set.
type changing struct {
	fop xlator.Fop
	dir bool
	do  func() error
}

func everyChange(w *world, fd *xlator.FD) map[string]changing {
	ctx, i := xlator.Internal(), fd.Inode()
	src := w.create("src")
	w.Must(justErr(w.X.Writev(ctx, &xlator.WritevReq{FD: src, Payload: xlator.Payload{Bytes: []byte("source")}})))
	w.Must(justErr(w.X.Writev(ctx, &xlator.WritevReq{FD: fd, Payload: xlator.Payload{Bytes: []byte("before")}})))
	xs := &xlator.Dict{}
	xs.SetBytes("user.x", []byte("1"))
	add := &xlator.Dict{}
	add.SetBytes("trusted.n", []byte{0, 0, 0, 1})
	set := xlator.Setattr{Mask: xlator.SetMode, Mode: 0o604}
	name := func(n string) xlator.MakeReq {
		return xlator.MakeReq{Parent: w.Root, Name: n, GFID: xlator.NewGFID(), Mode: 0o755}
	}
	return map[string]changing{
		"write": {xlator.FopWritev, false, func() error {
			return justErr(w.X.Writev(ctx, &xlator.WritevReq{FD: fd, Offset: 10, Payload: xlator.Payload{Bytes: []byte("after")}}))
		}},
		"truncate":  {xlator.FopTruncate, false, func() error { return justErr(w.X.Truncate(ctx, &xlator.TruncateReq{Inode: i, Size: 3})) }},
		"ftruncate": {xlator.FopFtruncate, false, func() error { return justErr(w.X.Ftruncate(ctx, &xlator.FtruncateReq{FD: fd, Size: 3})) }},
		"setattr":   {xlator.FopSetattr, false, func() error { return justErr(w.X.Setattr(ctx, &xlator.SetattrReq{Inode: i, Setattr: set})) }},
		"fsetattr":  {xlator.FopFsetattr, false, func() error { return justErr(w.X.Fsetattr(ctx, &xlator.FsetattrReq{FD: fd, Setattr: set})) }},
		"fallocate": {xlator.FopFallocate, false, func() error {
			return justErr(w.X.Fallocate(ctx, &xlator.FallocateReq{FD: fd, Len: 100000}))
		}},
		"discard":  {xlator.FopDiscard, false, func() error { return justErr(w.X.Discard(ctx, &xlator.DiscardReq{FD: fd, Len: 4096})) }},
		"zerofill": {xlator.FopZerofill, false, func() error { return justErr(w.X.Zerofill(ctx, &xlator.ZerofillReq{FD: fd, Len: 4096})) }},
		"copy": {xlator.FopCopyFileRange, false, func() error {
			return justErr(w.X.CopyFileRange(ctx, &xlator.CopyFileRangeReq{Src: src, Dst: fd, DstOff: 20, Len: 6}))
		}},
		"setxattr":  {xlator.FopSetxattr, false, func() error { return justErr(w.X.Setxattr(ctx, &xlator.SetxattrReq{Inode: i, Xattrs: xs})) }},
		"fsetxattr": {xlator.FopFsetxattr, false, func() error { return justErr(w.X.Fsetxattr(ctx, &xlator.FsetxattrReq{FD: fd, Xattrs: xs})) }},
		"xattrop":   {xlator.FopXattrop, false, func() error { return justErr(w.X.Xattrop(ctx, &xlator.XattropReq{Inode: i, Xattrs: add})) }},
		"fxattrop":  {xlator.FopFxattrop, false, func() error { return justErr(w.X.Fxattrop(ctx, &xlator.FxattropReq{FD: fd, Xattrs: add})) }},
		"link":      {xlator.FopLink, false, func() error { return justErr(w.X.Link(ctx, &xlator.LinkReq{Inode: i, Parent: w.Root, Name: "l"})) }},
		"unlink":    {xlator.FopUnlink, false, func() error { return justErr(w.X.Unlink(ctx, &xlator.UnlinkReq{Parent: w.Root, Name: "f"})) }},
		"rename": {xlator.FopRename, false, func() error {
			return justErr(w.X.Rename(ctx, &xlator.RenameReq{OldParent: w.Root, OldName: "f", NewParent: w.Root, NewName: "r"}))
		}},
		"rename over it": {xlator.FopRename, false, func() error {
			return justErr(w.X.Rename(ctx, &xlator.RenameReq{OldParent: w.Root, OldName: "src", NewParent: w.Root, NewName: "f"}))
		}},
		"mknod": {xlator.FopMknod, true, func() error {
			return justErr(w.X.Mknod(ctx, &xlator.MknodReq{MakeReq: name("fifo"), Type: xlator.TypeFIFO}))
		}},
		"mkdir":   {xlator.FopMkdir, true, func() error { return justErr(w.X.Mkdir(ctx, &xlator.MkdirReq{MakeReq: name("d")})) }},
		"symlink": {xlator.FopSymlink, true, func() error { return justErr(w.X.Symlink(ctx, &xlator.SymlinkReq{MakeReq: name("s"), Target: "f"})) }},
		"create": {xlator.FopCreate, true, func() error {
			return justErr(w.X.Create(ctx, &xlator.CreateReq{MakeReq: name("c"), Flags: unix.O_RDWR, Base: 98}))
		}},
		"link in dir":   {xlator.FopLink, true, func() error { return justErr(w.X.Link(ctx, &xlator.LinkReq{Inode: i, Parent: w.Root, Name: "l"})) }},
		"unlink in dir": {xlator.FopUnlink, true, func() error { return justErr(w.X.Unlink(ctx, &xlator.UnlinkReq{Parent: w.Root, Name: "f"})) }},
		"rename in dir": {xlator.FopRename, true, func() error {
			return justErr(w.X.Rename(ctx, &xlator.RenameReq{OldParent: w.Root, OldName: "f", NewParent: w.Root, NewName: "r"}))
		}},
	}
}

func justErr[T any](_ T, err error) error { return err }

func eachChange(t *testing.T, f func(t *testing.T, w *world, i *xlator.Inode, c changing)) {
	w := build(t, nil)
	for name := range everyChange(w, w.create("f")) {
		t.Run(name, func(t *testing.T) {
			w := build(t, map[string]string{"md-cache-timeout": "600"})
			fd := w.create("f")
			c := everyChange(w, fd)[name]
			i := fd.Inode()
			if c.dir {
				i = w.Root
			}
			f(t, w, i, c)
		})
	}
}

// same leaves out what a look itself changes.
func same(a, b xlator.Iatt) bool {
	a.Atime, b.Atime = xlator.Time{}, xlator.Time{}
	return a == b
}

func (w *world) right(i *xlator.Inode) {
	w.T().Helper()
	if got, want := w.stat(i), w.truth(i); !same(got, want) {
		w.T().Errorf("answered\n%+v\nbut the child has\n%+v", got, want)
	}
}

func TestChangeIsSeenAtOnce(t *testing.T) {
	eachChange(t, func(t *testing.T, w *world, i *xlator.Inode, c changing) {
		w.stat(i)
		w.Must(c.do())
		w.right(i)
	})
}

// The answer to a stat is on its way while the whole change happens.
func TestAnswerFromBeforeAChangeIsNotKept(t *testing.T) {
	eachChange(t, func(t *testing.T, w *world, i *xlator.Inode, c changing) {
		w.Reconfigure(map[string]string{"md-cache-timeout": "600"}) // forget
		g := w.P.Gate(xlator.FopStat, true)
		done := xlatortest.Async(func() { w.stat(i) })
		g.Wait(t)
		w.Must(c.do())
		close(g.Open)
		xlatortest.Ended(w.T(), done)
		w.right(i)
	})
}

// The stat comes and goes while the change has not reached the child yet, or has
// and its answer is on its way.
func TestAnswerFromDuringAChangeIsNotKept(t *testing.T) {
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprint("after the child ", after), func(t *testing.T) {
			eachChange(t, func(t *testing.T, w *world, i *xlator.Inode, c changing) {
				g := w.P.Gate(c.fop, after)
				done := xlatortest.Async(func() { w.Must(c.do()) })
				g.Wait(t)
				w.stat(i)
				close(g.Open)
				xlatortest.Ended(w.T(), done)
				w.right(i)
			})
		})
	}
}

// The stat begins before the change and ends in the middle of it, or the other way
// round.
func TestAnswerThatOverlapsAChangeIsNotKept(t *testing.T) {
	eachChange(t, func(t *testing.T, w *world, i *xlator.Inode, c changing) {
		w.Reconfigure(map[string]string{"md-cache-timeout": "600"})
		s, g := w.P.Gate(xlator.FopStat, true), w.P.Gate(c.fop, false)
		stat := xlatortest.Async(func() { w.stat(i) })
		s.Wait(t)
		change := xlatortest.Async(func() { w.Must(c.do()) })
		g.Wait(t)
		close(s.Open)
		xlatortest.Ended(w.T(), stat)
		close(g.Open)
		xlatortest.Ended(w.T(), change)
		w.right(i)
	})
	eachChange(t, func(t *testing.T, w *world, i *xlator.Inode, c changing) {
		g, s := w.P.Gate(c.fop, false), w.P.Gate(xlator.FopStat, true)
		change := xlatortest.Async(func() { w.Must(c.do()) })
		g.Wait(t)
		w.Reconfigure(map[string]string{"md-cache-timeout": "600"})
		stat := xlatortest.Async(func() { w.stat(i) })
		s.Wait(t)
		close(g.Open)
		xlatortest.Ended(w.T(), change)
		close(s.Open)
		xlatortest.Ended(w.T(), stat)
		w.right(i)
	})
}

// A lookup by name does not say beforehand which file it is about.
func TestLookupByNameFromBeforeAChangeIsNotKept(t *testing.T) {
	eachChange(t, func(t *testing.T, w *world, i *xlator.Inode, c changing) {
		if c.dir {
			return
		}
		g := w.P.Gate(xlator.FopLookup, true)
		done := xlatortest.Async(func() { w.Must(justErr(w.X.Lookup(xlator.Internal(), &xlator.LookupReq{Parent: w.Root, Name: "f"}))) })
		g.Wait(t)
		w.Must(c.do())
		close(g.Open)
		xlatortest.Ended(w.T(), done)
		w.right(i)
	})
}

// So also when nobody knows the file while it changes: its Inode is gone, and
// comes back with an old answer.
func TestChangeOfAnUnknownFileIsRemembered(t *testing.T) {
	w := build(t, nil)
	g := xlator.NewGFID()
	a, _ := w.X.ask()
	w.X.changed(g)
	i := w.Inodes.Get(g, xlator.TypeRegular)
	w.X.keep(i, a, &xlator.Iatt{Type: xlator.TypeRegular, GFID: g})
	if w.X.find(i) != nil {
		t.Error("an answer from before the change was kept")
	}
	a, _ = w.X.ask()
	w.X.keep(i, a, &xlator.Iatt{Type: xlator.TypeRegular, GFID: g})
	if w.X.find(i) == nil {
		t.Error("an answer from after the change was not kept")
	}
}

// Two changes at once: the attributes of neither are kept.
func TestAttributesOfConcurrentChangesAreNotKept(t *testing.T) {
	w := build(t, nil)
	fd := w.create("f")
	ctx := xlator.Internal()
	g := w.P.Gate(xlator.FopFtruncate, true)
	done := xlatortest.Async(func() { w.Must(justErr(w.X.Ftruncate(ctx, &xlator.FtruncateReq{FD: fd, Size: 5}))) })
	g.Wait(t)
	w.Must(justErr(w.X.Fsetattr(ctx, &xlator.FsetattrReq{FD: fd, Setattr: xlator.Setattr{Mask: xlator.SetMode, Mode: 0o600}})))
	close(g.Open)
	xlatortest.Ended(w.T(), done)
	w.right(fd.Inode())
	if w.stat(fd.Inode()).Mode != 0o600 {
		t.Error("the attributes of the first were kept")
	}
}

func TestReadForgetsTheTimeOfAccess(t *testing.T) {
	w := build(t, nil)
	fd := w.create("f")
	ctx := xlator.Internal()
	l, err := w.X.Symlink(ctx, &xlator.SymlinkReq{MakeReq: xlator.MakeReq{Parent: w.Root, Name: "s", GFID: xlator.NewGFID()}, Target: "f"})
	w.Must(err)
	d, err := w.X.Opendir(ctx, &xlator.OpenReq{Inode: w.Root, Flags: unix.O_DIRECTORY, Base: 97})
	w.Must(err)
	for name, c := range map[string]struct {
		i  *xlator.Inode
		do func() error
	}{
		"read":     {fd.Inode(), func() error { return justErr(w.X.Readv(ctx, &xlator.ReadvReq{FD: fd, Size: 1})) }},
		"readlink": {l.Inode, func() error { return justErr(w.X.Readlink(ctx, &xlator.ReadlinkReq{Inode: l.Inode})) }},
		"readdir":  {w.Root, func() error { return justErr(w.X.Readdir(ctx, &xlator.ReaddirReq{FD: d.FD, Size: 4096})) }},
		"readdirp": {w.Root, func() error { return justErr(w.X.Readdirp(ctx, &xlator.ReaddirReq{FD: d.FD, Size: 4096})) }},
	} {
		w.stat(c.i)
		w.Must(c.do())
		if w.cached(c.i) {
			t.Errorf("%s: answered from before it", name)
		}
	}
}

// Writers extend a file, through write-behind, while others look and the graph
// changes its phase: nobody ever sees less than what was acknowledged before.
func TestSizeNeverGoesBackwards(t *testing.T) {
	for _, procs := range []int{1, 2} {
		t.Run(fmt.Sprint(procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			p := plan(map[string]string{"md-cache-timeout": "600"})
			p.Between = xlatortest.Above(writebehind.Type(), nil)
			w := &world{p.Build(t)}
			fd := w.create("f")
			var size atomic.Uint64
			stop := make(chan struct{})
			var wg sync.WaitGroup
			until := func(f func(n int)) {
				wg.Go(func() {
					for n := 0; ; n++ {
						select {
						case <-stop:
							return
						default:
							f(n)
						}
					}
				})
			}
			ctx := xlator.Internal()
			look := func(how string, f func() (xlator.Iatt, error)) {
				until(func(int) {
					least := size.Load()
					if a, err := f(); err != nil || a.Valid() && a.Size < least {
						t.Errorf("%s: size %d, but %d were acknowledged: %v", how, a.Size, least, err)
					}
				})
			}
			look("stat", func() (xlator.Iatt, error) { return attrOf(w.X.Stat(ctx, &xlator.StatReq{Inode: fd.Inode()})) })
			look("fstat", func() (xlator.Iatt, error) { return attrOf(w.X.Fstat(ctx, &xlator.FstatReq{FD: fd})) })
			look("lookup", func() (xlator.Iatt, error) {
				rep, err := w.X.Lookup(ctx, &xlator.LookupReq{Parent: w.Root, Name: "f"})
				if err != nil {
					return xlator.Iatt{}, err
				}
				return rep.Attr, nil
			})
			look("readdirp", func() (a xlator.Iatt, err error) { return w.listed(ctx, "f") })
			until(func(n int) {
				w.Phase.Set([]xlator.PhaseName{xlator.PhaseServing, xlator.PhaseDraining, xlator.PhaseServing, xlator.PhaseSettling}[n%4])
				for range 10 {
					runtime.Gosched()
				}
			})
			for n := range uint64(3000) {
				w.Must(justErr(w.X.Writev(ctx, &xlator.WritevReq{FD: fd, Offset: int64(n) * 10, Flags: fd.Flags(), Payload: xlator.Payload{Bytes: []byte("0123456789")}})))
				size.Store((n + 1) * 10)
			}
			close(stop)
			wg.Wait()
			w.Phase.Set(xlator.PhaseServing)
			if a := w.stat(fd.Inode()); a.Size != 30000 {
				t.Errorf("size %d in the end", a.Size)
			}
		})
	}
}

func attrOf(rep *xlator.AttrRep, err error) (xlator.Iatt, error) {
	if err != nil {
		return xlator.Iatt{}, err
	}
	return rep.Attr, nil
}

// listed is the attributes that a listing of the root gives with a name.
func (w *world) listed(ctx context.Context, name string) (a xlator.Iatt, err error) {
	d, err := w.X.Opendir(ctx, &xlator.OpenReq{Inode: w.Root, Flags: unix.O_DIRECTORY, Base: 96})
	if err != nil {
		return a, err
	}
	defer w.X.Release(d.FD)
	rep, err := w.X.Readdirp(ctx, &xlator.ReaddirReq{FD: d.FD, Size: 1 << 16})
	if err != nil {
		return a, err
	}
	for _, e := range rep.Entries {
		if e.Name == name {
			a = e.Attr
		}
	}
	return a, nil
}
