package mdcache

import "github.com/holdfast/holdfast/xlator"

// Notified implements xlator.Listener. What was known of a brick that went away, or
// of a file that another client changed, is forgotten, and answers about it that
// are on their way are not kept.
func (t *translator) Notified(_ xlator.Fops, e xlator.Event) bool {
	switch e.Kind {
	case xlator.ChildDown:
		t.changes.all()
	case xlator.Invalidate:
		t.changed(e.File)
	}
	return true
}
