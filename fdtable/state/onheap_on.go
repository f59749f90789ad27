//go:build race || invariants

package state

// onHeap: the race detector is blind in mapped memory.
const onHeap = true
