package fdtable_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable"
	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/graph"
	"github.com/holdfast/holdfast/graph/volfile"
	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/all"
)

// This test kills a process that works on a table, at any moment, and compares
// what it left with what it had: all that it had done, and of what it was about
// to do either the state before or the one after. The process draws what it does
// from a seed, so the test knows it without being told; a counter in shared
// memory says how far each of its threads came.

const tornEnv = "FDTABLE_TORN_CHILD"

func TestMain(m *testing.M) {
	if seed := os.Getenv(tornEnv); seed != "" {
		tornChild(seed)
		return
	}
	os.Exit(m.Run())
}

const (
	streams     = 2 // threads, each with files of its own
	streamFiles = 4
	lockBytes   = 24
	owners      = 2
)

func streamGFID(stream, file int) (g xlator.GFID) {
	copy(g[:], fmt.Sprintf("torn %d file %d   ", stream, file))
	g[15] = byte(stream*streamFiles + file)
	return g
}

// believed is a file as it must be in the table.
type believed struct {
	lookups uint64
	fds     []believedFD
	locks   [owners][lockBytes]int16
	// Of write errors: what the record says, and what waits for the next lookup
	// of a file that was forgotten.
	seq    uint64
	errno  unix.Errno
	seen   bool
	orphan unix.Errno
}

type believedFD struct {
	flags   uint32
	cursor  uint64
	lockers [owners]bool
}

func (f *believed) exists() bool { return f.lookups > 0 || len(f.fds) > 0 }

func (f *believed) clone() believed {
	c := *f
	c.fds = slices.Clone(f.fds)
	return c
}

// dropIfUnused forgets the file; an error that nobody has seen waits.
func (f *believed) dropIfUnused() {
	if f.exists() {
		return
	}
	orphan := f.orphan
	if f.seq > 0 && !f.seen {
		orphan = f.errno
	}
	*f = believed{orphan: orphan}
}

// deed is one thing that a thread does.
type deed struct {
	kind, file, fd, owner int
	flags                 uint32
	start, end            int64
	typ                   int16
	lookups               uint64
	errno                 unix.Errno
}

const (
	deedFound = iota
	deedForget
	deedOpen
	deedRelease
	deedLock
	deedFlush
	deedError
	deedReport
	deeds
)

// draw decides what to do next; nil if what was drawn cannot be done.
func draw(r *rand.Rand, files []believed) *deed {
	d := &deed{kind: r.IntN(deeds), file: r.IntN(len(files)), owner: r.IntN(owners), flags: unix.O_RDONLY}
	f := &files[d.file]
	if r.IntN(2) == 0 {
		d.flags = unix.O_RDWR
	}
	d.start = r.Int64N(lockBytes)
	d.end = d.start + r.Int64N(lockBytes-d.start)
	d.typ = []int16{unix.F_RDLCK, unix.F_WRLCK, unix.F_UNLCK}[r.IntN(3)]
	d.errno = []unix.Errno{unix.EIO, unix.ENOSPC, unix.EDQUOT}[r.IntN(3)]
	fd, lookups := r.Uint64(), r.Uint64()
	switch d.kind {
	case deedForget:
		if f.lookups == 0 {
			return nil
		}
		d.lookups = 1 + lookups%f.lookups
	case deedOpen:
		if !f.exists() || len(f.fds) > 6 {
			return nil
		}
	case deedRelease, deedLock, deedFlush, deedReport:
		if len(f.fds) == 0 {
			return nil
		}
		d.fd = int(fd % uint64(len(f.fds)))
	}
	return d
}

// expect carries a deed out on what is believed.
func (d *deed) expect(f *believed) {
	switch d.kind {
	case deedFound:
		if !f.exists() && f.orphan != 0 {
			f.seq, f.errno, f.orphan = 1, f.orphan, 0
		}
		f.lookups++
	case deedForget:
		f.lookups -= d.lookups
		f.dropIfUnused()
	case deedOpen:
		cursor := f.seq
		if f.seq > 0 && !f.seen {
			cursor--
		}
		f.fds = append(f.fds, believedFD{flags: d.flags, cursor: cursor})
	case deedRelease:
		for o, locked := range f.fds[d.fd].lockers {
			if locked {
				f.locks[o] = [lockBytes]int16{}
			}
		}
		f.fds = slices.Delete(f.fds, d.fd, d.fd+1)
		f.dropIfUnused()
	case deedLock:
		f.fds[d.fd].lockers[d.owner] = true
		for i := d.start; i <= d.end; i++ {
			f.locks[d.owner][i] = lockByte(d.typ)
		}
	case deedFlush:
		f.locks[d.owner] = [lockBytes]int16{}
	case deedError:
		if f.exists() {
			f.seq++
			f.errno, f.seen = d.errno, false
		} else {
			f.orphan = d.errno
		}
	case deedReport:
		if b := &f.fds[d.fd]; b.cursor != f.seq {
			b.cursor, f.seen = f.seq, true
		}
	}
}

// lockByte is 0 for no lock.
func lockByte(typ int16) int16 {
	switch typ {
	case unix.F_RDLCK:
		return 1
	case unix.F_WRLCK:
		return 2
	}
	return 0
}

