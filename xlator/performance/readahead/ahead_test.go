package readahead

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	ct "github.com/holdfast/holdfast/xlator/content/contenttest"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/performance/writebehind"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

const page4K = 4096

// subject reads ahead of whoever reads a file of 4 pages and 5000 bytes.
func subject(opts map[string]string) ct.Subject {
	return ct.Subject{
		Type: Type(), Options: opts, Leaf: xlatortest.LeafOf(posix.Type(), locks.Type()),
		New:  func(e *xlator.Env, now func() time.Duration) (xlator.Fops, error) { return newTranslator(e, now) },
		Base: 4 * page4K,
		Warm: func(w *ct.World, fd *xlator.FD) {
			w.Lookup("f")
			w.Read(fd, 0, page4K)
			w.Read(fd, page4K, 3*page4K)
			settle(w, fd)
		},
		Prepare: func(w *ct.World) { w.Lookup("f") },
		Fetch: func(w *ct.World, fd *xlator.FD) {
			w.Read(fd, 0, page4K)
			w.Read(fd, page4K, 3*page4K)
			w.Read(fd, 4*page4K, 20000)
		},
		Fop:   xlator.FopReadv,
		Match: func(req any) bool { return req.(*xlator.ReadvReq).Offset == 4*page4K },
	}
}

// settle waits until what is read ahead of fd is there.
func settle(w *ct.World, fd *xlator.FD) { w.X.(*translator).readers.Get(fd).fetches.Wait() }

var small = map[string]string{"page-size": "4096"}

func TestChangeIsSeen(t *testing.T)   { ct.Stale(t, subject(small)) }
func TestPhasesAreKept(t *testing.T)  { ct.Phases(t, subject(small)) }
func TestEventsAreHeard(t *testing.T) { ct.Events(t, subject(small)) }

func TestReadsAreAsWithoutReadAhead(t *testing.T) {
	options := []map[string]string{nil, small, {"page-count": "16", "page-size": "4096"}, {"pass-through": "on"}, {"page-count": "1", "force-atime-update": "on"}}
	s := subject(nil)
	t.Run("alone", func(t *testing.T) { ct.Model(t, s, options...) })
	s.Between = xlatortest.Above(writebehind.Type(), nil)
	t.Run("above write-behind", func(t *testing.T) { ct.Model(t, s, options...) })
}

func open(w *ct.World, name string, size int, flags uint32) *xlator.FD {
	fd := w.Open(w.Create(name, ct.Fill(1, size)), flags)
	w.T().Cleanup(func() { w.X.Release(fd) })
	return fd
}

// ahead is the pages that are there for fd, by number.
func ahead(w *ct.World, fd *xlator.FD) []int64 {
	settle(w, fd)
	x := w.X.(*translator)
	x.mu.Lock()
	defer x.mu.Unlock()
	var ns []int64
	for n := int64(0); len(ns) < len(x.readers.Get(fd).pages); n++ {
		if x.readers.Get(fd).pages[n] != nil {
			ns = append(ns, n)
		}
	}
	return ns
}

func TestWindowGrowsWithTheReaderAndEndsWithIt(t *testing.T) {
	w := subject(small).Build(t)
	fd := open(w, "f", 100*page4K, unix.O_RDONLY)
	for n := range 6 {
		asked := w.Asked(xlator.FopReadv, func() {
			if w.Read(fd, int64(n)*page4K, page4K) != w.Truth(fd, int64(n)*page4K, page4K) {
				t.Errorf("page %d: not what the brick has", n)
			}
			settle(w, fd)
		})
		got := fmt.Sprint(ahead(w, fd))
		if n >= 4 && asked != 1 {
			t.Errorf("read %d: asked %d times, want once, for the page that was added", n, asked)
		}
		if last := ahead(w, fd); last[len(last)-1] != int64(n)+min(int64(n)+1, 4) {
			t.Errorf("read %d: pages %s are there", n, got)
		}
	}
	w.Read(fd, 50*page4K, page4K)
	if got := ahead(w, fd); len(got) != 0 {
		t.Errorf("after a read elsewhere, pages %v are there", got)
	}
	for _, n := range []int64{80, 20, 60, 0, 40} {
		w.Read(fd, n*page4K, 2*page4K)
		if got := ahead(w, fd); len(got) != 0 {
			t.Errorf("pages %v were read ahead of somebody who reads here and there", got)
		}
	}
	if n := w.X.(*translator).bytes; n != 0 {
		t.Errorf("%d bytes are kept", n)
	}
}

