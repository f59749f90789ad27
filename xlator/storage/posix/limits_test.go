package posix

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

func TestNames(t *testing.T) {
	b := fresh(t)
	long, longer := strings.Repeat("n", 255), strings.Repeat("n", 256)
	d := b.mkdir(b.root, long)
	b.file(d, "\xff\xfe\x01 \n", "x")
	b.at(long + "/\xff\xfe\x01 \n")
	_, _, err := b.lookup(b.root, longer)
	want(t, err, unix.ENAMETOOLONG)
	_, err = b.Mkdir(b.ctx, &xlator.MkdirReq{MakeReq: b.mk(b.root, longer, 0o755)})
	want(t, err, unix.ENAMETOOLONG)
	_, err = b.Create(b.ctx, &xlator.CreateReq{MakeReq: b.mk(b.root, longer, 0o755), Flags: unix.O_CREAT})
	want(t, err, unix.ENAMETOOLONG)
	_, err = b.rename(b.root, long, b.root, longer, 0)
	want(t, err, unix.ENAMETOOLONG)
	_, err = b.Symlink(b.ctx, &xlator.SymlinkReq{MakeReq: b.mk(b.root, "l", 0), Target: strings.Repeat("t/", 2048)})
	want(t, err, unix.ENAMETOOLONG)
	rep, err := b.Symlink(b.ctx, &xlator.SymlinkReq{MakeReq: b.mk(b.root, "l", 0), Target: strings.Repeat("t", 4000)})
	b.must(err)
	if l, err := b.Readlink(b.ctx, &xlator.ReadlinkReq{Inode: rep.Inode}); err != nil || len(l.Target) != 4000 {
		t.Fatal(err)
	}
	for _, n := range []string{"a/b", "a\x00b"} {
		_, err = b.Mkdir(b.ctx, &xlator.MkdirReq{MakeReq: b.mk(b.root, n, 0o755)})
		want(t, err, unix.EINVAL)
	}
	_, err = b.Mkdir(b.ctx, &xlator.MkdirReq{MakeReq: b.mk(b.root, "..", 0o755)})
	want(t, err, unix.EEXIST)
	_, err = b.Rmdir(b.ctx, &xlator.RmdirReq{Parent: b.root, Name: "."})
	want(t, err, unix.EINVAL)
	if i, _, err := b.lookup(d, ".."); err != nil || i != b.root {
		t.Fatal(err)
	}
	if i, _, err := b.lookup(b.root, ".."); err != nil || i != b.root {
		t.Fatal(err)
	}
	f, _, err := b.lookup(d, "\xff\xfe\x01 \n")
	b.must(err)
	_, _, err = b.lookup(f, "x")
	want(t, err, unix.ENOTDIR)
	b.checkLayout()
}

