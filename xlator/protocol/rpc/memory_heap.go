//go:build race || invariants

package rpc

// Private returns memory that ends with this process. Here it is the Go
// heap's, where the race detector can see it.
func Private(l Layout) (Memory, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	return newHeapMemory(l), nil
}
