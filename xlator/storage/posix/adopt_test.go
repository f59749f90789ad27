package posix

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// descriptors counts what this process has open below a directory.
func descriptors(t testing.TB, dir string) (n int) {
	t.Helper()
	es, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		if p, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && len(p) >= len(dir) && p[:len(dir)] == dir {
			n++
		}
	}
	return n
}

func TestSwitchAdoptsOpenFilesWithoutOpening(t *testing.T) {
	dir := newDir(t)
	old := mount(t, dir, nil)
	const files = 100
	var fds []*xlator.FD
	for n := range files {
		rep, err := old.Create(old.ctx, &xlator.CreateReq{MakeReq: old.mk(old.root, string(rune('A'+n)), 0o600), Flags: unix.O_RDWR | unix.O_CREAT | unix.O_EXCL, Base: uint64(n + 1)})
		old.must(err)
		fds = append(fds, rep.FD)
	}
	od, err := old.Opendir(old.ctx, &xlator.OpenReq{Inode: old.root, Base: 1000})
	old.must(err)
	before := old.Runtime().Stats()

	now := mount(t, dir, old.w.Pool)
	if now.Runtime() != old.Runtime() {
		t.Fatal("two runtimes of one directory in one pool")
	}
	var moved []*xlator.FD
	for _, f := range fds {
		rep, err := now.Open(now.ctx, &xlator.OpenReq{Inode: now.w.Inodes.Get(f.Inode().GFID(), xlator.TypeRegular), Flags: f.Flags(), Base: f.Base(), Reopen: true})
		now.must(err)
		moved = append(moved, rep.FD)
	}
	nd, err := now.Opendir(now.ctx, &xlator.OpenReq{Inode: now.root, Base: 1000, Flags: od.FD.Flags(), Reopen: true})
	now.must(err)
	after := now.Runtime().Stats()
	if after.Opens != before.Opens || after.Adoptions-before.Adoptions != files+1 || after.Open != before.Open || after.Kept != files+1 {
		t.Fatalf("before %+v\nafter %+v", before, after)
	}
	// Both graphs use one kernel descriptor until the last lets go.
	old.write(fds[0], "from old", 0)
	for _, f := range fds {
		old.Release(f)
	}
	old.Release(od.FD)
	old.w.Stop()
	if s := now.read(moved[0], 0, 20); s != "from old" {
		t.Fatalf("read %q", s)
	}
	now.write(moved[0], "from new", 0)
	for _, f := range moved {
		now.Release(f)
	}
	now.Release(nd.FD)
	if s := now.Runtime().Stats(); s.Open != 0 || s.Kept != 0 {
		t.Fatalf("left open: %+v", s)
	}
	now.w.Stop()
	if n := descriptors(t, dir); n != 0 {
		t.Fatalf("%d descriptors left", n)
	}
}

func TestOpenOfAnotherBaseOrFlagsIsItsOwn(t *testing.T) {
	b := fresh(t)
	i := b.file(b.root, "f", "")
	open := func(base uint64, flags uint32) *xlator.FD {
		rep, err := b.Open(b.ctx, &xlator.OpenReq{Inode: i, Flags: flags, Base: base})
		b.must(err)
		return rep.FD
	}
	before := b.Runtime().Stats().Opens
	fds := []*xlator.FD{open(1, unix.O_RDONLY), open(2, unix.O_RDONLY), open(1, unix.O_RDWR), open(0, unix.O_RDONLY), open(0, unix.O_RDONLY)}
	if n := b.Runtime().Stats().Opens - before; n != 5 {
		t.Fatalf("%d opens", n)
	}
	fds = append(fds, open(2, unix.O_RDONLY|unix.O_TRUNC)) // flags that happen once do not count
	if n := b.Runtime().Stats().Opens - before; n != 5 {
		t.Fatalf("%d opens", n)
	}
	for _, f := range fds {
		b.Release(f)
	}
	if s := b.Runtime().Stats(); s.Open != 0 {
		t.Fatalf("left open: %+v", s)
	}
}

