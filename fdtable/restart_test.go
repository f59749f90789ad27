package fdtable_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable"
	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/graph"
	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/all"
)

// keeper is what outlives a worker: the state memory and descriptors.
type keeper struct {
	t   testing.TB
	mem *os.File // every worker maps it anew

	mu  sync.Mutex
	fds map[string]int // guarded by mu
}

func newKeeper(t testing.TB) *keeper {
	t.Helper()
	m, err := state.Create()
	if err != nil {
		t.Fatal(err)
	}
	k := &keeper{t: t, fds: map[string]int{}}
	k.mem = dup(t, m.File())
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		k.mem.Close()
		for _, fd := range k.fds {
			unix.Close(fd)
		}
	})
	return k
}

func dup(t testing.TB, f *os.File) *os.File {
	t.Helper()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), f.Name())
}

// Keep implements xlator.Descriptors.
func (k *keeper) Keep(name string, fd int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	d, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err == nil {
		k.drop(name)
		k.fds[name] = d
	}
	return err
}

// Kept implements xlator.Descriptors.
func (k *keeper) Kept(name string) (int, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	fd, ok := k.fds[name]
	if !ok {
		return -1, false, nil
	}
	d, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	return d, err == nil, err
}

// Drop implements xlator.Descriptors.
func (k *keeper) Drop(name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop(name)
	return nil
}

func (k *keeper) drop(name string) {
	if fd, ok := k.fds[name]; ok {
		unix.Close(fd)
		delete(k.fds, name)
	}
}

// open maps the state memory once more. It stays mapped to the end of the test,
// or until the caller closes it.
func (k *keeper) open() *state.Memory {
	k.t.Helper()
	f := dup(k.t, k.mem)
	m, err := state.Open(f)
	if err != nil {
		f.Close()
		k.t.Fatal(err)
	}
	return m
}

// table is a table on that memory and nothing else.
func (k *keeper) table(options ...fdtable.Option) (t *fdtable.Table, end func()) {
	k.t.Helper()
	m := k.open()
	t = fdtable.New(quiet(k.t), m, options...)
	return t, func() {
		t.Close()
		if err := m.Close(); err != nil {
			k.t.Error(err)
		}
	}
}

func quiet(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// worker begins a worker as the daemon does. It goes on until the end of the
// test: another one that begins meanwhile finds things as after a SIGKILL of this
// one.
func (k *keeper) worker(dir, text string, options ...fdtable.Option) *mount {
	k.t.Helper()
	mem := k.open()
	m := &mount{t: k.t, dir: dir}
	m.table = fdtable.New(quiet(k.t), mem, options...)
	m.mgr = graph.NewManager(graph.Config{
		Types: all.Find, Refused: all.Refused, Pool: xlator.NewPool(), Errors: m.table, Log: quiet(k.t), Opens: m.table,
		Descriptors: k, Generation: mem.Graph(), Tenant: m.table, DrainTimeout: time.Second, ConnectTimeout: 5 * time.Second,
	})
	m.table.Attach(m.mgr)
	m.calls.Store(mem.NextWorker() << 40)
	k.t.Cleanup(func() {
		if err := m.mgr.Close(); err != nil {
			k.t.Error(err)
		}
		m.table.Close()
		if err := mem.Close(); err != nil {
			k.t.Error(err)
		}
	})
	if err := m.mgr.Start(context.Background(), m.parse(text)); err != nil {
		k.t.Fatal(err)
	}
	mem.SetGraph(m.mgr.Current().Generation)
	if err := m.table.RestoreLocks(); err != nil {
		k.t.Fatal(err)
	}
	return m
}

// again is f in the next worker.
func (f *file) again(m *mount) *file {
	m.t.Helper()
	b := m.table.FD(f.b.FH())
	if b == nil || b.Flags() != f.b.Flags() {
		m.t.Fatalf("fh %#x: %+v", f.b.FH(), b)
	}
	if b.Node().ID() != f.n.ID() || b.Node().GFID() != f.n.GFID() || m.table.Node(f.n.ID()) != b.Node() {
		m.t.Fatalf("fh %#x is of node %#x", f.b.FH(), b.Node().ID())
	}
	return &file{m, b.Node(), b}
}

func TestNextWorkerServesWhatIsOpen(t *testing.T) {
	k, dir := newKeeper(t), t.TempDir()
	m := k.worker(dir, variants[0])
	var files []*file
	for i := range 20 {
		name := fmt.Sprint("f", i)
		f := m.create(name)
		if err := f.write([]byte(name), 0); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			f.unlink(name)
		}
		files = append(files, f)
	}
	view := m.table.View()
	for range 3 { // deaths
		m = k.worker(dir, variants[0])
		for i, f := range files {
			if !m.table.HasOpen(f.n.GFID()) {
				t.Errorf("file %d is not known to be open", i)
			}
			files[i] = f.again(m)
		}
		if got := m.table.View(); got != view {
			t.Fatalf("before:\n%s\nafter:\n%s", view, got)
		}
		for i, f := range files[5:15] {
			if got, err := f.read(10, 0); err != nil || string(got) != fmt.Sprint("f", i+5) {
				t.Fatalf("file %d: %q, %v", i+5, got, err)
			}
		}
	}
	for _, f := range files {
		f.close()
	}
	if s := m.table.Status(); s.Open != 0 || s.Nodes != 1 {
		t.Errorf("%+v", s)
	}
	left, err := os.ReadDir(dir + "/.glusterfs/unlink")
	if err != nil || len(left) != 0 {
		t.Errorf("unlinked files are left: %v, %v", left, err)
	}
}

