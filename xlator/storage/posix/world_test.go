package posix

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// brick is one graph on a brick directory, with short words for the fops.
type brick struct {
	*Brick
	t    testing.TB
	w    *xlatortest.World
	dir  string
	root *xlator.Inode
	ctx  context.Context
}

// caller is a Call of that user.
func caller(uid, gid uint32, groups ...uint32) *xlator.Call {
	c := xlator.Internal()
	c.UID, c.GID, c.Groups = uid, gid, groups
	return c
}

// newDir is a fresh brick directory on the file system of the tests.
func newDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// mount serves dir through a graph of the pool (nil: a new one).
func mount(t testing.TB, dir string, pool *xlator.Pool) *brick {
	t.Helper()
	w := xlatortest.NewWorld(t, pool)
	top := w.Add(Type(), map[string]string{"directory": dir}).(*Brick)
	w.Start()
	return &brick{Brick: top, t: t, w: w, dir: dir, root: w.Root(top), ctx: caller(0, 0)}
}

func fresh(t testing.TB) *brick { t.Helper(); return mount(t, newDir(t), nil) }

// refuse starts a brick that must not start and returns what it says.
func refuse(t testing.TB, opts map[string]string, m xlator.MountOptions) string {
	t.Helper()
	w := xlatortest.NewWorld(t, nil)
	w.Mount = m
	top := w.Add(Type(), opts).(*Brick)
	err := top.Start(context.Background())
	if err == nil {
		t.Fatalf("brick %v started", opts)
	}
	return err.Error()
}

func (b *brick) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// want checks the errno of an error; 0 is none.
func want(t testing.TB, err error, e syscall.Errno) {
	t.Helper()
	if xlator.Errno(err) != e {
		t.Fatalf("got %v, want errno %q", err, e)
	}
}

func (b *brick) as(uid, gid uint32, groups ...uint32) *brick {
	c := *b
	c.ctx = caller(uid, gid, groups...)
	return &c
}

func (b *brick) mk(parent *xlator.Inode, name string, mode uint32) xlator.MakeReq {
	return xlator.MakeReq{Parent: parent, Name: name, GFID: xlator.NewGFID(), Mode: mode}
}

func (b *brick) lookup(parent *xlator.Inode, name string) (*xlator.Inode, xlator.Iatt, error) {
	rep, err := b.Lookup(b.ctx, &xlator.LookupReq{Parent: parent, Name: name})
	if err != nil {
		return nil, xlator.Iatt{}, err
	}
	return rep.Inode, rep.Attr, nil
}

// at walks a path from the root.
func (b *brick) at(path string) *xlator.Inode {
	b.t.Helper()
	i := b.root
	for _, n := range strings.Split(path, "/") {
		var err error
		i, _, err = b.lookup(i, n)
		b.must(err)
	}
	return i
}

func (b *brick) create(parent *xlator.Inode, name string, flags uint32) *xlator.CreateRep {
	b.t.Helper()
	rep, err := b.Create(b.ctx, &xlator.CreateReq{MakeReq: b.mk(parent, name, 0o644), Flags: unix.O_RDWR | unix.O_CREAT | flags})
	b.must(err)
	return rep
}

// file makes a file with that content and closes it.
func (b *brick) file(parent *xlator.Inode, name, content string) *xlator.Inode {
	b.t.Helper()
	rep := b.create(parent, name, unix.O_EXCL)
	b.write(rep.FD, content, 0)
	b.Release(rep.FD)
	return rep.FD.Inode()
}

func (b *brick) mkdir(parent *xlator.Inode, name string) *xlator.Inode {
	b.t.Helper()
	rep, err := b.Mkdir(b.ctx, &xlator.MkdirReq{MakeReq: b.mk(parent, name, 0o755)})
	b.must(err)
	return rep.Inode
}

func (b *brick) open(i *xlator.Inode, flags uint32) *xlator.FD {
	b.t.Helper()
	rep, err := b.Open(b.ctx, &xlator.OpenReq{Inode: i, Flags: flags})
	b.must(err)
	return rep.FD
}

// write writes and returns the attributes after it.
func (b *brick) write(f *xlator.FD, s string, off int64) xlator.Iatt {
	b.t.Helper()
	rep, err := b.Writev(b.ctx, &xlator.WritevReq{FD: f, Payload: xlator.Payload{Bytes: []byte(s)}, Offset: off})
	b.must(err)
	if rep.Size != len(s) {
		b.t.Fatalf("wrote %d of %d bytes", rep.Size, len(s))
	}
	st, err := b.Fstat(b.ctx, &xlator.FstatReq{FD: f})
	b.must(err)
	return st.Attr
}

