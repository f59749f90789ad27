package posix

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// lazy is a Destination that must not be asked before the read runs.
type lazy struct{ asked int }

func (l *lazy) Grab(n int) []byte { l.asked++; return make([]byte, n) }

func TestReadTakesItsBufferOnlyInsideTheGate(t *testing.T) {
	b := fresh(t)
	f := b.open(b.file(b.root, "f", "0123456789"), unix.O_RDONLY)
	defer b.Release(f)
	b.must(b.Reconfigure(xlator.Values{"io-limit": {Int: 1, Num: 1}}))
	p := b.rt.enter() // the only place is taken
	l := &lazy{}
	done := make(chan error)
	go func() {
		rep, err := b.Readv(b.ctx, &xlator.ReadvReq{FD: f, Size: 100, Offset: 4, Dst: l})
		if err == nil && string(rep.Data) != "456789" {
			err = fmt.Errorf("read %q", rep.Data)
		}
		done <- err
	}()
	asked := l.asked
	p.out()
	b.must(<-done)
	if asked != 0 || l.asked != 1 {
		t.Fatalf("asked %d times before, %d in all", asked, l.asked)
	}
	if rep, err := b.Readv(b.ctx, &xlator.ReadvReq{FD: f, Size: 10, Offset: 10}); err != nil || len(rep.Data) != 0 {
		t.Fatalf("at the end: %q %v", rep.Data, err)
	}
}

func TestHolesAndSpace(t *testing.T) {
	b := fresh(t)
	f := b.create(b.root, "f", 0).FD
	defer b.Release(f)
	b.write(f, "data", 1<<20)
	if a := b.write(f, "more", 4<<20); a.Size != 4<<20+4 {
		t.Fatalf("size %d", a.Size)
	}
	seek := func(off int64, whence uint32) int64 {
		t.Helper()
		rep, err := b.Seek(b.ctx, &xlator.SeekReq{FD: f, Offset: off, Whence: whence})
		b.must(err)
		return rep.Offset
	}
	if at := seek(0, unix.SEEK_DATA); at != 1<<20 {
		t.Fatalf("data at %d", at)
	}
	if at := seek(1<<20, unix.SEEK_HOLE); at != 1<<20+4096 {
		t.Fatalf("hole at %d", at)
	}
	_, err := b.Seek(b.ctx, &xlator.SeekReq{FD: f, Offset: 5 << 20, Whence: unix.SEEK_DATA})
	want(t, err, unix.ENXIO)
	_, err = b.Seek(b.ctx, &xlator.SeekReq{FD: f, Whence: unix.SEEK_SET})
	want(t, err, unix.EINVAL)
	rep, err := b.Discard(b.ctx, &xlator.DiscardReq{FD: f, Offset: 1 << 20, Len: 4096})
	b.must(err)
	if rep.Attr.Size != 4<<20+4 || seek(0, unix.SEEK_DATA) != 4<<20 {
		t.Fatalf("after discard: %+v", rep.Attr)
	}
	rep, err = b.Zerofill(b.ctx, &xlator.ZerofillReq{FD: f, Offset: 4 << 20, Len: 1 << 20})
	b.must(err)
	if rep.Attr.Size != 5<<20 || b.read(f, 4<<20, 4) != "\x00\x00\x00\x00" {
		t.Fatalf("after zerofill: %+v", rep.Attr)
	}
	rep, err = b.Zerofill(b.ctx, &xlator.ZerofillReq{FD: f, Offset: 5 << 20, Len: 1 << 20, KeepSize: true})
	b.must(err)
	if rep.Attr.Size != 5<<20 {
		t.Fatalf("size %d", rep.Attr.Size)
	}
	for _, c := range []struct {
		mode     uint32
		off, len int64
		size     uint64
		errno    unix.Errno
	}{
		{0, 0, 6 << 20, 6 << 20, 0},
		{unix.FALLOC_FL_KEEP_SIZE, 0, 8 << 20, 6 << 20, 0},
		{unix.FALLOC_FL_COLLAPSE_RANGE, 0, 1 << 20, 5 << 20, 0},
		{unix.FALLOC_FL_INSERT_RANGE, 0, 1 << 20, 6 << 20, 0},
		{unix.FALLOC_FL_PUNCH_HOLE, 0, 1, 0, unix.EOPNOTSUPP},
		{0, -1, 5, 0, unix.EINVAL},
		{0, 0, 0, 0, unix.EINVAL},
		{0, math.MaxInt64 - 1, 10, 0, unix.EFBIG},
	} {
		rep, err := b.Fallocate(b.ctx, &xlator.FallocateReq{FD: f, Mode: c.mode, Offset: c.off, Len: c.len})
		want(t, err, c.errno)
		if err == nil && rep.Attr.Size != c.size {
			t.Fatalf("mode %x: size %d, want %d", c.mode, rep.Attr.Size, c.size)
		}
	}
}

