package fuse

import (
	"bytes"
	"os"
	"syscall"
	"testing"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable/state"
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
	l.mem.CountOwed(1)
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

func (l *left) wait(order, unique, node, fh, owner uint64) *state.Entry {
	l.Helper()
	return l.request(order, unique, message(opSetlkw, node, &gofuse.LkIn{Fh: fh, Owner: owner, Lk: gofuse.FileLock{End: 1<<63 - 1, Typ: unix.F_WRLCK}}))
}
