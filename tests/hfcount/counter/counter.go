package counter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// Names of extended attributes.
const (
	Next       = "user.counter.next"        // add 1, and expect this sum
	NextLocked = "user.counter.next-locked" // with the file locked
	Sum        = "trusted.counter"          // what the brick has
)

// domain is where the locks are.
const domain = "tests-counter"

// Type describes tests/counter.
func Type() *xlator.Type {
	return &xlator.Type{
		Name:        "tests/counter",
		Summary:     "Turns setxattr of certain names into additions on the brick; for tests.",
		MinChildren: 1, MaxChildren: 1,
		New: newTranslator,
		Options: []xlator.Option{
			{Name: "unrecorded", Values: []string{"", "additions", "locks"},
				Help: "What is sent in a way that is not remembered over the death of the process."},
		},
	}
}

type translator struct {
	xlator.Default
	unrecorded string // constant
}

func newTranslator(e *xlator.Env) (xlator.Fops, error) {
	t := &translator{unrecorded: e.Options.String("unrecorded")}
	t.Next = e.Children[0]
	return t, nil
}

// Setxattr implements xlator.Fops.
func (t *translator) Setxattr(ctx context.Context, r *xlator.SetxattrReq) (*xlator.Empty, error) {
	if want, ok := r.Xattrs.Bytes(Next); ok {
		return &xlator.Empty{}, t.count(ctx, r.Inode, want)
	}
	if want, ok := r.Xattrs.Bytes(NextLocked); ok {
		return &xlator.Empty{}, t.countLocked(ctx, r.Inode, want)
	}
	return t.Next.Setxattr(ctx, r)
}

// as is the call on whose behalf something is sent.
func (t *translator) as(ctx context.Context, what string) context.Context {
	if t.unrecorded == what {
		return xlator.Internal()
	}
	return ctx
}

// count adds 1; want is the sum that there must be then.
func (t *translator) count(ctx context.Context, i *xlator.Inode, want []byte) error {
	n, err := strconv.ParseUint(string(want), 10, 64)
	if err != nil {
		return fmt.Errorf("counter: %w: %w", syscall.EINVAL, err)
	}
	one := &xlator.Dict{}
	one.SetBytes(Sum, binary.BigEndian.AppendUint64(nil, 1))
	rep, err := t.Next.Xattrop(t.as(ctx, "additions"), &xlator.XattropReq{Inode: i, Kind: xlator.XattropAddArray64, Xattrs: one})
	if err != nil {
		return err
	}
	if sum, _ := rep.Xattrs.Bytes(Sum); len(sum) != 8 || binary.BigEndian.Uint64(sum) != n {
		return fmt.Errorf("counter: the sum in %s is %x, want %d: %w", i.GFID(), sum, n, syscall.EILSEQ)
	}
	return nil
}

func (t *translator) countLocked(ctx context.Context, i *xlator.Inode, want []byte) error {
	l := xlator.InodelkReq{Inode: i, Domain: domain, Cmd: xlator.LkSet, Lock: xlator.Lock{
		Type: unix.F_WRLCK, End: math.MaxInt64, Owner: xlator.CallFrom(ctx).Unique,
	}}
	ctxLocks := t.as(ctx, "locks")
	if _, err := t.Next.Inodelk(ctxLocks, &l); err != nil {
		if errors.Is(err, syscall.EAGAIN) {
			err = syscall.EBUSY // the kernel makes EOPNOTSUPP of EAGAIN
		}
		return fmt.Errorf("counter: lock: %w", err)
	}
	err := t.count(ctx, i, want)
	free := l
	free.Lock.Type = unix.F_UNLCK
	if _, uerr := t.Next.Inodelk(ctxLocks, &free); uerr != nil {
		return errors.Join(err, fmt.Errorf("counter: unlock: %w", uerr))
	}
	return err
}
