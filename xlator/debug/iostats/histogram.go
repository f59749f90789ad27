package iostats

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Latencies are counted in buckets: below 2^subBits units one each, above that
// 2^subBits for each power of two, so that a bucket's width is at most 1/16 of
// its value. A unit is 64 ns.
const (
	unitShift = 6
	subBits   = 4
	maxPower  = 36 // 2^36 units are 73 minutes; all that took longer is there
	buckets   = (maxPower-subBits+1)<<subBits + 1
)

// histogram counts durations. The zero value is ready; all fields are atomic.
type histogram struct {
	n   [buckets]atomic.Uint64
	max atomic.Int64 // ns
}

func (h *histogram) add(ns int64) {
	h.n[bucketOf(ns)].Add(1)
	for {
		old := h.max.Load()
		if ns <= old || h.max.CompareAndSwap(old, ns) {
			return
		}
	}
}

func bucketOf(ns int64) int {
	if ns < 0 {
		return 0
	}
	u := uint64(ns) >> unitShift
	if u < 1<<subBits {
		return int(u)
	}
	power := bits.Len64(u) - 1
	if power >= maxPower {
		return buckets - 1
	}
	sub := u >> (power - subBits) & (1<<subBits - 1)
	return (power-subBits+1)<<subBits + int(sub)
}

// upper is the smallest duration in ns that is above the bucket.
func upper(b int) int64 {
	b++
	if b <= 1<<subBits {
		return int64(b) << unitShift
	}
	power := b>>subBits + subBits - 1
	sub := int64(b & (1<<subBits - 1))
	return (1<<subBits + sub) << (power - subBits) << unitShift
}

// quantiles are the durations that the given shares of what was counted did not
// exceed, to the width of a bucket.
func quantiles(counts *[buckets]uint64, longest time.Duration, shares ...float64) []time.Duration {
	var total uint64
	for _, n := range counts {
		total += n
	}
	out := make([]time.Duration, len(shares))
	for i, share := range shares {
		rank := uint64(share * float64(total))
		var below uint64
		for b, n := range counts {
			below += n
			if n > 0 && below >= max(rank, 1) {
				out[i] = min(time.Duration(upper(b)), longest)
				break
			}
		}
	}
	return out
}
