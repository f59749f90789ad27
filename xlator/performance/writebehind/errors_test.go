package writebehind

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

func TestErrorOfAnAcknowledgedWriteIsRecordedOnceAndItsDataDropped(t *testing.T) {
	w := build(t, nil)
	fd := w.create("f", rdwr)
	fail := w.p.fail(writeAt(0), unix.ENOSPC)
	w.write(fd, 0, fill('a', 4096))
	w.write(fd, 8192, fill('b', 4096)) // is tried all the same
	w.flushed(fd)
	errs := w.Errors.Of(fd.Inode().GFID())
	if len(errs) != 1 || !errors.Is(errs[0], unix.ENOSPC) {
		t.Fatalf("recorded: %v", errs)
	}
	w.p.end(fail)
	w.flushed(fd)
	if _, err := w.x.Fsync(xlator.Internal(), &xlator.FsyncReq{FD: fd}); err != nil {
		t.Errorf("fsync: %v", err) // the base fd reports it
	}
	if errs := w.Errors.Of(fd.Inode().GFID()); len(errs) != 1 {
		t.Errorf("recorded again: %v", errs)
	}
	if got, want := w.content(fd), string(fill(0, 8192))+string(fill('b', 4096)); got != want {
		t.Errorf("%d bytes on the brick", len(got))
	}
	if n := w.x.Dirty(); len(n) != 0 {
		t.Errorf("still dirty: %v", n)
	}
}

// Whoever waits for a failed write finds its error recorded.
func TestErrorIsRecordedBeforeCloseReturns(t *testing.T) {
	w := build(t, nil)
	w.p.fail(writes, unix.EDQUOT)
	for n := range 200 {
		fd := w.create("f", rdwr)
		w.write(fd, 0, fill('a', 100))
		w.flushed(fd)
		if errs := w.Errors.Of(fd.Inode().GFID()); len(errs) != n+1 {
			t.Fatalf("%d errors after %d failed writes", len(errs), n+1)
		}
	}
}

func TestWritesSentTogetherFailOnce(t *testing.T) {
	w := build(t, nil)
	fd := w.create("f", rdwr)
	hold := w.p.hold(writeAt(1 << 20))
	w.write(fd, 1<<20, fill('z', 100))
	h := hold.next(t)
	for n := range 10 {
		w.write(fd, int64(n)*100, fill('a', 100))
	}
	w.p.fail(writeAt(0), unix.EIO)
	h.pass()
	w.flushed(fd)
	if errs := w.Errors.Of(fd.Inode().GFID()); len(errs) != 1 {
		t.Errorf("recorded: %v", errs)
	}
}

func TestWriteThroughReturnsItsOwnErrorAndOnlyThat(t *testing.T) {
	w := build(t, nil)
	fd := w.create("f", rdwr|unix.O_SYNC)
	w.p.fail(writes, unix.ENOSPC)
	if _, err := w.x.Writev(xlator.Internal(), req(fd, 0, fill('a', 10))); xlator.Errno(err) != unix.ENOSPC {
		t.Errorf("%v", err)
	}
	if errs := w.Errors.Of(fd.Inode().GFID()); len(errs) != 0 {
		t.Errorf("recorded as well: %v", errs)
	}
}

// A write that waited for one that failed is carried out.
func TestWriteBehindAFailedOneIsTried(t *testing.T) {
	w := build(t, nil)
	fd := w.create("f", rdwr)
	hold := w.p.hold(writes)
	w.write(fd, 0, fill('a', 100))
	h := hold.next(t)
	r := req(fd, 50, fill('b', 100))
	r.Flags |= unix.O_SYNC
	done := w.writeAsync(r)
	eventually(t, "the second waits", func() bool { return w.awaited(fd.Inode()) == 1 })
	h.refuse(unix.EIO)
	w.p.end(hold)
	ended(t, done, "the second write")
	if got, want := w.content(fd), string(fill(0, 50))+string(fill('b', 100)); got != want {
		t.Errorf("%q", got)
	}
}

// bits takes a write in small parts, or not at all.
type bits struct {
	xlator.Default
	most int
	end  int64 // where it takes nothing more
}

func (b *bits) Writev(ctx context.Context, r *xlator.WritevReq) (*xlator.WritevRep, error) {
	part := *r
	part.Payload.Bytes = part.Payload.Bytes[:min(b.most, len(part.Payload.Bytes))]
	if b.end > 0 && part.Offset+int64(len(part.Payload.Bytes)) > b.end {
		return &xlator.WritevRep{}, nil
	}
	return b.Next.Writev(ctx, &part)
}

func TestRestOfAWriteTheChildTakesInPartsIsSent(t *testing.T) {
	for _, flags := range []uint32{rdwr, rdwr | unix.O_SYNC} {
		w := buildOn(t, nil, func(leaf xlator.Fops) xlator.Fops { return &bits{Default: xlator.Default{Next: leaf}, most: 7} })
		fd := w.create("f", flags)
		want := fill('a', 100)
		for n := range want {
			want[n] = byte(n)
		}
		w.write(fd, 10, want)
		w.flushed(fd)
		if got := w.content(fd); got != string(fill(0, 10))+string(want) {
			t.Errorf("flags %x: %q", flags, got)
		}
	}
}

func TestWriteThatEndsHalfway(t *testing.T) {
	between := func(leaf xlator.Fops) xlator.Fops { return &bits{xlator.Default{Next: leaf}, 7, 35} }
	w := buildOn(t, nil, between)
	fd := w.create("f", rdwr)
	w.write(fd, 0, fill('a', 100))
	w.flushed(fd)
	if errs := w.Errors.Of(fd.Inode().GFID()); len(errs) != 1 || xlator.Errno(errs[0]) != unix.EIO {
		t.Errorf("acknowledged and written by half: %v", errs)
	}
	w = buildOn(t, nil, between)
	rep, err := w.x.Writev(xlator.Internal(), req(w.create("f", rdwr|unix.O_SYNC), 0, fill('a', 100)))
	if err != nil || rep.Size != 35 {
		t.Errorf("written through: %+v, %v", rep, err)
	}
}
