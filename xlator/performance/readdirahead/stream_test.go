package readdirahead

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

func TestDirectoryIsListedAheadFromItsOpening(t *testing.T) {
	w := build(t, nil)
	d := w.fill(300)
	want := w.list(w.Leaf, w.opendir(w.Leaf, d), 0, 4096)
	g := w.P.Gate(xlator.FopReaddirp, false)
	fd := w.opendir(w.X, d)
	g.Wait(t) // nobody has asked for anything yet
	close(g.Open)
	w.idle(fd)
	var got []xlator.DirEntry
	if n := w.asked(func() { got = w.list(w.X, fd, 0, 4096) }); n > 1 {
		t.Errorf("the child was asked %d times while it was read", n)
	}
	if !slices.Equal(told(got), told(want)) {
		t.Errorf("%v\nwant %v", told(got), told(want))
	}
	for _, e := range got {
		if e.Name[0] != '.' && (e.Inode == nil || !e.Attr.Valid()) {
			t.Errorf("%s has no attributes", e.Name)
		}
	}
	w.X.Release(fd)
	if n := w.X.memory.Load(); n != 0 {
		t.Errorf("%d bytes left", n)
	}
}

// The kernel asks again for what did not fit, goes back, and jumps.
func TestSeeksGiveWhatTheChildGives(t *testing.T) {
	w := build(t, nil)
	d := w.fill(300)
	ref := w.opendir(w.Leaf, d)
	all := w.list(w.Leaf, ref, 0, 4096)
	fd := w.opendir(w.X, d)
	for _, at := range []int{0, 10, 3, 0, 150, 151, 150, 299, 20, len(all) - 2} {
		offset := int64(0)
		if at > 0 {
			offset = all[at-1].Offset
		}
		es := w.piece(w.X, fd, offset, 3000)
		if len(es) == 0 || !slices.Equal(told(es), told(all[at:min(at+len(es), len(all))])) {
			t.Fatalf("from %d: %v", at, told(es))
		}
		// The last entries did not fit.
		again := w.piece(w.X, fd, es[len(es)/2].Offset, 3000)
		from := at + len(es)/2 + 1
		if len(again) == 0 && from < len(all) || len(again) > 0 && !slices.Equal(told(again), told(all[from:from+len(again)])) {
			t.Fatalf("again from %d: %v", from, told(again))
		}
	}
	if es := w.piece(w.X, fd, all[len(all)-1].Offset, 3000); len(es) != 0 {
		t.Errorf("after the end: %v", told(es))
	}
}

func TestListingGoesOnAfterASeek(t *testing.T) {
	w := build(t, nil)
	d := w.fill(400)
	all := w.list(w.Leaf, w.opendir(w.Leaf, d), 0, 4096)
	fd := w.opendir(w.X, d)
	w.idle(fd)
	es := w.piece(w.X, fd, all[99].Offset, 4096)
	w.idle(fd)
	if n := w.asked(func() {
		w.piece(w.X, fd, es[len(es)-1].Offset, 4096)
	}); n != 0 {
		t.Error("the child was asked for what comes after a seek")
	}
}

var changesOfNames = map[string]func(w *world, d *xlator.Inode) error{
	"create": func(w *world, d *xlator.Inode) error { return w.create(w.X, d, "new") },
	"mknod": func(w *world, d *xlator.Inode) error {
		return justErr(w.X.Mknod(xlator.Internal(), &xlator.MknodReq{MakeReq: w.name(d, "new"), Type: xlator.TypeFIFO}))
	},
	"mkdir": func(w *world, d *xlator.Inode) error {
		return justErr(w.X.Mkdir(xlator.Internal(), &xlator.MkdirReq{MakeReq: w.name(d, "new")}))
	},
	"symlink": func(w *world, d *xlator.Inode) error {
		return justErr(w.X.Symlink(xlator.Internal(), &xlator.SymlinkReq{MakeReq: w.name(d, "new"), Target: "x"}))
	},
	"link": func(w *world, d *xlator.Inode) error {
		return justErr(w.X.Link(xlator.Internal(), &xlator.LinkReq{Inode: w.find(d, "file-0000"), Parent: d, Name: "new"}))
	},
	"unlink": func(w *world, d *xlator.Inode) error { return unlink(w.X, d, "file-0001") },
	"rmdir": func(w *world, d *xlator.Inode) error {
		return justErr(w.X.Rmdir(xlator.Internal(), &xlator.RmdirReq{Parent: d, Name: "sub"}))
	},
	"rename": func(w *world, d *xlator.Inode) error {
		return justErr(w.X.Rename(xlator.Internal(), &xlator.RenameReq{OldParent: d, OldName: "file-0001", NewParent: d, NewName: "new"}))
	},
	"rename into it": func(w *world, d *xlator.Inode) error {
		w.Must(w.create(w.Leaf, w.Root, "outside"))
		return justErr(w.X.Rename(xlator.Internal(), &xlator.RenameReq{OldParent: w.Root, OldName: "outside", NewParent: d, NewName: "new"}))
	},
	"told by the brick": func(w *world, d *xlator.Inode) error {
		w.Must(w.create(w.Leaf, d, "theirs"))
		w.X.Notified(w.P, xlator.Event{Kind: xlator.Invalidate, File: d.GFID(), Stale: xlator.StaleEntries})
		return nil
	},
	"the brick was away": func(w *world, d *xlator.Inode) error {
		w.Must(w.create(w.Leaf, d, "theirs"))
		w.X.Notified(w.P, xlator.Event{Kind: xlator.ChildDown})
		return nil
	},
}

