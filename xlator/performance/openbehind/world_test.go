package openbehind

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// world is open-behind over a probe over a brick.
type world struct{ *xlatortest.Stack[*translator] }

func build(t testing.TB, opts map[string]string) *world {
	t.Helper()
	return &world{xlatortest.Plan[*translator]{Type: Type(), Options: opts, Leaf: xlatortest.LeafOf(posix.Type(), locks.Type())}.Build(t)}
}

func (w *world) name(dir *xlator.Inode, n string) xlator.MakeReq {
	return xlator.MakeReq{Parent: dir, Name: n, GFID: xlator.NewGFID(), Mode: 0o644}
}

func unlink(x xlator.Fops, dir *xlator.Inode, n string) error {
	return justErr(x.Unlink(xlator.Internal(), &xlator.UnlinkReq{Parent: dir, Name: n}))
}

func justErr[T any](_ T, err error) error { return err }

// file makes a file with that content, and returns its inode; nothing is open.
func (w *world) file(n, content string) *xlator.Inode {
	w.T().Helper()
	rep, err := w.Leaf.Create(xlator.Internal(), &xlator.CreateReq{MakeReq: w.name(w.Root, n), Flags: unix.O_RDWR, Base: w.NextBase()})
	w.Must(err)
	w.Must(justErr(w.Leaf.Writev(xlator.Internal(), &xlator.WritevReq{FD: rep.FD, Payload: xlator.Payload{Bytes: []byte(content)}})))
	w.Leaf.Release(rep.FD)
	return rep.FD.Inode()
}

func caller() *xlator.Call { return &xlator.Call{PID: 1, LockOwner: 1} }

func (w *world) open(i *xlator.Inode, flags uint32) *xlator.FD {
	w.T().Helper()
	rep, err := w.X.Open(caller(), &xlator.OpenReq{Inode: i, Flags: flags, Base: w.NextBase()})
	w.Must(err)
	return rep.FD
}

// early opens for reading, which the child must not hear of.
func (w *world) early(i *xlator.Inode) *xlator.FD {
	w.T().Helper()
	var fd *xlator.FD
	if w.opens(func() { fd = w.open(i, unix.O_RDONLY) }) != 0 {
		w.T().Fatal("the child was asked to open")
	}
	return fd
}

func (w *world) read(fd *xlator.FD) (string, error) {
	rep, err := w.X.Readv(caller(), &xlator.ReadvReq{FD: fd, Size: 100})
	if err != nil {
		return "", err
	}
	return string(rep.Data), nil
}

// opens says how many files f has the child open.
func (w *world) opens(f func()) int64 {
	return w.P.During(f, xlator.FopOpen)
}