func TestWhatIsThereStaysThere(t *testing.T) {
	b := fresh(t)
	d, f := b.mkdir(b.root, "d"), b.file(b.root, "f", "keep")
	_, err := b.Mkdir(b.ctx, &xlator.MkdirReq{MakeReq: b.mk(b.root, "f", 0o755)})
	want(t, err, unix.EEXIST)
	_, err = b.Create(b.ctx, &xlator.CreateReq{MakeReq: b.mk(b.root, "f", 0o755), Flags: unix.O_CREAT | unix.O_EXCL})
	want(t, err, unix.EEXIST)
	_, err = b.Create(b.ctx, &xlator.CreateReq{MakeReq: b.mk(b.root, "d", 0o755), Flags: unix.O_CREAT})
	want(t, err, unix.EISDIR)
	rep, err := b.Create(b.ctx, &xlator.CreateReq{MakeReq: b.mk(b.root, "f", 0o755), Flags: unix.O_CREAT | unix.O_RDWR})
	b.must(err)
	if rep.Made || rep.FD.Inode() != f || rep.Attr.Size != 4 {
		t.Fatalf("%+v", rep)
	}
	b.Release(rep.FD)
	rep, err = b.Create(b.ctx, &xlator.CreateReq{MakeReq: b.mk(b.root, "f", 0o755), Flags: unix.O_CREAT | unix.O_RDWR | unix.O_TRUNC})
	b.must(err)
	if rep.Made || rep.Attr.Size != 0 {
		t.Fatalf("%+v", rep)
	}
	b.Release(rep.FD)
	_, err = b.Symlink(b.ctx, &xlator.SymlinkReq{MakeReq: b.mk(b.root, "l", 0), Target: "f"})
	b.must(err)
	_, err = b.Create(b.ctx, &xlator.CreateReq{MakeReq: b.mk(b.root, "l", 0o755), Flags: unix.O_CREAT})
	want(t, err, unix.ELOOP)
	// A chosen gfid that is taken.
	mk := b.mk(b.root, "new", 0o644)
	mk.GFID = f.GFID()
	_, err = b.Create(b.ctx, &xlator.CreateReq{MakeReq: mk, Flags: unix.O_CREAT})
	want(t, err, unix.EEXIST)
	mk.GFID = d.GFID()
	_, err = b.Mkdir(b.ctx, &xlator.MkdirReq{MakeReq: mk})
	want(t, err, unix.EEXIST)
	// Victims.
	_, err = b.Unlink(b.ctx, &xlator.UnlinkReq{Parent: b.root, Name: "f", Victim: d.GFID()})
	want(t, err, unix.ENOENT)
	_, err = b.Unlink(b.ctx, &xlator.UnlinkReq{Parent: b.root, Name: "d"})
	want(t, err, unix.EISDIR)
	_, err = b.Rmdir(b.ctx, &xlator.RmdirReq{Parent: b.root, Name: "f"})
	want(t, err, unix.ENOTDIR)
	b.file(d, "in", "")
	_, err = b.Rmdir(b.ctx, &xlator.RmdirReq{Parent: b.root, Name: "d"})
	want(t, err, unix.ENOTEMPTY)
	_, err = b.Link(b.ctx, &xlator.LinkReq{Inode: d, Parent: b.root, Name: "x"})
	want(t, err, unix.EPERM)
	_, err = b.Link(b.ctx, &xlator.LinkReq{Inode: f, Parent: b.root, Name: "d"})
	want(t, err, unix.EEXIST)
	_, err = b.rename(b.root, "f", b.root, "d", unix.RENAME_NOREPLACE)
	want(t, err, unix.EEXIST)
	_, err = b.rename(b.root, "f", b.root, "d", 0)
	want(t, err, unix.EISDIR)
	_, err = b.rename(b.root, "d", b.root, "f", 0)
	want(t, err, unix.ENOTDIR)
	_, err = b.rename(b.root, "f", b.root, "none", unix.RENAME_EXCHANGE)
	want(t, err, unix.ENOENT)
	_, err = b.rename(b.root, "f", b.root, "x", unix.RENAME_WHITEOUT)
	want(t, err, unix.EINVAL)
	b.checkLayout()
	// Hard links.
	lr, err := b.Link(b.ctx, &xlator.LinkReq{Inode: f, Parent: d, Name: "f2"})
	b.must(err)
	if lr.Attr.Nlink != 2 || lr.Inode != f {
		t.Fatalf("%+v", lr)
	}
	rr, err := b.rename(b.root, "f", d, "f2", 0) // two names of one file: nothing happens
	b.must(err)
	if rr.Moved != f.GFID() || !rr.Replaced.IsZero() || b.at("f") != f {
		t.Fatalf("%+v", rr)
	}
	if r := b.unlink(b.root, "f"); r.Attr.Nlink != 1 {
		t.Fatalf("%+v", r)
	}
	b.checkLayout()
}

// small is a brick on a file system of its own of that size.
func small(t *testing.T, size string) *brick {
	t.Helper()
	dir := newDir(t)
	if err := unix.Mount("none", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
			_ = unix.Unmount(dir, unix.MNT_DETACH)
		}
	})
	return mount(t, dir, nil)
}

