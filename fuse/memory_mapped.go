//go:build !race && !invariants

package fuse

import "golang.org/x/sys/unix"

// mapped is memory from mmap(2): resident from the start, and locked where the
// limits allow it.
type mapped struct{}

func newMemory() memory { return mapped{} }

func (mapped) alloc(n int) []byte {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		return heapPages(n) // better an unsafe buffer than none
	}
	_ = unix.Mlock(b) // best effort
	return b
}

func (mapped) free(b []byte) {
	_ = unix.Munmap(b) // what came from the heap is not known there and stays the collector's
}
