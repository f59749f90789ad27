package writebehind

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/holdfast/holdfast/xlator"
)

// slow is a child that takes its time, in turns of the scheduler, and takes some
// writes in parts.
type slow struct {
	xlator.Default
	mu   sync.Mutex
	dice *rand.Rand // guarded by mu
}

func (s *slow) roll(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dice.IntN(n)
}

func (s *slow) Writev(ctx context.Context, r *xlator.WritevReq) (*xlator.WritevRep, error) {
	for range s.roll(20) {
		runtime.Gosched()
	}
	part := *r
	if n := len(part.Payload.Bytes); n > 1 && s.roll(5) == 0 {
		part.Payload.Bytes = part.Payload.Bytes[:1+s.roll(n-1)]
	}
	return s.Next.Writev(ctx, &part)
}

// model is a file as it should be, as a plain slice.
type model struct {
	w     *world
	t     *rapid.T
	fds   []*xlator.FD
	bytes []byte
	stamp byte
}

const modelSize = 64 << 10

func (m *model) put(off int, data []byte) {
	if len(data) > 0 && off+len(data) > len(m.bytes) {
		m.bytes = append(m.bytes, make([]byte, off+len(data)-len(m.bytes))...)
	}
	copy(m.bytes[min(off, len(m.bytes)):], data)
}

// data is bytes that were not written before.
func (m *model) data(n int) []byte {
	m.stamp++
	b := make([]byte, n)
	for i := range b {
		b[i] = m.stamp ^ byte(i*7)
	}
	return b
}

func (m *model) fd() *xlator.FD { return rapid.SampledFrom(m.fds).Draw(m.t, "fd") }

func (m *model) call() *xlator.Call {
	return &xlator.Call{LockOwner: uint64(rapid.IntRange(1, 2).Draw(m.t, "owner"))}
}

func (m *model) Write(t *rapid.T) {
	m.t = t
	off, data := rapid.IntRange(0, modelSize).Draw(t, "off"), m.data(rapid.IntRange(0, 9000).Draw(t, "size"))
	r := req(m.fd(), int64(off), data)
	if rapid.IntRange(0, 5).Draw(t, "sync") == 0 {
		r.Flags |= unix.O_DSYNC
	}
	rep, err := m.w.x.Writev(m.call(), r)
	if err != nil || rep.Size != len(data) {
		t.Fatalf("write: %+v, %v", rep, err)
	}
	m.put(off, data)
	m.size(t, "write", &rep.Attr)
}

// Stream writes many small pieces one after another, as most programs do.
func (m *model) Stream(t *rapid.T) {
	m.t = t
	off, fd, call := rapid.IntRange(0, modelSize).Draw(t, "off"), m.fd(), m.call()
	size := rapid.IntRange(1, 600).Draw(t, "size")
	for range rapid.IntRange(1, 40).Draw(t, "pieces") {
		data := m.data(size)
		if _, err := m.w.x.Writev(call, req(fd, int64(off), data)); err != nil {
			t.Fatal(err)
		}
		m.put(off, data)
		off += size
	}
}

func (m *model) Append(t *rapid.T) {
	m.t = t
	data := m.data(rapid.IntRange(1, 2000).Draw(t, "size"))
	r := req(m.fd(), int64(len(m.bytes)), data)
	r.Flags |= unix.O_APPEND
	if _, err := m.w.x.Writev(m.call(), r); err != nil {
		t.Fatal(err)
	}
	m.put(len(m.bytes), data)
}