func (w *world) find(d *xlator.Inode, n string) *xlator.Inode {
	w.T().Helper()
	rep, err := w.Leaf.Lookup(xlator.Internal(), &xlator.LookupReq{Parent: d, Name: n})
	w.Must(err)
	return rep.Inode
}

// Whether it was read ahead before the change, or is being read while it happens.
func TestChangeOfNamesIsListedAtOnce(t *testing.T) {
	for name, do := range changesOfNames {
		for _, during := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " during ", during), func(t *testing.T) {
				w := build(t, nil)
				d := w.fill(50)
				w.mkdir(w.Leaf, d, "sub")
				var g *xlatortest.Gate
				if during {
					g = w.P.Gate(xlator.FopReaddirp, true)
				}
				fd := w.opendir(w.X, d)
				if during {
					g.Wait(t)
				} else {
					w.idle(fd)
				}
				w.Must(do(w, d))
				if during {
					close(g.Open)
				}
				got, want := told(w.list(w.X, fd, 0, 4096)), told(w.list(w.Leaf, w.opendir(w.Leaf, d), 0, 4096))
				if !slices.Equal(got, want) {
					t.Errorf("%v\nwant %v", got, want)
				}
			})
		}
	}
}

// A reader that removes what it reads costs the child what it costs without us.
func TestReaderThatChangesTheDirectoryIsNotReadAheadOf(t *testing.T) {
	w := build(t, nil)
	d := w.fill(300)
	fd := w.opendir(w.X, d)
	w.idle(fd)
	requests, from := int64(0), int64(0)
	n := w.asked(func() {
		for {
			es := w.piece(w.X, fd, from, 4096)
			requests++
			if len(es) == 0 {
				return
			}
			for _, e := range es {
				if e.Type == xlator.TypeRegular {
					w.Must(unlink(w.X, d, e.Name))
				}
			}
			from = es[len(es)-1].Offset
		}
	})
	if n > requests+1 {
		t.Errorf("%d listings for %d requests", n, requests)
	}
	if left := w.list(w.Leaf, w.opendir(w.Leaf, d), 0, 4096); len(left) != 2 {
		t.Errorf("left: %v", told(left))
	}
}

