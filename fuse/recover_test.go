package fuse

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/xlator"
)

// left is state memory as a process has left it that died in the middle of
// something.
type left struct {
	testing.TB
	mem  *state.Memory
	next map[int]*state.Chunk // with room, by the size of its slots
	used map[int]int
}

func leave(t testing.TB) *left {
	t.Helper()
	mem, err := state.Create()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mem.Close() })
	return &left{TB: t, mem: mem, next: map[int]*state.Chunk{}, used: map[int]int{}}
}

// slot is a free slot of a pool with that geometry.
func (l *left) slot(size, chunk int) []byte {
	l.Helper()
	if c := l.next[size]; c == nil || l.used[size] == chunk {
		c, err := l.mem.NewChunk(size, chunk)
		if err != nil {
			l.Fatal(err)
		}
		l.next[size], l.used[size] = c, 0
	}
	l.used[size]++
	return l.next[size].Slot(l.used[size] - 1)
}

// bigSlot is a slot that any request is read into.
func (l *left) bigSlot() []byte { return l.slot(1<<20+2*pageSize, 1) }

// request is a request that was admitted.
func (l *left) request(order, unique uint64, msg []byte) *state.Entry {
	l.Helper()
	(*gofuse.InHeader)(ptr(msg)).Unique = unique
	slot, at := l.slot(tinySize, 128), entrySize
	if len(msg) > tinySize-entrySize {
		slot, at = l.slot(smallSize, 16), requestAt
	}
	copy(slot[at:], msg)
	e := state.EntryOf(slot)
	e.Admit(order, at, len(msg))
	return e
}

// reading is a request that was read, and no more.
func (l *left) reading(unique uint64, msg []byte) *state.Entry {
	l.Helper()
	(*gofuse.InHeader)(ptr(msg)).Unique = unique
	slot := l.bigSlot()
	e := state.EntryOf(slot)
	e.BeginRead(slot, requestAt)
	copy(slot[requestAt:], msg)
	return e
}

// owed is a write that was answered, and is not on the brick.
func (l *left) owed(order uint64, k *kernel, node, fh uint64, off int, data []byte) *state.Entry {
	l.Helper()
	msg := message(opWrite, node, &gofuse.WriteIn{Fh: fh, Offset: uint64(off), Size: uint32(len(data))}, data)
	e := l.request(order, 10000+2*order, msg)
	e.SetFile(k.table.Node(node).GFID())
	e.Owe()
	out := gofuse.WriteOut{Size: uint32(len(data))}
	e.SetReply(reply(10000+2*order, 0, bytesOf(&out)))
	return e
}

func reply(unique uint64, status syscall.Errno, body []byte) []byte {
	h := gofuse.OutHeader{Length: uint32(outHeader + len(body)), Status: -int32(status), Unique: unique}
	return append(bytes.Clone(bytesOf(&h)), body...)
}

// process is what the next process maps.
func (l *left) process() *state.Memory {
	l.Helper()
	fd, err := unix.FcntlInt(l.mem.File().Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		l.Fatal(err)
	}
	mem, err := state.Open(os.NewFile(uintptr(fd), "state"))
	if err != nil {
		l.Fatal(err)
	}
	return mem
}

// inUse counts the slots that hold a request.
func (l *left) inUse() (n int) {
	l.Helper()
	mem := l.process()
	defer mem.Close()
	for c := range mem.Chunks() {
		for i := range c.Slots {
			e := state.EntryOf(c.Slot(i))
			if k, ok := e.Kind(); !ok || k != state.Free && !(k == state.Reading && e.Unread(c.Slot(i))) {
				n++
			}
		}
	}
	return n
}

// nothingLeft waits until no slot holds a request any more.
func (l *left) nothingLeft(k *kernel) {
	l.Helper()
	k.await("the slots to be free", func() bool { return l.inUse() == 0 })
	k.await("the requests to be over", func() bool { return k.s.running.len() == 0 })
}

