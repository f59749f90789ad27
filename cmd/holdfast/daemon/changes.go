package daemon

import (
	"sync"

	"github.com/holdfast/holdfast/fuse"
	"github.com/holdfast/holdfast/graph"
	"github.com/holdfast/holdfast/xlator"
)

// changes is the way of what other clients change, from the bottom of the graphs to
// the kernel. It takes a short lock and waits for nothing: who calls reads a
// brick's connection.
type changes struct {
	mu      sync.Mutex
	session *fuse.Session                // guarded by mu; nil: there is none yet
	early   map[xlator.GFID]xlator.Stale // guarded by mu; what came before the session
	away    bool                         // guarded by mu; a brick was, and may not have said what was changed
	missed  bool                         // guarded by mu; as early, of everything
}

// event implements graph.Config.Event.
func (c *changes) event(_ *graph.Graph, e xlator.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case e.Kind == xlator.ChildDown:
		c.away = true
	case e.Kind == xlator.ChildUp && c.away:
		c.away = false
		if c.session == nil {
			c.missed = true
		} else {
			c.session.ChangedAll()
		}
	case e.Kind != xlator.Invalidate:
	case c.session != nil:
		c.session.Changed(e.File, e.Stale)
	default:
		if c.early == nil {
			c.early = map[xlator.GFID]xlator.Stale{}
		}
		c.early[e.File] |= e.Stale
	}
}

// attach gives it the session.
func (c *changes) attach(s *fuse.Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = s
	if c.missed {
		s.ChangedAll()
	}
	for file, what := range c.early {
		s.Changed(file, what)
	}
	c.early = nil
}
