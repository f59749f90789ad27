package writebehind

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// lookup looks a name up in the background and says which size it has.
func (w *world) lookup(name string, size uint64) chan error {
	return async(func() error {
		rep, err := w.x.Lookup(xlator.Internal(), &xlator.LookupReq{Parent: w.root, Name: name})
		if err == nil && (!rep.Attr.Valid() || rep.Attr.Size != size) {
			err = fmt.Errorf("size %d, want %d", rep.Attr.Size, size)
		}
		return err
	})
}

func TestLookupWaitsForTheDataOfTheFileItFinds(t *testing.T) {
	w := build(t, nil)
	fd := w.create("f", rdwr)
	hold := w.p.hold(writes)
	w.write(fd, 0, fill('a', 4096))
	h := hold.next(t)
	done := w.lookup("f", 4096)
	eventually(t, "the lookup waits", func() bool { return w.awaited(fd.Inode()) == 1 })
	pending(t, done, "lookup")
	h.pass()
	ended(t, done, "lookup")
}

// The child has answered the lookup when the data comes to it; by the time the
// answer is here nothing is queued any more.
func TestLookupThatWasOvertakenByDataAsksAgain(t *testing.T) {
	w := build(t, nil)
	fd := w.create("f", rdwr)
	hold, after := w.p.hold(writes), w.p.holdAfter(of(xlator.FopLookup))
	w.write(fd, 0, fill('a', 4096))
	h := hold.next(t)
	done := w.lookup("f", 4096)
	l := after.next(t)
	h.pass()
	eventually(t, "nothing queued", func() bool { return w.queued(fd.Inode()) == 0 })
	w.p.end(after)
	l.pass()
	ended(t, done, "lookup")
}

// So also when the file is closed and forgotten meanwhile: then its Inode is gone.
func TestLookupOfAForgottenFileAsksAgain(t *testing.T) {
	w := build(t, nil)
	g := w.create("f", rdwr).Inode().GFID()
	begun := w.x.ticks.now()
	w.x.ticks.tick(g)
	if !w.x.old(g, nil, begun) {
		t.Error("attributes from before the data are taken for new")
	}
	if w.x.old(g, nil, w.x.ticks.now()) {
		t.Error("attributes from after the data are taken for old")
	}
	if w.x.old(xlator.GFID{15: g[15] + 1}, nil, begun) {
		t.Error("attributes of another file are taken for old")
	}
}

// A name that means another dirty file each time is answered in the end.
func TestLookupOfANameThatChangesAllTheTimeEnds(t *testing.T) {
	w := build(t, nil)
	for n := range 6 {
		w.create(fmt.Sprint("f", n), rdwr)
	}
	after := w.p.holdAfter(of(xlator.FopLookup))
	var rep *xlator.LookupRep
	done := async(func() (err error) {
		rep, err = w.x.Lookup(xlator.Internal(), &xlator.LookupReq{Parent: w.root, Name: "f0"})
		return err
	})
	ctx := xlator.Internal()
	n := 0
	for ended := false; !ended; {
		select {
		case h := <-after.arrived:
			if n++; n > 10 {
				t.Fatal("it asks again and again")
			}
			// What was found is written to, and the name goes to another.
			found, err := w.leaf.Lookup(ctx, &xlator.LookupReq{Parent: w.root, Name: "f0"})
			if err != nil {
				t.Fatal(err)
			}
			fd := w.open(found.Inode, rdwr)
			w.write(fd, 0, fill('a', 10))
			w.flushed(fd)
			if _, err := w.leaf.Rename(ctx, &xlator.RenameReq{OldParent: w.root, OldName: fmt.Sprint("f", n), NewParent: w.root, NewName: "f0"}); err != nil {
				t.Log(err) // out of files: it should have ended
			}
			h.pass()
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			ended = true
		}
	}
	if rep.Attr.Valid() {
		t.Error("with attributes that may be old")
	}
}

func (w *world) readdirp() chan map[string]xlator.DirEntry {
	w.base++
	rep, err := w.x.Opendir(xlator.Internal(), &xlator.OpenReq{Inode: w.root, Flags: unix.O_DIRECTORY, Base: w.base})
	if err != nil {
		w.t.Fatal(err)
	}
	c := make(chan map[string]xlator.DirEntry, 1)
	go func() {
		m := map[string]xlator.DirEntry{}
		rep, err := w.x.Readdirp(xlator.Internal(), &xlator.ReaddirReq{FD: rep.FD, Size: 1 << 16})
		if err == nil {
			for _, e := range rep.Entries {
				m[e.Name] = e
			}
		}
		c <- m
	}()
	return c
}