func TestNumbersAreNeverUsedAgain(t *testing.T) {
	k := newKeeper(t)
	seen := map[uint64]bool{}
	for range 5 {
		table, end := k.table()
		table.Indexed()
		for range 10 {
			var nodes []*fdtable.Node
			for range 100 {
				n := table.Found(xlator.NewGFID(), xlator.TypeRegular)
				if seen[n.ID()] {
					t.Fatalf("nodeid %#x is used again", n.ID())
				}
				seen[n.ID()] = true
				nodes = append(nodes, n)
			}
			for _, n := range nodes {
				id := n.ID()
				table.Forget(id, 1)
				if table.Node(id) != nil {
					t.Fatalf("nodeid %#x is known after it was forgotten", id)
				}
			}
		}
		end()
	}
	table, end := k.table()
	defer end()
	table.Indexed()
	if asleep, free := table.AsleepAndFree(); asleep != 0 || free < 90 || free > 200 {
		t.Errorf("%d nodes asleep, %d slots free", asleep, free)
	}
	for id := range seen {
		if table.Node(id) != nil {
			t.Fatalf("nodeid %#x is known", id)
		}
	}
}

func TestNodesAreFoundByNumberAndByIdentityAfterARestart(t *testing.T) {
	k := newKeeper(t)
	table, end := k.table()
	ids := map[xlator.GFID]uint64{}
	for i := range 10000 {
		n := table.Found(xlator.NewGFID(), xlator.TypeDirectory)
		ids[n.GFID()] = n.ID()
		for range i % 3 {
			table.Found(n.GFID(), n.Type())
		}
	}
	end()
	table, end = k.table()
	defer end()
	i := 0
	for g, id := range ids {
		var n *fdtable.Node
		if i++; i%2 == 0 {
			n = table.Node(id)
		} else {
			n = table.Found(g, xlator.TypeDirectory)
		}
		if n == nil || n.ID() != id || n.GFID() != g || n.Type() != xlator.TypeDirectory {
			t.Fatalf("%s is %+v, not %#x", g, n, id)
		}
		if i%5 == 0 {
			table.Forget(id, 10)
			if table.Node(id) != nil {
				t.Fatal("it is not forgotten")
			}
			if n := table.Found(g, xlator.TypeDirectory); n.ID() == id {
				t.Fatal("the number was used again")
			}
		}
	}
	if s := len(ids) + 1; func() int { a, _ := table.AsleepAndFree(); return a }() != 0 {
		t.Errorf("some of %d nodes are still asleep", s)
	}
}

// lockOf is a lock of an owner on a range.
func lockOf(owner uint64, typ int16, start, end int64) xlator.Lock {
	return xlator.Lock{Type: typ, Start: start, End: end, Owner: owner, PID: uint32(owner)}
}