// replies receives n replies, by number.
func (k *kernel) replies(n int) map[uint64]gofuse.OutHeader {
	k.Helper()
	all := map[uint64]gofuse.OutHeader{}
	for range n {
		h, _ := k.reply()
		if _, twice := all[h.Unique]; twice {
			k.Errorf("two replies to %d", h.Unique)
		}
		all[h.Unique] = h
	}
	return all
}

func (k *kernel) read(node, fh uint64, n int) string {
	k.Helper()
	return string(k.want(send(k, opRead, node, &gofuse.ReadIn{Fh: fh, Size: uint32(n)}), 0))
}

func TestRecordedReplyIsWrittenAgainAndNothingIsDone(t *testing.T) {
	before := play(t, Options{}, nil)
	node, fh := before.create("f")
	l := leave(t)
	out := gofuse.EntryOut{NodeId: 77}
	e := l.request(1, 5000, message(opMkdir, 1, &gofuse.MkdirIn{Mode: 0o755}, cstr("d")))
	e.SetReply(reply(5000, 0, bytesOf(&out)))
	l.request(2, 5002, message(opUnlink, 1, &gofuse.InHeader{}, cstr("f"))).SetReply(reply(5002, unix.EACCES, nil))
	k := before.successor(l.process())
	if body := k.want(5000, 0); !bytes.Equal(body, bytesOf(&out)) {
		t.Errorf("another reply: %x", body)
	}
	k.want(5002, unix.EACCES)
	k.want(send(k, opLookup, 1, &gofuse.InHeader{}, cstr("d")), unix.ENOENT)
	k.want(k.write(node, fh, []byte("x")), 0)
	if r := k.recovered; r.Answered != 2 || r.ByOp["MKDIR"] != 1 || r.Requests() != 2 {
		t.Errorf("%+v", r)
	}
	l.nothingLeft(k)
}

func TestReplyThatWasRecordedMovesTheErrorCursor(t *testing.T) {
	before := play(t, Options{}, nil)
	node, fh := before.create("f")
	before.table.Record(before.table.Node(node).GFID(), unix.ENOSPC)
	l := leave(t)
	e := l.request(1, 5000, message(opFsync, node, &gofuse.FsyncIn{Fh: fh}))
	e.SetCursor(fh, 1)
	e.SetReply(reply(5000, unix.ENOSPC, nil))
	k := before.successor(l.process())
	k.want(5000, unix.ENOSPC)
	k.want(send(k, opFsync, node, &gofuse.FsyncIn{Fh: fh}), 0) // it was told
}

func TestUnansweredRequestIsCarriedOutByItsJournal(t *testing.T) {
	before := play(t, Options{}, nil)
	l := leave(t)
	gfid := xlator.NewGFID()
	e := l.request(1, 5000, message(opMkdir, 1, &gofuse.MkdirIn{Mode: 0o755}, cstr("d")))
	e.SetGFID(gfid)
	e.SetCursor(99, 5) // the reply was not made
	k := before.successor(l.process())
	out := as[gofuse.EntryOut](k, k.want(5000, 0))
	if g := k.table.Node(out.NodeId).GFID(); g != gfid {
		t.Errorf("made as %s, the first process chose %s", g, gfid)
	}
	if r := k.recovered; r.Again != 1 || r.Requests() != 1 {
		t.Errorf("%+v", r)
	}
	l.nothingLeft(k)
}

func TestRequestThatWasOnlyReadIsCarriedOutOnce(t *testing.T) {
	before := play(t, Options{}, nil)
	l := leave(t)
	mkdir := message(opMkdir, 1, &gofuse.MkdirIn{Mode: 0o755}, cstr("d"))
	l.request(1, 5000, mkdir) // copied,
	l.reading(5000, mkdir)    // and not yet cleared
	l.reading(5002, message(opMkdir, 1, &gofuse.MkdirIn{Mode: 0o755}, cstr("e")))
	empty := l.bigSlot()
	state.EntryOf(empty).BeginRead(empty, requestAt)
	k := before.successor(l.process())
	for u, h := range k.replies(2) {
		if h.Status != 0 {
			t.Errorf("%d: %v", u, syscall.Errno(-h.Status))
		}
	}
	if r := k.recovered; r.Again != 1 || r.Begun != 1 {
		t.Errorf("%+v", r)
	}
	l.nothingLeft(k)
}

