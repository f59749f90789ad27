//go:build !race && !invariants

package state

const onHeap = false
