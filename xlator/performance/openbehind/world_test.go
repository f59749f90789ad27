package openbehind

import (
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// world is open-behind over a probe over a brick.
type world struct {
	*xlatortest.World
	t    testing.TB
	x    *translator
	p    *xlatortest.Probe
	leaf xlator.Fops
	root *xlator.Inode
	base atomic.Uint64
}

func build(t testing.TB, opts map[string]string) *world {
	t.Helper()
	w := &world{World: xlatortest.NewWorld(t, nil), t: t}
	w.leaf = w.Add(locks.Type(), nil, w.Add(posix.Type(), map[string]string{"directory": t.TempDir()}))
	w.p = xlatortest.NewProbe(t, w.leaf)
	w.x = w.Add(Type(), opts, w.p).(*translator)
	w.Start()
	w.root = w.Root(w.x)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
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
	w.t.Helper()
	rep, err := w.leaf.Create(xlator.Internal(), &xlator.CreateReq{MakeReq: w.name(w.root, n), Flags: unix.O_RDWR, Base: w.base.Add(1)})
	w.must(err)
	w.must(justErr(w.leaf.Writev(xlator.Internal(), &xlator.WritevReq{FD: rep.FD, Payload: xlator.Payload{Bytes: []byte(content)}})))
	w.leaf.Release(rep.FD)
	return rep.FD.Inode()
}

func caller() *xlator.Call { return &xlator.Call{PID: 1, LockOwner: 1} }

func (w *world) open(i *xlator.Inode, flags uint32) *xlator.FD {
	w.t.Helper()
	rep, err := w.x.Open(caller(), &xlator.OpenReq{Inode: i, Flags: flags, Base: w.base.Add(1)})
	w.must(err)
	return rep.FD
}

// early opens for reading, which the child must not hear of.
func (w *world) early(i *xlator.Inode) *xlator.FD {
	w.t.Helper()
	var fd *xlator.FD
	if w.opens(func() { fd = w.open(i, unix.O_RDONLY) }) != 0 {
		w.t.Fatal("the child was asked to open")
	}
	return fd
}

func (w *world) read(fd *xlator.FD) (string, error) {
	rep, err := w.x.Readv(caller(), &xlator.ReadvReq{FD: fd, Size: 100})
	if err != nil {
		return "", err
	}
	return string(rep.Data), nil
}

// opens says how many files f has the child open.
func (w *world) opens(f func()) int64 {
	return w.p.During(f, xlator.FopOpen)
}
