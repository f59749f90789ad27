package locks_test

import (
	"errors"
	"math"
	"syscall"
	"testing"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
	"golang.org/x/sys/unix"
)

// A second features/locks above the first must make no difference: one brick
// has one table.
func TestConform(t *testing.T) {
	xlatortest.Conform(t, xlatortest.LeafOf(posix.Type(), locks.Type()), xlatortest.Above(locks.Type(), nil))
}

// graphOf is one graph of a mount over a real directory.
func graphOf(t *testing.T, pool *xlator.Pool, dir string) (*xlatortest.World, xlator.Fops) {
	t.Helper()
	w := xlatortest.NewWorld(t, pool)
	top := xlatortest.LeafOf(posix.Type(), locks.Type())(w, dir)
	w.Start()
	return w, top
}

// TestLocksOfAnUnlinkedFilePassThroughASwitch holds and awaits locks on a file
// that has no name any more, while the graph below its descriptor changes.
func TestLocksOfAnUnlinkedFilePassThroughASwitch(t *testing.T) {
	dir := t.TempDir()
	old, top := graphOf(t, nil, dir)
	root := old.Root(top)
	made, err := top.Create(xlator.Internal(), &xlator.CreateReq{
		MakeReq: xlator.MakeReq{Parent: root, Name: "f", GFID: xlator.NewGFID(), Mode: 0o600}, Flags: unix.O_RDWR | unix.O_CREAT, Base: 1})
	if err != nil {
		t.Fatal(err)
	}
	fd := made.FD
	gfid := fd.Inode().GFID()
	lk := func(top xlator.Fops, fd *xlator.FD, cmd xlator.LkCmd, owner uint64, typ int16, ticket uint64, detach <-chan struct{}) error {
		_, err := top.Lk(xlator.Internal(), &xlator.LkReq{FD: fd, Cmd: cmd, Ticket: ticket, Detach: detach,
			Lock: xlator.Lock{Type: typ, End: math.MaxInt64, Owner: owner}})
		return err
	}
	if err := lk(top, fd, xlator.LkSet, 1, unix.F_WRLCK, 0, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := top.Unlink(xlator.Internal(), &xlator.UnlinkReq{Parent: root, Name: "f"}); err != nil {
		t.Fatal(err)
	}
	switched := make(chan struct{})
	close(switched)
	if err := lk(top, fd, xlator.LkWait, 2, unix.F_WRLCK, 7, switched); !errors.Is(err, xlator.ErrDetached) {
		t.Fatal(err)
	}

	young, next := graphOf(t, old.Pool, dir)
	rep, err := next.Open(xlator.Internal(), &xlator.OpenReq{
		Inode: young.Inodes.Get(gfid, xlator.TypeRegular), Flags: unix.O_RDWR, Base: 1, Reopen: true})
	if err != nil {
		t.Fatal(err)
	}
	top.Release(fd)
	old.Stop()
	moved := rep.FD
	if err := lk(next, moved, xlator.LkSet, 3, unix.F_RDLCK, 0, nil); xlator.Errno(err) != syscall.EAGAIN {
		t.Fatal(err)
	}
	waited := make(chan error)
	go func() { waited <- lk(next, moved, xlator.LkWait, 2, unix.F_WRLCK, 7, nil) }()
	if err := lk(next, moved, xlator.LkSet, 1, unix.F_UNLCK, 0, nil); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	if err := lk(next, moved, xlator.LkSet, 3, unix.F_RDLCK, 0, nil); xlator.Errno(err) != syscall.EAGAIN {
		t.Fatal(err)
	}
	if err := lk(next, moved, xlator.LkSet, 2, unix.F_UNLCK, 0, nil); err != nil {
		t.Fatal(err)
	}
	next.Release(moved)
	young.Stop()
	if keys := young.Pool.Keys(); len(keys) != 0 {
		t.Fatalf("left in the pool: %q", keys)
	}
}
