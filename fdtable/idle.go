package fdtable

import (
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/graph"
	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/hint"
)

// IdleTimeout is how long a base fd may be unused before it is closed below, to
// be opened again when it is used. 0 means that this is done only when the
// process runs out of descriptors.
func IdleTimeout(d time.Duration) Option { return func(t *Table) { t.idle = d } }

// idleTick is how often idle base fds are looked for, at least.
const idleTick = 5 * time.Second

// uses counts the requests that are using a base fd (low bits) and all that ever
// did (above them).
type uses struct{ n atomic.Uint64 }

const (
	usesInside = 1<<20 - 1
	useBegin   = 1<<20 + 1
)

func (u *uses) begin() { u.n.Add(useBegin) }
func (u *uses) end()   { u.n.Add(^uint64(0)) }

// since reports whether nobody has used the base fd since total was read, or is
// using it.
func (u *uses) since(total uint64) bool { return u.n.Load() == total&^usesInside }

// closeIdle closes base fds that nobody has used for a while, until the table's
// end: those that an option says, and when descriptors run short those that have
// not been used since they were looked at last.
func (t *Table) closeIdle() {
	every := idleTick
	if t.idle > 0 {
		every = max(min(every, t.idle/4), time.Millisecond)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-t.ctx.Done():
			return
		case <-tick.C:
		}
		if t.idle > 0 {
			t.closeUnused(t.idle, t.fds.len())
		}
		t.closeShort()
	}
}

// closeShort closes what has not been used since the call before, while
// descriptors are short.
func (t *Table) closeShort() {
	if over := descriptorsOver(); over > 0 {
		t.closeUnused(0, over)
	}
}

// descriptorsOver is how many descriptors should be closed: the process has more
// than three quarters of what it may have.
func descriptorsOver() int {
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) != nil {
		return 0
	}
	n, most := descriptors(), int(min(lim.Cur, 1<<30))
	if n <= most/4*3 {
		return 0
	}
	return n - most/8*5
}

// descriptors is how many the process has.
func descriptors() int {
	st, err := os.Stat("/proc/self/fd")
	if err != nil {
		return 0
	}
	if n := st.Size(); n > 0 {
		return int(n)
	}
	all, err := os.ReadDir("/proc/self/fd") // Linux before 6.2
	if err != nil {
		return 0
	}
	return len(all)
}

// closeUnused closes up to limit base fds that have not been used for that long.
func (t *Table) closeUnused(after time.Duration, limit int) {
	t.idleMu.Lock()
	defer t.idleMu.Unlock()
	now := time.Since(t.began)
	var pace graph.Pace
	closed := 0
	t.fds.each(func(b *BaseFD) {
		if total := b.uses.n.Load(); total != b.seen {
			b.seen, b.seenAt = total, now
			return
		}
		if closed >= limit || now-b.seenAt < after || t.ctx.Err() != nil {
			return
		}
		began := time.Now()
		if t.closeOne(b) {
			closed++
		}
		pace.Did(time.Since(began))
	})
	if closed > 0 {
		t.idled.Add(uint64(closed))
		t.log.Debug("idle files closed", "closed", closed)
	}
}

// closeOne closes a base fd below if it can be opened again: it lives on the
// current graph, nobody is using it, its file has a name, no locks and nothing
// that waits to be written.
func (t *Table) closeOne(b *BaseFD) bool {
	r := b.ref.Current()
	if r == nil || b.node == nil || r.Value.g != t.graphs.Current() || t.Held(b.node.gfid) {
		return false
	}
	n, g, fd := b.node, r.Value.g, r.Value.fd
	g.Enter(0)
	defer g.Leave(0)
	if b.ref.Current() != r || n.hasLocks() || !written(g, fd) {
		return false
	}
	n.mu.Lock()
	if b.closed || n.astray != nil || n.locks.any() || !b.uses.since(b.seen) || b.ref.Current() != r {
		n.mu.Unlock()
		return false
	}
	if s, _ := b.ref.State(); s.Phase != hint.Open {
		n.mu.Unlock()
		return false
	}
	b.ref.Drop()
	// A request counts itself in and looks whether the result is still there;
	// here it is taken away, and then looked whether one is in.
	if !b.uses.since(b.seen) {
		b.ref.Put(r.Key, r.Value)
		n.mu.Unlock()
		return false
	}
	n.mu.Unlock()
	g.Top.Release(fd)
	g.Unbind(nil)
	return true
}

// written reports whether the file has a name and everything that was written to
// it is below.
func written(g *graph.Graph, fd *xlator.FD) bool {
	call := xlator.Internal()
	if fd.Inode().Type() == xlator.TypeRegular {
		if _, err := g.Top.Flush(call, &xlator.FlushReq{FD: fd}); err != nil {
			return false
		}
	}
	rep, err := g.Top.Fstat(call, &xlator.FstatReq{FD: fd})
	return err == nil && rep.Attr.Valid() && rep.Attr.Nlink > 0
}

func (n *Node) hasLocks() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.locks.any()
}
