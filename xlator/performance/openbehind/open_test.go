package openbehind

import (
	"context"
	"encoding/json"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

func TestFileIsOpenedByItsFirstRead(t *testing.T) {
	w := build(t, nil)
	fd := w.early(w.file("f", "content"))
	if fd.Flags() != unix.O_RDONLY || fd.Base() == 0 {
		t.Errorf("flags %x, base %d", fd.Flags(), fd.Base())
	}
	n := w.opens(func() {
		for range 3 {
			if s, err := w.read(fd); err != nil || s != "content" {
				t.Errorf("%q, %v", s, err)
			}
		}
	})
	if n != 1 {
		t.Errorf("opened %d times", n)
	}
	w.X.Release(fd)
	if w.P.Releases() != 1 {
		t.Errorf("released %d times", w.P.Releases())
	}
}

func TestFileThatNobodyReadsIsNeverOpened(t *testing.T) {
	w := build(t, nil)
	n := w.opens(func() {
		fd := w.early(w.file("f", ""))
		w.Must(justErr(w.X.Flush(caller(), &xlator.FlushReq{FD: fd})))
		w.X.Release(fd)
	})
	if n != 0 || w.P.Releases() != 0 {
		t.Errorf("opened %d times, released %d times", n, w.P.Releases())
	}
	if len(w.X.all()) != 0 {
		t.Error("it waits to be opened")
	}
}

func TestTheseAreOpenedAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		opts   map[string]string
		flags  uint32
		phase  xlator.PhaseName
		reopen bool
		before func(w *world, i *xlator.Inode)
	}{
		"for writing":   {flags: unix.O_WRONLY},
		"for both":      {flags: unix.O_RDWR},
		"O_DIRECT":      {flags: unix.O_DIRECT},
		"O_NOATIME":     {flags: unix.O_NOATIME},
		"to run it":     {flags: 0x20},
		"again":         {reopen: true},
		"pass-through":  {opts: map[string]string{"pass-through": "on"}},
		"settling":      {phase: xlator.PhaseSettling},
		"draining":      {phase: xlator.PhaseDraining},
		"open already":  {before: func(w *world, i *xlator.Inode) { w.open(i, unix.O_RDWR) }},
		"early already": {before: func(w *world, i *xlator.Inode) { w.early(i) }},
		"made here": {before: func(w *world, i *xlator.Inode) {
			w.Must(justErr(w.X.Create(caller(), &xlator.CreateReq{MakeReq: w.name(w.Root, "f"), Flags: unix.O_RDWR, Base: 99})))
		}},
		"another name was removed": {before: func(w *world, i *xlator.Inode) {
			w.Must(justErr(w.X.Link(caller(), &xlator.LinkReq{Inode: i, Parent: w.Root, Name: "l"})))
			w.Must(unlink(w.X, w.Root, "l"))
		}},
		"the brick says that it lost a name": {before: func(w *world, i *xlator.Inode) {
			w.X.Notified(w.P, xlator.Event{Kind: xlator.Invalidate, File: i.GFID(), Stale: xlator.StaleName})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, c.opts)
			i := w.file("f", "content")
			if c.before != nil {
				c.before(w, i)
			}
			if c.phase != xlator.PhaseSettling || name == "settling" {
				w.Phase.Set(c.phase)
			}
			n := w.opens(func() {
				rep, err := w.X.Open(caller(), &xlator.OpenReq{Inode: i, Flags: c.flags, Base: 77, Reopen: c.reopen})
				w.Must(err)
				w.X.Release(rep.FD)
			})
			if n != 1 {
				t.Error("the child was not asked")
			}
		})
	}
}