// changing are fops after which attributes in a listing may be old.
func changing(w *world, d *xlator.Inode) map[string]func() error {
	ctx := xlator.Internal()
	i := w.find(d, "file-0001")
	o, err := w.X.Open(ctx, &xlator.OpenReq{Inode: i, Flags: unix.O_RDWR, Base: 9001})
	w.Must(err)
	x := &xlator.Dict{}
	x.SetBytes("user.x", []byte("1"))
	set := xlator.Setattr{Mask: xlator.SetMode, Mode: 0o604}
	return map[string]func() error{
		"write": func() error {
			return justErr(w.X.Writev(ctx, &xlator.WritevReq{FD: o.FD, Payload: xlator.Payload{Bytes: []byte("data")}}))
		},
		"truncate":  func() error { return justErr(w.X.Truncate(ctx, &xlator.TruncateReq{Inode: i, Size: 3})) },
		"ftruncate": func() error { return justErr(w.X.Ftruncate(ctx, &xlator.FtruncateReq{FD: o.FD, Size: 3})) },
		"setattr":   func() error { return justErr(w.X.Setattr(ctx, &xlator.SetattrReq{Inode: i, Setattr: set})) },
		"fsetattr":  func() error { return justErr(w.X.Fsetattr(ctx, &xlator.FsetattrReq{FD: o.FD, Setattr: set})) },
		"fallocate": func() error { return justErr(w.X.Fallocate(ctx, &xlator.FallocateReq{FD: o.FD, Len: 9000})) },
		"copy": func() error {
			return justErr(w.X.CopyFileRange(ctx, &xlator.CopyFileRangeReq{Src: o.FD, Dst: o.FD, DstOff: 100, Len: 1}))
		},
		"setxattr": func() error { return justErr(w.X.Setxattr(ctx, &xlator.SetxattrReq{Inode: i, Xattrs: x})) },
		"link elsewhere": func() error {
			return justErr(w.X.Link(ctx, &xlator.LinkReq{Inode: i, Parent: w.Root, Name: "elsewhere"}))
		},
		"told by the brick": func() error {
			w.Must(justErr(w.Leaf.Truncate(ctx, &xlator.TruncateReq{Inode: i, Size: 7})))
			w.X.Notified(w.P, xlator.Event{Kind: xlator.Invalidate, File: i.GFID(), Stale: xlator.StaleAttr})
			return nil
		},
		"a lock": func() error {
			w.Must(justErr(w.Leaf.Truncate(ctx, &xlator.TruncateReq{Inode: i, Size: 7})))
			return justErr(w.X.Lk(ctx, &xlator.LkReq{FD: o.FD, Cmd: xlator.LkSet, Lock: xlator.Lock{Type: unix.F_WRLCK, End: 10}}))
		},
	}
}

// An entry gives no attributes that this client has changed since they were read,
// and none that may be from before a change that is under way.
func TestAttributesFromBeforeAChangeAreLeftOut(t *testing.T) {
	for name := range changing(prepared(t)) {
		t.Run(name, func(t *testing.T) {
			w, d := prepared(t)
			do := changing(w, d)[name]
			fd := w.opendir(w.X, d)
			w.idle(fd)
			w.Must(do())
			n := 0
			for _, e := range w.list(w.X, fd, 0, 4096) {
				switch {
				case e.Attr.Valid():
					n++
					rep, err := w.Leaf.Stat(xlator.Internal(), &xlator.StatReq{Inode: e.Inode})
					w.Must(err)
					if rep.Attr.Size != e.Attr.Size || rep.Attr.Mode != e.Attr.Mode || rep.Attr.Ctime != e.Attr.Ctime || rep.Attr.Nlink != e.Attr.Nlink {
						t.Errorf("%s: %+v\nbut the brick has %+v", e.Name, e.Attr, rep.Attr)
					}
				case e.Name == "file-0001" && (e.Inode == nil || e.GFID.IsZero()):
					t.Error("the entry has lost its identity")
				}
			}
			if n != 49 {
				t.Errorf("%d entries have attributes", n)
			}
		})
	}
}

func prepared(t *testing.T) (*world, *xlator.Inode) {
	w := build(t, nil)
	return w, w.fill(50)
}

func TestAttributesOfAWriteUnderWayAreLeftOut(t *testing.T) {
	w, d := prepared(t)
	i := w.find(d, "file-0001")
	g := w.P.Gate(xlator.FopTruncate, true)
	done := xlatortest.Async(func() { w.X.Truncate(xlator.Internal(), &xlator.TruncateReq{Inode: i, Size: 3}) })
	g.Wait(t)
	for _, e := range w.list(w.X, w.opendir(w.X, d), 0, 4096) {
		if e.Name == "file-0001" && e.Attr.Valid() {
			t.Error("it has attributes")
		}
	}
	close(g.Open)
	xlatortest.Ended(t, done)
}

func TestOldAttributesAreLeftOut(t *testing.T) {
	w, d := prepared(t)
	fd := w.opendir(w.X, d)
	w.idle(fd)
	w.Pass(maxAge + 1)
	es := w.list(w.X, fd, 0, 1<<20)
	for _, e := range es {
		if e.Attr.Valid() {
			t.Errorf("%s has attributes", e.Name)
		}
	}
	if len(es) != 52 {
		t.Errorf("%d entries", len(es))
	}
}

func TestErrorIsNotKept(t *testing.T) {
	w, d := prepared(t)
	g := w.P.Gate(xlator.FopReaddirp, false)
	g.Err = unix.EIO
	close(g.Open)
	fd := w.opendir(w.X, d)
	w.idle(fd)
	if es := w.list(w.X, fd, 0, 4096); len(es) != 52 {
		t.Errorf("%d entries after an error that nobody was told of", len(es))
	}
	g = w.P.Gate(xlator.FopReaddirp, false)
	g.Err = unix.EIO
	close(g.Open)
	if _, err := w.X.Readdirp(xlator.Internal(), &xlator.ReaddirReq{FD: fd, Offset: 0, Size: 4096}); !errors.Is(err, unix.EIO) {
		t.Errorf("the child's error became %v", err)
	}
}

