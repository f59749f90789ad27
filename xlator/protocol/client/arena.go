package client

import (
	"slices"
	"sync"
	"unsafe"
)

// arena is memory for the payloads of writes on their way, so that the rest of one
// that was sent in part is there after the death of the process. A payload is
// copied: what it lies in belongs to others, who may use it for something else
// before the next process has sent the rest.
type arena struct {
	mem []byte // constant after construction

	mu   sync.Mutex
	room sync.Cond // somebody has given some back; on mu
	used []extent  // guarded by mu; in order
}

type extent struct{ at, end int }

// arenaStep is what pieces are multiples of.
const arenaStep = 4096

func (a *arena) init(mem []byte) {
	a.mem = mem
	a.room.L = &a.mu
}

// hold copies p, and waits for room; nil if there is never enough.
func (a *arena) hold(p []byte) []byte {
	n := (len(p) + arenaStep - 1) &^ (arenaStep - 1)
	if n > len(a.mem)/4 {
		return nil
	}
	a.mu.Lock()
	at := a.take(n)
	for at < 0 {
		a.room.Wait() // others' writes end, with their connection if need be
		at = a.take(n)
	}
	a.mu.Unlock()
	q := a.mem[at:][:len(p):len(p)]
	copy(q, p)
	return q
}

// take finds the first room of n bytes, or -1. mu is held.
func (a *arena) take(n int) int {
	at := 0
	for i, e := range a.used {
		if e.at-at >= n {
			a.used = slices.Insert(a.used, i, extent{at, at + n})
			return at
		}
		at = e.end
	}
	if len(a.mem)-at < n {
		return -1
	}
	a.used = append(a.used, extent{at, at + n})
	return at
}

// give gives back what hold returned.
func (a *arena) give(q []byte) {
	off, ok := a.Offset(q)
	if !ok {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used = slices.DeleteFunc(a.used, func(e extent) bool { return e.at == int(off) })
	a.room.Broadcast()
}

// Offset implements rpc.Regions.
func (a *arena) Offset(p []byte) (off uint64, ok bool) {
	if len(p) == 0 {
		return 0, false
	}
	at := uintptr(unsafe.Pointer(unsafe.SliceData(p))) - uintptr(unsafe.Pointer(unsafe.SliceData(a.mem)))
	if at >= uintptr(len(a.mem)) || len(p) > len(a.mem)-int(at) {
		return 0, false
	}
	return uint64(at), true
}

// Slice implements rpc.Regions.
func (a *arena) Slice(off uint64, n int) (p []byte, ok bool) {
	if n < 0 || off > uint64(len(a.mem)) || n > len(a.mem)-int(off) {
		return nil, false
	}
	return a.mem[off:][:n:n], true
}
