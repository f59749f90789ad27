package contenttest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/holdfast/holdfast/xlator"
)

// model is a file as it should be, as a plain slice.
type model struct {
	w       *World
	t       *rapid.T
	fds     []*xlator.FD
	below   *xlator.FD // another client's
	options []map[string]string
	bytes   []byte
	stamp   byte
}

const modelSize = 600 << 10

// Model does things at random, through the subject and as another client that tells
// of what it did, in any phase and with any of these options, and expects each read
// to give what was written last.
func Model(t *testing.T, s Subject, options ...map[string]string) {
	fewer(t)
	for _, procs := range []int{1, 2} {
		t.Run(fmt.Sprint(procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			rapid.Check(t, func(rt *rapid.T) {
				w := s.Build(t)
				defer w.Stop()
				w.P.Slow(20)
				i := w.Create("f", nil)
				m := &model{w: w, t: rt, options: options, fds: []*xlator.FD{w.Open(i, unix.O_RDWR), w.Open(i, unix.O_RDWR), w.Open(i, unix.O_RDWR)}}
				rep, err := w.Leaf.Open(xlator.Internal(), &xlator.OpenReq{Inode: i, Flags: unix.O_RDWR})
				w.Must(err)
				m.below = rep.FD
				rt.Repeat(rapid.StateMachineActions(m))
				for _, fd := range m.fds {
					w.X.Release(fd)
				}
				w.Leaf.Release(m.below)
			})
		})
	}
}

// modelRuns is how many histories a run without -rapid.checks takes: each is of
// hundreds of steps on a slow child.
const modelRuns = "12"

// fewer leaves a number that was asked for alone.
func fewer(t *testing.T) {
	t.Helper()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		if err := f.Value.Set(modelRuns); err != nil {
			t.Fatal(err)
		}
	}
}

func (m *model) put(off int, data []byte) {
	if len(data) > 0 && off+len(data) > len(m.bytes) {
		m.bytes = append(m.bytes, make([]byte, off+len(data)-len(m.bytes))...)
	}
	copy(m.bytes[min(off, len(m.bytes)):], data)
}

func (m *model) data(n int) []byte {
	m.stamp++
	return Fill(m.stamp, n)
}

func (m *model) fd() *xlator.FD { return rapid.SampledFrom(m.fds).Draw(m.t, "fd") }

func (m *model) off() int { return rapid.IntRange(0, modelSize).Draw(m.t, "off") }

func (m *model) must(err error) {
	if err != nil {
		m.t.Fatal(err)
	}
}

// Write writes, mostly a little, sometimes a lot.
func (m *model) Write(t *rapid.T) {
	m.t = t
	off, data := m.off(), m.data(rapid.SampledFrom([]int{1, 100, 5000, 70000, 300000}).Draw(t, "size"))
	_, err := m.w.X.Writev(xlator.Internal(), &xlator.WritevReq{FD: m.fd(), Offset: int64(off), Payload: xlator.Payload{Bytes: data}})
	m.must(err)
	m.put(off, data)
}

// Elsewhere writes as another client, and tells.
func (m *model) Elsewhere(t *rapid.T) {
	m.t = t
	off, data := m.off(), m.data(rapid.SampledFrom([]int{1, 5000, 300000}).Draw(t, "size"))
	// What is queued below would overtake it.
	_, err := m.w.X.Fsync(xlator.Internal(), &xlator.FsyncReq{FD: m.fds[0]})
	m.must(err)
	m.w.PutBelow(m.below, int64(off), data)
	m.put(off, data)
	m.w.Tell(xlator.Event{Kind: xlator.Invalidate, File: m.below.Inode().GFID(), Stale: xlator.StaleData | xlator.StaleAttr})
}

func (m *model) read(fd *xlator.FD, off, size int) {
	rep, err := m.w.X.Readv(xlator.Internal(), &xlator.ReadvReq{FD: fd, Offset: int64(off), Size: size, Flags: fd.Flags(), Dst: new(onlyOnce)})
	m.must(err)
	from := min(off, len(m.bytes))
	if want := m.bytes[from:min(off+size, len(m.bytes))]; string(want) != string(rep.Data) {
		m.t.Fatalf("read %d at %d of %d: got %d bytes, not what was written", size, off, len(m.bytes), len(rep.Data))
	}
}

// onlyOnce is a destination that panics if it is asked twice.
type onlyOnce struct{ asked bool }

func (d *onlyOnce) Grab(n int) []byte {
	if d.asked {
		panic("the destination was asked twice")
	}
	d.asked = true
	return make([]byte, n)
}

// Read reads somewhere.
func (m *model) Read(t *rapid.T) {
	m.t = t
	m.read(m.fd(), m.off(), rapid.SampledFrom([]int{1, 4096, 50000, 131072, 400000}).Draw(t, "size"))
}

// Scan reads all of it in sequence, as most programs do.
func (m *model) Scan(t *rapid.T) {
	m.t = t
	fd, size := m.fd(), rapid.SampledFrom([]int{20000, 65536, 131072, 262144}).Draw(t, "size")
	for off := 0; off < len(m.bytes)+size; off += size {
		m.read(fd, off, size)
	}
}

// Truncate sets the size.
func (m *model) Truncate(t *rapid.T) {
	m.t = t
	size := m.off()
	var err error
	if rapid.Bool().Draw(t, "open") {
		_, err = m.w.X.Ftruncate(xlator.Internal(), &xlator.FtruncateReq{FD: m.fd(), Size: uint64(size)})
	} else {
		_, err = m.w.X.Truncate(xlator.Internal(), &xlator.TruncateReq{Inode: m.below.Inode(), Size: uint64(size)})
	}
	m.must(err)
	if size < len(m.bytes) {
		m.bytes = m.bytes[:size:size]
	} else {
		m.bytes = append(m.bytes, make([]byte, size-len(m.bytes))...)
	}
}

