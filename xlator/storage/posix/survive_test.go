package posix

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// mountWith is mount in a mount whose keeper and open files are these.
func mountWith(t testing.TB, dir string, k xlator.Descriptors, u xlator.Opens) *brick {
	t.Helper()
	w := xlatortest.NewWorld(t, nil)
	top := w.Add(typeWith(k, u), map[string]string{"directory": dir}).(*Brick)
	w.Start()
	return &brick{Brick: top, t: t, w: w, dir: dir, root: w.Root(top), ctx: caller(0, 0)}
}

// typeWith is the translator in such a mount.
func typeWith(k xlator.Descriptors, u xlator.Opens) *xlator.Type {
	typ := Type()
	newBrick := typ.New
	typ.New = func(e *xlator.Env) (xlator.Fops, error) {
		e.Descriptors, e.Opens = k, u
		return newBrick(e)
	}
	return typ
}

// die ends this process's use of the brick as SIGKILL would: descriptors are
// closed, nothing is put in order.
func (b *brick) die() {
	b.t.Helper()
	rt := b.Runtime()
	for d := range rt.all {
		if !d.removed {
			unix.Close(d.n)
		}
	}
	if err := rt.close(); err != nil {
		b.t.Error(err)
	}
	b.release = nil
}

func (b *brick) signed() string {
	b.t.Helper()
	who, err := os.ReadFile(b.path(metaName, lockName))
	b.must(err)
	return strings.TrimSpace(string(who))
}

func TestTheLockOfAMountHoldsWhileNoWorkerLives(t *testing.T) {
	dir := newDir(t)
	k := newKeeper(t)
	pid, kill := holderWith(t, dir, k)
	kill() // SIGKILL: the keeper still has the lock
	said := refuse(t, map[string]string{"directory": dir}, xlator.MountOptions{})
	if !strings.Contains(said, "process "+strconv.Itoa(pid)) {
		t.Fatal(said)
	}
	b := mountWith(t, dir, k, nil) // the next worker of that mount
	if b.signed() != strconv.Itoa(os.Getpid()) {
		t.Fatalf("signed by %s", b.signed())
	}
	b.die()
	refuse(t, map[string]string{"directory": dir}, xlator.MountOptions{})

	// A worker that fails to start leaves the lock to the mount.
	orphans := b.path(metaName, orphansName)
	b.must(os.Rename(orphans, orphans+".away"))
	b.must(os.WriteFile(orphans, nil, 0o600))
	w := xlatortest.NewWorld(t, nil)
	if err := w.Add(typeWith(k, nil), map[string]string{"directory": dir}).(*Brick).Start(t.Context()); err == nil {
		t.Fatal("started")
	}
	b.must(os.Remove(orphans))
	b.must(os.Rename(orphans+".away", orphans))
	refuse(t, map[string]string{"directory": dir}, xlator.MountOptions{})

	// One of several bricks: another one failed to start.
	b = mountWith(t, dir, k, nil)
	b.w.Phase.Set(xlator.PhaseSettling)
	b.w.Stop()
	refuse(t, map[string]string{"directory": dir}, xlator.MountOptions{})

	b = mountWith(t, dir, k, nil)
	b.w.Stop() // unmounted
	if n := k.names(); n != 0 {
		t.Fatalf("the keeper still keeps %d descriptors", n)
	}
	mount(t, dir, nil)
}

// TestAMountGoesOnWhereANewOneWouldBeRefused: what has become of the directory
// since the mount began is no reason not to start the next worker.
func TestAMountGoesOnWhereANewOneWouldBeRefused(t *testing.T) {
	dir := newDir(t)
	k := newKeeper(t)
	b := mountWith(t, dir, k, nil)
	f := b.file(b.root, "f", "data").GFID()
	b.mkdir(b.root, "in")
	b.die()
	b.must(os.WriteFile(b.path(metaName, stagingName, "left"), nil, 0o600))
	in := b.path("in")
	// Another file system inside, and the disk has become read-only.
	for _, m := range []struct {
		from, to, typ string
		flags         uintptr
	}{{"none", in, "tmpfs", 0}, {dir, dir, "", unix.MS_BIND | unix.MS_REC}, {"", dir, "", unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY}} {
		b.must(unix.Mount(m.from, m.to, m.typ, m.flags, ""))
	}
	t.Cleanup(func() { _ = unix.Unmount(in, unix.MNT_DETACH) })
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	refuse(t, map[string]string{"directory": dir}, xlator.MountOptions{})
	b = mountWith(t, dir, k, nil)
	if got := b.read(b.open(b.w.Inodes.Get(f, xlator.TypeRegular), unix.O_RDONLY), 0, 9); got != "data" {
		t.Fatalf("read %q", got)
	}
	_, err := b.Unlink(b.ctx, &xlator.UnlinkReq{Parent: b.root, Name: "f"})
	want(t, err, unix.EROFS)
}

