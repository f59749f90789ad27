package iostats

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/xlator"
)

// shards is how many copies of the counters of a fop there are.
const shards = 8

// counters are the totals of one volume since the mount began. They are in the
// pool.
type counters struct {
	// made at the first fop of that kind, then constant
	fops [xlator.FopCount]atomic.Pointer[[shards]shard]
}

// shard is one copy of the counters of a fop; all fields are atomic.
type shard struct {
	count, errors, bytes atomic.Uint64
	latency              histogram
	_                    [64]byte // the next one is on another cache line
}

// Close implements io.Closer for the pool.
func (*counters) Close() error { return nil }

func (c *counters) of(f xlator.Fop) *shard {
	p := c.fops[f].Load()
	if p == nil {
		c.fops[f].CompareAndSwap(nil, new([shards]shard))
		p = c.fops[f].Load()
	}
	return &p[rand.Uint32()%shards]
}

// stats adds the copies up. Fops that never came are left out.
func (c *counters) stats() []xlator.FopStats {
	var out []xlator.FopStats
	for f := range xlator.FopCount {
		p := c.fops[f].Load()
		if p == nil {
			continue
		}
		s := xlator.FopStats{Fop: f.String()}
		var counts [buckets]uint64
		for i := range p {
			sh := &p[i]
			s.Count += sh.count.Load()
			s.Errors += sh.errors.Load()
			s.Bytes += sh.bytes.Load()
			s.Max = max(s.Max, time.Duration(sh.latency.max.Load()))
			for b := range counts {
				counts[b] += sh.latency.n[b].Load()
			}
		}
		if s.Count == 0 {
			continue
		}
		q := quantiles(&counts, s.Max, 0.50, 0.90, 0.99)
		s.P50, s.P90, s.P99 = q[0], q[1], q[2]
		out = append(out, s)
	}
	return out
}