func (b *brick) read(f *xlator.FD, off int64, n int) string {
	b.t.Helper()
	rep, err := b.Readv(b.ctx, &xlator.ReadvReq{FD: f, Size: n, Offset: off})
	b.must(err)
	return string(rep.Data)
}

func (b *brick) stat(i *xlator.Inode) xlator.Iatt {
	b.t.Helper()
	rep, err := b.Stat(b.ctx, &xlator.StatReq{Inode: i})
	b.must(err)
	return rep.Attr
}

func (b *brick) unlink(parent *xlator.Inode, name string) *xlator.UnlinkRep {
	b.t.Helper()
	rep, err := b.Unlink(b.ctx, &xlator.UnlinkReq{Parent: parent, Name: name})
	b.must(err)
	return rep
}

func (b *brick) rename(from *xlator.Inode, old string, to *xlator.Inode, name string, flags uint32) (*xlator.RenameRep, error) {
	return b.Rename(b.ctx, &xlator.RenameReq{OldParent: from, OldName: old, NewParent: to, NewName: name, Flags: flags})
}

// path is a path in the brick directory.
func (b *brick) path(parts ...string) string {
	return filepath.Join(append([]string{b.dir}, parts...)...)
}

// handle is the path of a gfid's handle.
func (b *brick) handle(g xlator.GFID) string { return b.path(metaName, handlePath(g)) }

func lstat(t testing.TB, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatalf("lstat %s: %v", path, err)
	}
	return st
}

func exists(path string) bool { return unix.Lstat(path, &unix.Stat_t{}) == nil }

func xattr(t testing.TB, path, name string) string {
	t.Helper()
	buf := make([]byte, 4096)
	n, err := unix.Lgetxattr(path, name, buf)
	if err != nil {
		t.Fatalf("getxattr %s %s: %v", path, name, err)
	}
	return string(buf[:n])
}

// checkLayout verifies that every name in the brick has its gfid and handle,
// and that there is no handle without a name.
func (b *brick) checkLayout() {
	b.t.Helper()
	inodes, isDir := map[uint64]xlator.GFID{}, map[uint64]bool{}
	err := filepath.WalkDir(b.dir, func(p string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if p == b.path(metaName) {
			return filepath.SkipDir
		}
		g := xlator.GFID([]byte(xattr(b.t, p, xattrGFID)))
		st := lstat(b.t, p)
		inodes[st.Ino] = g
		isDir[st.Ino] = e.IsDir()
		if e.IsDir() && p != b.dir {
			pg := xlator.GFID([]byte(xattr(b.t, filepath.Dir(p), xattrGFID)))
			if got, _ := os.Readlink(b.handle(g)); got != dirTarget(pg, e.Name()) {
				b.t.Errorf("%s: handle leads to %q", p, got)
			}
		}
		return nil
	})
	b.must(err)
	known := map[string]bool{}
	for ino, g := range inodes {
		known[g.String()] = true
		if isDir[ino] {
			continue
		}
		if lstat(b.t, b.handle(g)).Ino != ino {
			b.t.Errorf("handle of %s is another inode", g)
		}
	}
	handles, _ := filepath.Glob(b.path(metaName, "??", "??", "*"))
	for _, p := range handles {
		if !known[filepath.Base(p)] {
			b.t.Errorf("handle %s has no name", p)
		}
	}
	for _, f := range []string{stagingName, orphansName} {
		if left, _ := os.ReadDir(b.path(metaName, f)); len(left) > 0 {
			b.t.Errorf("left in %s: %v", f, left)
		}
	}
}

// list reads a directory's names, sorted.
func (b *brick) list(i *xlator.Inode) (names []string) {
	b.t.Helper()
	rep, err := b.Opendir(b.ctx, &xlator.OpenReq{Inode: i})
	b.must(err)
	defer b.Release(rep.FD)
	for off := int64(0); ; {
		r, err := b.Readdir(b.ctx, &xlator.ReaddirReq{FD: rep.FD, Offset: off, Size: 4096})
		b.must(err)
		if len(r.Entries) == 0 {
			slices.Sort(names)
			return names
		}
		for _, e := range r.Entries {
			names = append(names, e.Name)
			off = e.Offset
		}
	}
}

// parallel runs f n times at once and returns what it said.
func parallel[T any](n int, f func(k int) T) []T {
	out := make([]T, n)
	var wg sync.WaitGroup
	for k := range n {
		wg.Go(func() { out[k] = f(k) })
	}
	wg.Wait()
	return out
}

var discard = slog.New(slog.DiscardHandler)