// Storm writes from several goroutines, each over and over in a stripe of its
// own, while the graph drains and serves.
func (m *model) Storm(t *rapid.T) {
	m.t = t
	const stripe = 4096
	var wg sync.WaitGroup
	var mu sync.Mutex
	for n := range rapid.IntRange(2, 6).Draw(t, "writers") {
		dice := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		fd, first := m.fds[n%len(m.fds)], byte(n*31)
		wg.Go(func() {
			for k := range 15 {
				off, size := n*stripe+dice.IntN(stripe), 1+dice.IntN(stripe)
				size = min(size, (n+1)*stripe-off)
				data := fill(first+byte(k), size)
				rep, err := m.w.x.Writev(xlator.Internal(), req(fd, int64(off), data))
				if err != nil || rep.Size != size {
					t.Errorf("storm: %+v, %v", rep, err)
				}
				mu.Lock()
				m.put(off, data)
				mu.Unlock()
			}
		})
	}
	wg.Go(func() {
		for range 5 {
			m.w.Phase.Set(xlator.PhaseDraining)
			if err := m.w.x.Drain(context.Background()); err != nil {
				t.Errorf("drain: %v", err)
			}
			if d := m.w.x.Dirty(); len(d) > 0 {
				t.Errorf("dirty after the drain: %v", d)
			}
			m.w.Phase.Set(xlator.PhaseServing)
			runtime.Gosched()
		}
	})
	wg.Wait()
}

func (m *model) Read(t *rapid.T) {
	m.t = t
	off, size := rapid.IntRange(0, modelSize+10000).Draw(t, "off"), rapid.IntRange(1, 20000).Draw(t, "size")
	rep, err := m.w.x.Readv(xlator.Internal(), &xlator.ReadvReq{FD: m.fd(), Offset: int64(off), Size: size, Dst: new(onlyOnce)})
	if err != nil {
		t.Fatal(err)
	}
	from := min(off, len(m.bytes))
	if want := m.bytes[from:min(off+size, len(m.bytes))]; string(want) != string(rep.Data) {
		t.Fatalf("read %d at %d of %d: got %d bytes, not what was written", size, off, len(m.bytes), len(rep.Data))
	}
	m.size(t, "read", &rep.Attr)
}

func (m *model) Truncate(t *rapid.T) {
	m.t = t
	size := rapid.IntRange(0, modelSize).Draw(t, "size")
	rep, err := m.w.x.Ftruncate(xlator.Internal(), &xlator.FtruncateReq{FD: m.fd(), Size: uint64(size)})
	if err != nil {
		t.Fatal(err)
	}
	if size < len(m.bytes) {
		m.bytes = m.bytes[:size:size]
	} else {
		m.bytes = append(m.bytes, make([]byte, size-len(m.bytes))...)
	}
	m.size(t, "truncate", &rep.Attr)
}

func (m *model) Zero(t *rapid.T) {
	m.t = t
	off, n := rapid.IntRange(0, modelSize).Draw(t, "off"), rapid.IntRange(1, 9000).Draw(t, "size")
	rep, err := m.w.x.Zerofill(xlator.Internal(), &xlator.ZerofillReq{FD: m.fd(), Offset: int64(off), Len: int64(n)})
	if err != nil {
		t.Fatal(err)
	}
	m.put(off, make([]byte, n))
	m.size(t, "zerofill", &rep.Attr)
}

func (m *model) Copy(t *rapid.T) {
	m.t = t
	from, to, n := rapid.IntRange(0, 20000).Draw(t, "from"), rapid.IntRange(40000, modelSize).Draw(t, "to"), rapid.IntRange(1, 9000).Draw(t, "size")
	rep, err := m.w.x.CopyFileRange(xlator.Internal(), &xlator.CopyFileRangeReq{Src: m.fd(), Dst: m.fd(), SrcOff: int64(from), DstOff: int64(to), Len: int64(n)})
	if err != nil {
		t.Fatal(err)
	}
	from = min(from, len(m.bytes))
	m.put(to, append([]byte(nil), m.bytes[from:min(from+int(rep.Size), len(m.bytes))]...))
}

