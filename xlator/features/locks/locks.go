package locks

import (
	"context"
	"fmt"
	"syscall"

	"github.com/holdfast/holdfast/xlator"
	"golang.org/x/sys/unix"
)

// Type describes features/locks.
func Type() *xlator.Type {
	return &xlator.Type{
		Name:        "features/locks",
		Summary:     "Record locks, flock and the locks of other translators, for the brick below.",
		MinChildren: 1,
		MaxChildren: 1,
		Options: []xlator.Option{
			{Name: "mandatory-locking", Kind: xlator.KindString, Default: "off",
				Values: []string{"off", "file", "forced", "optimal"},
				Help:   "Whether locks keep reads and writes of others out. Only off can be honoured: locks are advisory."},
			{Name: "enforce-mandatory-lock", Kind: xlator.KindBool, Default: "off",
				Help: "Whether mandatory locks are enforced. Only off can be honoured."},
			{Name: "notify-contention", Kind: xlator.KindBool, Default: "yes", Ignored: true,
				Help: "Telling the holder of an inodelk or entrylk that somebody waits. Ignored: holder and waiter are one client."},
			{Name: "notify-contention-delay", Kind: xlator.KindTime, Default: "5", Max: 60, Ignored: true,
				Help: "Least time between two such notes. Ignored, as notify-contention is."},
		},
		New: newTranslator,
	}
}

var _ interface {
	xlator.LockProvider
	xlator.LockRestorer
} = (*translator)(nil)

// translator is features/locks in one graph. All state is the table's.
type translator struct {
	xlator.Default
	env *xlator.Env

	// Set by Start, constant afterwards.
	identity string
	table    *Table
	release  func() error
}

func newTranslator(env *xlator.Env) (xlator.Fops, error) {
	if v := env.Options.String("mandatory-locking"); v != "off" {
		return nil, fmt.Errorf("%s: option mandatory-locking %s cannot be honoured: locks are advisory (off)", env.Volume, v)
	}
	if env.Options.Bool("enforce-mandatory-lock") {
		return nil, fmt.Errorf("%s: option enforce-mandatory-lock %s cannot be honoured: locks are advisory (off)",
			env.Volume, env.Options.String("enforce-mandatory-lock"))
	}
	return &translator{Default: xlator.Default{Next: env.Children[0]}, env: env}, nil
}

// Start takes the brick's table from the pool.
func (t *translator) Start(context.Context) error {
	t.identity = t.Identity()
	if t.identity == "" {
		return fmt.Errorf("%s: there is no single brick below %s: put features/locks right above storage/posix",
			t.env.Volume, t.env.Type.Name)
	}
	table, release, err := xlator.Share(t.env.Pool, "locks:"+t.identity, func() (*Table, error) { return NewTable(), nil })
	if err != nil {
		return fmt.Errorf("%s: lock table of %s: %w", t.env.Volume, t.identity, err)
	}
	t.table, t.release = table, release
	return nil
}

// Stop lets go of the table.
func (t *translator) Stop() {
	if t.release == nil {
		return
	}
	if err := t.release(); err != nil {
		t.env.Log.Warn("close lock table", "brick", t.identity, "error", err)
	}
}

// ProvidesLocks implements xlator.LockProvider.
func (t *translator) ProvidesLocks() {}

// LockCounts is [Table.Counts].
func (t *translator) LockCounts() (held, waiting int) { return t.table.Counts() }

// RestoreLocks implements xlator.LockRestorer.
func (t *translator) RestoreLocks(file xlator.GFID, locks []xlator.Lock) error {
	return t.table.Restore(file, locks)
}

