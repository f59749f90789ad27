package writebehind

import (
	"fmt"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

func TestWriteIsAnsweredBeforeTheChildHasIt(t *testing.T) {
	w := build(t, nil)
	fd := w.create("f", rdwr)
	hold := w.p.hold(writes)
	rep, err := w.x.Writev(xlator.Internal(), req(fd, 0, fill('a', 100)))
	if err != nil || rep.Size != 100 || rep.Attr.Valid() {
		t.Fatalf("%+v, %v", rep, err)
	}
	h := hold.next(t)
	if got := w.content(fd); got != "" {
		t.Fatalf("the brick has %d bytes", len(got))
	}
	flush := async(func() error {
		_, err := w.x.Flush(xlator.Internal(), &xlator.FlushReq{FD: fd})
		return err
	})
	eventually(t, "close waits for the write", func() bool { return w.awaited(fd.Inode()) == 1 })
	pending(t, flush, "close")
	h.pass()
	ended(t, flush, "close")
	if got := w.content(fd); got != string(fill('a', 100)) {
		t.Fatalf("the brick has %d bytes", len(got))
	}
}

func TestEarlyAnswersEndWithTheWindow(t *testing.T) {
	for _, c := range []struct {
		opts  map[string]string
		early int
	}{{map[string]string{"cache-size": "512KB"}, 128}, {nil, 256}, {map[string]string{"window-size": "2MB"}, 512}} {
		t.Run(fmt.Sprint(c.opts), func(t *testing.T) {
			w := build(t, c.opts)
			fd := w.create("f", rdwr)
			far, hold := w.p.hold(writeAt(1<<30)), w.p.hold(writes)
			for n := range c.early {
				w.write(fd, int64(n)*8192, fill('a', 4096)) // gaps: nothing to merge
			}
			last := w.writeAsync(req(fd, 1<<30, fill('b', 4096)))
			other := w.create("g", rdwr)
			w.write(other, 0, fill('c', 4096)) // the window is the file's own
			h := far.next(t)
			pending(t, last, "a write beyond the window")
			h.pass()
			ended(t, last, "that write")
			w.p.end(hold)
			w.flushed(fd)
			w.flushed(other)
			if got, want := len(w.content(fd)), c.early*8192; got < want {
				t.Errorf("%d bytes, want at least %d", got, want)
			}
		})
	}
}

// owner is memory of a request that is overwritten when it is let go.
type owner struct {
	data     []byte
	full     bool
	retained atomic.Int32
}

func (o *owner) Retain() bool {
	if o.full {
		return false
	}
	o.retained.Add(1)
	return true
}

func (o *owner) Release() {
	if o.retained.Add(-1) == 0 {
		clear(o.data)
	}
}

func TestSomeWritesAreNeverAnsweredEarly(t *testing.T) {
	full := func(r *xlator.WritevReq) { r.Payload.Owner = &owner{full: true} }
	direct := func(r *xlator.WritevReq) { r.Flags |= unix.O_DIRECT }
	for _, c := range []struct {
		name  string
		flags uint32
		opts  map[string]string
		phase xlator.PhaseName
		early bool
		with  func(*xlator.WritevReq)
	}{
		{"plain", rdwr, nil, xlator.PhaseServing, true, nil},
		{"O_DSYNC", rdwr | unix.O_DSYNC, nil, xlator.PhaseServing, false, nil},
		{"O_SYNC", rdwr | unix.O_SYNC, nil, xlator.PhaseServing, false, nil},
		{"O_SYNC set later", rdwr, nil, xlator.PhaseServing, false, func(r *xlator.WritevReq) { r.Flags |= unix.O_SYNC }},
		{"O_DIRECT", rdwr, nil, xlator.PhaseServing, true, direct},
		{"O_DIRECT, strict", rdwr, map[string]string{"strict-O_DIRECT": "on"}, xlator.PhaseServing, false, direct},
		{"no room", rdwr, nil, xlator.PhaseServing, false, full},
		{"pages of a map", rdwr, nil, xlator.PhaseServing, true, func(r *xlator.WritevReq) { r.Paged = true }},
		{"far away", rdwr, nil, xlator.PhaseServing, false, func(r *xlator.WritevReq) { r.Offset = 1<<43 - 10 }},
		{"larger than the window", rdwr, map[string]string{"cache-size": "512KB"}, xlator.PhaseServing, false,
			func(r *xlator.WritevReq) { r.Payload.Bytes = fill('x', 512<<10+1) }},
		{"nothing", rdwr, nil, xlator.PhaseServing, false, func(r *xlator.WritevReq) { r.Payload.Bytes = nil }},
		{"passing through", rdwr, map[string]string{"pass-through": "on"}, xlator.PhaseServing, false, nil},
		{"settling", rdwr, nil, xlator.PhaseSettling, false, nil},
		{"draining", rdwr, nil, xlator.PhaseDraining, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := build(t, c.opts)
			fd := w.create("f", c.flags)
			w.Phase.Set(c.phase)
			r := req(fd, 0, fill('a', 4096))
			if c.with != nil {
				c.with(r)
			}
			hold := w.p.hold(writes)
			done := w.writeAsync(r)
			h := hold.next(t)
			if c.early {
				ended(t, done, "an early write")
				h.pass()
				return
			}
			pending(t, done, "the write")
			if n := w.x.Dirty(); len(n) != 0 {
				t.Errorf("dirty without acknowledged data: %v", n)
			}
			h.pass()
			ended(t, done, "the write")
		})
	}
}

