package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Version is the layout that this package reads and writes.
const Version = 1

const (
	configAt = 64 << 10
	chunksAt = 4 << 20
	locksAt  = 16 << 20
	fdsAt    = 1 << 30
	nodesAt  = 2 << 30
	arenaAt  = 8 << 30
	// Size is the length of the memory file in bytes, nearly all of it holes.
	Size = 64 << 30
)

// ErrLayout says that the memory is of a layout that this program does not
// know: another version of the program has to serve the mount.
var ErrLayout = errors.New("state memory of another layout")

// ErrDamaged says that the memory fails its checks.
var ErrDamaged = errors.New("state memory is damaged")

// Memory is the state memory of one mount. See the package comment.
type Memory struct {
	// Constant after construction.
	file    *os.File // nil: plain memory
	mapping []byte   // nil: the heap
	durable bool

	header *header
	arena  arena
	locks  lockSlots
	heap   heapPages // used if mapping is nil
}

// Create makes the memory file of a new mount and maps it.
func Create() (*Memory, error) {
	fd, err := unix.MemfdCreate("holdfast-state", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("make the state memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "holdfast-state")
	if err := unix.Ftruncate(fd, Size); err != nil {
		f.Close()
		return nil, fmt.Errorf("make the state memory: %w", err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW); err != nil {
		f.Close()
		return nil, fmt.Errorf("seal the state memory: %w", err)
	}
	m, err := mapFile(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	m.header.version, m.header.arenaTop = Version, arenaAt
	store(&m.header.magic, magic)
	return m, nil
}

// Open maps the memory file of a mount that an earlier process served. f
// belongs to the Memory then. Errors are ErrLayout and ErrDamaged, among
// others.
func Open(f *os.File) (*Memory, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("state memory: %w", err)
	}
	if st.Size() < configAt {
		return nil, fmt.Errorf("%d bytes long: %w", st.Size(), ErrDamaged)
	}
	var head [16]byte
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return nil, fmt.Errorf("state memory: %w", err)
	}
	if binary.NativeEndian.Uint64(head[:]) != magic {
		return nil, fmt.Errorf("it does not begin as it should: %w", ErrDamaged)
	}
	if v := binary.NativeEndian.Uint64(head[8:]); v != Version {
		return nil, fmt.Errorf("version %d, this program knows %d: %w", v, Version, ErrLayout)
	}
	if st.Size() != Size {
		return nil, fmt.Errorf("%d bytes long, not %d: %w", st.Size(), int64(Size), ErrDamaged)
	}
	m, err := mapFile(f)
	if err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		_ = unix.Munmap(m.mapping)
		return nil, err
	}
	m.arena.recover(m)
	m.locks.recover(m)
	return m, nil
}

// Plain returns memory of this process alone.
func Plain() *Memory {
	m := &Memory{}
	if !onHeap {
		if b, err := mapPlain(); err == nil {
			m.mapping = b
		}
	}
	m.header = (*header)(unsafe.Pointer(unsafe.SliceData(m.bytes(0, headerSize))))
	m.header.version, m.header.arenaTop, m.header.magic = Version, arenaAt, magic
	return m
}

func mapFile(f *os.File) (*Memory, error) {
	b, err := unix.Mmap(int(f.Fd()), 0, Size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("map the state memory (%d GiB of address space): %w", Size>>30, err)
	}
	_ = unix.Madvise(b, unix.MADV_DONTDUMP) // it holds what users write
	m := &Memory{file: f, mapping: b, durable: true}
	m.header = (*header)(unsafe.Pointer(unsafe.SliceData(b)))
	return m, nil
}

func mapPlain() ([]byte, error) {
	return unix.Mmap(-1, 0, Size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
}

// Durable reports whether what is recorded outlives the process.
func (m *Memory) Durable() bool { return m != nil && m.durable }

// File is the memory file, to be handed to other processes; nil for plain
// memory. It stays the Memory's.
func (m *Memory) File() *os.File { return m.file }

// Close unmaps the memory. Nobody uses it, or a slice of it, any more.
func (m *Memory) Close() error {
	var err error
	if m.mapping != nil {
		err = unix.Munmap(m.mapping)
		m.mapping, m.header = nil, nil
	}
	if m.file != nil {
		err = errors.Join(err, m.file.Close())
	}
	return err
}

// bytes is the memory from offset at. Records never cross a page of the heap's.
func (m *Memory) bytes(at int64, n int) []byte {
	if m.mapping != nil {
		return m.mapping[at:][:n:n]
	}
	return m.heap.bytes(at, n)
}
