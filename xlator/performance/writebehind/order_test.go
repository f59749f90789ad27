package writebehind

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// Of two writes that overlap the second waits for the first, answered early or
// not, and wins.
func TestLaterOfTwoOverlappingWritesWins(t *testing.T) {
	for _, c := range []struct {
		name          string
		first, second func(*xlator.WritevReq)
	}{
		{"both early", nil, nil},
		{"the second synchronous", nil, func(r *xlator.WritevReq) { r.Flags |= unix.O_SYNC }},
		{"the first synchronous", func(r *xlator.WritevReq) { r.Flags |= unix.O_SYNC }, nil},
		{"both synchronous", func(r *xlator.WritevReq) { r.Flags |= unix.O_SYNC }, func(r *xlator.WritevReq) { r.Flags |= unix.O_SYNC }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := build(t, nil)
			fd := w.create("f", rdwr)
			hold := w.p.hold(writes)
			one, two := req(fd, 0, fill('1', 8192)), req(fd, 4096, fill('2', 8192))
			if c.first != nil {
				c.first(one)
			}
			if c.second != nil {
				c.second(two)
			}
			first := w.writeAsync(one)
			h := hold.next(t)
			second := w.writeAsync(two)
			eventually(t, "two writes queued", func() bool { return w.queued(fd.Inode()) == 2 })
			hold.none(t, "while the first is in the child")
			h.pass()
			h = hold.next(t)
			if r := h.req.(*xlator.WritevReq); r.Offset != 4096 {
				t.Fatalf("write at %d", r.Offset)
			}
			h.pass()
			ended(t, first, "the first write")
			ended(t, second, "the second write")
			w.flushed(fd)
			if got := w.content(fd); got != string(fill('1', 4096))+string(fill('2', 8192)) {
				t.Error("the first write won")
			}
		})
	}
}

// A write that was acknowledged before the drain began and one after it that
// overlaps: the second wins, and its reply waits.
func TestWriteWhileDrainingComesAfterWhatIsQueued(t *testing.T) {
	w := build(t, nil)
	fd := w.create("f", rdwr)
	hold := w.p.hold(writes)
	w.write(fd, 0, fill('1', 4096))
	h := hold.next(t)
	w.Phase.Set(xlator.PhaseDraining)
	second := w.writeAsync(req(fd, 1000, fill('2', 1000)))
	eventually(t, "the second write queued", func() bool { return w.awaited(fd.Inode()) == 1 })
	hold.none(t, "while the first is in the child")
	drained := async(func() error { return w.x.Drain(t.Context()) })
	h.pass()
	h = hold.next(t)
	ended(t, drained, "the drain") // what is not acknowledged is not dirty
	pending(t, second, "the second write")
	h.pass()
	ended(t, second, "the second write")
	want := string(fill('1', 1000)) + string(fill('2', 1000)) + string(fill('1', 2096))
	if got := w.content(fd); got != want {
		t.Error("the first write won")
	}
}

func TestWritesThatDoNotOverlapGoTogetherButNotTooMany(t *testing.T) {
	w := build(t, nil)
	fd := w.create("f", rdwr)
	hold := w.p.hold(writes)
	for n := range 20 {
		w.write(fd, int64(n)*8192, fill('a', 4096))
	}
	for range maxInFlight {
		defer hold.next(t).pass()
	}
	hold.none(t, "with the most in the child")
	w.p.end(hold)
}

func TestStrictOrderingSendsOneAfterAnother(t *testing.T) {
	for name, c := range map[string]struct {
		opts  map[string]string
		flags uint32
	}{
		"option":   {map[string]string{"strict-write-ordering": "on"}, rdwr},
		"O_APPEND": {nil, rdwr | unix.O_APPEND},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, c.opts)
			fd := w.create("f", c.flags)
			for n := range 50 {
				w.write(fd, int64(n)*8192, fill('a', 4096))
			}
			w.flushed(fd)
			at := int64(-1)
			for _, e := range w.p.events() {
				if e.fop == xlator.FopWritev {
					if e.off < at {
						t.Errorf("write at %d after that at %d", e.off, at)
					}
					at = e.off
				}
			}
			if w.p.most != 1 {
				t.Errorf("%d writes in the child together", w.p.most)
			}
		})
	}
}

func TestAdjacentWritesAreSentTogether(t *testing.T) {
	w := build(t, map[string]string{"aggregate-size": "64KB"})
	fd := w.create("f", rdwr)
	hold := w.p.hold(writeAt(0))
	w.write(fd, 0, fill('0', 4096))
	h := hold.next(t)
	for n := 1; n < 40; n++ {
		w.write(fd, int64(n)*4096, fill(byte('0'+n), 4096))
	}
	eventually(t, "what is full was sent, the rest waits for company", func() bool { return w.queued(fd.Inode()) == 2 })
	h.pass()
	w.flushed(fd)
	var sizes []string
	for _, e := range w.p.events() {
		if e.fop == xlator.FopWritev && e.off > 0 {
			sizes = append(sizes, fmt.Sprintf("%d at %d", e.size/4096, e.off/4096))
		}
	}
	if got := strings.Join(sizes, ", "); got != "16 at 1, 16 at 17, 7 at 33" && got != "16 at 17, 16 at 1, 7 at 33" {
		t.Errorf("sent %s", got)
	}
	got := w.content(fd)
	for n := range 40 {
		if got[n*4096:(n+1)*4096] != string(fill(byte('0'+n), 4096)) {
			t.Errorf("block %d is wrong", n)
		}
	}
}