func TestForgetThatWasOnlyReadIsApplied(t *testing.T) {
	before := play(t, Options{}, nil)
	node, fh := before.create("f")
	before.want(send(before, opRelease, node, &gofuse.ReleaseIn{Fh: fh}), 0)
	l := leave(t)
	l.reading(0, message(opForget, node, &gofuse.ForgetIn{Nlookup: 1}))
	k := before.successor(l.process())
	k.await("the file to be forgotten", func() bool { return k.table.Status().Nodes == 1 })
	if r := k.recovered; r.Forgets != 1 || r.Requests() != 0 {
		t.Errorf("%+v", r)
	}
	l.nothingLeft(k)
}

func (l *left) wait(order, unique, node, fh, owner uint64) *state.Entry {
	l.Helper()
	return l.request(order, unique, message(opSetlkw, node, &gofuse.LkIn{Fh: fh, Owner: owner, Lk: gofuse.FileLock{End: 1<<63 - 1, Typ: unix.F_WRLCK}}))
}

func TestWaitsForALockKeepTheirOrder(t *testing.T) {
	before := play(t, Options{}, nil)
	node, fh := before.create("f")
	before.want(before.lock(opSetlk, node, fh, 1, unix.F_WRLCK), 0)
	l := leave(t)
	const n = 20
	for i := range uint64(n) { // in memory the last comes first
		l.wait(100-i, 5000+2*i, node, fh, 50+i)
	}
	k := before.successor(l.process())
	if w := k.table.Status().LocksWaiting; w != n {
		t.Fatalf("%d wait when new requests are read", w)
	}
	k.lock(opSetlkw, node, fh, 200, unix.F_WRLCK) // comes after all of them
	k.await("the last", func() bool { return k.table.Status().LocksWaiting == n+1 })
	owner := uint64(1)
	for i := n - 1; i >= 0; i-- {
		unlock := k.lock(opSetlk, node, fh, owner, unix.F_UNLCK)
		r := k.replies(2)
		if _, ok := r[unlock]; !ok || len(r) != 2 {
			t.Fatal("no reply to the unlock")
		}
		if _, ok := r[5000+2*uint64(i)]; !ok {
			t.Fatalf("it was not the turn of who was granted: %v, want %d", r, 5000+2*i)
		}
		owner = 50 + uint64(i)
	}
}

func TestInterruptOfAnEarlierProcessEndsTheWait(t *testing.T) {
	before := play(t, Options{}, nil)
	node, fh := before.create("f")
	before.want(before.lock(opSetlk, node, fh, 1, unix.F_WRLCK), 0)
	l := leave(t)
	l.wait(1, 5000, node, fh, 2).SetInterrupted()
	l.wait(2, 5002, node, fh, 3)
	l.reading(5003, message(opInterrupt, 0, &gofuse.InterruptIn{Unique: 5002 | resent}))
	l.reading(5004, message(opSetlkw, node, &gofuse.LkIn{Fh: fh, Owner: 4, Lk: gofuse.FileLock{End: 9, Typ: unix.F_WRLCK}}))
	l.mem.SetEarly(3, 5004)
	l.wait(4, 5006, node, fh, 5)
	k := before.successor(l.process())
	for u, h := range k.replies(3) {
		if u == 5006 || h.Status != -int32(unix.EINTR) {
			t.Errorf("%d: %v", u, syscall.Errno(-h.Status))
		}
	}
	if r := k.recovered; r.Interrupts != 1 || r.Again != 3 || r.Begun != 1 {
		t.Errorf("%+v", r)
	}
	if w := k.table.Status().LocksWaiting; w != 1 {
		t.Errorf("%d wait", w)
	}
}

