package xlator

import "context"

// Default forwards every fop to Next. A translator embeds it and writes what
// it changes.
type Default struct{ Next Fops }

// Release implements Fops by telling the child.
func (d *Default) Release(fd *FD) { d.Next.Release(fd) }

// Identity is the identity of the brick below (see Identifier), or "".
func (d *Default) Identity() string {
	if i, ok := d.Next.(Identifier); ok {
		return i.Identity()
	}
	return ""
}

// StampAccess tells the child (see AccessStamper).
func (d *Default) StampAccess(on bool) {
	if s, ok := d.Next.(AccessStamper); ok {
		s.StampAccess(on)
	}
}

// Appends reports whether the brick below is an Appender.
func (d *Default) Appends() bool {
	a, ok := d.Next.(Appender)
	return ok && a.Appends()
}

// Intercept turns one function into a translator: Around is called for every
// fop (Release excepted) with its request, and calls next once, several times,
// or never. After next has returned nil the reply is next's; when Around
// returns an error, that counts.
type Intercept struct {
	Default
	Around func(ctx context.Context, f Fop, req any, next func() error) error
}

// Observe is an Intercept that only looks on, without an allocation: Begin
// returns what End is given back (a time, say); rep may be a typed nil.
type Observe struct {
	Default
	Begin func(ctx context.Context, f Fop, req any) int64
	End   func(ctx context.Context, f Fop, req, rep any, begun int64, err error)
}

func (f Fop) String() string {
	if f < FopCount {
		return fopNames[f]
	}
	return "UNKNOWN"
}

// ParseFop finds a fop by its upper-case name.
func ParseFop(name string) (Fop, bool) {
	for f, n := range fopNames {
		if n == name {
			return Fop(f), true
		}
	}
	return 0, false
}