func TestKernelDescriptorHasNoFlagsThatHarm(t *testing.T) {
	b := fresh(t)
	i := b.file(b.root, "f", "12345")
	rep, err := b.Open(b.ctx, &xlator.OpenReq{Inode: i, Base: 1, Flags: unix.O_RDWR | unix.O_APPEND | unix.O_DIRECT | unix.O_TRUNC | unix.O_CREAT | unix.O_EXCL | unix.O_SYNC})
	b.must(err)
	d := b.fds.Get(rep.FD)
	fl, err := unix.FcntlInt(uintptr(d.n), unix.F_GETFL, 0)
	b.must(err)
	if fl&(unix.O_APPEND|unix.O_DIRECT) != 0 || fl&unix.O_SYNC != unix.O_SYNC || b.stat(i).Size != 5 {
		t.Fatalf("flags %o, size %d", fl, b.stat(i).Size)
	}
	b.write(rep.FD, "x", 1) // where told, though opened with O_APPEND
	if s := b.read(rep.FD, 0, 9); s != "1x345" {
		t.Fatalf("read %q", s)
	}
	b.Release(rep.FD)
}

func TestUnlinkedOpenFileLivesUntilTheLastGraphLetsGo(t *testing.T) {
	dir := newDir(t)
	old := mount(t, dir, nil)
	rep, err := old.Create(old.ctx, &xlator.CreateReq{MakeReq: old.mk(old.root, "f", 0o600), Flags: unix.O_RDWR | unix.O_CREAT, Base: 7})
	old.must(err)
	g := rep.FD.Inode().GFID()
	old.write(rep.FD, "still here", 0)
	if r := old.unlink(old.root, "f"); r.Attr.Nlink != 0 {
		t.Fatalf("nlink %d", r.Attr.Nlink)
	}
	orphan := old.path(metaName, orphansName, g.String())
	if exists(old.handle(g)) || !exists(orphan) {
		t.Fatal("handle is not in the unlink folder")
	}
	if a := old.stat(rep.FD.Inode()); a.Nlink != 0 || a.Size != 10 {
		t.Fatalf("stat %+v", a)
	}
	now := mount(t, dir, old.w.Pool)
	i := now.w.Inodes.Get(g, xlator.TypeRegular)
	re, err := now.Open(now.ctx, &xlator.OpenReq{Inode: i, Flags: rep.FD.Flags(), Base: 7, Reopen: true})
	now.must(err)
	other, err := now.Open(now.ctx, &xlator.OpenReq{Inode: i, Flags: unix.O_RDONLY}) // by gfid, anew
	now.must(err)
	old.Release(rep.FD)
	old.w.Stop()
	if a := now.stat(i); a.Nlink != 0 {
		t.Fatalf("nlink %d", a.Nlink)
	}
	if s := now.read(re.FD, 0, 20) + now.read(other.FD, 0, 20); s != "still herestill here" {
		t.Fatalf("read %q", s)
	}
	now.Release(re.FD)
	if !exists(orphan) {
		t.Fatal("gone while open")
	}
	now.Release(other.FD)
	if exists(orphan) {
		t.Fatal("left behind")
	}
	if a := now.stat(i); a.Nlink != 0 || a.Type != xlator.TypeRegular {
		t.Fatalf("stat after the end %+v", a)
	}
	_, err = now.Open(now.ctx, &xlator.OpenReq{Inode: i, Flags: unix.O_RDONLY})
	want(t, err, unix.ESTALE)
	now.checkLayout()
}

func TestFileReplacedByRenameWhileOpen(t *testing.T) {
	b := fresh(t)
	b.file(b.root, "new", "new")
	rep := b.create(b.root, "f", 0)
	b.write(rep.FD, "old", 0)
	r, err := b.rename(b.root, "new", b.root, "f", 0)
	b.must(err)
	if r.Replaced != rep.FD.Inode().GFID() || r.ReplacedAttr.Nlink != 0 || r.Attr.Nlink != 1 {
		t.Fatalf("rename %+v", r)
	}
	if s := b.read(rep.FD, 0, 9); s != "old" {
		t.Fatalf("read %q", s)
	}
	b.Release(rep.FD)
	b.checkLayout()
}