// Look asks for the size in each way there is.
func (m *model) Look(t *rapid.T) {
	m.t = t
	ctx, i := xlator.Internal(), m.fds[0].Inode()
	switch rapid.IntRange(0, 5).Draw(t, "how") {
	case 0:
		rep, err := m.w.x.Stat(ctx, &xlator.StatReq{Inode: i})
		m.looked(t, "stat", err, func() *xlator.Iatt { return &rep.Attr })
	case 1:
		rep, err := m.w.x.Fstat(ctx, &xlator.FstatReq{FD: m.fd()})
		m.looked(t, "fstat", err, func() *xlator.Iatt { return &rep.Attr })
	case 2:
		rep, err := m.w.x.Lookup(ctx, &xlator.LookupReq{Parent: m.w.root, Name: "f"})
		m.looked(t, "lookup", err, func() *xlator.Iatt { return &rep.Attr })
	case 3:
		rep, err := m.w.x.Lookup(ctx, &xlator.LookupReq{GFID: i.GFID()})
		m.looked(t, "lookup by gfid", err, func() *xlator.Iatt { return &rep.Attr })
	case 4:
		rep, err := m.w.x.Fsync(ctx, &xlator.FsyncReq{FD: m.fd()})
		m.looked(t, "fsync", err, func() *xlator.Iatt { return &rep.Attr })
	case 5:
		a := (<-m.w.readdirp())["f"].Attr
		m.size(t, "readdirp", &a)
	}
}

func (m *model) looked(t *rapid.T, how string, err error, attr func() *xlator.Iatt) {
	if err != nil {
		t.Fatalf("%s: %v", how, err)
	}
	if a := attr(); !a.Valid() {
		t.Fatalf("%s does not know", how)
	}
	m.size(t, how, attr())
}

func (m *model) size(t *rapid.T, how string, a *xlator.Iatt) {
	if a.Valid() && a.Size != uint64(len(m.bytes)) {
		t.Fatalf("%s: size %d, want %d", how, a.Size, len(m.bytes))
	}
}

func (m *model) Phase(t *rapid.T) {
	m.w.Phase.Set(rapid.SampledFrom([]xlator.PhaseName{xlator.PhaseServing, xlator.PhaseServing, xlator.PhaseSettling, xlator.PhaseDraining}).Draw(t, "phase"))
}

func (m *model) Options(t *rapid.T) {
	onOff := rapid.SampledFrom([]string{"on", "off"})
	m.w.reconfigure(map[string]string{
		"cache-size":            rapid.SampledFrom([]string{"512KB", "1MB"}).Draw(t, "cache-size"),
		"aggregate-size":        rapid.SampledFrom([]string{"0", "4KB", "128KB"}).Draw(t, "aggregate-size"),
		"trickling-writes":      onOff.Draw(t, "trickling"),
		"strict-write-ordering": onOff.Draw(t, "ordering"),
		"pass-through":          rapid.SampledFrom([]string{"off", "off", "on"}).Draw(t, "pass"),
	})
}

func (m *model) Check(*rapid.T) {}

// Whatever is done, in whatever phase and with whatever options, the file is as
// if each write had been carried out when it was answered.
func TestFileIsAsIfWritesWereNotBehind(t *testing.T) {
	for _, procs := range []int{1, 2} {
		t.Run(fmt.Sprint(procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			rapid.Check(t, func(rt *rapid.T) {
				dice := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "child"), 2))
				w := buildOn(t, nil, func(leaf xlator.Fops) xlator.Fops { return &slow{Default: xlator.Default{Next: leaf}, dice: dice} })
				defer w.Stop()
				first := w.create("f", rdwr)
				m := &model{w: w, t: rt, fds: []*xlator.FD{first, w.open(first.Inode(), rdwr), w.open(first.Inode(), rdwr)}}
				rt.Repeat(rapid.StateMachineActions(m))
				w.flushed(first)
				if got := w.content(first); got != string(m.bytes) {
					rt.Fatalf("%d bytes on the brick, not what was written (%d)", len(got), len(m.bytes))
				}
				if errs := w.Errors.Of(first.Inode().GFID()); len(errs) > 0 {
					rt.Fatalf("errors: %v", errs)
				}
				for _, fd := range m.fds {
					w.x.Release(fd)
				}
			})
		})
	}
}
