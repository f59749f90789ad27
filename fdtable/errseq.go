package fdtable

import (
	"sync"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/xlator"
)

// errseq is the write errors of a file, as Linux keeps them: each error has a
// number, each base fd remembers up to which it has reported, and reports the
// latest error it has not. An error that nobody has seen is reported by whoever
// opens the file next.
type errseq struct {
	mu   sync.Mutex
	seq  uint64      // guarded by mu; number of errors so far
	err  error       // guarded by mu; the latest
	seen bool        // guarded by mu; somebody has reported the latest
	rec  *state.Node // constant; nil: nothing is recorded
}

// save records the errors. Called with mu held, or before the node is published.
func (e *errseq) save() {
	if e.rec != nil {
		e.rec.SetErrors(uint32(e.seq), uint16(xlator.Errno(e.err)), e.seen)
	}
}

func (e *errseq) record(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seq++
	e.err, e.seen = err, false
	e.save()
}

// open returns the cursor of a new base fd.
func (e *errseq) open() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.seq > 0 && !e.seen {
		return e.seq - 1
	}
	return e.seq
}

func (e *errseq) take(cursor *uint64) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if *cursor == e.seq {
		return nil
	}
	*cursor = e.seq
	e.seen = true
	return e.err
}

// unseen returns the latest error if nobody has reported it.
func (e *errseq) unseen() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.seq == 0 || e.seen {
		return nil
	}
	return e.err
}

// adopt takes an error over that was kept while the kernel did not know the
// file. Called before the node is published.
func (e *errseq) adopt(err error) {
	if err != nil {
		e.seq, e.err = 1, err
		e.save()
	}
}

// TakeError returns the write error that b has not reported yet, once. That it
// was reported is recorded by CommitCursor.
func (b *BaseFD) TakeError() error {
	if b.node == nil {
		return nil
	}
	return b.node.errs.take(&b.cursor)
}

// Cursor is the number of the last write error that b has reported, as TakeError
// moved it.
func (b *BaseFD) Cursor() uint64 {
	n := b.node
	if n == nil {
		return 0
	}
	n.errs.mu.Lock()
	defer n.errs.mu.Unlock()
	return b.cursor
}

// CommitCursor records how far b has reported, for the next process: the reply
// that reports it has been written.
func (b *BaseFD) CommitCursor() {
	if b.rec == nil {
		return
	}
	e := &b.node.errs
	e.mu.Lock()
	defer e.mu.Unlock()
	b.rec.SetCursor(b.cursor)
	e.save()
}

// SetCursor says that b has reported the write errors up to that number: in a
// reply that the process before this one wrote. It records it, too.
func (b *BaseFD) SetCursor(cursor uint64) {
	n := b.node
	if n == nil {
		return
	}
	n.errs.mu.Lock()
	b.cursor = max(b.cursor, min(cursor, n.errs.seq))
	n.errs.seen = n.errs.seen || b.cursor == n.errs.seq
	n.errs.mu.Unlock()
	b.CommitCursor()
}

// maxOrphanErrors bounds the errors kept for files that the kernel has
// forgotten; each is also in the log.
const maxOrphanErrors = 4096

// Record implements xlator.WriteErrors.
func (t *Table) Record(g xlator.GFID, err error) {
	t.log.Error("acknowledged data could not be written", "gfid", g, "err", err)
	s := t.shard(g)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := t.known(s, g); n != nil {
		n.errs.record(err)
		return
	}
	t.keepOrphan(g, err)
}

// RecordOpen records a write error of every file that somebody has open for
// writing: it is not known which of them has lost what was acknowledged. What is
// not open has lost nothing, since a close waits for it.
func (t *Table) RecordOpen(err error) {
	nodes := map[*Node]bool{}
	t.fds.each(func(b *BaseFD) {
		if b.node != nil && b.flags&unix.O_ACCMODE != unix.O_RDONLY {
			nodes[b.node] = true
		}
	})
	t.log.Error("acknowledged data may be lost: every file that is open for writing reports an error", "files", len(nodes), "err", err)
	for n := range nodes {
		s := t.shard(n.gfid)
		s.mu.Lock()
		n.errs.record(err)
		s.mu.Unlock()
	}
}

func (t *Table) keepOrphan(g xlator.GFID, err error) {
	t.errMu.Lock()
	defer t.errMu.Unlock()
	if len(t.orphan) < maxOrphanErrors {
		t.orphan[g] = err
	}
}

func (t *Table) takeOrphan(g xlator.GFID) error {
	t.errMu.Lock()
	defer t.errMu.Unlock()
	err, ok := t.orphan[g]
	if ok {
		delete(t.orphan, g)
	}
	return err
}