// do carries it out on the table. fds are the open base fds of the file.
func (d *deed) do(t *fdtable.Table, call *xlator.Call, g xlator.GFID, fds []*fdtable.BaseFD) ([]*fdtable.BaseFD, error) {
	switch d.kind {
	case deedFound:
		t.Found(g, xlator.TypeRegular)
	case deedForget:
		t.Forget(t.ByGFID(g).ID(), d.lookups)
	case deedOpen:
		n := t.ByGFID(g)
		b := t.Reserve(d.flags)
		u, err := t.UseNode(call, n)
		if err != nil {
			return fds, err
		}
		defer u.Done()
		t.Publish(&u, b, n, u.G.Inodes.NewFD(u.Inode, d.flags, b.FH()))
		return append(fds, b), nil
	case deedRelease:
		t.Release(call, fds[d.fd])
		return slices.Delete(fds, d.fd, d.fd+1), nil
	case deedLock:
		l := xlator.Lock{Type: d.typ, Start: d.start, End: d.end, Owner: uint64(d.owner), PID: 1}
		return fds, t.Setlk(call, fds[d.fd], l, false)
	case deedFlush:
		call.LockOwner = uint64(d.owner)
		return fds, t.FlushLocks(call, fds[d.fd])
	case deedError:
		t.Record(g, d.errno)
	case deedReport:
		_ = fds[d.fd].TakeError()
		fds[d.fd].CommitCursor()
	}
	return fds, nil
}

// believe reads from a table how it has a file.
func believe(t *fdtable.Table, g xlator.GFID) (f believed, fds []*fdtable.BaseFD) {
	n := t.ByGFID(g)
	if n == nil {
		return f, nil
	}
	s := n.Inside()
	f.lookups, f.seq, f.errno, f.seen = s.Lookups, s.Seq, s.Errno, s.Seen
	for _, b := range s.FDs {
		fd := believedFD{flags: b.Flags(), cursor: b.Cursor()}
		for _, o := range b.LockOwners() {
			fd.lockers[o] = true
		}
		f.fds, fds = append(f.fds, fd), append(fds, b)
	}
	for _, l := range s.Locks {
		for i := l.Start; i <= l.End; i++ {
			f.locks[l.Owner][i] = lockByte(l.Type)
		}
	}
	return f, fds
}

// differs says what is wrong with what was left of a file. after is not nil if
// the process was killed over something.
func differs(got, before, after *believed) string {
	if after == nil {
		after = before
	}
	if !got.exists() && (!before.exists() || !after.exists()) {
		return ""
	}
	if got.lookups != before.lookups && got.lookups != after.lookups {
		return fmt.Sprintf("%d lookups", got.lookups)
	}
	open := func(f *believed) map[string]int {
		m := map[string]int{}
		for _, b := range f.fds {
			m[fmt.Sprint(b.flags, b.cursor)]++
		}
		return m
	}
	if o := open(got); !maps.Equal(o, open(before)) && !maps.Equal(o, open(after)) {
		return fmt.Sprintf("open %v", o)
	}
	for o := range owners {
		for i, l := range got.locks[o] {
			if l != before.locks[o][i] && l != after.locks[o][i] {
				return fmt.Sprintf("byte %d of owner %d is locked %d", i, o, l)
			}
		}
	}
	// The cursor of who reports moves before the error counts as seen.
	if (got.seq != before.seq || got.errno != before.errno) && (got.seq != after.seq || got.errno != after.errno) ||
		got.seen != before.seen && got.seen != after.seen {
		return fmt.Sprintf("error %d %v seen %v", got.seq, got.errno, got.seen)
	}
	return ""
}

// nothing is a translator without a brick: opens and locks are granted.
type nothing struct {
	xlator.Default
	inodes *xlator.InodeTable
}

func (x *nothing) Lookup(context.Context, *xlator.LookupReq) (*xlator.LookupRep, error) {
	return &xlator.LookupRep{}, nil
}

func (x *nothing) Open(_ context.Context, r *xlator.OpenReq) (*xlator.OpenRep, error) {
	return &xlator.OpenRep{FD: x.inodes.NewFD(r.Inode, r.Flags, r.Base)}, nil
}

func (x *nothing) Lk(_ context.Context, r *xlator.LkReq) (*xlator.LkRep, error) {
	return &xlator.LkRep{Lock: r.Lock}, nil
}

func (x *nothing) Release(*xlator.FD) {}

// tornWorker is a table on that memory with a graph of nothing.
func tornWorker(mem *state.Memory) (*fdtable.Table, *graph.Manager, error) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	t := fdtable.New(log, mem)
	types := func(name string) *xlator.Type {
		return &xlator.Type{Name: name, New: func(e *xlator.Env) (xlator.Fops, error) { return &nothing{inodes: e.Inodes}, nil }}
	}
	mgr := graph.NewManager(graph.Config{Types: types, Refused: all.Refused, Pool: xlator.NewPool(), Errors: t, Log: log, Tenant: t, Opens: t})
	t.Attach(mgr)
	f, err := volfile.Parse("torn.vol", []byte("volume n\n type debug/nothing\nend-volume\n"))
	if err == nil {
		err = mgr.Start(context.Background(), f)
	}
	return t, mgr, err
}

