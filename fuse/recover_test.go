package fuse

import (
	"bytes"
	"encoding/binary"
	"syscall"
	"testing"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/xlator"
)

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

// TestForgetsAreAppliedOnceWhereverAProcessDies: the next one finds those that are
// left.
func TestForgetsAreAppliedOnceWhereverAProcessDies(t *testing.T) {
	k := play(t, Options{}, nil)
	node, fh := k.create("f")
	k.want(send(k, opRelease, node, &gofuse.ReleaseIn{Fh: fh}), 0)
	for range 2 {
		k.want(send(k, opLookup, 1, &gofuse.InHeader{}, cstr("f")), 0)
	}
	batch := message(opBatchForget, 0, &struct {
		batchForgetIn
		ones [2]forgetOne
	}{batchForgetIn{Count: 2}, [2]forgetOne{{node, 1}, {node, 1}}})
	for range 2 { // the second time it is as a dead process has left it
		k.s.batchForget(batch)
	}
	if k.table.Node(node) == nil {
		t.Fatal("a forget was applied twice")
	}
	send(k, opForget, node, &gofuse.ForgetIn{Nlookup: 1})
	k.await("the file to be forgotten", func() bool { return k.table.Status().Nodes == 1 })
}

// TestLookupCarriedOutAgainIsCountedOnce: the process may have died after it had
// counted the lookup, or right before.
func TestLookupCarriedOutAgainIsCountedOnce(t *testing.T) {
	before := play(t, Options{}, nil)
	node, _ := before.create("f")
	lookup := func() []byte { return message(opLookup, 1, &gofuse.InHeader{}, cstr("f")) }
	for range 2 { // one was answered, the other is found in its slot
		before.want(send(before, opLookup, 1, &gofuse.InHeader{}, cstr("f")), 0)
	}
	l := leave(t)
	l.request(1, 5000, lookup()).SetCounted(node, 3)
	l.request(2, 5002, lookup()).SetCounted(node, 4)
	k := before.successor(l.process())
	k.replies(2)
	l.nothingLeft(k)
	if n := k.lookups(node); n != 4 {
		t.Errorf("%d lookups, the kernel knows of 4", n)
	}
}

func (k *kernel) lookups(node uint64) uint64 {
	for _, n := range k.table.Dump() {
		if n.NodeID == node {
			return n.Lookups
		}
	}
	return 0
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

func TestRequestThatKillsProcessesIsGivenUp(t *testing.T) {
	before := play(t, Options{}, nil)
	l := leave(t)
	statfs := func(order, unique uint64) *state.Entry {
		return l.request(order, unique, message(opStatfs, 1, &gofuse.InHeader{}))
	}
	crashing := statfs(1, 5000)
	for range maxCrashes - 1 {
		crashing.Try(state.Crash)
	}
	tired := statfs(2, 5002)
	for range maxDeaths - 1 {
		tired.Try(state.Unseen)
	}
	young := statfs(3, 5004)
	for range maxDeaths - 2 {
		young.Try(state.Unseen)
	}
	l.mem.SetDeath(state.Crash)
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

// TestRequestIsNotBlamedForDeathsFromOutside, however many: it may just wait for a
// brick.
func TestRequestIsNotBlamedForDeathsFromOutside(t *testing.T) {
	before := play(t, Options{}, nil)
	l := leave(t)
	e := l.request(1, 5000, message(opStatfs, 1, &gofuse.InHeader{}))
	e.Try(state.Crash)
	e.Try(state.Crash)
	for range 10 * maxDeaths {
		e.Try(state.Blameless)
	}
	l.mem.SetDeath(state.Blameless)
	k := before.successor(l.process())
	k.want(5000, 0)
	if r := k.recovered; r.Poison != 0 || r.Again != 1 {
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
	e.Try(state.Crash)
	e.Try(state.Crash)
	before.successor(l.process())
	if deaths, crashes := e.Try(state.Crash); deaths != 1 || crashes != 1 {
		t.Errorf("%d deaths, %d crashes after it had its place", deaths, crashes)
	}
}

func TestRequestThatAProcessLivesOnWithIsNotSuspected(t *testing.T) {
	g := newGated()
	before := play(t, Options{}, g.on)
	defer g.openGate()
	node, fh := before.create("f")
	l := leave(t)
	e := l.request(1, 5000, message(opRead, node, &gofuse.ReadIn{Fh: fh, Size: 1}))
	e.Try(state.Crash)
	e.Try(state.Unseen)
	k := before.successor(l.process())
	<-g.arrived
	k.s.running.forgive() // which a timer does
	if deaths, crashes := e.Try(state.Crash); deaths != 1 || crashes != 1 {
		t.Errorf("%d deaths, %d crashes", deaths, crashes)
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

// TestDamageThatHidesWhatWasAcknowledgedIsAnError: nobody can say which file the
// data was for, so every file that is open for writing says that it may be lost.
func TestDamageThatHidesWhatWasAcknowledgedIsAnError(t *testing.T) {
	before := play(t, Options{}, nil)
	node, fh := before.create("f")
	other, otherFH := before.create("g")
	before.want(send(before, opRelease, other, &gofuse.ReleaseIn{Fh: otherFH}), 0)
	l := leave(t)
	bad := bytesOf(l.owed(1, before, node, fh, 0, []byte("lost")))
	for i := range bad[:64] {
		bad[i] = byte(i) | 0x81
	}
	k := before.successor(l.process())
	if h, _ := k.reply(); h.Unique != 0 || h.Status != notifyResend {
		t.Errorf("%+v", h)
	}
	k.want(send(k, opFsync, node, &gofuse.FsyncIn{Fh: fh}), unix.EIO)
	k.want(send(k, opFsync, node, &gofuse.FsyncIn{Fh: fh}), 0) // it was told
	body := k.want(send(k, opOpen, other, &gofuse.OpenIn{Flags: unix.O_RDWR}), 0)
	k.want(send(k, opFsync, other, &gofuse.FsyncIn{Fh: as[gofuse.OpenOut](k, body).Fh}), 0)
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
