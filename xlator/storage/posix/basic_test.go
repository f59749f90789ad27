package posix

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

func TestFileComesAndGoes(t *testing.T) {
	b := fresh(t)
	d := b.mkdir(b.root, "d")
	rep := b.create(d, "f", unix.O_EXCL)
	if !rep.Made || rep.Attr.Nlink != 1 || rep.PostParent.GFID != d.GFID() {
		t.Fatalf("created %+v", rep)
	}
	if a := b.write(rep.FD, "hello", 3); a.Size != 8 {
		t.Fatalf("size after write %d", a.Size)
	}
	if s := b.read(rep.FD, 0, 100); s != "\x00\x00\x00hello" {
		t.Fatalf("read %q", s)
	}
	b.Release(rep.FD)
	i, a, err := b.lookup(d, "f")
	b.must(err)
	if i != rep.FD.Inode() || a.Size != 8 || a.Nlink != 1 || a.Type != xlator.TypeRegular {
		t.Fatalf("looked up %+v", a)
	}
	b.checkLayout()
	if r := b.unlink(d, "f"); r.Removed != i.GFID() || r.Attr.Nlink != 0 {
		t.Fatalf("unlinked %+v", r)
	}
	_, _, err = b.lookup(d, "f")
	want(t, err, unix.ENOENT)
	_, err = b.Rmdir(b.ctx, &xlator.RmdirReq{Parent: b.root, Name: "d"})
	b.must(err)
	b.checkLayout()
}