func TestReaddirpLeavesOutAttributesOfFilesWithQueuedWrites(t *testing.T) {
	w := build(t, nil)
	clean, dirty := w.create("clean", rdwr), w.create("dirty", rdwr)
	w.write(clean, 0, fill('a', 10))
	w.flushed(clean)
	hold := w.p.hold(writes)
	w.write(dirty, 0, fill('a', 10))
	h := hold.next(t)
	m := <-w.readdirp()
	if a := m["clean"].Attr; !a.Valid() || a.Size != 10 {
		t.Errorf("clean file: %+v", a)
	}
	if e := m["dirty"]; e.Attr.Valid() || e.Inode != dirty.Inode() || e.GFID != dirty.Inode().GFID() {
		t.Errorf("dirty file: %+v", e)
	}
	// The data comes to the child behind the back of a readdirp.
	after := w.p.holdAfter(of(xlator.FopReaddirp))
	c := w.readdirp()
	r := after.next(t)
	h.pass()
	eventually(t, "nothing queued", func() bool { return w.queued(dirty.Inode()) == 0 })
	r.pass()
	m = <-c
	if a := m["dirty"].Attr; a.Valid() {
		t.Errorf("size %d from before the write", a.Size)
	}
	if a := m["clean"].Attr; !a.Valid() && m["clean"].GFID[15] != m["dirty"].GFID[15] {
		t.Errorf("clean file: %+v", a)
	}
	w.p.end(after)
	if a := (<-w.readdirp())["dirty"].Attr; !a.Valid() || a.Size != 10 {
		t.Errorf("after all is written: %+v", a)
	}
}

func TestCreateOfAFileThatIsThereWaitsForItsData(t *testing.T) {
	w := build(t, nil)
	fd := w.create("f", rdwr)
	hold := w.p.hold(writes)
	w.write(fd, 0, fill('a', 4096))
	h := hold.next(t)
	done := async(func() error {
		rep, err := w.x.Create(xlator.Internal(), &xlator.CreateReq{
			MakeReq: xlator.MakeReq{Parent: w.root, Name: "f", GFID: xlator.NewGFID(), Mode: 0o644}, Flags: unix.O_WRONLY, Base: 99})
		if err == nil && rep.Attr.Size != 4096 {
			err = fmt.Errorf("size %d", rep.Attr.Size)
		}
		return err
	})
	eventually(t, "the create waits", func() bool { return w.awaited(fd.Inode()) == 1 })
	h.pass()
	ended(t, done, "create")
}

// Data that is acknowledged while a name is removed: what the reply says of the
// file may be older.
func TestRemovedFilesAttributesAreLeftOutWhenOld(t *testing.T) {
	w := build(t, nil)
	fd := w.create("f", rdwr)
	ctx := xlator.Internal()
	after := w.p.holdAfter(of(xlator.FopUnlink, xlator.FopRename))
	hold := w.p.hold(writes)
	var un *xlator.UnlinkRep
	done := async(func() (err error) {
		un, err = w.x.Unlink(ctx, &xlator.UnlinkReq{Parent: w.root, Name: "f"})
		return err
	})
	u := after.next(t)
	w.write(fd, 0, fill('a', 10))
	u.pass()
	ended(t, done, "unlink")
	if un.Attr.Valid() || un.Removed != fd.Inode().GFID() {
		t.Errorf("%+v", un)
	}
	hold.next(t).pass()
	w.flushed(fd)

	old, new := w.create("old", rdwr), w.create("new", rdwr)
	var re *xlator.RenameRep
	done = async(func() (err error) {
		re, err = w.x.Rename(ctx, &xlator.RenameReq{OldParent: w.root, OldName: "old", NewParent: w.root, NewName: "new"})
		return err
	})
	u = after.next(t)
	w.write(old, 0, fill('a', 10))
	w.write(new, 0, fill('a', 10))
	u.pass()
	ended(t, done, "rename")
	if re.Attr.Valid() || re.ReplacedAttr.Valid() || re.Moved != old.Inode().GFID() || re.Replaced != new.Inode().GFID() || !re.PostNewParent.Valid() {
		t.Errorf("%+v", re)
	}
	hold.next(t).pass()
	hold.next(t).pass()
}