func TestRemovedDirectoryStillAnswers(t *testing.T) {
	dir := newDir(t)
	b := mount(t, dir, nil)
	d, quiet := b.mkdir(b.root, "d"), b.mkdir(b.root, "quiet")
	od, err := b.Opendir(b.ctx, &xlator.OpenReq{Inode: d, Base: 3})
	b.must(err)
	for _, n := range []string{"d", "quiet"} {
		r, err := b.Rmdir(b.ctx, &xlator.RmdirReq{Parent: b.root, Name: n})
		b.must(err)
		if r.Attr.Nlink != 0 {
			t.Fatalf("nlink %d", r.Attr.Nlink)
		}
	}
	now := mount(t, dir, b.w.Pool)
	i := now.w.Inodes.Get(d.GFID(), xlator.TypeDirectory)
	nd, err := now.Opendir(now.ctx, &xlator.OpenReq{Inode: i, Base: 3, Flags: od.FD.Flags(), Reopen: true})
	now.must(err)
	b.Release(od.FD)
	b.w.Stop()
	q := now.w.Inodes.Get(quiet.GFID(), xlator.TypeDirectory)
	qd, err := now.Opendir(now.ctx, &xlator.OpenReq{Inode: q})
	now.must(err)
	for _, f := range []*xlator.FD{nd.FD, qd.FD} {
		r, err := now.Readdir(now.ctx, &xlator.ReaddirReq{FD: f, Size: 4096})
		now.must(err)
		if len(r.Entries) != 0 {
			t.Fatalf("entries %v", r.Entries)
		}
		st, err := now.Fstat(now.ctx, &xlator.FstatReq{FD: f})
		now.must(err)
		if a := now.stat(f.Inode()); a.Nlink != 0 || a.Type != xlator.TypeDirectory || st.Attr.Nlink != 0 {
			t.Fatalf("stat %+v, fstat %+v", a, st.Attr)
		}
		_, err = now.Fsyncdir(now.ctx, &xlator.FsyncReq{FD: f})
		now.must(err)
		_, err = now.Mkdir(now.ctx, &xlator.MkdirReq{MakeReq: now.mk(f.Inode(), "x", 0o755)})
		want(t, err, unix.ENOENT)
		_, err = now.Create(now.ctx, &xlator.CreateReq{MakeReq: now.mk(f.Inode(), "x", 0o755), Flags: unix.O_CREAT | unix.O_RDWR})
		want(t, err, unix.ENOENT)
		_, _, err = now.lookup(f.Inode(), "x")
		want(t, err, unix.ENOENT)
		now.Release(f)
	}
	now.checkLayout()
}

func TestFileWithoutAName(t *testing.T) {
	b := fresh(t)
	make := func(flags uint32) *xlator.FD {
		rep, err := b.Icreate(b.ctx, &xlator.IcreateReq{MakeReq: b.mk(b.root, "", 0o640), Flags: unix.O_RDWR | unix.O_TMPFILE | flags, Base: 5})
		b.must(err)
		if rep.Attr.Nlink != 0 || rep.Attr.Mode != 0o640 || !exists(b.path(metaName, orphansName, rep.Attr.GFID.String())) {
			t.Fatalf("made %+v", rep.Attr)
		}
		return rep.FD
	}
	f := make(0)
	b.write(f, "x", 0)
	rep, err := b.Link(b.ctx, &xlator.LinkReq{Inode: f.Inode(), Parent: b.root, Name: "now"})
	b.must(err)
	if rep.Attr.Nlink != 1 || b.at("now") != f.Inode() {
		t.Fatalf("linked %+v", rep.Attr)
	}
	b.Release(f)
	b.checkLayout()
	f = make(unix.O_EXCL)
	_, err = b.Link(b.ctx, &xlator.LinkReq{Inode: f.Inode(), Parent: b.root, Name: "never"})
	want(t, err, unix.ENOENT)
	b.Release(f)
	// A named file that lost its name gets it back by Link as well.
	c := b.create(b.root, "c", 0)
	b.unlink(b.root, "c")
	_, err = b.Link(b.ctx, &xlator.LinkReq{Inode: c.FD.Inode(), Parent: b.root, Name: "again"})
	b.must(err)
	b.Release(c.FD)
	b.checkLayout()
}
