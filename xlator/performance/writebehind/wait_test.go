package writebehind

import (
	"context"
	"fmt"
	"math"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// fopsThatWait is every fop on a file that must not pass its acknowledged writes.
func fopsThatWait(w *world, fd *xlator.FD) map[string]func(x xlator.Fops) error {
	ctx, i := xlator.Internal(), fd.Inode()
	xs := &xlator.Dict{}
	xs.SetBytes("user.x", []byte("1"))
	add := &xlator.Dict{}
	add.SetBytes("trusted.n", make([]byte, 4))
	other := w.create("other", rdwr)
	lock := xlator.Lock{Type: unix.F_WRLCK, End: math.MaxInt64, Owner: 1, PID: 1}
	return map[string]func(x xlator.Fops) error{
		"stat":  func(x xlator.Fops) error { _, err := x.Stat(ctx, &xlator.StatReq{Inode: i}); return err },
		"fstat": func(x xlator.Fops) error { _, err := x.Fstat(ctx, &xlator.FstatReq{FD: fd}); return err },
		"lookup by gfid": func(x xlator.Fops) error {
			_, err := x.Lookup(ctx, &xlator.LookupReq{GFID: i.GFID()})
			return err
		},
		"setattr": func(x xlator.Fops) error {
			_, err := x.Setattr(ctx, &xlator.SetattrReq{Inode: i, Setattr: xlator.Setattr{Mask: xlator.SetMtime}})
			return err
		},
		"fsetattr": func(x xlator.Fops) error {
			_, err := x.Fsetattr(ctx, &xlator.FsetattrReq{FD: fd, Setattr: xlator.Setattr{Mask: xlator.SetMode}})
			return err
		},
		"truncate": func(x xlator.Fops) error {
			_, err := x.Truncate(ctx, &xlator.TruncateReq{Inode: i, Size: 50})
			return err
		},
		"ftruncate": func(x xlator.Fops) error {
			_, err := x.Ftruncate(ctx, &xlator.FtruncateReq{FD: fd, Size: 50})
			return err
		},
		"read": func(x xlator.Fops) error {
			_, err := x.Readv(ctx, &xlator.ReadvReq{FD: fd, Offset: 99, Size: 1})
			return err
		},
		"flush": func(x xlator.Fops) error { _, err := x.Flush(ctx, &xlator.FlushReq{FD: fd}); return err },
		"fsync": func(x xlator.Fops) error { _, err := x.Fsync(ctx, &xlator.FsyncReq{FD: fd}); return err },
		"getxattr": func(x xlator.Fops) error {
			_, err := x.Getxattr(ctx, &xlator.GetxattrReq{Inode: i})
			return err
		},
		"fgetxattr": func(x xlator.Fops) error { _, err := x.Fgetxattr(ctx, &xlator.FgetxattrReq{FD: fd}); return err },
		"setxattr": func(x xlator.Fops) error {
			_, err := x.Setxattr(ctx, &xlator.SetxattrReq{Inode: i, Xattrs: xs})
			return err
		},
		"fsetxattr": func(x xlator.Fops) error {
			_, err := x.Fsetxattr(ctx, &xlator.FsetxattrReq{FD: fd, Xattrs: xs})
			return err
		},
		"removexattr": func(x xlator.Fops) error {
			_, err := x.Removexattr(ctx, &xlator.RemovexattrReq{Inode: i, Name: "user.x"})
			return ignore(err, unix.ENODATA)
		},
		"fremovexattr": func(x xlator.Fops) error {
			_, err := x.Fremovexattr(ctx, &xlator.FremovexattrReq{FD: fd, Name: "user.x"})
			return ignore(err, unix.ENODATA)
		},
		"xattrop": func(x xlator.Fops) error {
			_, err := x.Xattrop(ctx, &xlator.XattropReq{Inode: i, Xattrs: add})
			return err
		},
		"fxattrop": func(x xlator.Fops) error {
			_, err := x.Fxattrop(ctx, &xlator.FxattropReq{FD: fd, Xattrs: add})
			return err
		},
		"lk": func(x xlator.Fops) error {
			_, err := x.Lk(ctx, &xlator.LkReq{FD: fd, Cmd: xlator.LkSet, Lock: lock})
			return err
		},
		"inodelk": func(x xlator.Fops) error {
			_, err := x.Inodelk(ctx, &xlator.InodelkReq{Inode: i, Domain: "d", Cmd: xlator.LkSet, Lock: lock})
			return err
		},
		"finodelk": func(x xlator.Fops) error {
			_, err := x.Finodelk(ctx, &xlator.FinodelkReq{FD: fd, Domain: "d", Cmd: xlator.LkSet, Lock: lock})
			return err
		},
		"fallocate": func(x xlator.Fops) error {
			_, err := x.Fallocate(ctx, &xlator.FallocateReq{FD: fd, Len: 10})
			return err
		},
		"discard":  func(x xlator.Fops) error { _, err := x.Discard(ctx, &xlator.DiscardReq{FD: fd, Len: 10}); return err },
		"zerofill": func(x xlator.Fops) error { _, err := x.Zerofill(ctx, &xlator.ZerofillReq{FD: fd, Len: 10}); return err },
		"seek": func(x xlator.Fops) error {
			_, err := x.Seek(ctx, &xlator.SeekReq{FD: fd, Whence: unix.SEEK_HOLE})
			return ignore(err, unix.ENXIO)
		},
		"copy from": func(x xlator.Fops) error {
			_, err := x.CopyFileRange(ctx, &xlator.CopyFileRangeReq{Src: fd, Dst: other, Len: 10})
			return err
		},
		"copy to": func(x xlator.Fops) error {
			_, err := x.CopyFileRange(ctx, &xlator.CopyFileRangeReq{Src: other, Dst: fd, Len: 10})
			return err
		},
		"checksum": func(x xlator.Fops) error {
			_, err := x.Rchecksum(ctx, &xlator.RchecksumReq{FD: fd, Len: 10})
			return ignore(err, unix.EOPNOTSUPP)
		},
		"link": func(x xlator.Fops) error {
			_, err := x.Link(ctx, &xlator.LinkReq{Inode: i, Parent: w.root, Name: "link"})
			return err
		},
		"unlink": func(x xlator.Fops) error {
			_, err := x.Unlink(ctx, &xlator.UnlinkReq{Parent: w.root, Name: "f"})
			return err
		},
		"rename": func(x xlator.Fops) error {
			_, err := x.Rename(ctx, &xlator.RenameReq{OldParent: w.root, OldName: "f", NewParent: w.root, NewName: "g"})
			return err
		},
		"rename over it": func(x xlator.Fops) error {
			_, err := x.Rename(ctx, &xlator.RenameReq{OldParent: w.root, OldName: "other", NewParent: w.root, NewName: "f"})
			return err
		},
		"release": func(x xlator.Fops) error { x.Release(fd); return nil },
	}
}

func ignore(err error, e unix.Errno) error {
	if xlator.Errno(err) == e {
		return nil
	}
	return err
}

func TestEveryFopOnTheFileWaitsForAcknowledgedWrites(t *testing.T) {
	names := fopsThatWait(build(t, nil), build(t, nil).create("f", rdwr))
	for name := range names {
		t.Run(name, func(t *testing.T) {
			w := build(t, nil)
			fd := w.create("f", rdwr)
			op := fopsThatWait(w, fd)[name]
			hold := w.p.hold(writes)
			w.write(fd, 0, fill('a', 100))
			h := hold.next(t)
			done := async(func() error { return op(w.x) })
			eventually(t, "somebody waits for the write", func() bool { return w.awaited(fd.Inode()) == 1 })
			pending(t, done, name)
			h.pass()
			ended(t, done, name)
			log := w.p.events()
			for n, e := range log {
				// The names of unlink and rename are looked up before.
				if e.fop == xlator.FopWritev && n < len(log)-1 || e.fop == xlator.FopLookup && name != "lookup by gfid" || name == "release" {
					continue
				}
				if e.fop == xlator.FopWritev || n == 0 {
					t.Errorf("%v came to the child before the write had ended", log[0].fop)
				}
			}
		})
	}
}

func TestEveryFopOnACleanFileGoesThrough(t *testing.T) {
	for name := range fopsThatWait(build(t, nil), build(t, nil).create("f", rdwr)) {
		t.Run(name, func(t *testing.T) {
			w := build(t, nil)
			fd, hung := w.create("f", rdwr), w.create("hung", rdwr)
			w.write(fd, 0, fill('a', 100))
			w.flushed(fd)
			hold := w.p.hold(writes)
			w.write(hung, 0, fill('b', 100)) // another file's write is no reason to wait
			if err := fopsThatWait(w, fd)[name](w.x); err != nil {
				t.Error(err)
			}
			hold.next(t).pass()
		})
	}
}

func (w *world) read(fd *xlator.FD, off int64, n int) chan string {
	c := make(chan string, 1)
	go func() {
		rep, err := w.x.Readv(xlator.Internal(), &xlator.ReadvReq{FD: fd, Offset: off, Size: n, Flags: fd.Flags(), Dst: new(onlyOnce)})
		if err != nil {
			c <- err.Error()
			return
		}
		if rep.Attr.Valid() && rep.Attr.Size < uint64(off)+uint64(len(rep.Data)) {
			c <- "old attributes"
			return
		}
		c <- string(rep.Data)
	}()
	return c
}

// onlyOnce is a destination that may be asked once.
type onlyOnce struct{ asked bool }

func (o *onlyOnce) Grab(n int) []byte {
	if o.asked {
		panic("asked twice")
	}
	o.asked = true
	return make([]byte, n)
}

func TestReadDoesNotWaitForWritesElsewhere(t *testing.T) {
	w := build(t, nil)
	fd := w.create("f", rdwr)
	w.write(fd, 0, fill('a', 10000))
	w.flushed(fd)
	hold := w.p.hold(writes)
	w.write(fd, 4000, fill('b', 1000))
	w.write(fd, 9000, fill('c', 5000))
	hold.next(t)
	if got := <-w.read(fd, 0, 4000); got != string(fill('a', 4000)) {
		t.Errorf("read %.40q", got)
	}
	if got := <-w.read(fd, 5000, 4000); got != string(fill('a', 4000)) {
		t.Errorf("read %.40q", got)
	}
	got := w.read(fd, 3999, 2)
	eventually(t, "the read waits", func() bool { return w.awaited(fd.Inode()) > 0 })
	w.p.end(hold)
	if got := <-got; got != "ab" {
		t.Errorf("read %q", got)
	}
}

// Behind the end of the file that the child has is a hole, if an acknowledged
// write lies behind that.
func TestReadBeforeAWriteBehindTheEndFindsAHole(t *testing.T) {
	w := build(t, nil)
	fd := w.create("f", rdwr)
	w.write(fd, 0, fill('a', 100))
	w.flushed(fd)
	hold := w.p.hold(writes)
	w.write(fd, 10000, fill('b', 100))
	h := hold.next(t)
	if got := <-w.read(fd, 0, 100); got != string(fill('a', 100)) {
		t.Errorf("read %.40q", got)
	}
	got := w.read(fd, 50, 100)
	eventually(t, "the read waits", func() bool { return w.awaited(fd.Inode()) > 0 })
	h.pass()
	if got := <-got; got != string(fill('a', 50))+string(fill(0, 50)) {
		t.Errorf("read %.40q", got)
	}
}

// withAttrs gives attributes along with writes, as remote bricks do.
type withAttrs struct{ xlator.Default }

func (x *withAttrs) Writev(ctx context.Context, r *xlator.WritevReq) (*xlator.WritevRep, error) {
	rep, err := x.Next.Writev(ctx, r)
	if err == nil {
		var st *xlator.AttrRep
		if st, err = x.Next.Fstat(ctx, &xlator.FstatReq{FD: r.FD}); err == nil {
			rep.Attr = st.Attr
		}
	}
	return rep, err
}

func TestWriteThroughLeavesOutAttributesThatMissAcknowledgedData(t *testing.T) {
	w := buildOn(t, nil, func(leaf xlator.Fops) xlator.Fops { return &withAttrs{xlator.Default{Next: leaf}} })
	fd := w.create("f", rdwr)
	hold := w.p.hold(writeAt(4096))
	w.write(fd, 4096, fill('a', 4096))
	h := hold.next(t)
	r := req(fd, 0, fill('b', 100))
	r.Flags |= unix.O_SYNC
	rep, err := w.x.Writev(xlator.Internal(), r)
	if err != nil || rep.Attr.Valid() {
		t.Errorf("%+v, %v", rep, err)
	}
	h.pass()
	w.flushed(fd)
	rep, err = w.x.Writev(xlator.Internal(), r)
	if err != nil || !rep.Attr.Valid() || rep.Attr.Size != 8192 {
		t.Errorf("%+v, %v", rep, err)
	}
	// Data that comes to the child while the attributes are on their way.
	after := w.p.holdAfter(writeAt(0))
	var late *xlator.WritevRep
	done := async(func() (err error) { late, err = w.x.Writev(xlator.Internal(), r); return err })
	h = after.next(t)
	w.p.end(hold)
	w.write(fd, 8192, fill('c', 100))
	w.flushed(fd)
	h.pass()
	ended(t, done, "the write")
	if late.Attr.Valid() {
		t.Errorf("size %d", late.Attr.Size)
	}
}

func TestReleaseWaitsForTheWritesOfItsFD(t *testing.T) {
	w := build(t, nil)
	one := w.create("f", rdwr)
	two := w.open(one.Inode(), rdwr)
	hold := w.p.hold(writes)
	w.write(two, 0, fill('a', 100))
	h := hold.next(t)
	w.x.Release(one) // has none
	done := async(func() error { w.x.Release(two); return nil })
	eventually(t, "the release waits", func() bool { return w.awaited(two.Inode()) == 1 })
	pending(t, done, "release")
	h.pass()
	ended(t, done, "release")
	if len(w.Errors.Of(two.Inode().GFID())) > 0 {
		t.Error("written after the release")
	}
}

func TestInterruptDoesNotEndTheWait(t *testing.T) {
	w := build(t, nil)
	fd := w.create("f", rdwr)
	hold := w.p.hold(writes)
	w.write(fd, 0, fill('a', 100))
	h := hold.next(t)
	call := xlator.Internal()
	done := async(func() error {
		rep, err := w.x.Fstat(call, &xlator.FstatReq{FD: fd})
		if err == nil && rep.Attr.Size != 100 {
			err = fmt.Errorf("size %d", rep.Attr.Size)
		}
		return err
	})
	eventually(t, "fstat waits", func() bool { return w.awaited(fd.Inode()) == 1 })
	call.Interrupt()
	h.pass()
	ended(t, done, "fstat")
}
