package graph

import (
	"sync"
	"time"
)

// Work on thousands of things in a row goes in bursts of the processor's time,
// with rests between them: requests want the processors too, and a pause of
// theirs is to be no longer for ten thousand open files than for one.
const (
	burst = 200 * time.Microsecond
	rest  = 400 * time.Microsecond
)

// Pace is shared by the goroutines that do such work together. The zero Pace is
// ready.
type Pace struct {
	mu    sync.Mutex
	spent time.Duration // guarded by mu; since the last rest
}

// Did notes that a piece of the work took d, and rests when it is time to.
// Those who call meanwhile rest too. What took longer than a burst has waited
// for something rather than used the processor, and counts for little.
func (p *Pace) Did(d time.Duration) {
	if d > burst {
		d = burst / 16
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spent += d; p.spent >= burst {
		time.Sleep(rest)
		p.spent = 0
	}
}