// Every request with the FD is carried out with the file open.
func TestWhateverNeedsTheFileOpensIt(t *testing.T) {
	ctx := context.Context(caller())
	x := &xlator.Dict{}
	x.SetBytes("user.x", []byte("1"))
	for name, c := range map[string]struct {
		do  func(w *world, fd *xlator.FD) error
		err unix.Errno
	}{
		"fstat": {func(w *world, fd *xlator.FD) error { return justErr(w.X.Fstat(ctx, &xlator.FstatReq{FD: fd})) }, 0},
		"lock": {func(w *world, fd *xlator.FD) error {
			return justErr(w.X.Lk(ctx, &xlator.LkReq{FD: fd, Cmd: xlator.LkSet, Lock: xlator.Lock{Type: unix.F_RDLCK, End: 1, Owner: 1}}))
		}, 0},
		"fsync": {func(w *world, fd *xlator.FD) error { return justErr(w.X.Fsync(ctx, &xlator.FsyncReq{FD: fd})) }, 0},
		"seek": {func(w *world, fd *xlator.FD) error {
			return justErr(w.X.Seek(ctx, &xlator.SeekReq{FD: fd, Whence: unix.SEEK_DATA}))
		}, 0},
		"fgetxattr": {func(w *world, fd *xlator.FD) error { return justErr(w.X.Fgetxattr(ctx, &xlator.FgetxattrReq{FD: fd})) }, 0},
		"fsetxattr": {func(w *world, fd *xlator.FD) error {
			return justErr(w.X.Fsetxattr(ctx, &xlator.FsetxattrReq{FD: fd, Xattrs: x}))
		}, 0},
		"fsetattr": {func(w *world, fd *xlator.FD) error {
			return justErr(w.X.Fsetattr(ctx, &xlator.FsetattrReq{FD: fd, Setattr: xlator.Setattr{Mask: xlator.SetMode, Mode: 0o600}}))
		}, 0},
		"ftruncate": {func(w *world, fd *xlator.FD) error { return justErr(w.X.Ftruncate(ctx, &xlator.FtruncateReq{FD: fd})) }, unix.EBADF},
		"write": {func(w *world, fd *xlator.FD) error {
			return justErr(w.X.Writev(ctx, &xlator.WritevReq{FD: fd, Payload: xlator.Payload{Bytes: []byte("x")}}))
		}, unix.EBADF},
		"setattr": {func(w *world, fd *xlator.FD) error {
			return justErr(w.X.Setattr(ctx, &xlator.SetattrReq{Inode: fd.Inode(), Setattr: xlator.Setattr{Mask: xlator.SetMode, Mode: 0}}))
		}, 0},
		"setxattr": {func(w *world, fd *xlator.FD) error {
			return justErr(w.X.Setxattr(ctx, &xlator.SetxattrReq{Inode: fd.Inode(), Xattrs: x}))
		}, 0},
		"unlink": {func(w *world, fd *xlator.FD) error { return unlink(w.X, w.Root, "f") }, 0},
		"unlink of that one": {func(w *world, fd *xlator.FD) error {
			return justErr(w.X.Unlink(ctx, &xlator.UnlinkReq{Parent: w.Root, Name: "f", Victim: fd.Inode().GFID()}))
		}, 0},
		"rename over it": {func(w *world, fd *xlator.FD) error {
			return justErr(w.X.Rename(ctx, &xlator.RenameReq{OldParent: w.Root, OldName: "g", NewParent: w.Root, NewName: "f"}))
		}, 0},
		"drain": {func(w *world, fd *xlator.FD) error { w.Drain(); return nil }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, nil)
			w.file("g", "other")
			fd := w.early(w.file("f", "content"))
			n := w.opens(func() {
				if err := c.do(w, fd); xlator.Errno(err) != c.err && !(c.err == unix.EBADF && xlator.Errno(err) == unix.EINVAL) {
					t.Errorf("%v", err)
				}
			})
			if n != 1 {
				t.Errorf("opened %d times", n)
			}
			if s, err := w.read(fd); err != nil || s != "content" {
				t.Errorf("%q, %v", s, err)
			}
		})
	}
}

