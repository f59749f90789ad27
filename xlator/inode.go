package xlator

import (
	"sync"
	"sync/atomic"
	"unsafe"
	"weak"
)

// Inode is the identity of a file in one graph, immutable, with one slot per
// translator that asked for one. There is never a second Inode of a gfid in a
// graph (see InodeTable).
type Inode struct {
	gfid  GFID
	typ   FileType
	slots []unsafe.Pointer
}

// GFID is the inode's identity.
func (i *Inode) GFID() GFID { return i.gfid }

// Type is the inode's type.
func (i *Inode) Type() FileType { return i.typ }

// FD is an open file or directory in one graph: immutable identity plus slots.
type FD struct {
	inode *Inode
	flags uint32
	base  uint64
	slots []unsafe.Pointer
}

// Inode is the file that is open.
func (f *FD) Inode() *Inode { return f.inode }

// Flags are the open(2) flags without O_CREAT, O_EXCL and O_TRUNC.
func (f *FD) Flags() uint32 { return f.flags }

// Base is the number of the base fd that this FD serves, the same in every
// graph; 0 for a file that the client opened for itself.
func (f *FD) Base() uint64 { return f.base }

// Slots hands out slot numbers while a graph is built.
type Slots struct {
	inode, fd int
}

// InodeSlot is a translator's own typed place in each Inode of its graph.
type InodeSlot[T any] struct{ n int }

// FDSlot is a translator's own typed place in each FD of its graph.
type FDSlot[T any] struct{ n int }

// NewInodeSlot reserves a place in each Inode of the graph being built.
func NewInodeSlot[T any](e *Env) InodeSlot[T] {
	e.Slots.inode++
	return InodeSlot[T]{e.Slots.inode - 1}
}

// NewFDSlot reserves a place in each FD of the graph being built.
func NewFDSlot[T any](e *Env) FDSlot[T] {
	e.Slots.fd++
	return FDSlot[T]{e.Slots.fd - 1}
}

func load[T any](p *unsafe.Pointer) *T { return (*T)(atomic.LoadPointer(p)) }

// Get returns what the translator keeps there, or nil.
func (s InodeSlot[T]) Get(i *Inode) *T { return load[T](&i.slots[s.n]) }

// Set replaces what is there.
func (s InodeSlot[T]) Set(i *Inode, v *T) { atomic.StorePointer(&i.slots[s.n], unsafe.Pointer(v)) }

// GetOrSet returns what is there, or v after putting it there: of several at
// once one wins, and all get the winner's.
func (s InodeSlot[T]) GetOrSet(i *Inode, v *T) *T {
	if atomic.CompareAndSwapPointer(&i.slots[s.n], nil, unsafe.Pointer(v)) {
		return v
	}
	return s.Get(i)
}

// Get returns what the translator keeps there, or nil.
func (s FDSlot[T]) Get(f *FD) *T { return load[T](&f.slots[s.n]) }

// Set replaces what is there.
func (s FDSlot[T]) Set(f *FD, v *T) { atomic.StorePointer(&f.slots[s.n], unsafe.Pointer(v)) }

const inodeShards = 64

// InodeTable maps gfid to Inode for one graph, weakly: an Inode lives as long
// as something uses it.
type InodeTable struct {
	slots  *Slots
	shards [inodeShards]inodeShard
}

type inodeShard struct {
	mu sync.Mutex
	m  map[GFID]weak.Pointer[Inode] // guarded by mu; has Inodes that are gone, too
	// full is the length of m at which those are taken out: a cleanup for
	// each Inode cost as much as making it, and thousands of them ran at once
	// after a graph. Guarded by mu.
	full int
}

// minFull is the least a shard holds before the first look for what is gone.
const minFull = 32

// add puts an Inode in. Called with mu held.
func (s *inodeShard) add(i *Inode) {
	if len(s.m) >= max(s.full, minFull) {
		for g, p := range s.m {
			if p.Value() == nil {
				delete(s.m, g)
			}
		}
		s.full = 2 * len(s.m)
	}
	s.m[i.gfid] = weak.Make(i)
}

// NewInodeTable returns an empty table for a graph whose translators have all
// reserved their slots in s by the time of the first Get.
func NewInodeTable(s *Slots) *InodeTable {
	t := &InodeTable{slots: s}
	for i := range t.shards {
		t.shards[i].m = map[GFID]weak.Pointer[Inode]{}
	}
	return t
}

func (t *InodeTable) shard(g GFID) *inodeShard { return &t.shards[g[15]%inodeShards] }

// Get returns the graph's Inode of g, made with that type if there is none.
func (t *InodeTable) Get(g GFID, typ FileType) *Inode {
	s := t.shard(g)
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.m[g].Value(); i != nil {
		return i
	}
	i := &Inode{gfid: g, typ: typ, slots: make([]unsafe.Pointer, t.slots.inode)}
	s.add(i)
	return i
}

// Find returns the graph's Inode of g if it is in use.
func (t *InodeTable) Find(g GFID) *Inode {
	s := t.shard(g)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[g].Value()
}

// Len is the number of gfids in the table, some of Inodes that are gone, for
// people to look at.
func (t *InodeTable) Len() int {
	n := 0
	for i := range t.shards {
		t.shards[i].mu.Lock()
		n += len(t.shards[i].m)
		t.shards[i].mu.Unlock()
	}
	return n
}

// NewFD returns an FD of that inode. flags lose O_CREAT, O_EXCL and O_TRUNC:
// a handle must be able to be opened again without harm.
func (t *InodeTable) NewFD(i *Inode, flags uint32, base uint64) *FD {
	return &FD{inode: i, flags: CleanOpenFlags(flags), base: base, slots: make([]unsafe.Pointer, t.slots.fd)}
}
