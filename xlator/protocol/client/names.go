package client

import (
	"sync"

	"github.com/holdfast/holdfast/xlator"
)

// names remembers which object lately had which name. Removing a name on the wire
// does not say what was removed, and one who removes a name has looked it up
// before. It is a hint, bounded: two maps, of which the older one is forgotten.
type names struct {
	mu       sync.Mutex
	cur, old map[entry]xlator.GFID // guarded by mu
}

type entry struct {
	dir  xlator.GFID
	name string
}

// maxNames is how many a map takes.
const maxNames = 1 << 15

func (n *names) init() { n.cur = map[entry]xlator.GFID{} }

func (n *names) put(dir xlator.GFID, name string, g xlator.GFID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.cur) >= maxNames {
		n.old, n.cur = n.cur, make(map[entry]xlator.GFID, maxNames)
	}
	n.cur[entry{dir, name}] = g
}

func (n *names) get(dir xlator.GFID, name string) (g xlator.GFID, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if g, ok = n.cur[entry{dir, name}]; ok {
		return g, true
	}
	g, ok = n.old[entry{dir, name}]
	return g, ok
}
