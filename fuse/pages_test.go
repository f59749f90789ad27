package fuse

import (
	"testing"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
)

func TestReadWaitsForEarlierWritesOfItsPages(t *testing.T) {
	s := &Session{}
	in := make([]uint64, int(unsafe.Sizeof(gofuse.WriteIn{}))/8)
	w := (*gofuse.WriteIn)(unsafe.Pointer(&in[0]))
	w.Opcode, w.NodeId, w.Unique, w.Offset, w.Size = opWrite, 7, 100, 3*pageSize+1, pageSize // pages 3 and 4
	sl := &slot{}
	r := &request{s: s}
	r.begin(sl, unsafe.Slice((*byte)(unsafe.Pointer(w)), unsafe.Sizeof(*w)))
	shard := s.writing.shard(7)
	for _, c := range []struct {
		what         string
		node, unique uint64
		offset, size uint64
		wait         bool
	}{
		{"the page before", 7, 102, 0, 3 * pageSize, false},
		{"its first page", 7, 102, 3 * pageSize, 1, true},
		{"its last page", 7, 102, 5*pageSize - 1, 1, true},
		{"the page after", 7, 102, 5 * pageSize, pageSize, false},
		{"all around", 7, 102, 0, 1 << 20, true},
		{"a read that came before", 7, 98, 3 * pageSize, 1, false},
		{"another file", 7 + 64, 102, 3 * pageSize, 1, false},
	} {
		if got := shard.overlapping(c.node, c.unique, c.offset/pageSize, (c.offset+c.size-1)/pageSize) != nil; got != c.wait {
			t.Errorf("%s: waits %v", c.what, got)
		}
	}
	waited := make(chan error, 1)
	go func() { waited <- s.writing.wait(t.Context(), 7, 102, 3*pageSize, pageSize) }()
	s.writing.end(r)
	if err := <-waited; err != nil {
		t.Error(err)
	}
	s.writing.end(r) // again
	if n := shard.n.Load(); n != 0 || len(shard.all) != 0 {
		t.Errorf("%d left", n)
	}
}