func TestWriteThatMustFailIsNotAnsweredEarly(t *testing.T) {
	w := build(t, nil)
	i := w.create("f", rdwr).Inode()
	ro := w.open(i, unix.O_RDONLY)
	if _, err := w.x.Writev(xlator.Internal(), req(ro, 0, fill('a', 10))); xlator.Errno(err) != unix.EBADF {
		t.Errorf("on a file open for reading: %v", err)
	}
	fd := w.open(i, rdwr)
	if _, err := w.x.Writev(xlator.Internal(), req(fd, -1, fill('a', 10))); xlator.Errno(err) != unix.EINVAL {
		t.Errorf("at -1: %v", err)
	}
	if _, err := w.x.Writev(xlator.Internal(), req(fd, 1<<63-5, fill('a', 10))); xlator.Errno(err) != unix.EFBIG && xlator.Errno(err) != unix.EINVAL {
		t.Errorf("beyond the end of the world: %v", err)
	}
	if errs := w.Errors.Of(i.GFID()); len(errs) > 0 {
		t.Errorf("recorded as well: %v", errs)
	}
}

// The payload is the request's own memory until the child has answered, and not
// longer.
func TestPayloadIsRetainedUntilTheChildHasIt(t *testing.T) {
	w := build(t, nil)
	fd := w.create("f", rdwr)
	hold := w.p.hold(writes)
	var owners []*owner
	for n := range 10 {
		o := &owner{data: fill(byte('a'+n), 1000)}
		owners = append(owners, o)
		r := req(fd, int64(n)*1000, o.data)
		r.Payload.Owner = o
		o.retained.Add(1) // the request's own
		if _, err := w.x.Writev(xlator.Internal(), r); err != nil {
			t.Fatal(err)
		}
		o.Release() // the request is answered
	}
	h := hold.next(t)
	for n, o := range owners {
		if o.retained.Load() != 1 {
			t.Fatalf("payload %d is retained %d times", n, o.retained.Load())
		}
	}
	w.p.end(hold)
	h.pass()
	w.flushed(fd)
	for n, o := range owners {
		if o.retained.Load() != 0 {
			t.Errorf("payload %d is still retained %d times", n, o.retained.Load())
		}
	}
	got := w.content(fd)
	for n := range 10 {
		if want := string(fill(byte('a'+n), 1000)); got[n*1000:(n+1)*1000] != want {
			t.Errorf("part %d was changed before it was written", n)
		}
	}
}

func TestBackgroundWriteIsTheCallers(t *testing.T) {
	w := build(t, nil)
	fd := w.create("f", rdwr)
	call := &xlator.Call{Unique: 77, UID: 1001, GID: 1002, PID: 1003, LockOwner: 1004, Groups: []uint32{7, 8}}
	groups := call.Groups
	hold := w.p.hold(writes)
	if _, err := w.x.Writev(call, req(fd, 0, fill('a', 10))); err != nil {
		t.Fatal(err)
	}
	call.Reset() // the request is answered: its Call serves another
	groups[0], groups[1] = 0, 0
	h := hold.next(t)
	h.pass()
	w.flushed(fd)
	for _, e := range w.p.events() {
		if e.fop != xlator.FopWritev {
			continue
		}
		c := e.call
		if c.Unique != 77 || c.UID != 1001 || c.GID != 1002 || c.PID != 1003 || c.LockOwner != 1004 || len(c.Groups) != 2 || c.Groups[0] != 7 {
			t.Errorf("written by %+v", c)
		}
	}
}

func TestNumberOfDirtyFilesIsBounded(t *testing.T) {
	w := build(t, nil)
	hold := w.p.hold(writes)
	for n := range maxDirty {
		w.write(w.create(fmt.Sprint("f", n), rdwr), 0, fill('a', 10))
	}
	done := w.writeAsync(req(w.create("one more", rdwr), 0, fill('b', 10)))
	var more *held // they come in any order
	for range maxDirty + 1 {
		if h := hold.next(t); h.req.(*xlator.WritevReq).Payload.Bytes[0] == 'b' {
			more = h
		} else {
			defer h.pass()
		}
	}
	pending(t, done, "the write of one file too many")
	more.pass()
	ended(t, done, "that write")
	if n := len(w.x.Dirty()); n != maxDirty {
		t.Errorf("%d files dirty", n)
	}
	w.p.end(hold)
}