func TestLocksAreHeldAcrossARestart(t *testing.T) {
	k, dir := newKeeper(t), t.TempDir()
	m := k.worker(dir, variants[0])
	f := m.create("f")
	set := func(f *file, l xlator.Lock) error { return f.m.table.Setlk(f.m.call(), f.b, l, false) }
	for _, l := range []xlator.Lock{
		lockOf(1, unix.F_WRLCK, 0, 99), lockOf(1, unix.F_UNLCK, 40, 59), lockOf(1, unix.F_RDLCK, 80, 120),
		lockOf(2, unix.F_WRLCK, 45, 50), lockOf(3, unix.F_RDLCK, 90, 200),
		{Type: unix.F_WRLCK, Owner: 7, End: 1<<63 - 1, Flock: true, PID: 7},
	} {
		if err := set(f, l); err != nil {
			t.Fatal(l, err)
		}
	}
	want := m.table.View()
	for range 2 {
		m = k.worker(dir, variants[0])
		if got := m.table.View(); got != want {
			t.Fatalf("before:\n%s\nafter:\n%s", want, got)
		}
		f = f.again(m)
		held := f.n.HeldLocks()
		if len(held) != 6 || held[0].Owner != 1 || held[3].Owner != 2 || held[4].Owner != 3 || !held[5].Flock {
			t.Errorf("in order: %v", held)
		}
		for _, c := range []struct {
			l    xlator.Lock
			want unix.Errno
		}{
			{lockOf(9, unix.F_RDLCK, 0, 39), unix.EAGAIN}, {lockOf(9, unix.F_WRLCK, 40, 44), 0}, {lockOf(9, unix.F_WRLCK, 45, 45), unix.EAGAIN},
			{lockOf(9, unix.F_RDLCK, 100, 130), 0}, {lockOf(9, unix.F_WRLCK, 200, 201), unix.EAGAIN}, {lockOf(9, unix.F_UNLCK, 0, 300), 0},
			{xlator.Lock{Type: unix.F_RDLCK, Owner: 8, End: 1<<63 - 1, Flock: true}, unix.EAGAIN},
		} {
			if err := set(f, c.l); xlator.Errno(err) != c.want {
				t.Errorf("%v: %v, want %v", c.l, err, c.want)
			}
		}
	}
	call := m.call()
	call.LockOwner = 1
	if err := m.table.FlushLocks(call, f.b); err != nil {
		t.Fatal(err)
	}
	if err := set(f, lockOf(9, unix.F_WRLCK, 0, 40)); err != nil {
		t.Error("what a restored owner closed is still locked:", err)
	}
	g := k.worker(dir, variants[0])
	f = f.again(g)
	f.close() // the flock and the rest go with the open file
	if n := g.table.Status().LocksHeld; n != 0 {
		t.Errorf("%d locks left", n)
	}
	if _, _, locks, _, _ := k.worker(dir, variants[0]).table.Restored(); locks != 0 {
		t.Errorf("%d locks recorded", locks)
	}
}

// An unlock that did not happen leaves the lock recorded.
func TestLockStaysRecordedWhenItsUnlockFails(t *testing.T) {
	k, dir := newKeeper(t), t.TempDir()
	text := layers("features/locks") + "volume e\n type debug/error-gen\n option failure 0\n option enable lk\n option error-no EIO\n subvolumes x0\nend-volume\n"
	m := k.worker(dir, text)
	f := m.create("f")
	if err := m.table.Setlk(m.call(), f.b, lockOf(1, unix.F_WRLCK, 0, 99), false); err != nil {
		t.Fatal(err)
	}
	view := m.table.View()
	m.reload(layers("features/locks") + "volume e\n type debug/error-gen\n option failure 100\n option enable lk\n option error-no EIO\n subvolumes x0\nend-volume\n")
	if err := m.table.Setlk(m.call(), f.b, lockOf(1, unix.F_UNLCK, 10, 19), false); xlator.Errno(err) != unix.EIO {
		t.Fatal(err)
	}
	if got := m.table.View(); got != view {
		t.Errorf("before:\n%s\nafter:\n%s", view, got)
	}
	table, end := k.table()
	defer end()
	if got := table.View(); got != view {
		t.Errorf("before:\n%s\nrestored:\n%s", view, got)
	}
}