func TestOffsetsAtTheLimit(t *testing.T) {
	b := fresh(t)
	i := b.file(b.root, "f", "x")
	f := b.open(i, unix.O_RDWR)
	defer b.Release(f)
	writeAt := func(off int64) error {
		_, err := b.Writev(b.ctx, &xlator.WritevReq{FD: f, Payload: xlator.Payload{Bytes: []byte("ab")}, Offset: off})
		return err
	}
	want(t, writeAt(-1), unix.EINVAL)
	want(t, writeAt(math.MaxInt64), unix.EINVAL)
	want(t, writeAt(1<<60), unix.EFBIG)
	_, err := b.Readv(b.ctx, &xlator.ReadvReq{FD: f, Size: 1, Offset: -1})
	want(t, err, unix.EINVAL)
	_, err = b.Readv(b.ctx, &xlator.ReadvReq{FD: f, Size: -1})
	want(t, err, unix.EINVAL)
	for _, off := range []int64{math.MaxInt64 - 1, 1 << 60} {
		if rep, err := b.Readv(b.ctx, &xlator.ReadvReq{FD: f, Size: 1, Offset: off}); err != nil || len(rep.Data) != 0 {
			t.Fatalf("read at %d: %v", off, err)
		}
	}
	_, err = b.Truncate(b.ctx, &xlator.TruncateReq{Inode: i, Size: 1 << 60})
	want(t, err, unix.EFBIG)
	_, err = b.Truncate(b.ctx, &xlator.TruncateReq{Inode: i, Size: math.MaxUint64})
	want(t, err, unix.EINVAL)
	_, err = b.Ftruncate(b.ctx, &xlator.FtruncateReq{FD: f, Size: 1 << 60})
	want(t, err, unix.EFBIG)
	rep, err := b.Truncate(b.ctx, &xlator.TruncateReq{Inode: i, Size: 1 << 40})
	b.must(err)
	if rep.Attr.Size != 1<<40 {
		t.Fatalf("size %d", rep.Attr.Size)
	}
	_, err = b.Truncate(b.ctx, &xlator.TruncateReq{Inode: b.root, Size: 0})
	want(t, err, unix.EISDIR)
}

func TestCopyFileRange(t *testing.T) {
	b := fresh(t)
	text := strings.Repeat("0123456789abcdef", 10000)
	src, dst := b.open(b.file(b.root, "src", text), unix.O_RDWR), b.open(b.file(b.root, "dst", ""), unix.O_RDWR)
	defer b.Release(src)
	defer b.Release(dst)
	cp := func(s, d *xlator.FD, so, do, n int64) (*xlator.CopyFileRangeRep, error) {
		return b.CopyFileRange(b.ctx, &xlator.CopyFileRangeReq{Src: s, Dst: d, SrcOff: so, DstOff: do, Len: n})
	}
	rep, err := cp(src, dst, 5, 3, 1<<40)
	b.must(err)
	if rep.Size != int64(len(text)-5) || rep.Attr.Size != uint64(len(text)-2) {
		t.Fatalf("copied %+v", rep)
	}
	if got := b.read(dst, 0, len(text)); got != "\x00\x00\x00"+text[5:] {
		t.Fatal("copied something else")
	}
	rep, err = cp(src, src, 0, int64(len(text)), 100)
	b.must(err)
	if rep.Size != 100 {
		t.Fatalf("copied %d", rep.Size)
	}
	_, err = cp(src, src, 0, 50, 100)
	want(t, err, unix.EINVAL)
	_, err = cp(src, dst, -1, 0, 1)
	want(t, err, unix.EINVAL)
	rep, err = cp(src, dst, 1<<30, 0, 10)
	b.must(err)
	if rep.Size != 0 {
		t.Fatalf("copied %d from behind the end", rep.Size)
	}
	// The way of file systems where the kernel does not copy.
	n, err := copyLoop(b.fds.Get(src).n, b.fds.Get(dst).n, 7, 1, 1<<21)
	b.must(err)
	if n != int64(len(text)+100-7) || b.read(dst, 1, len(text)-7) != text[7:] {
		t.Fatalf("copied %d by hand", n)
	}
}

