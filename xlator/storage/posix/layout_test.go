package posix

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

func TestLayoutOnDiskIsGlusterFSs(t *testing.T) {
	b := fresh(t)
	if got := xattr(t, b.dir, xattrGFID); got != "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" {
		t.Fatalf("root gfid %x", got)
	}
	if got, _ := os.Readlink(b.path(".glusterfs/00/00/00000000-0000-0000-0000-000000000001")); got != "../../.." {
		t.Fatalf("root handle %q", got)
	}
	id := b.VolumeID()
	if xattr(t, b.dir, xattrVolume) != string(id[:]) || xattr(t, b.dir, xattrMark) != string(id[:]) {
		t.Fatal("volume-id and mark differ")
	}
	g := xlator.GFID{0xab, 0xcd, 0xef, 3, 4, 5, 0x46, 7, 0x88, 9, 10, 11, 12, 13, 14, 15}
	mk := b.mk(b.root, "dir", 0o755)
	mk.GFID = g
	rep, err := b.Mkdir(b.ctx, &xlator.MkdirReq{MakeReq: mk})
	b.must(err)
	d := rep.Inode
	const at = ".glusterfs/ab/cd/abcdef03-0405-4607-8809-0a0b0c0d0e0f"
	if got, _ := os.Readlink(b.path(at)); got != "../../00/00/00000000-0000-0000-0000-000000000001/dir" {
		t.Fatalf("directory handle %q", got)
	}
	if xattr(t, b.path("dir"), xattrGFID) != string(g[:]) {
		t.Fatal("directory's gfid")
	}
	in := b.mkdir(d, "in")
	if got, _ := os.Readlink(b.handle(in.GFID())); got != "../../ab/cd/abcdef03-0405-4607-8809-0a0b0c0d0e0f/in" {
		t.Fatalf("directory handle %q", got)
	}
	f := b.file(d, "file", "x")
	_, err = b.Symlink(b.ctx, &xlator.SymlinkReq{MakeReq: b.mk(d, "link", 0), Target: "../../ab/cd/x"})
	b.must(err)
	for i, typ := range []xlator.FileType{xlator.TypeRegular, xlator.TypeFIFO, xlator.TypeSocket, xlator.TypeChar, xlator.TypeBlock} {
		rep, err := b.Mknod(b.ctx, &xlator.MknodReq{MakeReq: b.mk(d, typ.String(), 0o604), Type: typ, Rdev: unix.Mkdev(5, uint32(300+i))})
		b.must(err)
		st := lstat(t, b.path("dir", typ.String()))
		if st.Mode != typ.Mode()|0o604 || st.Nlink != 2 || rep.Attr.Nlink != 1 {
			t.Fatalf("%s: mode %o nlink %d, told %d", typ, st.Mode, st.Nlink, rep.Attr.Nlink)
		}
		if dev := st.Rdev; (typ == xlator.TypeChar || typ == xlator.TypeBlock) && (dev != unix.Mkdev(5, uint32(300+i)) || rep.Attr.Rdev != dev) {
			t.Fatalf("%s: device %x, told %x", typ, dev, rep.Attr.Rdev)
		}
	}
	if st := lstat(t, b.handle(f.GFID())); st.Ino != lstat(t, b.path("dir/file")).Ino || st.Nlink != 2 {
		t.Fatal("file's handle is no hard link of it")
	}
	b.checkLayout()
}