func TestWriteErrorIsReportedOnceWhateverDies(t *testing.T) {
	k, dir := newKeeper(t), t.TempDir()
	m := k.worker(dir, variants[0])
	a, b := m.create("a"), m.create("b")
	m.table.Record(a.n.GFID(), fmt.Errorf("brick: %w", unix.ENOSPC))
	m.table.Record(b.n.GFID(), fmt.Errorf("brick: %w", unix.EDQUOT))
	if err := a.b.TakeError(); xlator.Errno(err) != unix.ENOSPC {
		t.Fatal(err)
	}
	a.b.CommitCursor()
	told := b.b.TakeError() // and the worker dies before the answer is written
	if xlator.Errno(told) != unix.EDQUOT {
		t.Fatal(told)
	}
	m = k.worker(dir, variants[0])
	a, b = a.again(m), b.again(m)
	if err := a.b.TakeError(); err != nil {
		t.Errorf("reported twice: %v", err)
	}
	if err := b.b.TakeError(); xlator.Errno(err) != unix.EDQUOT {
		t.Errorf("never reported: %v", err)
	}
	cursor := b.b.Cursor() // the answer is recorded with this, and the worker dies
	m = k.worker(dir, variants[0])
	b = b.again(m)
	b.b.SetCursor(cursor)
	if err := b.b.TakeError(); err != nil {
		t.Errorf("reported twice: %v", err)
	}
	// What nobody has reported goes to who opens next.
	m.table.Record(a.n.GFID(), unix.EIO)
	m = k.worker(dir, variants[0])
	a = a.again(m)
	c := m.open(a.n, unix.O_RDWR)
	for _, f := range []*file{a, c} {
		if err := f.b.TakeError(); xlator.Errno(err) != unix.EIO {
			t.Errorf("fh %#x: %v", f.b.FH(), err)
		}
	}
}

// open opens a node once more.
func (m *mount) open(n *fdtable.Node, flags uint32) *file {
	m.t.Helper()
	call := m.call()
	b := m.table.Reserve(flags)
	u, err := m.table.UseNode(call, n)
	if err != nil {
		m.t.Fatal(err)
	}
	defer u.Done()
	rep, err := u.G.Top.Open(call, &xlator.OpenReq{Inode: u.Inode, Flags: flags, Base: b.FH()})
	if err != nil {
		m.t.Fatal(err)
	}
	m.table.Publish(&u, b, n, rep.FD)
	return &file{m, n, b}
}

func TestOpenThatWasNeverAnsweredIsDropped(t *testing.T) {
	k, dir := newKeeper(t), t.TempDir()
	m := k.worker(dir, variants[0])
	mem := k.open()
	defer mem.Close()
	chunk, err := mem.NewChunk(8192, 8)
	if err != nil {
		t.Fatal(err)
	}
	slot := 0
	admit := func(unique uint64, kind state.Kind, reply bool) {
		s := chunk.Slot(slot)
		slot++
		e := state.EntryOf(s)
		if kind == state.Reading {
			e.BeginRead(s, state.EntrySize)
		} else {
			e.Admit(1, state.EntrySize, 48)
		}
		header(s[state.EntrySize:], 48, unique)
		if reply {
			e.SetReply(make([]byte, 32))
		}
	}
	var files []*file
	var uniques []uint64
	for i := range 5 {
		f := m.create(fmt.Sprint("f", i))
		uniques = append(uniques, m.calls.Load()*2)
		files = append(files, f)
	}
	admit(uniques[0], state.Request, false)
	admit(uniques[1], state.Request, true)
	admit(uniques[2], state.Reading, false)
	admit(uniques[3], state.Reading, false) // the copy that was admitted has been answered
	admit(uniques[3], state.Request, true)
	want := []bool{false, true, false, true, true}
	n := k.worker(dir, variants[0])
	for i, f := range files {
		if got := n.table.FD(f.b.FH()) != nil; got != want[i] {
			t.Errorf("open %d: kept %v, want %v", i, got, want[i])
		}
		if got := n.table.HasOpen(f.n.GFID()); got != want[i] {
			t.Errorf("file %d: open %v, want %v", i, got, want[i])
		}
	}
	if _, _, _, dropped, damaged := n.table.Restored(); dropped != 2 || damaged != 0 {
		t.Errorf("%d dropped, %d damaged", dropped, damaged)
	}
	// The open is carried out again, and gets another number.
	if f := n.open(n.table.Node(files[0].n.ID()), unix.O_RDWR); f.b.FH() == files[0].b.FH() {
		t.Error("a number is used again")
	}
}

