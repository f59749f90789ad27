package workload

import (
	"context"
	"time"
)

// pace lets a loop run so many times a second.
type pace struct {
	ctx  context.Context
	step time.Duration
	at   time.Time
}

func newPace(ctx context.Context, perSecond int) *pace {
	return &pace{ctx: ctx, step: time.Second / time.Duration(perSecond), at: time.Now()}
}

// next waits for the next turn; false: the time is over. A loop that fell
// behind does not catch up.
func (p *pace) next() bool {
	p.at = p.at.Add(p.step)
	d := time.Until(p.at)
	if d <= 0 {
		p.at = time.Now()
		return p.ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.ctx.Done():
		return false
	}
}