func TestRenamedDirectoryTakesItsHandleAlong(t *testing.T) {
	b := fresh(t)
	a, c := b.mkdir(b.root, "a"), b.mkdir(b.root, "c")
	d := b.mkdir(a, "d")
	b.file(d, "f", "")
	_, err := b.rename(a, "d", c, "e", 0)
	b.must(err)
	if got, _ := os.Readlink(b.handle(d.GFID())); got != dirTarget(c.GFID(), "e") {
		t.Fatalf("handle %q", got)
	}
	// Swap with a file, and with another directory.
	b.file(b.root, "file", "")
	rep, err := b.rename(b.root, "file", c, "e", unix.RENAME_EXCHANGE)
	b.must(err)
	if rep.Replaced != d.GFID() || rep.ReplacedAttr.Nlink == 0 {
		t.Fatalf("exchange %+v", rep)
	}
	_, err = b.rename(b.root, "file", b.root, "a", unix.RENAME_EXCHANGE)
	b.must(err)
	b.checkLayout()
	// Over an empty directory.
	b.mkdir(b.root, "empty")
	rep, err = b.rename(b.root, "a", b.root, "empty", 0)
	b.must(err)
	if rep.Moved != d.GFID() || rep.Replaced.IsZero() || rep.ReplacedAttr.Nlink != 0 {
		t.Fatalf("rename over a directory %+v", rep)
	}
	b.checkLayout()
	// What fails leaves everything as it was.
	_, err = b.rename(b.root, "empty", b.root, "c", 0)
	want(t, err, unix.ENOTEMPTY)
	x := b.mkdir(d, "x")
	_, err = b.rename(b.root, "empty", x, "y", 0)
	want(t, err, unix.EINVAL)
	b.checkLayout()
}

func TestObjectIsFoundByGFIDAfterRestart(t *testing.T) {
	dir := newDir(t)
	b := mount(t, dir, nil)
	i := b.root
	var dirs []*xlator.Inode
	// Deeper than the kernel would follow symbolic links.
	for n := range 60 {
		i = b.mkdir(i, fmt.Sprintf("d%d", n))
		dirs = append(dirs, i)
	}
	f := b.file(i, "f", "deep")
	b.w.Stop()

	b = mount(t, dir, nil)
	for _, g := range []xlator.GFID{f.GFID(), dirs[59].GFID(), dirs[0].GFID()} {
		rep, err := b.Lookup(b.ctx, &xlator.LookupReq{GFID: g})
		b.must(err)
		if rep.Inode.GFID() != g {
			t.Fatal("another object")
		}
	}
	fd := b.open(b.w.Inodes.Get(f.GFID(), xlator.TypeRegular), unix.O_RDONLY)
	if s := b.read(fd, 0, 9); s != "deep" {
		t.Fatalf("read %q", s)
	}
	b.Release(fd)
	_, err := b.Lookup(b.ctx, &xlator.LookupReq{GFID: xlator.NewGFID()})
	want(t, err, unix.ESTALE)
	b.checkLayout()
}