func TestReadsOfAnySizeComeFromPages(t *testing.T) {
	for _, size := range []int{100, 4096, 5000, 16384, 50000} {
		w := subject(small).Build(t)
		fd := open(w, "f", 200000, unix.O_RDONLY)
		for off := 0; off < 200000; off += size {
			if w.Read(fd, int64(off), size) != w.Truth(fd, int64(off), size) {
				t.Fatalf("%d at %d: not what the brick has", size, off)
			}
		}
		d := w.X.(*translator).Dump().(map[string]uint64)
		if d["hits"] < 8*d["misses"] && size < 50000 || d["hits"] == 0 {
			t.Errorf("by %d: %v", size, d)
		}
	}
}

// Reads that overtake each other, as the kernel sends them, are in sequence.
func TestReadsThatOvertakeEachOtherAreInSequence(t *testing.T) {
	w := subject(nil).Build(t)
	const step = 128 << 10
	fd := open(w, "f", 20*step, unix.O_RDONLY)
	for n := int64(0); n < 20; n += 2 {
		for _, at := range []int64{n + 1, n} {
			if w.Read(fd, at*step, step) != w.Truth(fd, at*step, step) {
				t.Fatalf("page %d: not what the brick has", at)
			}
			settle(w, fd)
		}
	}
	if d := w.X.(*translator).Dump().(map[string]uint64); d["hits"] < 16 {
		t.Errorf("%v", d)
	}
}

func TestNothingIsReadBehindTheEnd(t *testing.T) {
	w := subject(small).Build(t)
	fd := open(w, "f", 5*page4K+100, unix.O_RDONLY)
	for n := range int64(4) {
		w.Read(fd, n*page4K, page4K)
		settle(w, fd)
	}
	if n := w.Asked(xlator.FopReadv, func() {
		for off := int64(4 * page4K); off < 6*page4K; off += page4K {
			w.Read(fd, off, page4K)
			settle(w, fd)
		}
	}); n > 0 {
		t.Errorf("asked %d times", n)
	}
	// When it grows, the end is another.
	rw := w.Open(fd.Inode(), unix.O_RDWR)
	defer w.X.Release(rw)
	_, err := w.X.Writev(xlator.Internal(), &xlator.WritevReq{FD: rw, Offset: 5*page4K + 100, Payload: xlator.Payload{Bytes: ct.Fill(2, 50000)}})
	w.Must(err)
	for off := int64(4 * page4K); off < 20*page4K; off += page4K {
		if w.Read(fd, off, page4K) != w.Truth(fd, off, page4K) {
			t.Fatalf("at %d: not what the brick has", off)
		}
	}
}

// Another client makes the file longer, and attributes tell of it before the pages
// from before are read.
func TestAttributesThatPassAreCompared(t *testing.T) {
	s := subject(small)
	w := s.Build(t)
	fd := w.Open(w.Create("f", ct.Fill(1, 4*page4K+5000)), unix.O_RDWR)
	defer w.X.Release(fd)
	s.Warm(w, fd)
	w.PutBelow(fd, 4*page4K, ct.Fill(9, 9000))
	w.Lookup("f")
	if w.Read(fd, 4*page4K, 20000) != w.Truth(fd, 4*page4K, 20000) {
		t.Error("read what was there before the attributes changed")
	}
}

