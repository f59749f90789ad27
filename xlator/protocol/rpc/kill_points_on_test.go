//go:build invariants

package rpc

// workerPoints are where a worker can be told to die.
func workerPoints() []point {
	return []point{
		atBuilt, atMarked, atPublished, atSend, atSent, atReceived, atReply, atCopied, atKept, atFreed, atFrontier, atDone,
		atAnswered, atEnded,
	}
}