// Lk implements xlator.Fops.
func (t *translator) Lk(ctx context.Context, r *xlator.LkReq) (*xlator.LkRep, error) {
	k, c, err := lockClaim(r.FD.Inode().GFID(), r.Lock)
	if err != nil {
		return nil, err
	}
	rep := &xlator.LkRep{Lock: r.Lock}
	switch {
	case r.Cmd == xlator.LkCancel:
		err = t.table.Abandon(Ticket{File: r.FD.Inode().GFID(), Lock: r.Lock, Number: r.Ticket}, r.Keep)
	case r.Cmd > xlator.LkWait || r.Cmd == xlator.LkGet && c.mode == unlocked:
		return nil, fmt.Errorf("%s: command %d of type %d: %w", k, r.Cmd, r.Lock.Type, syscall.EINVAL)
	case r.Cmd == xlator.LkGet:
		err = t.getlk(k, c, &rep.Lock)
	case c.mode == unlocked:
		_, err = t.table.unlock(k, c)
	default:
		err = t.table.set(ctx, k, c, patience{
			block: r.Cmd == xlator.LkWait, ticket: r.Ticket, detach: r.Detach, retired: t.env.Context.Done(),
		})
	}
	if err != nil {
		return nil, err
	}
	return rep, nil
}

// getlk answers LkGet in l.
func (t *translator) getlk(k spaceKey, c claim, l *xlator.Lock) error {
	by, blocked, err := t.table.get(k, c)
	switch {
	case err != nil:
		return err
	case !blocked:
		l.Type = unix.F_UNLCK
		return nil
	}
	*l = xlator.Lock{Type: unix.F_RDLCK, Start: by.start, End: by.end, Owner: by.owner, PID: by.pid, Flock: l.Flock}
	if by.mode == exclusive {
		l.Type = unix.F_WRLCK
	}
	return nil
}

// Inodelk implements xlator.Fops.
func (t *translator) Inodelk(ctx context.Context, r *xlator.InodelkReq) (*xlator.Empty, error) {
	return t.inodelk(ctx, r.Inode, r.Domain, r.Cmd, r.Lock)
}

// Finodelk implements xlator.Fops.
func (t *translator) Finodelk(ctx context.Context, r *xlator.FinodelkReq) (*xlator.Empty, error) {
	return t.inodelk(ctx, r.FD.Inode(), r.Domain, r.Cmd, r.Lock)
}

func (t *translator) inodelk(ctx context.Context, i *xlator.Inode, domain string, cmd xlator.LkCmd, l xlator.Lock) (*xlator.Empty, error) {
	k := spaceKey{file: i.GFID(), kind: inodeLocks, domain: domain}
	c, err := rangeClaim(k, l)
	if err != nil {
		return nil, err
	}
	return t.internal(ctx, k, c, cmd)
}

// Entrylk implements xlator.Fops.
func (t *translator) Entrylk(ctx context.Context, r *xlator.EntrylkReq) (*xlator.Empty, error) {
	return t.entrylk(ctx, r.Inode, r.Domain, r.Cmd, r.Name, r.Type, r.Owner)
}

// Fentrylk implements xlator.Fops.
func (t *translator) Fentrylk(ctx context.Context, r *xlator.FentrylkReq) (*xlator.Empty, error) {
	return t.entrylk(ctx, r.FD.Inode(), r.Domain, r.Cmd, r.Name, r.Type, r.Owner)
}

func (t *translator) entrylk(ctx context.Context, i *xlator.Inode, domain string, cmd xlator.LkCmd, name string, typ int16, owner uint64) (*xlator.Empty, error) {
	k := spaceKey{file: i.GFID(), kind: entryLocks, domain: domain}
	c, err := rangeClaim(k, xlator.Lock{Type: typ, End: endOfFile, Owner: owner})
	if err != nil {
		return nil, err
	}
	c.name = name
	return t.internal(ctx, k, c, cmd)
}

// internal sets or clears a lock of a translator.
func (t *translator) internal(ctx context.Context, k spaceKey, c claim, cmd xlator.LkCmd) (*xlator.Empty, error) {
	if cmd != xlator.LkSet && cmd != xlator.LkWait {
		return nil, fmt.Errorf("%s: command %d: %w", k, cmd, syscall.EINVAL)
	}
	if c.mode != unlocked {
		p := patience{block: cmd == xlator.LkWait, retired: t.env.Context.Done()}
		if err := t.table.set(ctx, k, c, p); err != nil {
			return nil, err
		}
		return &xlator.Empty{}, nil
	}
	found, err := t.table.unlock(k, c)
	if err == nil && !found {
		err = fmt.Errorf("%s: unlock %q %s of owner %x: not held: %w", k, c.name, c.extent(), c.owner, syscall.EINVAL)
	}
	if err != nil {
		return nil, err
	}
	return &xlator.Empty{}, nil
}
