package locks

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/holdfast/holdfast/xlator"
)

// Dump is what Dumper shows: the locks of a brick, held and waiting, by file.
type Dump struct {
	Brick   string      `json:"brick"`
	Held    int         `json:"held"`
	Waiting int         `json:"waiting"`
	Spaces  []DumpSpace `json:"spaces"`
}

// DumpSpace is the locks of one file that may exclude each other.
type DumpSpace struct {
	File xlator.GFID `json:"gfid"`
	// Kind is posix, flock, inodelk or entrylk.
	Kind    string     `json:"kind"`
	Domain  string     `json:"domain,omitempty"`
	Held    []DumpLock `json:"held"`
	Waiting []DumpLock `json:"waiting"`
}

// DumpLock is one lock.
type DumpLock struct {
	Owner string `json:"owner"` // hexadecimal
	PID   uint32 `json:"pid"`
	Type  string `json:"type"`           // read or write
	Range string `json:"range"`          // first-last, or first-eof
	Name  string `json:"name,omitempty"` // entrylk
	// Ticket and Attached (calls that wait for it) are of a waiting lock.
	Ticket   uint64 `json:"ticket,omitempty"`
	Attached int    `json:"attached,omitempty"`
}

// Dump implements xlator.Dumper.
func (t *translator) Dump() any {
	if t.table == nil {
		return Dump{Brick: t.identity, Spaces: []DumpSpace{}}
	}
	d := t.table.dump()
	d.Brick = t.identity
	return d
}

func (t *Table) dump() Dump {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := Dump{Spaces: []DumpSpace{}}
	for _, sp := range t.m.spaces {
		s := DumpSpace{File: sp.key.file, Kind: sp.key.kind.String(), Domain: sp.key.domain, Held: []DumpLock{}, Waiting: []DumpLock{}}
		for c := range sp.held.all() {
			s.Held = append(s.Held, dumpLock(c))
		}
		for _, w := range sp.queue {
			l := dumpLock(w.want)
			l.Ticket, l.Attached = w.ticket, w.attached
			s.Waiting = append(s.Waiting, l)
		}
		d.Held += len(s.Held)
		d.Waiting += len(s.Waiting)
		d.Spaces = append(d.Spaces, s)
	}
	slices.SortFunc(d.Spaces, func(a, b DumpSpace) int {
		return cmp.Or(bytes.Compare(a.File[:], b.File[:]), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Domain, b.Domain))
	})
	return d
}

func dumpLock(c claim) DumpLock {
	return DumpLock{Owner: fmt.Sprintf("%016x", c.owner), PID: c.pid, Type: c.mode.String(), Range: c.extent(), Name: c.name}
}