func TestAcknowledgedWritesComeFirstAndInOrder(t *testing.T) {
	before := play(t, Options{}, nil)
	node, fh := before.create("f")
	other, otherFH := before.create("g")
	l := leave(t)
	l.owed(7, before, node, fh, 0, []byte("cccc"))
	l.owed(3, before, node, fh, 0, []byte("aaaaaaaa"))
	l.owed(5, before, node, fh, 2, []byte("bbbb"))
	l.owed(4, before, other, otherFH, 4090, bytes.Repeat([]byte("d"), 3000))
	l.request(9, 5000, message(opRead, node, &gofuse.ReadIn{Fh: fh, Size: 100}))
	k := before.successor(l.process())
	replies := map[uint64]string{}
	for range 5 {
		h, body := k.reply()
		replies[h.Unique] = string(body)
	}
	if got := replies[5000]; got != "ccccbbaa" {
		t.Errorf("the file has %q", got)
	}
	if len(replies) != 5 {
		t.Errorf("replies to %d", len(replies))
	}
	if got := k.read(other, otherFH, 8000); len(got) != 7090 || got[4090:] != string(bytes.Repeat([]byte("d"), 3000)) {
		t.Errorf("the other file has %d bytes", len(got))
	}
	if r := k.recovered; r.Owed != 4 || r.Answered != 4 || r.Again != 1 {
		t.Errorf("%+v", r)
	}
	if n := k.s.slots.early.used.Load(); n != 0 {
		t.Errorf("%d bytes count as early", n)
	}
	l.nothingLeft(k)
}

// counting counts writes.
type counting struct {
	xlator.Default
	sizes []int
}

func (w *counting) Writev(ctx context.Context, r *xlator.WritevReq) (*xlator.WritevRep, error) {
	w.sizes = append(w.sizes, len(r.Payload.Bytes))
	if r.Payload.Retain() {
		return nil, errors.New("what is owed may be kept on")
	}
	return w.Next.Writev(ctx, r)
}

func TestAcknowledgedNeighboursAreWrittenTogether(t *testing.T) {
	w := &counting{}
	before := play(t, Options{}, func(next xlator.Fops) xlator.Fops { w.Next = next; return w })
	node, fh := before.create("f")
	l := leave(t)
	want := ""
	for i := range uint64(50) {
		l.owed(1+i, before, node, fh, len(want), []byte(fmt.Sprintf("line %d\n", i)))
		want += fmt.Sprintf("line %d\n", i)
	}
	l.owed(60, before, node, fh, 0, []byte("over"))
	want = "over" + want[4:]
	k := before.successor(l.process())
	k.replies(51)
	if len(w.sizes) != 2 {
		t.Errorf("writes of %v bytes", w.sizes)
	}
	if got := k.read(node, fh, 10000); got != want {
		t.Errorf("the file has %q", got)
	}
}

func TestAcknowledgedWriteNeedsNoOpenFile(t *testing.T) {
	before := play(t, Options{}, nil)
	node, fh := before.create("f")
	l := leave(t)
	l.owed(1, before, node, fh, 0, []byte("text"))
	before.want(send(before, opRelease, node, &gofuse.ReleaseIn{Fh: fh}), 0)
	k := before.successor(l.process())
	k.want(10002, 0)
	again := k.open(node)
	if got := k.read(node, again, 10); got != "text" {
		t.Errorf("the file has %q", got)
	}
	k.want(send(k, opFsync, node, &gofuse.FsyncIn{Fh: again}), 0)
}

// failing refuses writes.
type failing struct {
	xlator.Default
	err error
}

func (w *failing) Writev(context.Context, *xlator.WritevReq) (*xlator.WritevRep, error) {
	return nil, w.err
}

func TestErrorOfAnAcknowledgedWriteIsToldOnce(t *testing.T) {
	before := play(t, Options{}, func(next xlator.Fops) xlator.Fops {
		w := &failing{err: unix.ENOSPC}
		w.Next = next
		return w
	})
	node, fh := before.create("f")
	l := leave(t)
	l.owed(1, before, node, fh, 0, []byte("text"))
	k := before.successor(l.process())
	k.want(10002, 0)
	k.want(send(k, opFlush, node, &gofuse.FlushIn{Fh: fh}), unix.ENOSPC)
	k.want(send(k, opFlush, node, &gofuse.FlushIn{Fh: fh}), 0)
	l.nothingLeft(k)
}