// The name may go while the open is on its way, and an open may come while the name
// goes: both see the file that was there.
func TestFileThatIsUnlinkedBeforeItsLateOpenIsRead(t *testing.T) {
	w := build(t, nil)
	i := w.file("f", "content")
	g := w.P.Gate(xlator.FopUnlink, false)
	fd := w.early(i)
	done := xlatortest.Async(func() { w.Must(unlink(w.X, w.Root, "f")) })
	g.Wait(t)
	other := w.file("g", "other")
	if n := w.opens(func() { w.X.Release(w.open(other, unix.O_RDONLY)) }); n != 1 {
		t.Error("an open beside an unlink was answered early")
	}
	close(g.Open)
	xlatortest.Ended(t, done)
	if s, err := w.read(fd); err != nil || s != "content" {
		t.Errorf("%q, %v", s, err)
	}
}

// A file whose open the graph answered is read through the next graph after its
// name was removed there.
func TestDrainedFileIsAdoptedByTheNextGraph(t *testing.T) {
	w := build(t, nil)
	i := w.file("f", "content")
	fd := w.early(i)
	w.Drain()
	w.Must(unlink(w.Leaf, w.Root, "f"))
	rep, err := w.Leaf.Open(xlator.Internal(), &xlator.OpenReq{Inode: i, Flags: fd.Flags(), Base: fd.Base(), Reopen: true})
	w.Must(err)
	got, err := w.Leaf.Readv(xlator.Internal(), &xlator.ReadvReq{FD: rep.FD, Size: 100})
	if err != nil || string(got.Data) != "content" {
		t.Errorf("%v, %v", got, err)
	}
	w.Leaf.Release(rep.FD)
}

func TestDrainEndsWithItsDeadlineAndNamesWhatIsLeft(t *testing.T) {
	w := build(t, nil)
	i := w.file("f", "content")
	fd := w.early(i)
	w.Phase.Set(xlator.PhaseDraining)
	g := w.P.Gate(xlator.FopOpen, false)
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	done := xlatortest.Async(func() { err = w.X.Drain(ctx) })
	g.Wait(t)
	cancel()
	xlatortest.Ended(t, done)
	if d := w.X.Dirty(); err == nil || len(d) != 1 || d[0] != i.GFID() {
		t.Errorf("%v, dirty %v", err, d)
	}
	clean := xlatortest.Async(func() { w.Must(w.X.WaitClean(context.Background(), i.GFID())) })
	close(g.Open)
	xlatortest.Ended(t, clean)
	if d := w.X.Dirty(); len(d) != 0 {
		t.Errorf("dirty %v", d)
	}
	if s, err := w.read(fd); err != nil || s != "content" {
		t.Errorf("%q, %v", s, err)
	}
}

// What cannot be opened does not hold up a switch.
func TestDrainDoesNotWaitForWhatCannotBeOpened(t *testing.T) {
	w := build(t, nil)
	w.early(w.file("f", "content"))
	g := w.P.Gate(xlator.FopOpen, false)
	g.Err = unix.EACCES
	close(g.Open)
	w.Phase.Set(xlator.PhaseDraining)
	if err := w.X.Drain(context.Background()); err != nil || len(w.X.Dirty()) != 0 {
		t.Errorf("%v, dirty %v", err, w.X.Dirty())
	}
}

func TestErrorOfTheLateOpenIsTheFirstUsers(t *testing.T) {
	w := build(t, nil)
	fd := w.early(w.file("f", "content"))
	g := w.P.Gate(xlator.FopOpen, false)
	g.Err = unix.EACCES
	close(g.Open)
	if _, err := w.read(fd); xlator.Errno(err) != unix.EACCES {
		t.Errorf("%v", err)
	}
	// It is tried again, after a pause.
	for {
		s, err := w.read(fd)
		if err == nil {
			if s != "content" {
				t.Errorf("%q", s)
			}
			break
		}
		if xlator.Errno(err) != unix.EACCES {
			t.Fatal(err)
		}
	}
	w.X.Release(fd)
}

