package fuse

import (
	"context"
	"errors"
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
					if h.Opcode != opMkdir || h.Unique != c.Unique || e.Reply(ch.Slot(i)) != nil {
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
