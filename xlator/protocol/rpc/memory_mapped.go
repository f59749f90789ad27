//go:build !race && !invariants

package rpc

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Private returns memory that ends with this process.
func Private(l Layout) (Memory, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("holdfast-rpc", unix.MFD_CLOEXEC)
	if err != nil {
		return newHeapMemory(l), nil // slower, and as good
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, int64(l.Size())); err != nil {
		return nil, fmt.Errorf("rpc: memory of a connection: %w", err)
	}
	m, err := mapTwice(fd, 0, l)
	if err != nil {
		return nil, fmt.Errorf("rpc: map memory of a connection: %w", err)
	}
	return m, nil
}
