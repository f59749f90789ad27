package posix

import (
	"encoding/json"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

func TestStaleFileHandleIsReplacedThroughTheGFID(t *testing.T) {
	b := fresh(t)
	f, d := b.file(b.root, "f", "old"), b.mkdir(b.root, "d")
	fg, dg := f.GFID(), d.GFID()
	// Both are restored from a backup: other inodes, the same identities.
	for _, err := range []error{
		os.Remove(b.path("f")), os.Remove(b.handle(fg)), os.WriteFile(b.path("f"), []byte("restored"), 0o644),
		unix.Setxattr(b.path("f"), xattrGFID, fg[:], 0), os.Link(b.path("f"), b.handle(fg)),
		os.Rename(b.path("d"), b.path("old")), os.Mkdir(b.path("d"), 0o755), os.Remove(b.path("old")),
		unix.Setxattr(b.path("d"), xattrGFID, dg[:], 0),
	} {
		b.must(err)
	}
	b.rt.paths.flush()
	if a := b.stat(f); a.Size != 8 || a.Nlink != 1 {
		t.Fatalf("stat %+v", a)
	}
	if a := b.stat(d); a.Nlink != 2 {
		t.Fatalf("stat %+v", a)
	}
	b.file(d, "in", "")
	b.rt.paths.flush()
	fd := b.open(f, unix.O_RDONLY)
	if s := b.read(fd, 0, 99); s != "restored" {
		t.Fatalf("read %q", s)
	}
	b.Release(fd)
	b.checkLayout()
}

// appendOnly is FS_APPEND_FL of <linux/fs.h>.
const appendOnly = 0x20

func TestWhatCannotBeRemovedKeepsItsHandle(t *testing.T) {
	b := fresh(t)
	d := b.mkdir(b.root, "d")
	quiet, sub := b.file(d, "quiet", ""), b.mkdir(d, "sub")
	fd := b.create(d, "open", 0).FD
	b.file(b.root, "other", "")
	frozen := func(on uint32) {
		t.Helper()
		f, err := os.Open(b.path("d"))
		b.must(err)
		defer f.Close()
		flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
		b.must(err)
		b.must(unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags&^appendOnly|on)))
	}
	frozen(appendOnly) // nothing may be removed from it
	defer frozen(0)
	for _, n := range []string{"quiet", "open"} {
		_, err := b.Unlink(b.ctx, &xlator.UnlinkReq{Parent: d, Name: n})
		want(t, err, unix.EPERM)
		_, err = b.rename(b.root, "other", d, n, 0)
		want(t, err, unix.EPERM)
		_, err = b.rename(d, n, b.root, "x", 0)
		want(t, err, unix.EPERM)
	}
	_, err := b.Rmdir(b.ctx, &xlator.RmdirReq{Parent: d, Name: "sub"})
	want(t, err, unix.EPERM)
	_, err = b.rename(d, "sub", b.root, "x", 0)
	want(t, err, unix.EPERM)
	for _, i := range []*xlator.Inode{quiet, sub, fd.Inode()} {
		if a := b.stat(i); a.Nlink == 0 {
			t.Fatalf("%+v", a)
		}
	}
	b.Release(fd)
	b.checkLayout()
}

func TestEndWithOpenFilesLeavesNothing(t *testing.T) {
	dir := newDir(t)
	b := mount(t, dir, nil)
	f := b.create(b.root, "f", 0).FD
	b.write(f, "x", 0)
	b.unlink(b.root, "f")
	b.create(b.root, "named", 0)
	b.w.Stop() // nobody released them
	if n := descriptors(t, dir); n != 0 {
		t.Fatalf("%d descriptors left", n)
	}
	mount(t, dir, nil).checkLayout()
}

func TestSyncAndFlush(t *testing.T) {
	b := fresh(t)
	f := b.create(b.root, "f", 0).FD
	b.write(f, "12345", 0)
	for _, data := range []bool{false, true} {
		rep, err := b.Fsync(b.ctx, &xlator.FsyncReq{FD: f, Datasync: data})
		b.must(err)
		if rep.Attr.Size != 5 {
			t.Fatalf("%+v", rep.Attr)
		}
	}
	_, err := b.Flush(b.ctx, &xlator.FlushReq{FD: f})
	b.must(err)
	if text, err := json.Marshal(b.Dump()); err != nil || len(text) < 50 {
		t.Fatalf("dump %s %v", text, err)
	}
	b.Release(f)
	od, err := b.Opendir(b.ctx, &xlator.OpenReq{Inode: b.root})
	b.must(err)
	_, err = b.Fsyncdir(b.ctx, &xlator.FsyncReq{FD: od.FD})
	b.must(err)
	_, err = b.Readv(b.ctx, &xlator.ReadvReq{FD: od.FD, Size: 1})
	want(t, err, unix.EISDIR)
	b.Release(od.FD)
	_, err = b.Opendir(b.ctx, &xlator.OpenReq{Inode: f.Inode()})
	want(t, err, unix.ENOTDIR)
	_, err = b.Open(b.ctx, &xlator.OpenReq{Inode: b.root})
	want(t, err, unix.EISDIR)
	_, err = b.Readlink(b.ctx, &xlator.ReadlinkReq{Inode: f.Inode()})
	want(t, err, unix.EINVAL)
	// An FD of somewhere else.
	_, err = b.Fstat(b.ctx, &xlator.FstatReq{FD: b.w.Inodes.NewFD(f.Inode(), 0, 0)})
	want(t, err, unix.EBADF)
}
