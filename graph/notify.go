package graph

import "github.com/holdfast/holdfast/xlator"

// notifier is the way up from one translator to its parents. It is complete
// once the graph is built; events come after that.
type notifier struct {
	self    xlator.Fops
	parents []*notifier
	top     func(xlator.Event) // of the top translator; nil: nobody listens
}

// notify tells the parents, and theirs where they do not keep it to themselves.
func (n *notifier) notify(e xlator.Event) {
	for _, p := range n.parents {
		if l, ok := p.self.(xlator.Listener); ok && !l.Notified(n.self, e) {
			continue
		}
		p.notify(e)
	}
	if n.top != nil {
		n.top(e)
	}
}
