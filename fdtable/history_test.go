package fdtable_test

import (
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/holdfast/holdfast/fdtable"
	"github.com/holdfast/holdfast/xlator"
)

// scope is a part of a test that cleans up at its own end.
type scope struct {
	testing.TB
	ends []func()
}

func (s *scope) Cleanup(f func()) { s.ends = append(s.ends, f) }

func (s *scope) end() {
	for _, f := range slices.Backward(s.ends) {
		f()
	}
}

// history is a mount under random requests, as the kernel sees it.
type history struct {
	k     *keeper
	dir   string
	m     *mount
	files []uint64          // nodeids that the kernel knows, but the root
	knows map[uint64]uint64 // how many lookups of each
	open  []uint64          // fhs
	used  map[uint64]bool   // fhs and nodeids that were ever given out
	names int
}

// new checks that a number was never given out.
func (h *history) new(rt *rapid.T, number, kind uint64) {
	if h.used[number^kind<<63] {
		rt.Fatalf("number %#x is used again", number)
	}
	h.used[number^kind<<63] = true
}

func (h *history) pick(rt *rapid.T, of []uint64, what string) uint64 {
	if len(of) == 0 {
		rt.Skip("nothing to choose from")
	}
	return rapid.SampledFrom(of).Draw(rt, what)
}

func (h *history) file(rt *rapid.T) *file {
	b := h.m.table.FD(h.pick(rt, h.open, "fh"))
	if b == nil {
		rt.Fatal("an open file is not known")
	}
	return &file{h.m, b.Node(), b}
}

func (h *history) node(rt *rapid.T) *fdtable.Node {
	n := h.m.table.Node(h.pick(rt, h.files, "node"))
	if n == nil {
		rt.Fatal("a node that the kernel knows is not known")
	}
	return n
}

func (h *history) found(rt *rapid.T, n *fdtable.Node) {
	if h.knows[n.ID()] == 0 {
		if !slices.ContainsFunc(h.open, func(fh uint64) bool { b := h.m.table.FD(fh); return b != nil && b.Node() == n }) {
			h.new(rt, n.ID(), 0)
		}
		h.files = append(h.files, n.ID())
	}
	h.knows[n.ID()]++
}

func (h *history) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"create": func(rt *rapid.T) {
			h.names++
			f := h.m.create(fmt.Sprint("f", h.names))
			h.found(rt, f.n)
			h.new(rt, f.b.FH(), 1)
			h.open = append(h.open, f.b.FH())
		},
		"lookup": func(rt *rapid.T) {
			n := h.node(rt)
			h.found(rt, h.m.table.Found(n.GFID(), n.Type()))
		},
		"forget": func(rt *rapid.T) {
			n := h.node(rt)
			some := rapid.Uint64Range(1, h.knows[n.ID()]).Draw(rt, "lookups")
			h.m.table.Forget(n.ID(), some)
			if h.knows[n.ID()] -= some; h.knows[n.ID()] == 0 {
				delete(h.knows, n.ID())
				h.files = slices.DeleteFunc(h.files, func(id uint64) bool { return id == n.ID() })
			}
		},
		"open": func(rt *rapid.T) {
			f := h.m.open(h.node(rt), rapid.SampledFrom([]uint32{unix.O_RDONLY, unix.O_RDWR}).Draw(rt, "flags"))
			h.new(rt, f.b.FH(), 1)
			h.open = append(h.open, f.b.FH())
		},
		"release": func(rt *rapid.T) {
			f := h.file(rt)
			fh := f.b.FH()
			h.m.table.Release(h.m.call(), f.b)
			h.open = slices.DeleteFunc(h.open, func(x uint64) bool { return x == fh })
			if h.m.table.FD(fh) != nil {
				rt.Fatal("a number is known after its release")
			}
		},
		"lock": func(rt *rapid.T) {
			f := h.file(rt)
			l := lockOf(rapid.Uint64Range(1, 3).Draw(rt, "owner"), rapid.SampledFrom([]int16{unix.F_RDLCK, unix.F_WRLCK, unix.F_UNLCK}).Draw(rt, "type"), 0, 0)
			if l.Flock = rapid.Bool().Draw(rt, "flock"); l.Flock {
				l.Owner, l.End = f.b.FH(), 1<<63-1 // as the kernel: an owner for each open
			} else {
				l.Start = rapid.Int64Range(0, 20).Draw(rt, "start")
				l.End = l.Start + rapid.Int64Range(0, 20).Draw(rt, "length")
			}
			if err := h.m.table.Setlk(h.m.call(), f.b, l, false); err != nil && xlator.Errno(err) != unix.EAGAIN {
				rt.Fatal(err)
			}
		},
		"flush": func(rt *rapid.T) {
			f, call := h.file(rt), h.m.call()
			call.LockOwner = rapid.Uint64Range(1, 3).Draw(rt, "owner")
			if err := h.m.table.FlushLocks(call, f.b); err != nil {
				rt.Fatal(err)
			}
		},
		"error": func(rt *rapid.T) {
			errno := rapid.SampledFrom([]unix.Errno{unix.EIO, unix.ENOSPC, unix.EDQUOT}).Draw(rt, "errno")
			h.m.table.Record(h.node(rt).GFID(), fmt.Errorf("brick: %w", errno))
		},
		"report": func(rt *rapid.T) {
			f := h.file(rt)
			_ = f.b.TakeError()
			f.b.CommitCursor()
		},
		"use": func(rt *rapid.T) {
			if _, err := h.file(rt).read(1, 0); err != nil {
				rt.Fatal(err)
			}
		},
		"die": func(rt *rapid.T) {
			if rapid.IntRange(0, 3).Draw(rt, "how likely") == 0 {
				h.m = h.k.worker(h.dir, variants[0])
			}
		},
		"": func(rt *rapid.T) { // after each step
			table, end := h.k.table()
			defer end()
			if rapid.Bool().Draw(rt, "wait for the index") {
				table.Indexed()
			}
			if got, want := table.View(), h.m.table.View(); got != want {
				rt.Fatalf("a process that began now would have\n%s\ninstead of\n%s", got, want)
			}
			if _, _, _, dropped, damaged := table.Restored(); dropped+damaged != 0 {
				rt.Fatalf("%d records dropped, %d damaged", dropped, damaged)
			}
		},
	}
}

// Whenever a worker dies, the next one has what it had.
func TestEveryHistoryIsContinuedByTheNextWorker(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := &scope{TB: t}
		defer s.end()
		h := &history{k: newKeeper(s), dir: t.TempDir(), knows: map[uint64]uint64{}, used: map[uint64]bool{}}
		h.m = h.k.worker(h.dir, variants[0])
		rt.Repeat(h.actions())
	})
}