// Zero zeroes.
func (m *model) Zero(t *rapid.T) {
	m.t = t
	off, n := m.off(), rapid.IntRange(1, 200000).Draw(t, "size")
	_, err := m.w.X.Zerofill(xlator.Internal(), &xlator.ZerofillReq{FD: m.fd(), Offset: int64(off), Len: int64(n)})
	m.must(err)
	m.put(off, make([]byte, n))
}

// Copy copies within the file.
func (m *model) Copy(t *rapid.T) {
	m.t = t
	from, to, n := rapid.IntRange(0, 100000).Draw(t, "from"), rapid.IntRange(300000, modelSize).Draw(t, "to"), rapid.IntRange(1, 150000).Draw(t, "size")
	rep, err := m.w.X.CopyFileRange(xlator.Internal(), &xlator.CopyFileRangeReq{Src: m.fd(), Dst: m.fd(), SrcOff: int64(from), DstOff: int64(to), Len: int64(n)})
	m.must(err)
	from = min(from, len(m.bytes))
	m.put(to, append([]byte(nil), m.bytes[from:min(from+int(rep.Size), len(m.bytes))]...))
}

// Look asks for attributes: what passes is what stamps are made of.
func (m *model) Look(t *rapid.T) {
	m.t = t
	ctx := xlator.Internal()
	var a xlator.Iatt
	switch rapid.IntRange(0, 3).Draw(t, "how") {
	case 0:
		rep, err := m.w.X.Stat(ctx, &xlator.StatReq{Inode: m.below.Inode()})
		m.must(err)
		a = rep.Attr
	case 1:
		rep, err := m.w.X.Fstat(ctx, &xlator.FstatReq{FD: m.fd()})
		m.must(err)
		a = rep.Attr
	case 2:
		rep, err := m.w.X.Lookup(ctx, &xlator.LookupReq{Parent: m.w.Root, Name: "f"})
		m.must(err)
		a = rep.Attr
	case 3:
		rep, err := m.w.X.Fsync(ctx, &xlator.FsyncReq{FD: m.fd()})
		m.must(err)
		a = rep.Attr
	}
	if a.Valid() && a.Size != uint64(len(m.bytes)) {
		t.Fatalf("size %d, want %d", a.Size, len(m.bytes))
	}
}

// Storm writes and reads from several goroutines, each in a stripe of its own that
// shares pages with others', while the graph changes its phase and others tell of
// changes.
func (m *model) Storm(t *rapid.T) {
	m.t = t
	const stripe = 50000
	if len(m.bytes) < 6*stripe { // reads shall not meet the end
		data := m.data(6 * stripe)
		m.put(0, data)
		_, err := m.w.X.Writev(xlator.Internal(), &xlator.WritevReq{FD: m.fds[0], Payload: xlator.Payload{Bytes: data}})
		m.must(err)
	}
	var wg sync.WaitGroup
	for n := range rapid.IntRange(2, 6).Draw(t, "writers") {
		dice := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		fd := m.fds[n%len(m.fds)]
		mine := m.bytes[n*stripe : (n+1)*stripe]
		wg.Go(func() {
			for k := range 15 {
				off := dice.IntN(stripe)
				size := min(1+dice.IntN(20000), stripe-off)
				if dice.IntN(2) == 0 {
					data := Fill(byte(n*31+k), size) // belongs to whoever keeps it
					copy(mine[off:], data)
					if _, err := m.w.X.Writev(xlator.Internal(), &xlator.WritevReq{FD: fd, Offset: int64(n*stripe + off), Payload: xlator.Payload{Bytes: data}}); err != nil {
						t.Errorf("storm: %v", err)
					}
					continue
				}
				rep, err := m.w.X.Readv(xlator.Internal(), &xlator.ReadvReq{FD: fd, Offset: int64(n*stripe + off), Size: size, Flags: fd.Flags()})
				if err != nil || string(rep.Data) != string(mine[off:off+size]) {
					t.Errorf("storm: not what was written, or %v", err)
				}
			}
		})
	}
	wg.Go(func() {
		for n := range 8 {
			m.w.Phase.Set([]xlator.PhaseName{xlator.PhaseDraining, xlator.PhaseServing, xlator.PhaseSettling, xlator.PhaseServing}[n%4])
			m.w.Tell(xlator.Event{Kind: xlator.Invalidate, File: m.below.Inode().GFID(), Stale: xlator.StaleAttr})
			runtime.Gosched()
		}
	})
	wg.Wait()
}

// Phase changes the phase.
func (m *model) Phase(t *rapid.T) {
	m.w.Phase.Set(rapid.SampledFrom([]xlator.PhaseName{xlator.PhaseServing, xlator.PhaseServing, xlator.PhaseServing, xlator.PhaseSettling, xlator.PhaseDraining}).Draw(t, "phase"))
}

// Time goes by.
func (m *model) Time(t *rapid.T) {
	m.w.Pass(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
}

// Options change.
func (m *model) Options(t *rapid.T) {
	if len(m.options) > 0 {
		m.w.Reconfigure(rapid.SampledFrom(m.options).Draw(t, "options"))
	}
}

// Gone tells that the brick was gone.
func (m *model) Gone(*rapid.T) { m.w.Tell(xlator.Event{Kind: xlator.ChildDown}) }

// Check is called between the others.
func (m *model) Check(*rapid.T) {}