func TestHangingAcknowledgedWriteHoldsItsFileOnly(t *testing.T) {
	g := newGated()
	var w gatedWriter
	w.gated = g
	before := play(t, Options{DrainTimeout: 50 * time.Millisecond}, func(next xlator.Fops) xlator.Fops { g.Next = next; w.Next = next; return &w })
	defer g.openGate()
	node, fh := before.create("f")
	other, otherFH := before.create("g")
	l := leave(t)
	l.owed(1, before, node, fh, 0, []byte("text"))
	k := before.successor(l.process())
	k.want(10002, 0)
	if r := k.recovered; r.Held != 1 {
		t.Errorf("%+v", r)
	}
	lookup := send(k, opLookup, 1, &gofuse.InHeader{}, cstr("f"))
	k.want(send(k, opRead, other, &gofuse.ReadIn{Fh: otherFH, Size: 10}), 0)
	g.openGate()
	if out := as[gofuse.EntryOut](k, k.want(lookup, 0)); out.Size != 4 {
		t.Errorf("a lookup of the held file says %d bytes", out.Size)
	}
	l.nothingLeft(k)
}

func TestWriteThatWasAboutToBeAnsweredEarlyIsAnsweredOnce(t *testing.T) {
	before := play(t, Options{}, nil)
	node, fh := before.create("f")
	l := leave(t)
	l.request(1, 5000, message(opWrite, node, &gofuse.WriteIn{Fh: fh, Size: 4}, []byte("text"))).Owe()
	k := before.successor(l.process())
	k.want(5000, 0)
	if got := k.read(node, fh, 10); got != "text" {
		t.Errorf("the file has %q", got)
	}
	if r := k.recovered; r.Again != 1 || r.Owed != 0 {
		t.Errorf("%+v", r)
	}
	l.nothingLeft(k)
}

func TestRequestThatKillsProcessesIsGivenUp(t *testing.T) {
	before := play(t, Options{}, nil)
	l := leave(t)
	statfs := func(order, unique uint64) *state.Entry {
		return l.request(order, unique, message(opStatfs, 1, &gofuse.InHeader{}))
	}
	crashing := statfs(1, 5000)
	for range maxCrashes - 1 {
		crashing.Try(true)
	}
	tired := statfs(2, 5002)
	for range maxTries - 1 {
		tired.Try(false)
	}
	young := statfs(3, 5004)
	for range maxTries - 2 {
		young.Try(false)
	}
	l.mem.SetDeath(true)
	k := before.successor(l.process())
	got := k.replies(3)
	if got[5000].Status != -int32(unix.EIO) || got[5002].Status != -int32(unix.EIO) || got[5004].Status != 0 {
		t.Errorf("%v", got)
	}
	if r := k.recovered; r.Poison != 2 || r.Again != 1 {
		t.Errorf("%+v", r)
	}
	l.nothingLeft(k)
}

func TestWaitForALockIsNotSuspected(t *testing.T) {
	before := play(t, Options{}, nil)
	node, fh := before.create("f")
	before.want(before.lock(opSetlk, node, fh, 1, unix.F_WRLCK), 0)
	l := leave(t)
	e := l.wait(1, 5000, node, fh, 2)
	e.Try(true)
	e.Try(true)
	before.successor(l.process())
	if tries, crashes := e.Try(true); tries != 1 || crashes != 1 {
		t.Errorf("%d tries, %d crashes after it had its place", tries, crashes)
	}
}

func TestRequestThatAProcessLivesOnWithIsNotSuspected(t *testing.T) {
	g := newGated()
	before := play(t, Options{}, g.on)
	defer g.openGate()
	node, fh := before.create("f")
	l := leave(t)
	e := l.request(1, 5000, message(opRead, node, &gofuse.ReadIn{Fh: fh, Size: 1}))
	e.Try(true)
	e.Try(false)
	k := before.successor(l.process())
	<-g.arrived
	k.s.running.forgive() // which a timer does
	if tries, crashes := e.Try(true); tries != 1 || crashes != 1 {
		t.Errorf("%d tries, %d crashes", tries, crashes)
	}
	if k.s.forgiving == nil {
		t.Error("nothing would take the suspicion off it")
	}
}

