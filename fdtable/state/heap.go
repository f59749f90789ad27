package state

import "sync"

// heapPage is the unit in which memory of the heap is made.
const heapPage = 64 << 10

// heapPages is memory of the Go heap under the offsets of the layout, where the
// race detector can see it. What is larger than a page (chunks of the arena) is
// made by the arena itself.
type heapPages struct {
	mu    sync.Mutex
	pages map[int64][]uint64 // guarded by mu; their content is not
}

func (h *heapPages) bytes(at int64, n int) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pages == nil {
		h.pages = map[int64][]uint64{}
	}
	page := at / heapPage
	if h.pages[page] == nil {
		h.pages[page] = make([]uint64, heapPage/8)
	}
	return asBytes(h.pages[page])[at%heapPage:][:n:n]
}
