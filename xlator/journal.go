package xlator

// Journal is what a request of the kernel leaves behind for the process that
// comes after this one, should it die before the answer: the request's own
// bytes, and what was decided before acting on it. It lies in the state memory
// of the mount. A request is carried out again by simply running it; what must
// come out as it did the first time is asked here.
//
// Its methods are called by the goroutine that carries the request out.
type Journal interface {
	// GFID is the identity that was chosen for what the request makes; zero
	// before SetGFID.
	GFID() GFID
	SetGFID(GFID)
	// Intent is what was recorded last; its Kind is 0 if nothing was.
	Intent() Intent
	SetIntent(Intent)
}

// Intent is what a change that cannot be repeated was going to do, recorded
// before it was done: who is concerned, and what there was before. Kind and
// Flags belong to the translator that carries the change out (a leaf); one
// request has one.
type Intent struct {
	Kind  uint32 // not 0
	Flags uint32
	A, B  GFID
	Size  uint64
}

// NewGFID returns the identity of what the call makes. It is chosen once: the
// same call carried out again by another process makes the same object, and
// finds it if it is there already.
func (c *Call) NewGFID() GFID {
	if c.Journal == nil {
		return NewGFID()
	}
	if g := c.Journal.GFID(); !g.IsZero() {
		return g
	}
	g := NewGFID()
	c.Journal.SetGFID(g)
	return g
}

// Intend records what is about to be done. It returns when the record would
// survive the process. A call without a journal (the client's own work, a mount
// without a keeper) records nothing.
func (c *Call) Intend(i Intent) {
	if c.Journal != nil {
		c.Journal.SetIntent(i)
	}
}

// Intended returns what a process that died over this call was about to do:
// perhaps it did, perhaps not. ok is false if it had not come that far, or if
// this is the first time that the call is carried out.
func (c *Call) Intended() (i Intent, ok bool) {
	if c.Journal == nil {
		return i, false
	}
	i = c.Journal.Intent()
	return i, i.Kind != 0
}

// Ender is told that a request of the kernel is over: it has been answered, and
// no process will carry it out again.
type Ender interface{ EndCall(unique uint64) }

// AtEnd has e told when the call, which has a journal, is over. To say so twice is
// as once.
func (c *Call) AtEnd(e Ender) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range c.enders {
		if x == e {
			return
		}
	}
	c.enders = append(c.enders, e)
}

// Over tells whom AtEnd named. It is called after the answer, before the request's
// own record and memory may go.
func (c *Call) Over() {
	c.mu.Lock()
	enders := c.enders
	c.mu.Unlock()
	for _, e := range enders {
		e.EndCall(c.Unique)
	}
}

// Park tells whoever carries out calls in an order that this one waits (for a
// lock) and has its place in the queue.
func (c *Call) Park() {
	if c.OnPark != nil {
		c.OnPark()
	}
}

// Opens knows what applications have open, whether or not this process has
// opened it yet: after a restart files are opened again on their next use, and
// until then nobody but the mount knows of them.
type Opens interface {
	// HasOpen reports whether some base fd of the file is open.
	HasOpen(file GFID) bool
	// EachOpen calls fn for every file with an open base fd, until fn returns
	// false.
	EachOpen(fn func(file GFID) bool)
}

// Recovery says what this process does of what an earlier process has begun.
type Recovery interface {
	// ComesBack reports whether that request of the kernel is going to be carried
	// out again. Then e is told when it is over, whether or not it has asked e for
	// anything this time. It is asked before LocksRestored.
	ComesBack(unique uint64, e Ender) bool
	// LocksRestored is closed when every LockRestorer knows what it has to, before
	// the first request is carried out.
	LocksRestored() <-chan struct{}
	// HasBase reports whether the base fd of that number is open. No number is given
	// out twice, whatever became of the open that it was for.
	HasBase(base uint64) bool
}

// Descriptors keeps files open beyond the death of the process: a brick's lock,
// a connection. Names are the translator's, unique in the mount.
type Descriptors interface {
	// Keep stores a duplicate of f under that name, in place of what was
	// there. It returns when the keeper has it.
	Keep(name string, fd int) error
	// Kept returns a new duplicate of what is stored under that name (owned by
	// the caller, close-on-exec), or ok false.
	Kept(name string) (fd int, ok bool, err error)
	// Drop forgets a name.
	Drop(name string) error
}

// LockRestorer is a translator that keeps locks in the memory of this process,
// which a death of the process loses. It is told, after Start and before the
// first request, what each application holds; nobody else can have taken it
// meanwhile, so it is granted without question.
type LockRestorer interface {
	RestoreLocks(file GFID, locks []Lock) error
}