func TestFileIsOpenedByWhoOpenedIt(t *testing.T) {
	w := build(t, nil)
	i := w.file("f", "content")
	w.Must(justErr(w.Leaf.Setattr(xlator.Internal(), &xlator.SetattrReq{Inode: i, Setattr: xlator.Setattr{Mask: xlator.SetMode, Mode: 0o600}})))
	call := &xlator.Call{PID: 1, UID: 1000, GID: 1001, Groups: []uint32{7}}
	rep, err := w.X.Open(call, &xlator.OpenReq{Inode: i, Flags: unix.O_RDONLY, Base: 5})
	w.Must(err)
	groups := call.Groups
	call.Reset() // the request is answered: its Call serves another
	groups[0] = 0
	var seen *xlator.Call
	w.P.See = func(c *xlator.Call, f xlator.Fop) {
		if f == xlator.FopOpen {
			seen = c
		}
	}
	w.read(rep.FD)
	if seen == nil || seen.UID != 1000 || seen.GID != 1001 || seen.PID != 1 || len(seen.Groups) != 1 || seen.Groups[0] != 7 || seen.Unique != 0 {
		t.Errorf("opened by %+v", seen)
	}
}

func TestOpenWithoutLazyOpenIsSentAtOnce(t *testing.T) {
	w := build(t, map[string]string{"lazy-open": "off"})
	i := w.file("f", "content")
	g := w.P.Gate(xlator.FopOpen, false)
	fd := w.open(i, unix.O_RDONLY)
	g.Wait(t) // nobody reads
	close(g.Open)
	if n := w.opens(func() { w.read(fd) }); n != 0 {
		t.Error("opened again")
	}
}

func TestReleaseWhileItIsBeingOpened(t *testing.T) {
	w := build(t, map[string]string{"lazy-open": "off"})
	g := w.P.Gate(xlator.FopOpen, true)
	fd := w.open(w.file("f", "content"), unix.O_RDONLY)
	g.Wait(t)
	xlatortest.Ended(t, xlatortest.Async(func() { w.X.Release(fd) }))
	close(g.Open)
	w.X.Stop()
	if n := w.P.Releases(); n != 1 {
		t.Errorf("released %d times", n)
	}
}

func TestInterruptEndsTheWaitOnly(t *testing.T) {
	w := build(t, nil)
	fd := w.early(w.file("f", "content"))
	g := w.P.Gate(xlator.FopOpen, false)
	call := &xlator.Call{}
	var err error
	done := xlatortest.Async(func() { _, err = w.X.Readv(call, &xlator.ReadvReq{FD: fd, Size: 10}) })
	g.Wait(t)
	call.Interrupt()
	xlatortest.Ended(t, done)
	if xlator.Errno(err) != unix.EINTR {
		t.Errorf("%v", err)
	}
	close(g.Open)
	if n := w.opens(func() {
		if s, err := w.read(fd); s != "content" {
			t.Errorf("%q, %v", s, err)
		}
	}); n != 0 {
		t.Error("opened again")
	}
}

func TestAnonymousFstatOpensNothing(t *testing.T) {
	w := build(t, map[string]string{"use-anonymous-fd": "on"})
	fd := w.early(w.file("f", "content"))
	if n := w.opens(func() {
		rep, err := w.X.Fstat(caller(), &xlator.FstatReq{FD: fd})
		if err != nil || rep.Attr.Size != 7 {
			t.Errorf("%+v, %v", rep, err)
		}
	}); n != 0 {
		t.Error("it was opened")
	}
	if n := w.opens(func() { w.read(fd) }); n != 1 {
		t.Error("it was read without being opened")
	}
}

func TestDumpCounts(t *testing.T) {
	w := build(t, nil)
	w.read(w.early(w.file("f", "")))
	w.X.Release(w.early(w.file("g", "")))
	w.early(w.file("h", ""))
	text, err := json.Marshal(w.X.Dump())
	w.Must(err)
	if want := `{"early":3,"failed":0,"never":1,"opened":1,"waiting":1}`; string(text) != want {
		t.Errorf("%s, want %s", text, want)
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	xlatortest.NoLeaks(t, func() {
		w := build(t, map[string]string{"lazy-open": "off"})
		for range 20 {
			w.X.Release(w.open(w.file(xlator.NewGFID().String(), "content"), unix.O_RDONLY))
		}
		w.Stop()
	})
}
