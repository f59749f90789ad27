package state

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// durable is memory as a mount has it, also in builds where plain memory comes
// from the heap.
func durable(t *testing.T) *Memory {
	t.Helper()
	m, err := Create()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// again maps the memory as the next process does.
func again(t *testing.T, m *Memory) (*Memory, error) {
	t.Helper()
	fd, err := unix.FcntlInt(m.File().Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "again")
	n, err := Open(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	t.Cleanup(func() { n.Close() })
	return n, nil
}

func TestNextProcessFindsEverything(t *testing.T) {
	m := durable(t)
	if err := m.SetInit(Init{7, []byte("in"), []byte("out")}); err != nil {
		t.Fatal(err)
	}
	long := bytes.Repeat([]byte("volfile "), 20000)
	for _, c := range [][]byte{[]byte("first"), long} {
		if err := m.SetConfig(c); err != nil {
			t.Fatal(err)
		}
	}
	gfid := [16]byte{1, 2, 3}
	m.UseNodeSlots(5)
	m.NodeAt(5).Put(9, gfid, 3)
	m.NodeAt(5).SetLookups(11)
	m.NodeAt(5).SetErrors(2, uint16(unix.ENOSPC), true)
	m.UseFDSlots(2)
	m.FDAt(2).Put(4, 5|9<<32, unix.O_RDWR, 77, 1)
	m.FDAt(2).SetCursor(2)
	r := m.ReplaceLocks(nil, []Lock{{Node: 5, Owner: 1, Start: 0, End: 99, FH: 2, PID: 3, Type: unix.F_WRLCK, Flock: true}})
	m.ReplaceLocks(r, []Lock{{Node: 5, Owner: 1, Start: 0, End: 9, Type: unix.F_RDLCK}, {Node: 5, Owner: 1, Start: 50, End: 99, Type: unix.F_WRLCK}})
	c, err := m.NewChunk(8192, 4)
	if err != nil {
		t.Fatal(err)
	}
	e := EntryOf(c.Slot(2))
	copy(c.Slot(2)[600:], bytes.Repeat([]byte("request"), 10))
	e.Admit(42, 600, 70)
	e.SetGFID(gfid)
	e.SetIntent(Intent{Kind: 1, A: gfid})
	e.SetIntent(Intent{Kind: 2, B: gfid, Size: 8})
	e.SetCursor(6, 7)
	e.SetReply([]byte("0123456789abcdef the reply"))
	m.NoteENOSYS(40)
	m.SetEarly(3, 99)

	n, err := again(t, m)
	if err != nil {
		t.Fatal(err)
	}
	if i, err := n.Init(); err != nil || i.Connection != 7 || string(i.In) != "in" || string(i.Out) != "out" {
		t.Errorf("init %v %v", i, err)
	}
	if !bytes.Equal(n.Config(), long) {
		t.Errorf("a config of %d bytes", len(n.Config()))
	}
	if gen, g, typ, ok := n.NodeAt(5).Get(); gen != 9 || g != gfid || typ != 3 || !ok || n.NodeAt(5).Lookups() != 11 {
		t.Errorf("node %d %v %d %v", gen, g, typ, ok)
	}
	if seq, errno, seen := n.NodeAt(5).Errors(); seq != 2 || errno != uint16(unix.ENOSPC) || !seen {
		t.Errorf("errors %d %d %v", seq, errno, seen)
	}
	if gen, node, flags, unique, ok := n.FDAt(2).Get(); gen != 4 || node != 5|9<<32 || flags != unix.O_RDWR || unique != 77 || !ok || n.FDAt(2).Cursor() != 2 {
		t.Errorf("base fd %d %x %d %d %v", gen, node, flags, unique, ok)
	}
	if n.NodeSlots() != 5 || n.FDSlots() != 2 || !n.ENOSYS(40) || n.ENOSYS(41) || len(n.Early()) != 1 {
		t.Error("counters")
	}
	all, damaged := n.Locks()
	if damaged != 0 || len(all) != 2 || all[0].End != 9 || all[1].Start != 50 || all[1].Type != unix.F_WRLCK {
		t.Errorf("locks %v, %d damaged", all, damaged)
	}
	chunks := 0
	for c := range n.Chunks() {
		chunks++
		e := EntryOf(c.Slot(2))
		if k, ok := e.Kind(); k != Request || !ok || e.Order() != 42 || e.GFID() != gfid {
			t.Errorf("entry %d %v", k, ok)
		}
		if r := e.Request(c.Slot(2)); len(r) != 70 || !bytes.HasPrefix(r, []byte("request")) {
			t.Errorf("request %q", r)
		}
		if i := e.Intent(); i.Kind != 2 || i.B != gfid || i.Size != 8 {
			t.Errorf("intent %v", i)
		}
		if fh, cur := e.Cursor(); fh != 6 || cur != 7 || string(e.Reply(c.Slot(2))) != "0123456789abcdef the reply" {
			t.Errorf("cursor %d %d, reply %q", fh, cur, e.Reply(c.Slot(2)))
		}
	}
	if chunks != 1 {
		t.Errorf("%d chunks", chunks)
	}
}

func TestOtherLayoutIsRefused(t *testing.T) {
	m := durable(t)
	m.header.version = Version + 1
	if _, err := again(t, m); !errors.Is(err, ErrLayout) {
		t.Fatal(err)
	}
}

func TestDamageIsFound(t *testing.T) {
	for name, damage := range map[string]func(*Memory){
		"magic":     func(m *Memory) { m.header.magic++ },
		"arena":     func(m *Memory) { m.header.arenaTop = 1 },
		"chunks":    func(m *Memory) { m.header.chunks = 1 << 40 },
		"condemned": func(m *Memory) { m.Condemn() },
	} {
		t.Run(name, func(t *testing.T) {
			m := durable(t)
			damage(m)
			if _, err := again(t, m); !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
		})
	}
	m := durable(t)
	m.NodeAt(1).Put(1, [16]byte{1}, 1)
	m.NodeAt(1).gfid[3] ^= 4
	if _, _, _, ok := m.NodeAt(1).Get(); ok || !m.NodeAt(1).Damaged() {
		t.Error("a node with another gfid passes")
	}
	m.FDAt(1).Put(1, 1, 0, 0, 0)
	m.FDAt(1).node = 2
	if _, _, _, _, ok := m.FDAt(1).Get(); ok || !m.FDAt(1).Damaged() {
		t.Error("a base fd of another node passes")
	}
	r := m.ReplaceLocks(nil, []Lock{{Node: 1, Owner: 1, End: 9, Type: unix.F_WRLCK}})
	m.lockAt(r[0]).end = 99
	if all, damaged := m.Locks(); len(all) != 0 || damaged != 1 {
		t.Error("a longer lock passes")
	}
}

func TestRecordThatWasTakenAwayIsGoneAndItsGenerationStays(t *testing.T) {
	m := durable(t)
	m.NodeAt(3).Put(1, [16]byte{5}, 2)
	m.NodeAt(3).Free(2)
	if gen, _, _, ok := m.NodeAt(3).Get(); ok || gen != 2 || m.NodeAt(3).Damaged() {
		t.Fatal(gen, ok)
	}
}

func TestRequestIsSeenOnlyOnceTheKernelHasWrittenIt(t *testing.T) {
	m := durable(t)
	c, err := m.NewChunk(8192, 1)
	if err != nil {
		t.Fatal(err)
	}
	s := c.Slot(0)
	e := EntryOf(s)
	s[1000] = 77 // of an earlier request
	e.BeginRead(s, 1000)
	if e.Request(s) != nil || !e.Unread(s) {
		t.Fatal("there is no request yet")
	}
	*view[uint32](s[1000:]) = 48
	if len(e.Request(s)) != 48 || e.Unread(s) {
		t.Fatal("the request is not seen")
	}
	*view[uint32](s[1000:]) = 1 << 20
	if e.Request(s) != nil {
		t.Fatal("a request longer than its slot")
	}
}

func TestMemoryOfAChunkIsGivenBackAndItsPlaceUsedAgain(t *testing.T) {
	m := durable(t)
	blocks := func() int64 {
		var st unix.Stat_t
		if err := unix.Fstat(int(m.File().Fd()), &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks
	}
	before := blocks()
	c, err := m.NewChunk(1<<20, 1)
	if err != nil {
		t.Fatal(err)
	}
	at := c.Offset(0)
	c.Slot(0)[5] = 1
	if blocks() < before+2048 {
		t.Fatal("the chunk is not resident")
	}
	m.FreeChunk(c)
	if blocks() >= before+2048 {
		t.Fatal("the memory was not given back")
	}
	c, err = m.NewChunk(1<<20, 1)
	if err != nil || c.Offset(0) != at || c.Slot(0)[5] != 0 {
		t.Fatal("another place, or old content", err)
	}
}

func TestPlainMemoryServesTheSameSlots(t *testing.T) {
	m := Plain()
	defer m.Close()
	if m.Durable() {
		t.Fatal("plain memory does not outlive the process")
	}
	c, err := m.NewChunk(1024, 16)
	if err != nil {
		t.Fatal(err)
	}
	EntryOf(c.Slot(15)).Admit(1, 512, 40)
	m.NodeAt(100000).Put(1, [16]byte{1}, 1)
	if _, _, _, ok := m.NodeAt(100000).Get(); !ok {
		t.Fatal("no record")
	}
	m.FreeChunk(c)
}

func TestOwedSlotKeepsItsInterrupt(t *testing.T) {
	m := durable(t)
	c, err := m.NewChunk(1024, 1)
	if err != nil {
		t.Fatal(err)
	}
	e := EntryOf(c.Slot(0))
	e.Owe()
	if k, _ := e.Kind(); k != Free {
		t.Fatalf("a free slot is %d after Owe", k)
	}
	e.Admit(1, 512, 40)
	e.SetFile([16]byte{7})
	for _, want := range []Kind{Owed, Request, Owed} {
		if want == Owed {
			e.Owe()
		} else {
			e.Settle()
		}
		e.SetInterrupted()
		if k, ok := e.Kind(); k != want || !ok || e.Flags() != Interrupted || e.File() != [16]byte{7} {
			t.Fatalf("%d, want %d; flags %x", k, want, e.Flags())
		}
	}
	e.Admit(2, 512, 40)
	if e.Flags() != 0 || e.File() != [16]byte{} {
		t.Fatal("something of the request before is left")
	}
}

func TestTriesAreCountedAndForgiven(t *testing.T) {
	m := durable(t)
	c, err := m.NewChunk(1024, 1)
	if err != nil {
		t.Fatal(err)
	}
	e := EntryOf(c.Slot(0))
	e.Admit(1, 512, 40)
	e.SetCursor(5, 6)
	for i, d := range []Death{Unseen, Crash, Crash} {
		if deaths, crashes := e.Try(d); deaths != i+1 || crashes != i {
			t.Errorf("%d deaths, %d crashes after %d", deaths, crashes, i+1)
		}
		if deaths, crashes := e.Try(Blameless); deaths != i+1 || crashes != i {
			t.Errorf("%d deaths, %d crashes after one that no request has caused", deaths, crashes)
		}
	}
	if fh, _ := e.Cursor(); fh != 0 {
		t.Error("the cursor of a reply that was never made is left")
	}
	e.Forgive()
	if deaths, crashes := e.Try(Unseen); deaths != 1 || crashes != 0 {
		t.Errorf("%d deaths, %d crashes after they were forgiven", deaths, crashes)
	}
	m.SetDeath(Crash)
	if n, err := again(t, m); err != nil || n.Death() != Crash {
		t.Error("the next process does not know of the crash", err)
	}
}