func TestDamagedSlotMakesTheKernelSendAgain(t *testing.T) {
	before := play(t, Options{}, nil)
	node, fh := before.create("f")
	l := leave(t)
	l.owed(1, before, node, fh, 0, []byte("text"))
	l.request(2, 5000, message(opMkdir, 1, &gofuse.MkdirIn{Mode: 0o755}, cstr("d")))
	l.reading(5002, message(opMkdir, 1, &gofuse.MkdirIn{Mode: 0o755}, cstr("e")))
	// It may have been acknowledged data. The other one was not.
	binary.NativeEndian.PutUint64(bytesOf(l.request(4, 5004, message(opWrite, node, &gofuse.WriteIn{Fh: fh, Size: 1}, []byte("x")))), 77)
	bad := l.owed(3, before, node, fh, 100, []byte("lost"))
	binary.NativeEndian.PutUint64(bytesOf(bad), 1<<63|99) // its first word
	k := before.successor(l.process())
	if h, _ := k.reply(); h.Unique != 10002 && h.Unique != 0 {
		t.Errorf("%+v", h)
	} else if h.Unique == 10002 {
		t.Error("a slot was trusted although another is damaged")
	} else if h.Status != notifyResend || h.Length != 16 {
		t.Errorf("%+v", h)
	}
	if r := k.recovered; !r.Resent || r.Damaged != 2 || r.Owed != 1 || r.Again != 0 {
		t.Errorf("%+v", r)
	}
	u := sendAs(k, 5000|resent, opMkdir, 1, &gofuse.MkdirIn{Mode: 0o755}, cstr("d"))
	k.want(u, 0)
	if got := k.read(node, fh, 10); got != "text" {
		t.Errorf("acknowledged data is lost: %q", got)
	}
	k.want(send(k, opFsync, node, &gofuse.FsyncIn{Fh: fh}), unix.EIO)
	l.nothingLeft(k)
}

func TestNewMemoryOfAnOldMountMakesTheKernelSendAgain(t *testing.T) {
	before := play(t, Options{}, nil)
	before.opts.Resend = true
	k := before.successor(leave(t).process())
	if h, _ := k.reply(); h.Unique != 0 || h.Status != notifyResend {
		t.Errorf("%+v", h)
	}
	k.want(send(k, opGetattr, 1, &gofuse.GetAttrIn{}), 0)
}

func TestSlotsOfAnotherGeometryAreServedAndFreed(t *testing.T) {
	before := play(t, Options{}, nil)
	l := leave(t)
	slot := l.slot(3000, 5)
	msg := message(opStatfs, 1, &gofuse.InHeader{})
	(*gofuse.InHeader)(ptr(msg)).Unique = 5000
	copy(slot[1024:], msg)
	state.EntryOf(slot).Admit(1, 1024, len(msg))
	l.slot(5000, 2)
	k := before.successor(l.process())
	k.want(5000, 0)
	if n := len(k.s.slots.strange); n != 2 {
		t.Fatalf("%d pools of other sizes", n)
	}
	for _, p := range k.s.slots.strange {
		k.await("the chunk to be freed", func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.made == 0
		})
	}
}

func TestEveryRequestLeavesItsSlotFree(t *testing.T) {
	before := play(t, Options{EarlyWrites: 4 << 20}, nil)
	l := leave(t)
	k := before.successor(l.process())
	node, fh := k.create("f")
	for i := range 50 {
		k.want(k.write(node, fh, make([]byte, 100*i)), 0)
		k.want(send(k, opGetattr, node, &gofuse.GetAttrIn{}), 0)
		k.want(send(k, opMkdir, 1, &gofuse.MkdirIn{Mode: 0o755}, cstr("d")), 0)
		k.want(send(k, opRmdir, 1, &gofuse.InHeader{}, cstr("d")), 0)
		send(k, opForget, node+100, &gofuse.ForgetIn{Nlookup: 1})
	}
	k.want(send(k, opPoll, 1, &gofuse.InHeader{}), unix.ENOSYS)
	l.nothingLeft(k)
	if !l.mem.ENOSYS(opPoll) || l.mem.ENOSYS(opGetattr) {
		t.Error("what the kernel never asks again is not recorded")
	}
}

