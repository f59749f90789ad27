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
	s.look(fd, d)
	s.change(fd, d)
	if s.transparent() {
		s.expectChanged(s.phase.String(), fd, d)
	}
}

// learnThenServe lets the translator look while it settles, changes things below
// it, and expects it to notice when it serves: an older graph may write during
// that time.
func learnThenServe(t testing.TB, leaf Leaf, build Build) []string {
	w := NewWorld(t, nil)
	w.Phase.Set(xlator.PhaseSettling)
	s := &script{phase: xlator.PhaseSettling, salt: defaultSalt}
	s.bottom = leaf(w, t.TempDir())
	s.top = build(w, s.bottom)
	w.Start()
	if s.root = w.Root(s.top); w.Salt != 0 {
		s.salt = w.Salt
	}
	fd := s.create(s.root, "f", unix.O_RDWR)
	d := s.mkdir(s.root, "d")
	s.write(fd, 0, pattern(1, 5000))
	s.look(fd, d)
	s.change(fd, d)
	w.Phase.Set(xlator.PhaseServing)
	s.expectChanged("serving after settling", fd, d)
	s.releaseAll()
	w.Drain()
	w.Stop()
	return s.faults
}

// look asks for everything that a cache might keep.
func (s *script) look(fd *xlator.FD, d *xlator.Inode) {
	ctx := xlator.Internal()
	for _, name := range []string{"f", "d"} {
		if _, err := s.top.Lookup(ctx, &xlator.LookupReq{Parent: s.root, Name: name}); err != nil {
			s.faultf("lookup %s: %v", name, err)
		}
	}
	if _, err := s.top.Lookup(ctx, &xlator.LookupReq{Parent: d, Name: "new"}); err == nil {
		s.faultf("found what is not there yet")
	}
	if _, err := s.top.Stat(ctx, &xlator.StatReq{Inode: fd.Inode()}); err != nil {
		s.faultf("stat: %v", err)
	}
	if _, err := s.top.Readv(ctx, &xlator.ReadvReq{FD: fd, Size: 10000, Flags: fd.Flags()}); err != nil {
		s.faultf("read: %v", err)
	}
	s.top.Getxattr(ctx, &xlator.GetxattrReq{Inode: fd.Inode(), Name: "user.x"}) // ENODATA, to be remembered
	s.top.Getxattr(ctx, &xlator.GetxattrReq{Inode: fd.Inode()})
}

func (s *script) change(fd *xlator.FD, d *xlator.Inode) {
	ctx := xlator.Internal()
	_, err := s.bottom.Writev(ctx, &xlator.WritevReq{FD: fd, Payload: xlator.Payload{Bytes: pattern(9, 7000)}, Flags: fd.Flags()})
	if err == nil {
		_, err = s.bottom.Setattr(ctx, &xlator.SetattrReq{Inode: fd.Inode(), Setattr: xlator.Setattr{Mask: xlator.SetMode, Mode: 0o611}})
	}
	if err == nil {
		x := &xlator.Dict{}
		x.SetBytes("user.x", []byte("new"))
		_, err = s.bottom.Setxattr(ctx, &xlator.SetxattrReq{Inode: fd.Inode(), Xattrs: x})
	}
	if err == nil {
		_, err = s.bottom.Mkdir(ctx, &xlator.MkdirReq{MakeReq: xlator.MakeReq{Parent: d, Name: "new", GFID: xlator.NewGFID(), Mode: 0o755}})
	}
	if err != nil {
		s.faultf("change below: %v", err)
	}
}

func (s *script) expectChanged(when string, fd *xlator.FD, d *xlator.Inode) {
	ctx := xlator.Internal()
	right := func(a xlator.Iatt) bool { return !a.Valid() || a.Mode == 0o611 && a.Size == 7000 }
	if rep, err := s.top.Lookup(ctx, &xlator.LookupReq{Parent: s.root, Name: "f"}); err != nil || !right(rep.Attr) {
		s.faultf("%s: lookup does not see the change: %+v, %v", when, rep, err)
	}
	if rep, err := s.top.Stat(ctx, &xlator.StatReq{Inode: fd.Inode()}); err != nil || !rep.Attr.Valid() || !right(rep.Attr) {
		s.faultf("%s: stat does not see the change: %+v, %v", when, rep, err)
	}
	if rep, err := s.top.Fstat(ctx, &xlator.FstatReq{FD: fd}); err != nil || !rep.Attr.Valid() || !right(rep.Attr) {
		s.faultf("%s: fstat does not see the change: %+v, %v", when, rep, err)
	}
	if rep, err := s.top.Readv(ctx, &xlator.ReadvReq{FD: fd, Size: 10000, Flags: fd.Flags()}); err != nil || string(rep.Data) != string(pattern(9, 7000)) {
		s.faultf("%s: read does not see the change: %v", when, err)
	}
	if rep, err := s.top.Getxattr(ctx, &xlator.GetxattrReq{Inode: fd.Inode(), Name: "user.x"}); err != nil {
		s.faultf("%s: getxattr does not see the change: %v", when, err)
	} else if v, _ := rep.Xattrs.Bytes("user.x"); string(v) != "new" {
		s.faultf("%s: getxattr says %q", when, v)
	}
	if _, err := s.top.Lookup(ctx, &xlator.LookupReq{Parent: d, Name: "new"}); err != nil {
		s.faultf("%s: lookup does not see the new name: %v", when, err)
	}
}