func TestReleaseDoesNotWaitForTheChild(t *testing.T) {
	w, d := prepared(t)
	g := w.P.Gate(xlator.FopReaddirp, false)
	fd := w.opendir(w.X, d)
	g.Wait(t)
	xlatortest.Ended(t, xlatortest.Async(func() { w.X.Release(fd) }))
	close(g.Open)
	w.X.Stop()
	if n := w.X.memory.Load(); n != 0 {
		t.Errorf("%d bytes left", n)
	}
}

func TestInterruptedReaderGoesOn(t *testing.T) {
	w, d := prepared(t)
	g := w.P.Gate(xlator.FopReaddirp, false)
	fd := w.opendir(w.X, d)
	g.Wait(t)
	call := &xlator.Call{}
	var err error
	done := xlatortest.Async(func() {
		_, err = w.X.Readdirp(call, &xlator.ReaddirReq{FD: fd, Size: 4096})
	})
	call.Interrupt()
	xlatortest.Ended(t, done)
	if xlator.Errno(err) != unix.EINTR {
		t.Errorf("%v", err)
	}
	close(g.Open)
	if es := w.list(w.X, fd, 0, 4096); len(es) != 52 {
		t.Errorf("%d entries", len(es))
	}
}

func TestTransparentGraphReadsNothingAhead(t *testing.T) {
	for _, phase := range []xlator.PhaseName{xlator.PhaseSettling, xlator.PhaseDraining} {
		w, d := prepared(t)
		fd := w.opendir(w.X, d)
		w.idle(fd)
		w.Phase.Set(phase)
		w.Must(w.create(w.Leaf, d, "new"))
		if es := w.list(w.X, fd, 0, 4096); len(es) != 53 {
			t.Errorf("%s: %d entries", phase, len(es))
		}
		n := w.asked(func() { w.idle(w.opendir(w.X, d)) })
		if n != 0 || w.X.memory.Load() != 0 {
			t.Errorf("%s: read ahead", phase)
		}
		w.Phase.Set(xlator.PhaseServing)
		w.Must(w.create(w.Leaf, d, "newer"))
		if es := w.list(w.X, fd, 0, 4096); len(es) != 54 {
			t.Errorf("serving after %s: %d entries", phase, len(es))
		}
	}
}

func TestOptionsBoundWhatIsReadAhead(t *testing.T) {
	w := build(t, map[string]string{"rda-request-size": "4096", "rda-high-wmark": "20KB", "rda-low-wmark": "8KB"})
	d := w.fill(600)
	fd := w.opendir(w.X, d)
	w.idle(fd)
	s := w.X.streams.Get(fd)
	if s.bytes < 20<<10 || s.bytes > 25<<10 {
		t.Errorf("%d bytes read ahead", s.bytes)
	}
	n, from := 0, int64(0)
	for es := w.piece(w.X, fd, 0, 4096); len(es) > 0 && n < 3; n++ {
		from = es[len(es)-1].Offset
		es = w.piece(w.X, fd, from, 4096)
		w.idle(fd)
	}
	if s.bytes < 20<<10 {
		t.Errorf("%d bytes after the low mark was passed", s.bytes)
	}
	// All directories together.
	w.Reconfigure(map[string]string{"rda-cache-limit": "1MB"})
	for range 40 {
		w.idle(w.opendir(w.X, d))
		if m := w.X.memory.Load(); m > 1<<20 {
			t.Fatalf("%d bytes in all", m)
		}
	}
	for _, opts := range []map[string]string{{"pass-through": "on"}, {"rda-cache-limit": "0"}, {"rda-high-wmark": "0"}} {
		w.Reconfigure(opts)
		if n := w.asked(func() { w.idle(w.opendir(w.X, d)) }); n != 0 {
			t.Errorf("%v: read ahead", opts)
		}
	}
	text, err := json.Marshal(w.X.Dump())
	w.Must(err)
	var dump struct{ Bytes, Hits, Requests int }
	w.Must(json.Unmarshal(text, &dump))
	if dump.Bytes == 0 || dump.Hits == 0 || dump.Requests == 0 {
		t.Errorf("%s", text)
	}
}