// watcher looks at the slots while a request is carried out.
type watcher struct {
	xlator.Default
	look func(*xlator.Call)
}

func (w *watcher) Mkdir(ctx context.Context, r *xlator.MkdirReq) (*xlator.EntryRep, error) {
	w.look(xlator.CallFrom(ctx))
	return w.Next.Mkdir(ctx, r)
}

func TestRunningRequestIsRecordedWithWhatItChose(t *testing.T) {
	l := leave(t)
	var seen []error
	before := play(t, Options{}, func(next xlator.Fops) xlator.Fops {
		w := &watcher{look: func(c *xlator.Call) {
			mem := l.process()
			defer mem.Close()
			found := 0
			for ch := range mem.Chunks() {
				for i := range ch.Slots {
					e := state.EntryOf(ch.Slot(i))
					k, _ := e.Kind()
					in := e.Request(ch.Slot(i))
					if k != state.Request || in == nil {
						continue
					}
					found++
					h := (*gofuse.InHeader)(unsafe.Pointer(&in[0]))
					if h.Opcode != opMkdir || h.Unique != c.Unique || e.Reply() != nil {
						seen = append(seen, errors.New("the slot holds something else"))
					}
					g := xlator.NewGFID()
					c.Journal.SetGFID(g)
					c.Intend(xlator.Intent{Kind: 5, Flags: 6, A: g, Size: 7})
					if xlator.GFID(e.GFID()) != g || e.Intent().Kind != 5 || e.Intent().A != [16]byte(g) || e.Intent().Size != 7 {
						seen = append(seen, errors.New("the journal is not the slot's"))
					}
					if i, ok := c.Intended(); !ok || i.Flags != 6 || i.A != g {
						seen = append(seen, errors.New("the intent is not read back"))
					}
				}
			}
			if found != 1 {
				seen = append(seen, errors.New("the request is not in one slot"))
			}
		}}
		w.Next = next
		return w
	})
	k := before.successor(l.process())
	k.want(send(k, opMkdir, 1, &gofuse.MkdirIn{Mode: 0o755}, cstr("d")), 0)
	if err := errors.Join(seen...); err != nil {
		t.Error(err)
	}
}

func TestEarlyAnswerIsOwedUntilTheLastRelease(t *testing.T) {
	w := &keeper{}
	before := play(t, Options{EarlyWrites: 4 << 20}, func(next xlator.Fops) xlator.Fops { w.Next = next; return w })
	l := leave(t)
	k := before.successor(l.process())
	node, fh := k.create("f")
	kinds := func() map[state.Kind]int {
		mem := l.process()
		defer mem.Close()
		n := map[state.Kind]int{}
		for c := range mem.Chunks() {
			for i := range c.Slots {
				kind, _ := state.EntryOf(c.Slot(i)).Kind()
				n[kind]++
			}
		}
		return n
	}
	for _, n := range []int{100, 5000, 200 << 10} {
		k.want(k.write(node, fh, make([]byte, n)), 0)
	}
	if n := kinds(); n[state.Owed] != 3 {
		t.Errorf("%v", n)
	}
	for i, p := range w.kept {
		if !p.Retain() {
			t.Fatal("refused")
		}
		p.Release()
		if n := kinds(); n[state.Owed] != 3-i {
			t.Errorf("after a second release %v", n)
		}
		p.Release()
		if n := kinds(); n[state.Owed] != 2-i {
			t.Errorf("after the last release %v", n)
		}
	}
	l.nothingLeft(k)
}

