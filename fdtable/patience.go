package fdtable

import (
	"context"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/hint"
)

// patienceOf is how long somebody waits for a file that is CLOSED and cannot be
// opened: a request until the recovery deadline, the client itself not at all.
func (t *Table) patienceOf(ctx context.Context) hint.Patience {
	p := hint.Patience{Wait: func(done <-chan struct{}) error { return xlator.Await(ctx, done) }}
	if _, ok := ctx.(*xlator.Call); ok {
		p.For = t.patience
	}
	return p
}

// sureGone is for how long a file must be found to be gone before it is LOST: a
// directory can look so for a moment while it, or one above it, is renamed.
const sureGone = time.Second

// failed makes the error final of an attempt to open a file that was CLOSED, if
// the file is gone for good. Called with mu held.
func (n *Node) failed(err error) error {
	if e := xlator.Errno(err); e != syscall.ESTALE && e != syscall.ENOENT {
		n.gone = 0
		return err
	}
	now := max(1, int64(time.Since(n.t.began)))
	if n.gone == 0 {
		n.gone = now
	}
	if now-n.gone < int64(min(sureGone, n.t.patience)) {
		return err
	}
	n.t.lost.Add(1)
	n.t.log.Error("an open file is gone: it is lost", "gfid", n.gfid, "err", err)
	return &hint.ErrGone{Err: err}
}
