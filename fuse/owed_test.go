package fuse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/xlator"
)

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