func TestExistingDataGetsIdentityAtFirstLookup(t *testing.T) {
	dir := newDir(t)
	for _, p := range []string{"a/b/c", "a/x"} {
		if err := os.MkdirAll(filepath.Join(dir, p), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "a/b/file")
	for _, err := range []error{
		os.WriteFile(file, []byte("old"), 0o644), os.Link(file, filepath.Join(dir, "a/x/link")),
		os.Symlink("nowhere", filepath.Join(dir, "a/sym")), unix.Mkfifo(filepath.Join(dir, "a/fifo"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	b := mount(t, dir, nil)
	i, a, err := b.lookup(b.at("a/x"), "link")
	b.must(err)
	if a.Nlink != 2 {
		t.Fatalf("nlink %d of two names", a.Nlink)
	}
	if j := b.at("a/b/file"); j != i {
		t.Fatal("two names of one file are two inodes")
	}
	// Listing gives identities as well.
	od, err := b.Opendir(b.ctx, &xlator.OpenReq{Inode: b.at("a")})
	b.must(err)
	rd, err := b.Readdirp(b.ctx, &xlator.ReaddirReq{FD: od.FD, Size: 1 << 16})
	b.must(err)
	for _, e := range rd.Entries {
		if e.Name != "." && e.Name != ".." && (e.GFID.IsZero() || e.Inode == nil || e.Attr.Nlink == 0) {
			t.Fatalf("entry %+v", e)
		}
	}
	b.Release(od.FD)
	b.at("a/b/c")
	b.checkLayout()
}

func TestManyLearnOneFileAtOnce(t *testing.T) {
	dir := newDir(t)
	b := mount(t, dir, nil)
	for n := range 50 {
		p := fmt.Sprintf("f%d", n)
		if err := os.WriteFile(filepath.Join(dir, p), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(filepath.Join(dir, p), filepath.Join(dir, "l"+p)); err != nil {
			t.Fatal(err)
		}
		got := parallel(8, func(k int) xlator.GFID {
			i, _, err := b.lookup(b.root, []string{p, "l" + p}[k%2])
			if err != nil {
				t.Error(err)
				return xlator.GFID{}
			}
			return i.GFID()
		})
		for _, g := range got {
			if g != got[0] {
				t.Fatal("one file got several identities")
			}
		}
	}
	b.checkLayout()
}

func TestCopyWithAttributesGetsItsOwnIdentity(t *testing.T) {
	b := fresh(t)
	f := b.file(b.root, "f", "1")
	d := b.mkdir(b.root, "d")
	// As cp -a or rsync -X would do it, behind our back.
	if err := os.WriteFile(b.path("copy"), []byte("2"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(b.path("dcopy"), 0o755); err != nil {
		t.Fatal(err)
	}
	fg, dg := f.GFID(), d.GFID()
	b.must(unix.Setxattr(b.path("copy"), xattrGFID, fg[:], 0))
	b.must(unix.Setxattr(b.path("dcopy"), xattrGFID, dg[:], 0))
	if i := b.at("copy"); i.GFID() == fg {
		t.Fatal("copy has the original's identity")
	}
	if i := b.at("dcopy"); i.GFID() == dg {
		t.Fatal("copy of a directory has the original's identity")
	}
	if b.at("f") != f || b.at("d") != d {
		t.Fatal("original changed")
	}
	b.checkLayout()
}

func TestFileReplacedBehindOurBackKeepsItsIdentity(t *testing.T) {
	dir := newDir(t)
	b := mount(t, dir, nil)
	f := b.file(b.root, "f", "old")
	g := f.GFID()
	replace := func(content string) {
		t.Helper()
		tmp := filepath.Join(dir, ".f.tmp")
		b.must(os.WriteFile(tmp, []byte(content), 0o644))
		b.must(unix.Setxattr(tmp, xattrGFID, g[:], 0))
		b.must(os.Rename(tmp, filepath.Join(dir, "f")))
	}
	replace("while mounted") // as rsync -X does it
	i, a, err := b.lookup(b.root, "f")
	b.must(err)
	if i.GFID() != g || a.Size != 13 || a.Nlink != 1 {
		t.Fatalf("found %+v", a)
	}
	b.checkLayout()
	b.w.Stop()
	replace("while unmounted")
	b = mount(t, dir, nil)
	if i, a, err := b.lookup(b.root, "f"); err != nil || i.GFID() != g || a.Size != 15 || a.Nlink != 1 {
		t.Fatalf("found %+v %v", a, err)
	}
	b.checkLayout()
	// While it is open, the old one goes on, and the new one is another file.
	fd := b.open(b.at("f"), unix.O_RDONLY)
	replace("while open")
	if i := b.at("f"); i.GFID() == g {
		t.Fatal("two inodes of one identity")
	}
	if s := b.read(fd, 0, 99); s != "while unmounted" {
		t.Fatalf("read %q", s)
	}
	b.Release(fd)
}

func TestDirectoryMovedWhileUnmountedGetsItsHandleRight(t *testing.T) {
	dir := newDir(t)
	b := mount(t, dir, nil)
	d := b.mkdir(b.root, "d")
	f := b.file(d, "f", "")
	b.w.Stop()
	if err := os.Rename(filepath.Join(dir, "d"), filepath.Join(dir, "e")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, metaName, handlePath(f.GFID()))); err != nil {
		t.Fatal(err)
	}
	b = mount(t, dir, nil)
	if b.at("e").GFID() != d.GFID() || b.at("e/f").GFID() != f.GFID() {
		t.Fatal("identity changed")
	}
	b.checkLayout()
}

func TestCrashLeftoversAreClearedAtStart(t *testing.T) {
	dir := newDir(t)
	b := mount(t, dir, nil)
	moved := b.mkdir(b.root, "moved")
	removed := b.mkdir(b.root, "removed")
	kept := b.mkdir(b.root, "kept")
	f := b.file(b.root, "f", "")
	b.w.Stop()
	meta := func(p ...string) string { return filepath.Join(append([]string{dir, metaName}, p...)...) }
	must := func(errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	// A directory renamed, its new handle not yet in place; one prepared but not renamed.
	must(os.Rename(filepath.Join(dir, "moved"), filepath.Join(dir, "kept", "now")),
		os.Symlink(dirTarget(kept.GFID(), "now"), meta(stagingName, "handle-"+moved.GFID().String()+".1")),
		os.Symlink(dirTarget(xlator.RootGFID, "elsewhere"), meta(stagingName, "handle-"+kept.GFID().String()+".2")))
	// A directory removed, its handle not; one about to be removed.
	must(os.Link(meta(handlePath(removed.GFID())), meta(orphansName, removed.GFID().String())),
		os.Remove(filepath.Join(dir, "removed")),
		os.Link(meta(handlePath(kept.GFID())), meta(orphansName, kept.GFID().String())))
	// A file unlinked while open; a FIFO and a directory without their names.
	must(os.WriteFile(meta(orphansName, xlator.NewGFID().String()), []byte("x"), 0o600))
	fifo, sub := xlator.NewGFID(), xlator.NewGFID()
	must(unix.Mkfifo(meta(stagingName, fifo.String()+".3"), 0o600), os.MkdirAll(filepath.Dir(meta(handlePath(fifo))), 0o700),
		os.Link(meta(stagingName, fifo.String()+".3"), meta(handlePath(fifo))),
		os.Mkdir(meta(stagingName, sub.String()+".4"), 0o700), os.MkdirAll(filepath.Dir(meta(handlePath(sub))), 0o700),
		os.Symlink(dirTarget(xlator.RootGFID, "sub"), meta(handlePath(sub))))
	// A file that got its name but not its handle.
	must(os.Remove(meta(handlePath(f.GFID()))))

	b = mount(t, dir, nil)
	if b.at("kept/now").GFID() != moved.GFID() || b.at("f").GFID() != f.GFID() {
		t.Fatal("identity lost")
	}
	b.checkLayout()
	if exists(meta(handlePath(removed.GFID()))) {
		t.Fatal("handle of a removed directory")
	}
}

func TestMetaFolderIsHidden(t *testing.T) {
	b := fresh(t)
	_, _, err := b.lookup(b.root, metaName)
	want(t, err, unix.ENOENT)
	_, err = b.Mkdir(b.ctx, &xlator.MkdirReq{MakeReq: b.mk(b.root, metaName, 0o755)})
	want(t, err, unix.EPERM)
	_, err = b.Create(b.ctx, &xlator.CreateReq{MakeReq: b.mk(b.root, metaName, 0o755), Flags: unix.O_CREAT})
	want(t, err, unix.EPERM)
	_, err = b.Rmdir(b.ctx, &xlator.RmdirReq{Parent: b.root, Name: metaName})
	want(t, err, unix.EPERM)
	b.mkdir(b.root, "d")
	_, err = b.rename(b.root, "d", b.root, metaName, 0)
	want(t, err, unix.EPERM)
	_, err = b.rename(b.root, metaName, b.root, "x", 0)
	want(t, err, unix.EPERM)
	if names := b.list(b.root); strings.Join(names, " ") != ". .. d" {
		t.Fatalf("listed %q", names)
	}
	if a := b.stat(b.root); a.Nlink != 3 {
		t.Fatalf("root has %d links, want 3", a.Nlink)
	}
	b.mkdir(b.at("d"), metaName) // elsewhere it is a name like any other
	b.at("d/" + metaName)
}
