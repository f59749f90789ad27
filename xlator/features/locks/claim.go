package locks

import (
	"fmt"
	"math"

	"github.com/holdfast/holdfast/xlator"
)

// mode is how strong a lock is; a greater mode is stronger.
type mode uint8

const (
	unlocked mode = iota
	shared
	exclusive
)

func (m mode) String() string { return [...]string{"none", "read", "write"}[m] }

// endOfFile is the end of a range that has none.
const endOfFile = math.MaxInt64

// claim is what somebody wants or holds.
type claim struct {
	owner      uint64
	start, end int64  // inclusive; the whole file for flock and entrylk
	name       string // entrylk only: "" is every name
	pid        uint32 // who asked; only to be shown
	mode       mode
}

// same reports whether two claims ask for the same thing; who is told to have
// asked does not matter.
func (c claim) same(d claim) bool { d.pid = c.pid; return c == d }

// overlaps reports whether the claims concern something in common.
func (c claim) overlaps(d claim) bool {
	return c.start <= d.end && d.start <= c.end && (c.name == "" || d.name == "" || c.name == d.name)
}

// excludes reports whether both cannot be held at once.
func (c claim) excludes(d claim) bool {
	return c.owner != d.owner && (c.mode == exclusive || d.mode == exclusive) && c.overlaps(d)
}

// within reports whether the range of c lies in the range of d.
func (c claim) within(d claim) bool { return d.start <= c.start && c.end <= d.end }

// extent is the range for people.
func (c claim) extent() string {
	if c.end == endOfFile {
		return fmt.Sprintf("%d-eof", c.start)
	}
	return fmt.Sprintf("%d-%d", c.start, c.end)
}

// kind is a namespace of locks; locks of two kinds never meet.
type kind uint8

const (
	recordLocks kind = iota
	flocks
	inodeLocks
	entryLocks
)

func (k kind) String() string { return [...]string{"posix", "flock", "inodelk", "entrylk"}[k] }

// spaceKey names a set of locks that may exclude each other.
type spaceKey struct {
	file   xlator.GFID
	kind   kind
	domain string // inodelk and entrylk
}

func (k spaceKey) String() string {
	if k.domain == "" {
		return fmt.Sprintf("%s lock on gfid %s", k.kind, k.file)
	}
	return fmt.Sprintf("%s on gfid %s in %q", k.kind, k.file, k.domain)
}
