package fuse

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// nameLog is the names that the kernel was told, for the next process: in a file
// that the keeper has. It knows those of told, and others that have been taken back
// since; to take a name back twice does no harm.
//
// Numbers are little-endian.
//
//	header, 4096 bytes
//	   0  u32  magic "HNAM"    stored last when the file is made
//	   4  u32  version, 1
//	   8  u64  bytes used of the half in use; bit 63: it is the second
//	first half, namesHalf bytes
//	second half
//
// A half has records one after the other: u64 directory's nodeid, u8 length, name. A
// record exists when the word at 8 says so. When a half is full, what is still of
// use is written to the other.
//
// Guarded by told.mu, but for the inherited records, which nobody changes.
type nameLog struct {
	mem  []byte
	half int
	used int
	// inherited is how many bytes of the half in use are earlier processes'; 0 when
	// those have been taken back.
	inherited int
}

const (
	namesFile    = "names" // with the keeper
	namesMagic   = 0x4d414e48
	namesVersion = 1
	namesHeader  = 4096
	namesHalf    = 64 << 20
	namesSize    = namesHeader + 2*namesHalf
	secondHalf   = 1 << 63
	nameHead     = 9 // of a record, before the name
)

// openNames finds what the process before has told, or begins. damaged says that
// there was something of no use.
func openNames(keeper xlator.Descriptors) (n *nameLog, damaged bool, err error) {
	fd, ok, err := keeper.Kept(namesFile)
	if err != nil {
		return nil, false, err
	}
	if ok {
		if n, err = mapNames(fd); err == nil {
			if n.load() {
				return n, false, nil
			}
			_ = n.close() // it is a mapping
		}
	}
	n, err = makeNames(keeper)
	return n, ok, err
}

func makeNames(keeper xlator.Descriptors) (*nameLog, error) {
	fd, err := xlator.MakeKept(keeper, namesFile, "holdfast-names", namesSize)
	if err != nil {
		return nil, err
	}
	n, err := mapNames(fd)
	if err != nil {
		return nil, err
	}
	*n.u32(4) = namesVersion
	atomic.StoreUint32(n.u32(0), namesMagic)
	return n, nil
}

// mapNames takes the descriptor.
func mapNames(fd int) (*nameLog, error) {
	defer unix.Close(fd)
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	if err == nil && st.Size != namesSize {
		err = fmt.Errorf("a file of %d bytes, want %d: %w", st.Size, namesSize, syscall.EINVAL)
	}
	if err != nil {
		return nil, err
	}
	mem, err := unix.Mmap(fd, 0, namesSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return &nameLog{mem: mem}, err
}

func (n *nameLog) u32(off int) *uint32 { return (*uint32)(unsafe.Pointer(&n.mem[off])) }
func (n *nameLog) word() *uint64       { return (*uint64)(unsafe.Pointer(&n.mem[8])) }

// load looks at what there is. A file that nobody has finished making is empty.
func (n *nameLog) load() bool {
	if *n.u32(0) == 0 {
		*n.u32(4) = namesVersion
		atomic.StoreUint32(n.u32(0), namesMagic)
	}
	w := atomic.LoadUint64(n.word())
	if *n.u32(0) != namesMagic || *n.u32(4) != namesVersion || w&^secondHalf > namesHalf {
		return false
	}
	n.half, n.used = int(w>>63), int(w&^secondHalf)
	n.inherited = n.used
	return n.each(n.used, func(uint64, string) {})
}

func (n *nameLog) at(half int) []byte { return n.mem[namesHeader+half*namesHalf:][:namesHalf] }

// each calls do for the records in the first bytes of the half in use, and reports
// whether those are whole records.
func (n *nameLog) each(used int, do func(dir uint64, name string)) bool {
	b := n.at(n.half)[:used]
	for len(b) >= nameHead && len(b) >= nameHead+int(b[8]) && b[8] > 0 {
		end := nameHead + int(b[8])
		do(binary.LittleEndian.Uint64(b), string(b[nameHead:end]))
		b = b[end:]
	}
	return len(b) == 0
}

// add notes a name; false if there is no room.
func (n *nameLog) add(dir uint64, name string) bool {
	size := recordSize(name)
	if n.used+size > namesHalf || len(name) > nameMax {
		return false
	}
	put(n.at(n.half)[n.used:], dir, name)
	n.used += size
	n.commit()
	return true
}

func (n *nameLog) commit() { atomic.StoreUint64(n.word(), uint64(n.half)<<63|uint64(n.used)) }

func recordSize(name string) int { return nameHead + len(name) }

func put(b []byte, dir uint64, name string) {
	binary.LittleEndian.PutUint64(b, dir)
	b[8] = byte(len(name))
	copy(b[nameHead:], name)
}

// rewrite puts what is still of use into the other half.
func (n *nameLog) rewrite(each func(do func(dir uint64, name string))) {
	used, to := 0, n.at(1-n.half)
	each(func(dir uint64, name string) {
		put(to[used:], dir, name)
		used += recordSize(name)
	})
	old := n.at(n.half)[:n.used]
	n.half, n.used, n.inherited = 1-n.half, used, 0
	n.commit()
	_ = unix.Madvise(old[:len(old)&^(pageSize-1)], unix.MADV_REMOVE) // else it stays in use
}

func (n *nameLog) close() error { return unix.Munmap(n.mem) }
