package fuse

import (
	"testing"
)

func waiting(unique uint64) *request {
	r := &request{}
	r.call.Unique = unique
	return r
}

func TestInterruptFindsItsRequest(t *testing.T) {
	var f inflight
	a, b := waiting(4), waiting(6)
	f.enter(a)
	f.enter(b)
	f.interrupt(4 | resent)
	if a.call.Err() == nil || b.call.Err() != nil {
		t.Fatal("another request was interrupted")
	}
	f.leave(a)
	f.leave(b)
	if f.len() != 0 {
		t.Fatalf("%d requests left", f.len())
	}
}

func TestInterruptThatComesFirstIsKept(t *testing.T) {
	var f inflight
	f.interrupt(8)
	other, r := waiting(8+2*inflightShards), waiting(8)
	f.enter(other)
	f.enter(r)
	if other.call.Err() != nil || r.call.Err() == nil {
		t.Fatal("the interrupt did not reach its request")
	}
	f.leave(r)
	f.leave(other)
	again := waiting(8)
	f.enter(again)
	if again.call.Err() != nil {
		t.Fatal("an interrupt was used twice")
	}
	f.leave(again)
}

func TestInterruptsOfAnsweredRequestsAreForgotten(t *testing.T) {
	var f inflight
	for u := uint64(2); u < 2000; u += 2 {
		r := waiting(u)
		f.enter(r)
		f.leave(r)
		f.interrupt(u)
	}
	r := waiting(4000)
	f.enter(r)
	if r.call.Err() != nil {
		t.Fatal("interrupted by another's interrupt")
	}
	f.leave(r)
}

func TestCloseIsNotInterrupted(t *testing.T) {
	var f inflight
	r := waiting(2)
	r.deaf = true
	f.enter(r)
	f.interrupt(2)
	if r.call.Err() != nil {
		t.Fatal("a close(2) was interrupted")
	}
	f.interruptAll()
	if r.call.Err() == nil {
		t.Fatal("the end of the mount does not reach it")
	}
	f.leave(r)
}

func BenchmarkEnterLeave(b *testing.B) {
	var f inflight
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := waiting(2)
		for pb.Next() {
			r.call.Unique += 2
			f.enter(r)
			f.leave(r)
		}
	})
}