func TestFullDiskSaysSo(t *testing.T) {
	b := small(t, "4m")
	f := b.create(b.root, "f", 0).FD
	block := xlator.Payload{Bytes: make([]byte, 300_000)}
	total := int64(0)
	for {
		rep, err := b.Writev(b.ctx, &xlator.WritevReq{FD: f, Payload: block, Offset: total})
		if err != nil {
			want(t, err, unix.ENOSPC)
			break
		}
		total += int64(rep.Size) // the last one is short
		if total > 8<<20 {
			t.Fatal("wrote more than there is")
		}
	}
	if total%300_000 == 0 || total < 2<<20 {
		t.Fatalf("wrote %d: no short count", total)
	}
	if a := b.stat(f.Inode()); a.Size != uint64(total) {
		t.Fatalf("size %d, wrote %d", a.Size, total)
	}
	_, err := b.Fallocate(b.ctx, &xlator.FallocateReq{FD: f, Len: 64 << 20})
	want(t, err, unix.ENOSPC)
	b.unlink(b.root, "f")
	b.Release(f)
	b.file(b.root, "g", "room again")
	rep, err := b.Statfs(b.ctx, &xlator.StatfsReq{Inode: b.root})
	b.must(err)
	if rep.Blocks*rep.Bsize != 4<<20 || rep.NameMax != 255 {
		t.Fatalf("%+v", rep)
	}
	b.checkLayout()
	b.w.Stop()
}

func TestWithoutRootItSaysWhy(t *testing.T) {
	w := xlatortest.NewWorld(t, nil)
	top := w.Add(Type(), map[string]string{"directory": newDir(t)}).(*Brick)
	said := make(chan string)
	go func() {
		runtime.LockOSThread() // the thread ends with its credentials
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); e != 0 {
			said <- e.Error()
			return
		}
		said <- top.Start(t.Context()).Error()
	}()
	if s := <-said; !strings.Contains(s, "root is needed") {
		t.Fatal(s)
	}
}

func TestBrickRemovedUnderneathGivesErrors(t *testing.T) {
	b := fresh(t)
	d := b.mkdir(b.root, "d")
	f := b.create(d, "f", 0).FD
	if err := os.RemoveAll(b.dir); err != nil {
		t.Fatal(err)
	}
	_, _, err := b.lookup(b.root, "d")
	want(t, err, unix.ENOENT)
	_, err = b.Mkdir(b.ctx, &xlator.MkdirReq{MakeReq: b.mk(b.root, "x", 0o755)})
	want(t, err, unix.ENOENT)
	_, err = b.Create(b.ctx, &xlator.CreateReq{MakeReq: b.mk(b.root, "x", 0o755), Flags: unix.O_CREAT})
	want(t, err, unix.ENOENT)
	_, err = b.Unlink(b.ctx, &xlator.UnlinkReq{Parent: d, Name: "f"})
	want(t, err, unix.ENOENT)
	_, err = b.rename(b.root, "d", b.root, "e", 0)
	want(t, err, unix.ENOENT)
	_, err = b.Lookup(b.ctx, &xlator.LookupReq{GFID: xlator.NewGFID()})
	want(t, err, unix.ESTALE)
	b.write(f, "still open", 0)
	if got := b.list(b.root); len(got) != 0 {
		t.Fatalf("listed %v", got)
	}
	b.Release(f)
	_, err = b.Stat(b.ctx, &xlator.StatReq{Inode: f.Inode()})
	if err == nil {
		t.Fatal("stat of what is gone")
	}
	_, err = b.Open(b.ctx, &xlator.OpenReq{Inode: f.Inode()})
	want(t, err, unix.ESTALE)
	b.w.Stop()
}

func TestLocksAreRefusedByName(t *testing.T) {
	b := fresh(t)
	f := b.create(b.root, "f", 0).FD
	defer b.Release(f)
	_, err := b.Lk(b.ctx, &xlator.LkReq{FD: f})
	want(t, err, unix.EOPNOTSUPP)
	if !strings.Contains(err.Error(), "features/locks") {
		t.Fatal(err)
	}
	_, err = b.Inodelk(b.ctx, &xlator.InodelkReq{Inode: b.root})
	want(t, err, unix.EOPNOTSUPP)
	_, err = b.Finodelk(b.ctx, &xlator.FinodelkReq{FD: f})
	want(t, err, unix.EOPNOTSUPP)
	_, err = b.Entrylk(b.ctx, &xlator.EntrylkReq{Inode: b.root})
	want(t, err, unix.EOPNOTSUPP)
	_, err = b.Fentrylk(b.ctx, &xlator.FentrylkReq{FD: f})
	want(t, err, unix.EOPNOTSUPP)
	_, err = b.Ipc(b.ctx, &xlator.IpcReq{})
	want(t, err, unix.EOPNOTSUPP)
}
