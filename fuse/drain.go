package fuse

import (
	"context"
	"errors"
	"fmt"
)

var errNotKept = errors.New("the memory of this session ends with the process: nobody could go on")

// Drain prepares a planned end of the process. From now on what is read stays
// unanswered in its slot, for the next process. Drain returns when no request is
// carried out any more, those that have their place in the queue for a lock
// aside: their wait begins again. If ctx ends first, Drain says how many are
// left; the process may end all the same, as it may at any time.
//
// There is no way back: the process ends, and Serve does not return before.
func (s *Session) Drain(ctx context.Context) error {
	if !s.mem.Durable() {
		return errNotKept
	}
	s.draining.Store(true)
	s.running.close()
	for s.running.busy() > 0 {
		select {
		case <-s.running.tick:
		case <-s.gone:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("drain: %d requests are still carried out: %w", s.running.busy(), ctx.Err())
		}
	}
	return nil
}
