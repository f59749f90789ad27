//go:build !invariants

package rpc

// workerPoints are where a worker can be told to die: without the invariants
// tag only its own.
func workerPoints() []point { return []point{atAnswered, atEnded} }