func TestPageThatNobodyWantsGoes(t *testing.T) {
	s := subject(small)
	w := s.Build(t)
	fd := w.Open(w.Create("f", ct.Fill(1, 4*page4K+5000)), unix.O_RDWR)
	defer w.X.Release(fd)
	s.Warm(w, fd)
	w.PutBelow(fd, 4*page4K, ct.Fill(9, 5000))
	w.Pass(maxAge)
	if w.Read(fd, 4*page4K, 5000) != w.Truth(fd, 4*page4K, 5000) {
		t.Error("read a page that had waited for too long")
	}
	if w.X.(*translator).wasted.Load() == 0 {
		t.Error("it does not count as wasted")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	w := subject(map[string]string{"page-size": "1MB", "page-count": "16"}).Build(t)
	for n := range 8 { // would take 16 MiB each
		fd := open(w, fmt.Sprint("f", n), 40<<20, unix.O_RDONLY)
		for off := int64(0); off < 20<<20; off += 4 << 20 {
			w.Read(fd, off, 4<<20)
		}
		settle(w, fd)
		if len(ahead(w, fd)) < 16 {
			t.Error("who reads now has no room")
		}
		x := w.X.(*translator)
		x.mu.Lock()
		if x.bytes > maxMemory {
			t.Errorf("%d bytes", x.bytes)
		}
		x.mu.Unlock()
	}
}

func TestDirectReadsAreNotReadAhead(t *testing.T) {
	w := subject(small).Build(t)
	i := w.Create("f", ct.Fill(1, 100*page4K))
	for _, flags := range []uint32{unix.O_RDONLY | unix.O_DIRECT, unix.O_WRONLY} {
		fd := w.Open(i, flags)
		if w.X.(*translator).readers.Get(fd) != nil {
			t.Errorf("flags %#x: read ahead", flags)
		}
		w.X.Release(fd)
	}
	fd := open(w, "g", 100*page4K, unix.O_RDONLY)
	for n := range int64(5) {
		w.X.Readv(xlator.Internal(), &xlator.ReadvReq{FD: fd, Offset: n * page4K, Size: page4K, Flags: unix.O_DIRECT})
	}
	if got := ahead(w, fd); len(got) > 0 {
		t.Errorf("pages %v of one who turned O_DIRECT on", got)
	}
}

// The brick hears of the time of access, and of nothing else.
func TestTimeOfAccessIsToldWhenAskedFor(t *testing.T) {
	for _, on := range []string{"off", "on"} {
		w := subject(map[string]string{"page-size": "4096", "force-atime-update": on}).Build(t)
		fd := open(w, "f", 10*page4K, unix.O_RDONLY)
		w.Read(fd, 0, 8*page4K)
		settle(w, fd)
		n := w.Asked(xlator.FopReadv, func() {
			w.Read(fd, 8*page4K, 2*page4K)
			settle(w, fd)
		})
		if n != map[string]int64{"off": 0, "on": 1}[on] {
			t.Errorf("force-atime-update %s: %d reads at the brick", on, n)
		}
	}
}

// A page whose read fails is asked for again by who needs it.
func TestReadSucceedsWhenReadingAheadFailed(t *testing.T) {
	w := subject(small).Build(t)
	fd := open(w, "f", 10*page4K, unix.O_RDONLY)
	g := w.P.GateFor(xlator.FopReadv, false, func(req any) bool { return req.(*xlator.ReadvReq).Offset == 4*page4K })
	g.Err = unix.EIO
	close(g.Open)
	w.Read(fd, 0, 4*page4K)
	if w.Read(fd, 4*page4K, page4K) != w.Truth(fd, 4*page4K, page4K) {
		t.Error("not what the brick has")
	}
}

// The FD is there until nobody reads ahead with it any more.
func TestReleaseWaitsForPagesOnTheirWay(t *testing.T) {
	w := subject(small).Build(t)
	fd := w.Open(w.Create("f", ct.Fill(1, 10*page4K)), unix.O_RDONLY)
	g := w.P.GateFor(xlator.FopReadv, false, func(req any) bool { return req.(*xlator.ReadvReq).Offset == 4*page4K })
	w.Read(fd, 0, 4*page4K)
	g.Wait(t)
	done := xlatortest.Async(func() { w.X.Release(fd) })
	select {
	case <-done:
		t.Error("released while a page was on its way")
	default:
	}
	close(g.Open)
	xlatortest.Ended(w.T(), done)
	if n := w.X.(*translator).bytes; n != 0 {
		t.Errorf("%d bytes are kept", n)
	}
}
