package fuse

import (
	"bytes"
	"log/slog"
	"testing"
	"unsafe"

	"github.com/holdfast/holdfast/fdtable/state"
)

// plainSlots are slots of memory that ends with the test.
func plainSlots(t testing.TB, maxWrite int, early int64) *slots {
	mem := state.Plain()
	t.Cleanup(func() { mem.Close() })
	return newSlots(mem, slog.Default(), maxWrite, early)
}

func testSlots(t *testing.T, early int64) *slots {
	s := plainSlots(t, 1<<20, early)
	t.Cleanup(s.close)
	return s
}

func TestSlotComesBackAfterTheLastRelease(t *testing.T) {
	s := testSlots(t, 1<<20)
	sl := s.get(smallSize)
	copy(sl.mem, "payload")
	for range 2 {
		if !sl.Retain() {
			t.Fatal("refused within the budget")
		}
	}
	sl.drop()
	for range 100 { // others come and go meanwhile
		o := s.get(smallSize)
		if o == sl {
			t.Fatal("given out while retained")
		}
		copy(o.mem, "another")
		o.drop()
	}
	sl.Release()
	if !bytes.HasPrefix(sl.mem, []byte("payload")) {
		t.Fatal("the payload has changed")
	}
	sl.Release()
	if _, used := s.bytes(); used != 0 {
		t.Fatalf("%d bytes in use", used)
	}
	if n := s.early.used.Load(); n != 0 {
		t.Fatalf("%d bytes still count as early", n)
	}
}

func TestRetainRefusesBeyondTheBudget(t *testing.T) {
	s := testSlots(t, 2*smallSize)
	sl := s.get(smallSize)
	for range 2 {
		if !sl.Retain() {
			t.Fatal("refused within the budget")
		}
	}
	if sl.Retain() {
		t.Fatal("retained beyond the budget")
	}
	sl.Release()
	if !sl.Retain() {
		t.Fatal("refused although there is room again")
	}
	sl.Release()
	sl.Release()
	sl.drop()
}

func TestSecondReleaseIsCaught(t *testing.T) {
	s := testSlots(t, 1<<20)
	sl := s.get(tinySize)
	sl.drop()
	defer func() {
		if recover() == nil {
			t.Fatal("a slot was released twice, and nobody noticed")
		}
	}()
	sl.drop()
}

func TestWritePayloadBeginsAtAPage(t *testing.T) {
	s := testSlots(t, 0)
	for _, sl := range []*slot{s.big(), s.get(smallSize)} {
		at := uintptr(unsafe.Pointer(&sl.mem[requestAt+headSize]))
		if at%pageSize != 0 {
			t.Errorf("the payload begins %d bytes after a page", at%pageSize)
		}
		sl.drop()
	}
}

func TestBigSlotHoldsWhatTheKernelMaySend(t *testing.T) {
	for _, maxWrite := range []int{pageSize, 128 << 10, 1 << 20} {
		s := plainSlots(t, maxWrite, 0)
		sl := s.big()
		if got := len(sl.mem) - requestAt; got < maxWrite+headSize || got < 8192 {
			t.Errorf("max_write %d: room for %d", maxWrite, got)
		}
		sl.drop()
		s.close()
	}
}

func TestSizesAreServed(t *testing.T) {
	s := testSlots(t, 0)
	for _, n := range []int{1, tinySize, tinySize + 1, smallSize, smallSize + 1, 100 << 10, 300 << 10, 1<<20 + pageSize} {
		sl := s.get(n)
		if sl == nil || len(sl.mem) < n {
			t.Fatalf("no slot of %d", n)
		}
		sl.mem[n-1] = 1
		sl.drop()
	}
	if s.get(2<<20) != nil {
		t.Fatal("a slot larger than any")
	}
}

func TestIdleMemoryOfABurstIsFreed(t *testing.T) {
	s := testSlots(t, 0)
	var all []*slot
	for range 100 {
		all = append(all, s.big())
	}
	for _, sl := range all {
		sl.drop()
	}
	if total, _ := s.bytes(); total > 20<<20 {
		t.Fatalf("%d bytes are kept after a burst", total)
	}
}

func TestMemoryOutlivesTheSessionWhileRetained(t *testing.T) {
	s := plainSlots(t, 1<<20, 1<<30)
	small, big := s.get(smallSize), s.big()
	s.close()
	small.mem[0], big.mem[0] = 1, 1
	small.drop()
	big.drop()
	if total, used := s.bytes(); total != 0 || used != 0 {
		t.Fatalf("%d bytes left, %d in use", total, used)
	}
}

func BenchmarkSlot(b *testing.B) {
	s := plainSlots(b, 1<<20, 0)
	defer s.close()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.get(smallSize).drop()
		}
	})
}