func TestOnlyTheSameCallersWritesAreSentTogether(t *testing.T) {
	for _, c := range []struct {
		name     string
		together bool
		second   func(w *world, r *xlator.WritevReq, call *xlator.Call)
	}{
		{"the same", true, func(*world, *xlator.WritevReq, *xlator.Call) {}},
		{"not adjacent", false, func(_ *world, r *xlator.WritevReq, _ *xlator.Call) { r.Offset++ }},
		{"another fd", false, func(w *world, r *xlator.WritevReq, _ *xlator.Call) { r.FD = w.open(r.FD.Inode(), rdwr) }},
		{"another owner", false, func(_ *world, _ *xlator.WritevReq, c *xlator.Call) { c.LockOwner = 9 }},
		{"another user", false, func(_ *world, _ *xlator.WritevReq, c *xlator.Call) { c.UID = 9 }},
		{"another group", false, func(_ *world, _ *xlator.WritevReq, c *xlator.Call) { c.Groups = []uint32{9} }},
		{"other flags", false, func(_ *world, r *xlator.WritevReq, _ *xlator.Call) { r.Flags |= unix.O_DIRECT }},
		{"set-uid to clear", false, func(_ *world, r *xlator.WritevReq, _ *xlator.Call) { r.KillPriv = true }},
		{"as large as that", false, func(_ *world, r *xlator.WritevReq, _ *xlator.Call) { r.Payload.Bytes = fill('c', 128<<10) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := build(t, nil)
			fd := w.create("f", rdwr)
			hold := w.p.hold(writeAt(1 << 20))
			w.write(fd, 1<<20, fill('z', 100)) // in the child, so that the next waits for company
			h := hold.next(t)
			w.write(fd, 0, fill('a', 1000))
			r, call := req(fd, 1000, fill('b', 1000)), xlator.Internal()
			c.second(w, r, call)
			if _, err := w.x.Writev(call, r); err != nil {
				t.Fatal(err)
			}
			h.pass()
			w.flushed(fd)
			n := 0
			for _, e := range w.p.events() {
				if e.fop == xlator.FopWritev {
					n++
				}
			}
			if together := n == 2; together != c.together {
				t.Errorf("%d writes came to the child", n)
			}
		})
	}
}

func TestWithoutTricklingASmallWriteWaitsToBeWanted(t *testing.T) {
	w := build(t, map[string]string{"trickling-writes": "off"})
	fd := w.create("f", rdwr)
	hold := w.p.hold(writes)
	w.write(fd, 0, fill('a', 4096))
	w.write(fd, 4096, fill('b', 4096))
	hold.none(t, "before anybody wants it")
	w.write(fd, 1<<20, fill('c', 4096)) // not adjacent: the others need not wait any more
	h := hold.next(t)
	if r := h.req.(*xlator.WritevReq); r.Offset != 0 || len(r.Payload.Bytes) != 8192 {
		t.Errorf("%d bytes at %d", len(r.Payload.Bytes), r.Offset)
	}
	h.pass()
	eventually(t, "one write left", func() bool { return w.queued(fd.Inode()) == 1 })
	hold.none(t, "before anybody wants it")
	drained := async(func() error { w.Phase.Set(xlator.PhaseDraining); return w.x.Drain(t.Context()) })
	hold.next(t).pass()
	ended(t, drained, "drain")
	w.Phase.Set(xlator.PhaseServing)
	w.write(fd, 0, fill('d', 10))
	hold.none(t, "before anybody wants it")
	w.reconfigure(map[string]string{"trickling-writes": "on"})
	hold.next(t).pass()
	w.p.end(hold)
}

func (w *world) reconfigure(opts map[string]string) {
	w.t.Helper()
	v, err := Type().Defaults()
	if err != nil {
		w.t.Fatal(err)
	}
	for name, text := range opts {
		o, _ := Type().FindOption(name)
		if v[o.Name], err = o.Parse(text); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := w.x.Reconfigure(v); err != nil {
		w.t.Fatal(err)
	}
}

// More hung files than there are writers to share: another file is written all
// the same.
func TestHungFilesDelayNoOther(t *testing.T) {
	w := build(t, nil)
	good := w.create("good", rdwr)
	hold := w.p.hold(func(f xlator.Fop, r any) bool { return writes(f, r) && !writeOf(good.Inode().GFID())(f, r) })
	var n int
	for i := range 3 * extraWriters {
		fd := w.create(fmt.Sprint("hung", i), rdwr)
		for j := range 4 {
			w.write(fd, int64(j)*8192, fill('a', 4096))
		}
	}
	for n < 3*extraWriters+extraWriters {
		h := hold.next(t)
		defer h.pass()
		n++
	}
	for j := range 20 {
		w.write(good, int64(j)*8192, fill('b', 4096))
	}
	w.flushed(good)
	if got := len(w.content(good)); got != 19*8192+4096 {
		t.Errorf("%d bytes", got)
	}
	w.p.end(hold)
}