func TestDrainLeavesWhatComesToTheNextProcess(t *testing.T) {
	g := newGated()
	before := play(t, Options{}, g.on)
	l := leave(t)
	k := before.successor(l.process())
	defer g.openGate()
	node, fh := k.create("f")
	k.want(k.write(node, fh, []byte("text")), 0)
	k.want(k.lock(opSetlk, node, fh, 1, unix.F_WRLCK), 0)
	waiter := k.lock(opSetlkw, node, fh, 2, unix.F_WRLCK)
	k.await("the wait", func() bool { return k.table.Status().LocksWaiting == 1 })
	running := send(k, opRead, node, &gofuse.ReadIn{Fh: fh, Size: 10})
	<-g.arrived

	expired, cancel := context.WithCancel(context.Background())
	cancel()
	if err := k.s.Drain(expired); !errors.Is(err, context.Canceled) {
		t.Errorf("a drain that was given no time: %v", err)
	}
	left := send(k, opMkdir, 1, &gofuse.MkdirIn{Mode: 0o755}, cstr("d"))
	g.openGate()
	if got := string(k.want(running, 0)); got != "text" { // what ran was finished
		t.Errorf("%q", got)
	}
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	if err := k.s.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	k.await("the mkdir to be read", func() bool { return l.inUse() == 2 })
	next := before.successor(l.process())
	next.want(left, 0)
	next.want(next.lock(opSetlk, node, fh, 1, unix.F_UNLCK), 0)
	_ = waiter // granted to whoever asked first: both processes live here
}

func TestEverythingIsAnsweredWhenNobodyServes(t *testing.T) {
	before := play(t, Options{}, nil)
	node, fh := before.create("f")
	l := leave(t)
	l.owed(1, before, node, fh, 0, []byte("text"))
	l.request(2, 5000, message(opMkdir, 1, &gofuse.MkdirIn{Mode: 0o755}, cstr("d")))
	l.request(3, 5002, message(opUnlink, 1, &gofuse.InHeader{}, cstr("f"))).SetReply(reply(5002, unix.EACCES, nil))
	l.reading(5004, message(opStatfs, 1, &gofuse.InHeader{}))
	l.reading(5005, message(opInterrupt, 0, &gofuse.InterruptIn{Unique: 5004}))
	l.reading(0, message(opForget, node, &gofuse.ForgetIn{Nlookup: 1}))

	k := &kernel{TB: t, unique: 7000}
	k.connect()
	defer unix.Close(k.fd)
	stop, gone := make(chan struct{}), false
	var wg sync.WaitGroup
	wg.Go(func() {
		var err error
		if gone, err = AnswerAll(k.dev, l.mem, unix.EIO, stop); err != nil {
			t.Error(err)
		}
	})
	send(k, opForget, node, &gofuse.ForgetIn{Nlookup: 1})
	last := send(k, opGetattr, 1, &gofuse.GetAttrIn{})
	got := k.replies(5)
	for u, want := range map[uint64]syscall.Errno{10002: 0, 5000: unix.EIO, 5002: unix.EACCES, 5004: unix.EIO, last: unix.EIO} {
		if h, ok := got[u]; !ok || h.Status != -int32(want) {
			t.Errorf("%d: %+v, want %v", u, h, want)
		}
	}
	close(stop)
	wg.Wait()
	if gone {
		t.Error("the mount is said to be gone")
	}
	if f, err := unix.FcntlInt(uintptr(k.dev.FD), unix.F_GETFL, 0); err != nil || f&unix.O_NONBLOCK != 0 {
		t.Errorf("flags %x, %v", f, err)
	}
	if n := l.inUse(); n != 2 {
		t.Errorf("%d slots are in use, want the acknowledged write and the FORGET", n)
	}
	next := before.successor(l.process())
	next.want(10002, 0)
	if got := next.read(node, fh, 10); got != "text" {
		t.Errorf("%q", got)
	}
	wg.Go(func() {
		var err error
		if gone, err = AnswerAll(k.dev, l.mem, unix.EIO, make(chan struct{})); err != nil {
			t.Error(err)
		}
	})
	unix.Shutdown(k.fd, unix.SHUT_RDWR) // what an unmount looks like here
	wg.Wait()
	if !gone {
		t.Error("the mount is gone, and nobody says so")
	}
	k.dev.Close()
}