func TestRchecksum(t *testing.T) {
	b := fresh(t)
	f := b.open(b.file(b.root, "f", "\x00\x00\x01\xff"), unix.O_RDONLY)
	defer b.Release(f)
	sum := func(off int64, n int) *xlator.RchecksumRep {
		rep, err := b.Rchecksum(b.ctx, &xlator.RchecksumReq{FD: f, Offset: off, Len: n})
		b.must(err)
		return rep
	}
	if r := sum(0, 2); r.Weak != 0 || len(r.Strong) != 32 {
		t.Fatalf("%+v", r)
	}
	if r := sum(0, 4); r.Weak != 1<<16 { // 1 then -1
		t.Fatalf("weak %x", r.Weak)
	}
	if bytes.Equal(sum(0, 2).Strong, sum(0, 3).Strong) {
		t.Fatal("strong sums are equal")
	}
}

func TestDirectoryIsListedInPieces(t *testing.T) {
	dir := newDir(t)
	const files = 10000
	for n := range files {
		name := fmt.Sprintf("%s/file-%05d", dir, n)
		err := os.Link(fmt.Sprintf("%s/file-%05d", dir, n-n%100), name)
		if n%100 == 0 { // making files is slow: 99 in 100 are links
			err = os.WriteFile(name, nil, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	b := mount(t, dir, nil)
	od, err := b.Opendir(b.ctx, &xlator.OpenReq{Inode: b.root, Base: 9})
	b.must(err)
	defer b.Release(od.FD)
	// A second graph reads from the same descriptor, in turns.
	now := mount(t, dir, b.w.Pool)
	nd, err := now.Opendir(now.ctx, &xlator.OpenReq{Inode: now.root, Base: 9, Flags: od.FD.Flags(), Reopen: true})
	now.must(err)
	defer now.Release(nd.FD)
	var all []xlator.DirEntry
	for off, k := int64(0), 0; ; k++ {
		var rep *xlator.ReaddirRep
		switch k % 3 {
		case 0:
			rep, err = b.Readdir(b.ctx, &xlator.ReaddirReq{FD: od.FD, Offset: off, Size: 4096})
		case 1:
			rep, err = now.Readdirp(now.ctx, &xlator.ReaddirReq{FD: nd.FD, Offset: off, Size: 16384})
		default: // the reply was lost: asked again
			if _, err = b.Readdir(b.ctx, &xlator.ReaddirReq{FD: od.FD, Offset: off, Size: 100000}); err == nil {
				rep, err = b.Readdirp(b.ctx, &xlator.ReaddirReq{FD: od.FD, Offset: off, Size: 1000})
			}
		}
		b.must(err)
		if len(rep.Entries) == 0 {
			break
		}
		size := 0
		for _, e := range rep.Entries {
			size += 24 + len(e.Name)
			dots := e.Name == "." || e.Name == ".."
			if e.Type == xlator.TypeInvalid || e.GFID.IsZero() != dots || k%3 != 0 && !dots && (e.Inode == nil || !e.Attr.Valid()) {
				t.Fatalf("entry %+v", e)
			}
		}
		if size > 100000 {
			t.Fatalf("%d bytes at once", size)
		}
		all = append(all, rep.Entries...)
		off = all[len(all)-1].Offset
	}
	seen := map[string]bool{}
	for _, e := range all {
		if seen[e.Name] {
			t.Fatalf("%s twice", e.Name)
		}
		seen[e.Name] = true
	}
	if len(seen) != files+2 || seen[metaName] {
		t.Fatalf("%d names", len(seen))
	}
	// Every cookie continues where it says.
	for k := 0; k < len(all)-1; k += 997 {
		rep, err := now.Readdir(now.ctx, &xlator.ReaddirReq{FD: nd.FD, Offset: all[k].Offset, Size: 200})
		b.must(err)
		if rep.Entries[0].Name != all[k+1].Name {
			t.Fatalf("after %s comes %s, not %s", all[k].Name, rep.Entries[0].Name, all[k+1].Name)
		}
	}
}

func TestManyReadOneDescriptorAtOnce(t *testing.T) {
	b := fresh(t)
	for n := range 300 {
		b.file(b.root, fmt.Sprint("f", n), "")
	}
	od, err := b.Opendir(b.ctx, &xlator.OpenReq{Inode: b.root})
	b.must(err)
	defer b.Release(od.FD)
	counts := parallel(6, func(k int) (n int) {
		for off := int64(0); ; {
			rep, err := b.Readdirp(b.ctx, &xlator.ReaddirReq{FD: od.FD, Offset: off, Size: 2000 + 100*k})
			if err != nil {
				t.Error(err)
				return 0
			}
			if len(rep.Entries) == 0 {
				return n
			}
			n += len(rep.Entries)
			off = rep.Entries[len(rep.Entries)-1].Offset
		}
	})
	for _, n := range counts {
		if n != 302 {
			t.Fatalf("saw %v entries", counts)
		}
	}
}
