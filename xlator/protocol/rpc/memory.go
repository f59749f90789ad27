package rpc

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Memory is where a connection keeps what the next process needs: header and
// slots, and the receive ring. It holds offsets, never pointers.
type Memory interface {
	Layout() Layout
	// Control is the header and the slots, doc.go says how they lie. A new
	// memory is all zero.
	Control() []byte
	// Ring is twice as long as the ring: byte i and byte i+size are the same
	// byte, so a record never wraps.
	Ring() []byte
	// Arrived makes that so after n bytes were put at offset at of the first
	// half (and beyond it into the second).
	Arrived(at, n int)
	// Close gives the memory back. Nothing may still point into it.
	Close() error
}

// Regions are the memories that payloads of calls lie in when they outlive the
// process, as one space of offsets. nil has none.
type Regions interface {
	// Offset says where p lies; ok is false if it is not within one region.
	Offset(p []byte) (off uint64, ok bool)
	// Slice is the inverse; ok is false if there is nothing of that length.
	Slice(off uint64, n int) (p []byte, ok bool)
}

// heapMemory is memory of the Go heap, where the race detector can see it. Its
// ring is kept double by copying.
type heapMemory struct {
	layout        Layout
	control, ring []byte
}

func newHeapMemory(l Layout) *heapMemory {
	return &heapMemory{layout: l, control: make([]byte, l.control()), ring: make([]byte, 2*l.Ring)}
}

func (m *heapMemory) Layout() Layout  { return m.layout }
func (m *heapMemory) Control() []byte { return m.control }
func (m *heapMemory) Ring() []byte    { return m.ring }
func (m *heapMemory) Close() error    { return nil }

func (m *heapMemory) Arrived(at, n int) {
	size := m.layout.Ring
	if k := min(n, size-at); k > 0 {
		copy(m.ring[size+at:], m.ring[at:at+k])
	}
	if over := at + n - size; over > 0 {
		copy(m.ring[:over], m.ring[size:size+over])
	}
}

// mappedMemory is a mapping of a file (a memfd).
type mappedMemory struct {
	layout Layout
	all    []byte
}

// Map maps a connection's memory out of a file, usually a memfd, at an offset
// that is a multiple of the page size. The file must be long enough; it may be
// closed afterwards.
func Map(f *os.File, offset int64, l Layout) (Memory, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("rpc: memory of a connection: %w", err)
	}
	if info.Size() < offset+int64(l.Size()) { // touching what is not there would be a SIGBUS
		return nil, fmt.Errorf("rpc: memory of a connection: %s is %d bytes long, want %d: %w", f.Name(), info.Size(), offset+int64(l.Size()), syscall.EINVAL)
	}
	m, err := mapTwice(int(f.Fd()), offset, l)
	if err != nil {
		return nil, fmt.Errorf("rpc: map memory of a connection: %w", err)
	}
	return m, nil
}

func mapTwice(fd int, offset int64, l Layout) (*mappedMemory, error) {
	size := uintptr(l.control() + 2*l.Ring)
	base, err := unix.MmapPtr(-1, 0, nil, size, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	put := func(at int, fileAt int64, n int) {
		if err == nil {
			_, err = unix.MmapPtr(fd, offset+fileAt, unsafe.Add(base, at), uintptr(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_FIXED)
		}
	}
	put(0, 0, l.Size())
	put(l.Size(), int64(l.control()), l.Ring)
	if err != nil {
		_ = unix.MunmapPtr(base, size) // the first error is the one to tell
		return nil, err
	}
	return &mappedMemory{layout: l, all: unsafe.Slice((*byte)(base), size)}, nil
}

func (m *mappedMemory) Layout() Layout   { return m.layout }
func (m *mappedMemory) Control() []byte  { n := m.layout.control(); return m.all[:n:n] }
func (m *mappedMemory) Ring() []byte     { return m.all[m.layout.control():] }
func (m *mappedMemory) Arrived(int, int) {}
func (m *mappedMemory) Close() error {
	if err := unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(m.all)), uintptr(len(m.all))); err != nil {
		return fmt.Errorf("rpc: unmap memory of a connection: %w", err)
	}
	return nil
}