// tornChild works until it is killed. Descriptor 3 is the state memory, 4 the
// page with a counter for each thread.
func tornChild(seedText string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	seed, err := strconv.ParseUint(seedText, 10, 64)
	if err != nil {
		fail(err)
	}
	mem, err := state.Open(os.NewFile(3, "state"))
	if err != nil {
		fail(err)
	}
	page, err := unix.Mmap(4, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		fail(err)
	}
	t, _, err := tornWorker(mem)
	if err != nil {
		fail(err)
	}
	t.Indexed()
	os.Stdout.Write([]byte{'.'})
	var wg sync.WaitGroup
	for s := range streams {
		wg.Go(func() {
			done := counter(page, s)
			r := rand.New(rand.NewPCG(seed, uint64(s)))
			files := make([]believed, streamFiles)
			fds := make([][]*fdtable.BaseFD, streamFiles)
			for i := range files {
				files[i], fds[i] = believe(t, streamGFID(s, i))
			}
			for n := uint64(1); ; n++ {
				d := draw(r, files)
				if d == nil {
					continue
				}
				call := &xlator.Call{Unique: (seed<<32 | n<<4 | uint64(s)) << 1}
				var err error
				if fds[d.file], err = d.do(t, call, streamGFID(s, d.file), fds[d.file]); err != nil {
					fail(err)
				}
				d.expect(&files[d.file])
				done.Add(1)
			}
		})
	}
	wg.Wait()
}

func counter(page []byte, stream int) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&page[stream*64]))
}

func TestKillLeavesTheStateBeforeOrAfter(t *testing.T) {
	k := newKeeper(t)
	fd, err := unix.MemfdCreate("counters", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	counters := os.NewFile(uintptr(fd), "counters")
	defer counters.Close()
	if err := counters.Truncate(int64(os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	const kills = 400
	total := uint64(0)
	var files [streams][]believed
	for s := range files {
		files[s] = make([]believed, streamFiles)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for seed := range uint64(kills) {
		if _, err := counters.WriteAt(make([]byte, 64*streams), 0); err != nil {
			t.Fatal(err)
		}
		killSoon(t, k, counters, seed+1, time.Duration(r.IntN(10000))*time.Microsecond)
		table, end := k.table()
		table.Indexed()
		if _, _, _, dropped, damaged := table.Restored(); damaged != 0 || dropped > owners*lockBytes*streams {
			t.Errorf("%d records damaged, %d dropped", damaged, dropped)
		}
		for s := range files {
			total += checkStream(t, table, counters, seed+1, s, files[s])
			for i := range files[s] {
				files[s][i], _ = believe(table, streamGFID(s, i))
			}
		}
		end()
		if t.Failed() {
			t.Fatalf("after kill %d", seed+1)
		}
	}
	t.Logf("%d kills, %d operations", kills, total)
}

// killSoon starts a process and kills it a moment after it has begun to work.
func killSoon(t *testing.T, k *keeper, counters *os.File, seed uint64, after time.Duration) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), tornEnv+"="+strconv.FormatUint(seed, 10))
	cmd.ExtraFiles = []*os.File{k.mem, counters}
	cmd.Stderr = os.Stderr
	ready, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(ready, make([]byte, 1)); err != nil {
		_ = cmd.Wait()
		t.Fatal("the process did not begin:", err)
	}
	time.Sleep(after)
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
	if ws, ok := cmd.ProcessState.Sys().(interface{ Signaled() bool }); !ok || !ws.Signaled() {
		t.Fatal("the process ended by itself:", cmd.ProcessState)
	}
}

// checkStream goes after what a thread did, from what there was before, and
// compares.
func checkStream(t *testing.T, table *fdtable.Table, counters *os.File, seed uint64, s int, files []believed) uint64 {
	var b [8]byte
	if _, err := counters.ReadAt(b[:], int64(64*s)); err != nil {
		t.Fatal(err)
	}
	done := binary.NativeEndian.Uint64(b[:])
	rng := rand.New(rand.NewPCG(seed, uint64(s)))
	next := func() *deed {
		for {
			if d := draw(rng, files); d != nil {
				return d
			}
		}
	}
	was, did := make([]believed, len(files)), make([][]deed, len(files))
	for i := range files {
		was[i] = files[i].clone()
	}
	for range done {
		d := next()
		d.expect(&files[d.file])
		did[d.file] = append(did[d.file], *d)
	}
	last := next()
	after := files[last.file].clone()
	last.expect(&after)
	for i := range files {
		got, _ := believe(table, streamGFID(s, i))
		var then *believed
		if i == last.file {
			then = &after
		}
		if what := differs(&got, &files[i], then); what != "" {
			t.Errorf("thread %d, file %d, after %d operations, killed over %+v: %s\ngot    %+v\nbefore %+v\nafter  %+v\nwas    %+v\ndid    %+v", s, i, done, last, what, got, files[i], then, was[i], did[i])
		}
	}
	return done
}
