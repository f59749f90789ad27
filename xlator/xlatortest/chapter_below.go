package xlatortest

import (
	"testing"

	"github.com/holdfast/holdfast/xlator"
	"golang.org/x/sys/unix"
)

// below changes things under the translator. A graph that is transparent shows
// each change at once; one that serves may have kept what it saw, so nothing is
// demanded of it.
func below(s *script) {
	fd := s.create(s.root, "f", unix.O_RDWR)
	d := s.mkdir(s.root, "d")
	s.write(fd, 0, pattern(1, 5000))
	s.fsync(fd, false)
	look(s.t, s.top, s.root, fd, d)
	change(s.t, s.bottom, s.root, fd, d)
	if s.transparent() {
		expectChanged(s.t, s.phase.String(), s.top, s.root, fd, d)
	}
}

// learnThenServe lets the translator look while it settles, changes things below
// it, and expects it to notice when it serves: an older graph may write during
// that time.
func learnThenServe(t *testing.T, leaf Leaf, build Build) {
	w := NewWorld(t, nil)
	w.Phase.Set(xlator.PhaseSettling)
	s := &script{t: t, phase: xlator.PhaseSettling, w: w}
	s.bottom = leaf(w, t.TempDir())
	s.top = build(w, s.bottom)
	w.Start()
	s.root = w.Root(s.top)
	fd := s.create(s.root, "f", unix.O_RDWR)
	d := s.mkdir(s.root, "d")
	s.write(fd, 0, pattern(1, 5000))
	look(t, s.top, s.root, fd, d)
	change(t, s.bottom, s.root, fd, d)
	w.Phase.Set(xlator.PhaseServing)
	expectChanged(t, "serving after settling", s.top, s.root, fd, d)
	s.releaseAll()
	w.Drain()
	w.Stop()
}

// look asks for everything that a cache might keep.
func look(t testing.TB, top xlator.Fops, root *xlator.Inode, fd *xlator.FD, d *xlator.Inode) {
	t.Helper()
	ctx := xlator.Internal()
	for _, name := range []string{"f", "d"} {
		if _, err := top.Lookup(ctx, &xlator.LookupReq{Parent: root, Name: name}); err != nil {
			t.Errorf("lookup %s: %v", name, err)
		}
	}
	if _, err := top.Lookup(ctx, &xlator.LookupReq{Parent: d, Name: "new"}); err == nil {
		t.Error("found what is not there yet")
	}
	if _, err := top.Stat(ctx, &xlator.StatReq{Inode: fd.Inode()}); err != nil {
		t.Errorf("stat: %v", err)
	}
	if _, err := top.Readv(ctx, &xlator.ReadvReq{FD: fd, Size: 10000, Flags: fd.Flags()}); err != nil {
		t.Errorf("read: %v", err)
	}
	top.Getxattr(ctx, &xlator.GetxattrReq{Inode: fd.Inode(), Name: "user.x"}) // ENODATA, to be remembered
	top.Getxattr(ctx, &xlator.GetxattrReq{Inode: fd.Inode()})
}

func change(t testing.TB, bottom xlator.Fops, root *xlator.Inode, fd *xlator.FD, d *xlator.Inode) {
	t.Helper()
	ctx := xlator.Internal()
	_, err := bottom.Writev(ctx, &xlator.WritevReq{FD: fd, Payload: xlator.Payload{Bytes: pattern(9, 7000)}, Flags: fd.Flags()})
	if err == nil {
		_, err = bottom.Setattr(ctx, &xlator.SetattrReq{Inode: fd.Inode(), Setattr: xlator.Setattr{Mask: xlator.SetMode, Mode: 0o611}})
	}
	if err == nil {
		x := &xlator.Dict{}
		x.SetBytes("user.x", []byte("new"))
		_, err = bottom.Setxattr(ctx, &xlator.SetxattrReq{Inode: fd.Inode(), Xattrs: x})
	}
	if err == nil {
		_, err = bottom.Mkdir(ctx, &xlator.MkdirReq{MakeReq: xlator.MakeReq{Parent: d, Name: "new", GFID: xlator.NewGFID(), Mode: 0o755}})
	}
	if err != nil {
		t.Fatalf("change below: %v", err)
	}
}

func expectChanged(t testing.TB, when string, top xlator.Fops, root *xlator.Inode, fd *xlator.FD, d *xlator.Inode) {
	t.Helper()
	ctx := xlator.Internal()
	right := func(a xlator.Iatt) bool { return !a.Valid() || a.Mode == 0o611 && a.Size == 7000 }
	if rep, err := top.Lookup(ctx, &xlator.LookupReq{Parent: root, Name: "f"}); err != nil || !right(rep.Attr) {
		t.Errorf("%s: lookup does not see the change: %+v, %v", when, rep, err)
	}
	if rep, err := top.Stat(ctx, &xlator.StatReq{Inode: fd.Inode()}); err != nil || !rep.Attr.Valid() || !right(rep.Attr) {
		t.Errorf("%s: stat does not see the change: %+v, %v", when, rep, err)
	}
	if rep, err := top.Fstat(ctx, &xlator.FstatReq{FD: fd}); err != nil || !rep.Attr.Valid() || !right(rep.Attr) {
		t.Errorf("%s: fstat does not see the change: %+v, %v", when, rep, err)
	}
	if rep, err := top.Readv(ctx, &xlator.ReadvReq{FD: fd, Size: 10000, Flags: fd.Flags()}); err != nil || string(rep.Data) != string(pattern(9, 7000)) {
		t.Errorf("%s: read does not see the change: %v", when, err)
	}
	if rep, err := top.Getxattr(ctx, &xlator.GetxattrReq{Inode: fd.Inode(), Name: "user.x"}); err != nil {
		t.Errorf("%s: getxattr does not see the change: %v", when, err)
	} else if v, _ := rep.Xattrs.Bytes("user.x"); string(v) != "new" {
		t.Errorf("%s: getxattr says %q", when, v)
	}
	if _, err := top.Lookup(ctx, &xlator.LookupReq{Parent: d, Name: "new"}); err != nil {
		t.Errorf("%s: lookup does not see the new name: %v", when, err)
	}
}
