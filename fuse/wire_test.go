package fuse

import (
	"bytes"
	"context"
	"errors"
	"math/rand"
	"syscall"
	"testing"
	"time"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

func TestEveryDecoderAnswersInitAlike(t *testing.T) {
	k := play(t, Options{}, nil)
	for range 2 {
		out, err := k.s.prime(newDecoder(k.s))
		if err != nil || !bytes.Equal(out, k.dev.InitOut) {
			t.Fatalf("%x, %v; want %x", out, err, k.dev.InitOut)
		}
	}
	out := as[gofuse.InitOut](k, k.dev.InitOut[outHeader:])
	if out.MaxWrite != 1<<20 || out.MaxBackground != 64 || out.MaxPages != 256 || out.MaxStackDepth != 0 {
		t.Errorf("%+v", out)
	}
	have := map[string]bool{}
	for _, f := range k.s.Features() {
		have[f] = true
	}
	for _, f := range []string{"handle_killpriv_v2", "readdirplus_auto", "async_dio", "dont_mask", "posix_acl", "posix_locks", "flock_locks", "export_support", "max_pages", "big_writes", "setxattr_ext", "atomic_o_trunc", "parallel_dirops", "resend"} {
		if !have[f] {
			t.Errorf("%s is not asked for", f)
		}
	}
	for _, f := range []string{"writeback_cache", "passthrough", "no_open_support"} {
		if have[f] {
			t.Errorf("%s is taken", f)
		}
	}
}

func TestWhatWeDoNotServeIsAnswered(t *testing.T) {
	k := play(t, Options{}, nil)
	var body [256]byte
	for op, want := range map[uint32]syscall.Errno{
		opPoll: unix.ENOSYS, opBmap: unix.ENOSYS, opSyncfs: unix.ENOSYS, opStatx: unix.ENOSYS, opCopyFileRange64: unix.ENOSYS,
		opIoctl: unix.ENOTTY, opDestroy: 0, 48: unix.ENOSYS, 60: unix.ENOSYS, 4000: unix.ENOSYS, 0: unix.ENOSYS, opInit: unix.ENOSYS,
	} {
		k.want(send(k, op, 1, &body), want)
	}
}

// TestEveryRequestIsAnsweredOnce sends nonsense of all lengths: each request
// but those that want no answer gets one, with its number.
func TestEveryRequestIsAnsweredOnce(t *testing.T) {
	k := play(t, Options{}, nil)
	rnd := rand.New(rand.NewSource(1))
	silent := map[uint32]bool{opForget: true, opBatchForget: true, opInterrupt: true, opNotifyReply: true}
	for i := range 6000 {
		op := uint32(i % 60)
		rest := make([]byte, rnd.Intn(120))
		if rnd.Intn(2) == 0 {
			rnd.Read(rest)
		}
		if op == opRead || op == opReaddir || op == opReaddirplus || op == opGetxattr || op == opListxattr {
			for j := range rest { // a size that we would not have told the kernel
				rest[j] &= 0x0f
			}
		}
		u := send(k, op, uint64(rnd.Intn(3)), &gofuse.InHeader{}, rest)
		if silent[op] {
			continue
		}
		if h, _ := k.reply(); h.Unique != u || h.Status > 0 || h.Status < -maxErrno {
			t.Fatalf("%s of %d bytes: reply to %d (%d), want one to %d", opName(op), 40+len(rest), h.Unique, h.Status, u)
		}
	}
	if n := k.s.stats.panics.Load(); n != 0 {
		t.Errorf("%d panics", n)
	}
}

func TestResentRequestIsAnsweredWithItsMark(t *testing.T) {
	var seen uint64
	k := play(t, Options{}, func(next xlator.Fops) xlator.Fops {
		x := &xlator.Intercept{}
		x.Next = next
		x.Around = func(ctx context.Context, _ xlator.Fop, _ any, next func() error) error {
			seen = xlator.CallFrom(ctx).Unique
			return next()
		}
		return x
	})
	u := sendAs(k, 1000|resent, opGetattr, 1, &gofuse.GetAttrIn{})
	k.want(u, 0)
	if seen != 1000 {
		t.Errorf("the graph sees %#x", seen)
	}
}

func TestInterruptEndsAWaitForALock(t *testing.T) {
	k := play(t, Options{}, nil)
	node, fh := k.create("f")
	k.want(k.lock(opSetlk, node, fh, 1, unix.F_WRLCK), 0)
	waiter := k.lock(opSetlkw, node, fh, 2, unix.F_WRLCK)
	k.await("the wait", func() bool { return k.table.Status().LocksWaiting == 1 })
	send(k, opInterrupt, 0, &gofuse.InterruptIn{Unique: waiter | resent})
	k.want(waiter, unix.EINTR)
	k.want(k.lock(opSetlk, node, fh, 1, unix.F_UNLCK), 0)
	k.want(k.lock(opSetlk, node, fh, 3, unix.F_WRLCK), 0) // no ghost of the waiter
	if n := k.table.Status().LocksHeld; n != 1 {
		t.Errorf("%d locks held", n)
	}
}

func TestInterruptReadBeforeItsRequestCounts(t *testing.T) {
	k := play(t, Options{}, nil)
	node, fh := k.create("f")
	k.want(k.lock(opSetlk, node, fh, 1, unix.F_WRLCK), 0)
	send(k, opInterrupt, 0, &gofuse.InterruptIn{Unique: 5000})
	k.await("the interrupt", func() bool { return k.s.stats.ops[opInterrupt].Load() == 1 })
	u := sendAs(k, 5000, opSetlkw, node, &gofuse.LkIn{Fh: fh, Owner: 2, Lk: gofuse.FileLock{End: 10, Typ: unix.F_WRLCK}})
	k.want(u, unix.EINTR)
}

// TestOnlyWaitsAreInterrupted: what has been sent to a brick runs to its end.
func TestOnlyWaitsAreInterrupted(t *testing.T) {
	g := newGated()
	k := play(t, Options{}, g.on)
	defer g.openGate()
	node, fh := k.create("f")
	k.want(k.write(node, fh, []byte("hello")), 0)
	u := send(k, opRead, node, &gofuse.ReadIn{Fh: fh, Size: 5})
	<-g.arrived
	for range 50 {
		send(k, opInterrupt, 0, &gofuse.InterruptIn{Unique: u})
	}
	k.want(send(k, opGetattr, 1, &gofuse.GetAttrIn{}), 0) // INTERRUPTs are not answered
	g.openGate()
	if got := k.want(u, 0); string(got) != "hello" {
		t.Errorf("read %q", got)
	}
}

func TestPanicIsAnErrorOfOneRequest(t *testing.T) {
	k := play(t, Options{}, func(next xlator.Fops) xlator.Fops {
		x := &xlator.Intercept{}
		x.Next = next
		x.Around = func(_ context.Context, f xlator.Fop, _ any, next func() error) error {
			if f == xlator.FopStatfs || f == xlator.FopStat {
				panic("for the test")
			}
			return next()
		}
		return x
	})
	for i := range 10 {
		k.want(send(k, opStatfs, 1, &gofuse.InHeader{}), unix.EIO)   // decoded by go-fuse
		k.want(send(k, opGetattr, 1, &gofuse.GetAttrIn{}), unix.EIO) // by us
		k.create(string(rune('a' + i)))
	}
	if n := k.s.stats.panics.Load(); n != 20 {
		t.Errorf("%d panics counted", n)
	}
	if g := k.table.Status(); g.Open != 10 {
		t.Errorf("%d open", g.Open)
	}
}

func TestEndOfTheMountEndsWaits(t *testing.T) {
	k := play(t, Options{Linger: time.Minute}, nil)
	node, fh := k.create("f")
	k.want(k.lock(opSetlk, node, fh, 1, unix.F_WRLCK), 0)
	for owner := range uint64(20) {
		k.lock(opSetlkw, node, fh, 2+owner, unix.F_WRLCK)
	}
	k.await("the waits", func() bool { return k.table.Status().LocksWaiting == 20 })
	k.end()
	if total, used := k.s.slots.bytes(); total != 0 || used != 0 {
		t.Errorf("%d bytes of memory left, %d in use", total, used)
	}
}

func TestHangingRequestDoesNotKeepTheMount(t *testing.T) {
	g := newGated()
	k := play(t, Options{Linger: 50 * time.Millisecond}, g.on)
	node, fh := k.create("f")
	send(k, opRead, node, &gofuse.ReadIn{Fh: fh, Size: 5})
	<-g.arrived
	k.end()
	g.openGate()
	k.await("the reader", func() bool { return k.s.running.len() == 0 })
}

func TestBlockedReadsHoldNoBuffers(t *testing.T) {
	const n = 500
	g := newGated()
	k := play(t, Options{}, g.on)
	defer g.openGate()
	node, fh := k.create("f")
	for range n {
		send(k, opRead, node, &gofuse.ReadIn{Fh: fh, Size: 1 << 20})
	}
	for range n {
		<-g.arrived
	}
	if _, used := k.s.slots.bytes(); used > int64(n*tinySize)+int64(idleReaders())*(2<<20) {
		t.Errorf("%d bytes in use by %d blocked reads", used, n)
	}
	if s := k.s.Stats(); s.InFlight != n {
		t.Errorf("%d in flight", s.InFlight)
	}
	g.openGate()
	for range n {
		if h, body := k.reply(); h.Status != 0 || len(body) != 0 {
			t.Fatalf("%+v", h)
		}
	}
}

// keeper answers writes at once and keeps their payloads.
type keeper struct {
	xlator.Default
	kept    []xlator.Payload
	refused int
}

func (w *keeper) Writev(_ context.Context, r *xlator.WritevReq) (*xlator.WritevRep, error) {
	if r.Payload.Retain() {
		w.kept = append(w.kept, r.Payload)
	} else {
		w.refused++
	}
	return &xlator.WritevRep{Size: len(r.Payload.Bytes)}, nil
}

func TestPayloadOfAnEarlyAnswerStays(t *testing.T) {
	w := &keeper{}
	k := play(t, Options{EarlyWrites: 4 << 20}, func(next xlator.Fops) xlator.Fops { w.Next = next; return w })
	node, fh := k.create("f")
	sizes := []int{1, 100, 500, 4096, 5000, 8192, 100 << 10, 1 << 20}
	for round := range 12 {
		for i, n := range sizes {
			k.want(k.write(node, fh, bytes.Repeat([]byte{byte(16*round + i)}, n)), 0)
		}
	}
	if w.refused == 0 || len(w.kept) < len(sizes) {
		t.Fatalf("%d kept, %d refused: the budget does not count", len(w.kept), w.refused)
	}
	if n := k.s.slots.early.used.Load(); n > 4<<20 {
		t.Errorf("%d bytes kept", n)
	}
	for _, p := range w.kept {
		if len(p.Bytes) > 0 && bytes.Count(p.Bytes, p.Bytes[:1]) != len(p.Bytes) {
			t.Errorf("a payload of %d bytes has changed", len(p.Bytes))
		}
		p.Release()
	}
	if n := k.s.slots.early.used.Load(); n != 0 {
		t.Errorf("%d bytes still count", n)
	}
}

func TestLargeWritesAreBoundedAndOthersGoOn(t *testing.T) {
	g := newGated()
	var w gatedWriter
	w.gated = g
	k := play(t, Options{LargeWrites: 2 << 20}, func(next xlator.Fops) xlator.Fops { g.Next = next; w.Next = next; return &w })
	defer g.openGate()
	node, fh := k.create("f")
	const n = 6
	for range n {
		k.write(node, fh, make([]byte, 1<<20))
	}
	<-g.arrived
	k.await("the others", func() bool { return k.s.running.len() == n })
	k.want(send(k, opGetattr, 1, &gofuse.GetAttrIn{}), 0) // small requests pass
	if a := len(g.arrived); a != 0 {
		t.Errorf("%d more large writes in the graph", a)
	}
	g.openGate()
	for range n {
		if h, _ := k.reply(); h.Status != 0 {
			t.Fatalf("%+v", h)
		}
	}
}

type gatedWriter struct {
	xlator.Default
	gated *gated
}

func (w *gatedWriter) Writev(ctx context.Context, r *xlator.WritevReq) (*xlator.WritevRep, error) {
	w.gated.arrived <- struct{}{}
	<-w.gated.gate
	return w.Next.Writev(ctx, r)
}

func TestNumbersNobodyKnows(t *testing.T) {
	k := play(t, Options{}, nil)
	const stale = 77 | 3<<32
	k.want(send(k, opGetattr, stale, &gofuse.GetAttrIn{}), unix.ESTALE)
	k.want(send(k, opLookup, stale, &gofuse.InHeader{}, cstr("x")), unix.ESTALE)
	k.want(send(k, opLookup, stale, &gofuse.InHeader{}, cstr(".")), unix.ESTALE)
	k.want(send(k, opOpen, stale, &gofuse.OpenIn{}), unix.ESTALE)
	k.want(send(k, opRead, 1, &gofuse.ReadIn{Fh: stale, Size: 1}), unix.EBADF)
	k.want(send(k, opWrite, 1, &gofuse.WriteIn{Fh: stale, Size: 1}, []byte("x")), unix.EBADF)
	k.want(send(k, opFsync, 1, &gofuse.FsyncIn{Fh: stale}), unix.EBADF)
	k.want(send(k, opRelease, 1, &gofuse.ReleaseIn{Fh: stale}), 0)
	send(k, opForget, stale, &gofuse.ForgetIn{Nlookup: 5})
	if s := k.table.Status(); s.Open != 0 || s.Nodes != 1 {
		t.Errorf("%+v", s)
	}
}

func TestNegativeEntryIsNodeZero(t *testing.T) {
	k := play(t, Options{NegativeTimeout: 1500 * time.Millisecond}, nil)
	out := as[gofuse.EntryOut](k, k.want(send(k, opLookup, 1, &gofuse.InHeader{}, cstr("no")), 0))
	if out.NodeId != 0 || out.EntryTimeout() != 1500*time.Millisecond {
		t.Errorf("%+v", out)
	}
	k = play(t, Options{}, nil)
	k.want(send(k, opLookup, 1, &gofuse.InHeader{}, cstr("no")), unix.ENOENT)
	k.want(send(k, opLookup, 1, &gofuse.InHeader{}, cstr(string(bytes.Repeat([]byte("n"), 256)))), unix.ENAMETOOLONG)
}

func TestCloseTellsOfLateErrorsOnce(t *testing.T) {
	k := play(t, Options{}, nil)
	node, fh := k.create("f")
	other := k.open(node)
	gfid := k.table.Node(node).GFID()
	flush := func(fh uint64) uint64 { return send(k, opFlush, node, &gofuse.FlushIn{Fh: fh}) }
	k.table.Record(gfid, errors.Join(errors.New("brick"), unix.ENOSPC))
	k.want(k.write(node, fh, []byte("x")), unix.ENOSPC)
	k.want(k.write(node, fh, []byte("x")), 0)
	k.want(flush(fh), 0)
	k.want(flush(other), unix.ENOSPC)
	k.want(flush(other), 0)
	k.table.Record(gfid, unix.EDQUOT)
	k.want(send(k, opFsync, node, &gofuse.FsyncIn{Fh: fh}), unix.EDQUOT)
	k.want(send(k, opFsync, node, &gofuse.FsyncIn{Fh: fh}), 0)
	k.want(send(k, opFsync, node, &gofuse.FsyncIn{Fh: other}), unix.EDQUOT)
}

func TestCloseDropsTheOwnersLocks(t *testing.T) {
	k := play(t, Options{}, nil)
	node, fh := k.create("f")
	k.want(k.lock(opSetlk, node, fh, 1, unix.F_WRLCK), 0)
	k.want(k.lock(opSetlk, node, fh, 2, unix.F_RDLCK), unix.EAGAIN)
	u := k.lock(opGetlk, node, fh, 2, unix.F_RDLCK)
	if l := as[gofuse.LkOut](k, k.want(u, 0)).Lk; l.Typ != unix.F_WRLCK || l.End != 1<<63-1 || l.Pid != 4711 {
		t.Errorf("GETLK says %+v", l)
	}
	k.want(send(k, opFlush, node, &gofuse.FlushIn{Fh: fh, LockOwner: 2}), 0)
	k.want(k.lock(opSetlk, node, fh, 2, unix.F_RDLCK), unix.EAGAIN)
	k.want(send(k, opFlush, node, &gofuse.FlushIn{Fh: fh, LockOwner: 1}), 0)
	k.want(k.lock(opSetlk, node, fh, 2, unix.F_RDLCK), 0)
}

func TestNotificationsAreSentFromTheQueue(t *testing.T) {
	k := play(t, Options{}, nil)
	k.s.Invalidate(77)
	h, body := k.reply()
	if m := as[gofuse.NotifyInvalInodeOut](k, body); h.Unique != 0 || h.Status != notifyInvalInode || m.Ino != 77 || m.Off != 0 || m.Length != 0 {
		t.Errorf("%+v %+v", h, m)
	}
	k.s.InvalidateEntry(1, "name")
	h, body = k.reply()
	m := as[gofuse.NotifyInvalEntryOut](k, body)
	if name := string(body[unsafe.Sizeof(*m):]); h.Status != notifyInvalEntry || m.Parent != 1 || m.NameLen != 4 || name != "name\x00" {
		t.Errorf("%+v %+v %q", h, m, name)
	}
}
