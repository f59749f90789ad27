package fdtable

import (
	"syscall"

	"github.com/holdfast/holdfast/xlator"
)

// OpenApart opens what b has open once more, on the current graph and for the
// caller alone: it waits neither for a held file nor for an attempt in flight.
// It is for writing out what an earlier process has acknowledged. The file
// stays where it is. End it with CloseApart.
func (t *Table) OpenApart(b *BaseFD) (Use, error) {
	n := b.node
	if n == nil {
		return Use{}, syscall.EBADF
	}
	g := t.enterCurrent()
	fd, err := reopen(g, g.Inodes.Get(n.gfid, n.typ), b)
	if err != nil {
		g.Leave(0)
		return Use{}, err
	}
	return Use{G: g, Inode: fd.Inode(), FD: fd}, nil
}

// CloseApart ends what OpenApart began.
func (t *Table) CloseApart(u Use) {
	u.G.Top.Release(u.FD)
	u.Done()
}

// Interface checks.
var _ xlator.Opens = (*Table)(nil)