// TestNumberOfAnOpenThatWasNotAnsweredIsNotUsedAgain: leaves know what they have
// opened for it by that number.
func TestNumberOfAnOpenThatWasNotAnsweredIsNotUsedAgain(t *testing.T) {
	k := newKeeper(t)
	seen := map[uint64]bool{}
	for range 3 {
		table, end := k.table()
		first := table.Reserve(unix.O_RDONLY)
		table.Abandon(first)
		for _, b := range []*fdtable.BaseFD{first, table.Reserve(unix.O_RDONLY), table.Reserve(unix.O_RDONLY)} {
			if seen[b.FH()] {
				t.Errorf("%#x was another open's", b.FH())
			}
			seen[b.FH()] = true
		}
		end()
	}
}

// header writes the beginning of a request of the kernel.
func header(b []byte, length uint32, unique uint64) {
	for i := range 8 {
		b[8+i] = byte(unique >> (8 * i))
	}
	for i := range 4 {
		b[i] = byte(length >> (8 * i))
	}
}

func TestDamagedRecordsCostOnlyWhatTheyName(t *testing.T) {
	k, dir := newKeeper(t), t.TempDir()
	m := k.worker(dir, variants[0])
	var files []*file
	for i := range 4 {
		files = append(files, m.create(fmt.Sprint("f", i)))
	}
	nodes := make([]uint64, 4)
	for i := range nodes {
		nodes[i] = m.table.Found(xlator.NewGFID(), xlator.TypeRegular).ID()
	}
	mem := k.open()
	defer mem.Close()
	smash := func(at int64) {
		if _, err := mem.File().WriteAt([]byte{0xff, 0x5a}, at); err != nil {
			t.Fatal(err)
		}
	}
	const fdsAt, nodesAt = 1 << 30, 2 << 30
	smash(fdsAt + 64*int64(uint32(files[0].b.FH())) + 16)   // the flags
	smash(nodesAt + 64*int64(uint32(files[1].n.ID())) + 10) // the gfid
	smash(nodesAt + 64*int64(uint32(nodes[2])) + 12)
	n := k.worker(dir, variants[0])
	n.table.Indexed()
	for i, f := range files {
		if got, want := n.table.FD(f.b.FH()) != nil, i > 1; got != want {
			t.Errorf("fd %d: known %v", i, got)
		}
	}
	for i, id := range nodes {
		if got, want := n.table.Node(id) != nil, i != 2; got != want {
			t.Errorf("node %d: known %v", i, got)
		}
	}
	until(t, "the damage is counted", func() bool { _, _, _, _, d := n.table.Restored(); return d == 4 })
	if err := files[3].again(n).write([]byte("x"), 0); err != nil {
		t.Error(err)
	}
}

func TestHeldFileIsWaitedForAndItsDataWrittenApart(t *testing.T) {
	k, dir := newKeeper(t), t.TempDir()
	m := k.worker(dir, variants[0])
	f, other := m.create("f"), m.create("other")
	m = k.worker(dir, variants[0])
	f, other = f.again(m), other.again(m)
	release := make(chan struct{})
	m.table.HoldFile(f.n.GFID(), func(ctx context.Context) error {
		<-release
		u, err := m.table.OpenApart(f.b)
		if err != nil {
			return err
		}
		defer m.table.CloseApart(u)
		_, err = u.G.Top.Writev(m.call(), &xlator.WritevReq{FD: u.FD, Payload: xlator.Payload{Bytes: []byte("owed")}})
		return err
	})
	if err := other.write([]byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	got := make(chan string)
	go func() {
		b, err := f.read(10, 0)
		got <- fmt.Sprint(string(b), err)
	}()
	if s := m.table.Status(); s.Held != 1 || !m.table.Held(f.n.GFID()) {
		t.Errorf("%+v", s)
	}
	select {
	case s := <-got:
		t.Fatalf("read %q before what was acknowledged is there", s)
	default:
	}
	close(release)
	if s := <-got; s != "owed<nil>" {
		t.Errorf("read %q", s)
	}
	until(t, "settled", func() bool { return m.mgr.Status().State == "serving" })
}
