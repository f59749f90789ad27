package xlator

// EventKind is what happened below a translator.
type EventKind uint8

const (
	// ChildDown and ChildUp: a brick's session was lost, or is there again. What
	// a translator had cached of an up child before it went down may be stale.
	ChildDown EventKind = iota + 1
	ChildUp
	// Invalidate: another client has changed File; what Stale names may no
	// longer be answered from a cache.
	Invalidate
)

// Stale says what of a file another client has changed.
type Stale uint8

// Parts of a file.
const (
	StaleAttr    Stale = 1 << iota // attributes, extended ones among them
	StaleData                      // content, and with it size and times
	StaleEntries                   // names in the directory File
	StaleName                      // the file's own name or existence: it was renamed or removed
)

// Event goes from a leaf to its parents.
type Event struct {
	Kind  EventKind
	File  GFID // of Invalidate
	Stale Stale
}

// Listener is a translator that is told what happens below it. Notified runs in
// the goroutine in which the event was found, often the one that reads a
// connection: it takes short locks only, makes no call into the graph and waits
// for nothing. It returns whether the parents are told as well.
type Listener interface {
	Notified(child Fops, e Event) bool
}