func TestAFailedFirstStartKeepsNoLock(t *testing.T) {
	dir := newDir(t)
	k := newKeeper(t)
	if err := os.MkdirAll(dir+"/"+metaName, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/"+metaName+"/"+stagingName, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w := xlatortest.NewWorld(t, nil)
	if err := w.Add(typeWith(k, nil), map[string]string{"directory": dir}).(*Brick).Start(t.Context()); err == nil {
		t.Fatal("started")
	}
	if n := k.names(); n != 0 {
		t.Fatalf("the keeper keeps %d descriptors", n)
	}
}

func TestALockOfAnotherFileIsNotInherited(t *testing.T) {
	dir := newDir(t)
	k := newKeeper(t)
	b := mountWith(t, dir, k, nil)
	b.die()
	b.must(os.Remove(b.path(metaName, lockName)))
	b = mountWith(t, dir, k, nil)
	// What the keeper has now locks today's file.
	b.die()
	refuse(t, map[string]string{"directory": dir}, xlator.MountOptions{})
}

// survivor is a file that is unlinked while open, by a process that then dies.
func survivor(t *testing.T, u *users, content string) (dir string, g xlator.GFID) {
	t.Helper()
	dir = newDir(t)
	b := mountWith(t, dir, nil, u)
	rep, err := b.Create(b.ctx, &xlator.CreateReq{MakeReq: b.mk(b.root, "f", 0), Flags: unix.O_RDWR | unix.O_CREAT, Base: 1})
	b.must(err)
	b.write(rep.FD, content, 0)
	g = rep.FD.Inode().GFID()
	u.count(g, 1)
	if last := b.unlink(b.root, "f"); last.Attr.Nlink != 0 {
		t.Fatalf("%d links", last.Attr.Nlink)
	}
	b.file(b.root, "other", "")
	b.unlink(b.root, "other")
	b.die()
	return dir, g
}

func TestAnUnlinkedOpenFileIsFoundByTheNextWorkerUntilItsLastRelease(t *testing.T) {
	u := &users{}
	dir, g := survivor(t, u, "kept")
	u.count(g, 1) // another base fd, whose process had not used it yet
	b := mountWith(t, dir, nil, u)
	i := b.w.Inodes.Get(g, xlator.TypeRegular)
	if a := b.stat(i); a.Nlink != 0 || a.Size != 4 || a.Mode != 0 {
		t.Fatalf("%+v", a)
	}
	open := func(base uint64) *xlator.FD {
		t.Helper()
		rep, err := b.Open(b.ctx, &xlator.OpenReq{Inode: i, Flags: unix.O_RDWR, Base: base, Reopen: true})
		b.must(err)
		return rep.FD
	}
	one := open(1)
	b.write(one, "!", 4)
	u.count(g, -1)
	b.Release(one)
	if !exists(b.path(metaName, orphansName, g.String())) {
		t.Fatal("gone, though a base fd is open that nobody has used yet")
	}
	two := open(2)
	if got := b.read(two, 0, 9); got != "kept!" {
		t.Fatalf("read %q", got)
	}
	// A name again, and away with it, with the descriptor closed meanwhile.
	_, err := b.Link(b.ctx, &xlator.LinkReq{Inode: i, Parent: b.root, Name: "again"})
	b.must(err)
	b.Release(two)
	b.unlink(b.root, "again")
	two = open(2)
	if got := b.read(two, 0, 9); got != "kept!" {
		t.Fatalf("read %q", got)
	}
	u.count(g, -1)
	b.Release(two)
	b.checkLayout()
}

func TestAnUnlinkedFileThatNobodyHasOpenIsClearedAtTheStart(t *testing.T) {
	u := &users{}
	dir, g := survivor(t, u, "x")
	u.count(g, -1)
	mountWith(t, dir, nil, u).checkLayout()
}

func TestTheEndOfARuntimeLeavesOpenFilesToTheNext(t *testing.T) {
	u := &users{}
	dir, g := survivor(t, u, "x")
	b := mountWith(t, dir, nil, u)
	_, err := b.Open(b.ctx, &xlator.OpenReq{Inode: b.w.Inodes.Get(g, xlator.TypeRegular), Flags: unix.O_RDWR, Base: 1, Reopen: true})
	b.must(err)
	b.w.Stop()
	if !exists(b.path(metaName, orphansName, g.String())) {
		t.Fatal("gone, though it is open")
	}
}

// A crash between the handle's move and the change of the name leaves a link in
// the unlink folder of a file that has a name.
func TestAFileWithANameIsNoOrphan(t *testing.T) {
	dir := newDir(t)
	u := &users{}
	b := mountWith(t, dir, nil, u)
	moved, both := b.file(b.root, "moved", "1").GFID(), b.file(b.root, "both", "2").GFID()
	u.count(moved, 1)
	b.die()
	orphan := func(g xlator.GFID) string { return b.path(metaName, orphansName, g.String()) }
	b.must(os.Rename(b.handle(moved), orphan(moved)))
	b.must(os.Link(b.handle(both), orphan(both)))
	b = mountWith(t, dir, nil, u)
	b.checkLayout()
	if a := b.stat(b.w.Inodes.Get(moved, xlator.TypeRegular)); a.Nlink != 1 {
		t.Fatalf("%+v", a)
	}
}

func TestARemovedOpenDirectoryIsEmptyAlsoAfterTheDeathOfTheProcess(t *testing.T) {
	dir := newDir(t)
	u := &users{}
	b := mountWith(t, dir, nil, u)
	gone, moved, closed := b.mkdir(b.root, "gone").GFID(), b.mkdir(b.root, "moved").GFID(), b.mkdir(b.root, "closed").GFID()
	u.count(gone, 1)
	u.count(moved, 1)
	_, err := b.Rmdir(b.ctx, &xlator.RmdirReq{Parent: b.root, Name: "gone"})
	b.must(err)
	_, err = b.Rmdir(b.ctx, &xlator.RmdirReq{Parent: b.root, Name: "closed"})
	b.must(err)
	b.die()
	b.must(os.Rename(b.path("moved"), b.path("elsewhere")))
	b = mountWith(t, dir, nil, u)
	if a := b.stat(b.w.Inodes.Get(gone, xlator.TypeDirectory)); a.GFID != gone || a.Nlink != 0 {
		t.Fatalf("%+v", a)
	}
	rep, err := b.Opendir(b.ctx, &xlator.OpenReq{Inode: b.w.Inodes.Get(gone, xlator.TypeDirectory), Base: 1, Reopen: true})
	b.must(err)
	l, err := b.Readdir(b.ctx, &xlator.ReaddirReq{FD: rep.FD, Size: 4096})
	b.must(err)
	st, err := b.Fstat(b.ctx, &xlator.FstatReq{FD: rep.FD})
	b.must(err)
	if len(l.Entries) != 0 || st.Attr.Type != xlator.TypeDirectory || st.Attr.Nlink != 0 {
		t.Fatalf("%v %+v", l.Entries, st.Attr)
	}
	b.Release(rep.FD)
	// One that is somewhere else, behind our back, is not taken for removed.
	_, err = b.Opendir(b.ctx, &xlator.OpenReq{Inode: b.w.Inodes.Get(moved, xlator.TypeDirectory), Base: 2, Reopen: true})
	want(t, err, unix.ESTALE)
	// Nothing is known of one that nobody had open.
	_, err = b.Stat(b.ctx, &xlator.StatReq{Inode: b.w.Inodes.Get(closed, xlator.TypeDirectory)})
	want(t, err, unix.ESTALE)
}
