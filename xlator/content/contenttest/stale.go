package contenttest

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// Change is a fop that changes the content of a file.
type Change struct {
	Fop xlator.Fop
	Do  func(w *World, fd *xlator.FD) error
}

func justErr[T any](_ T, err error) error { return err }

// Changes is every fop that changes content. The file has 5000 bytes.
func Changes() map[string]Change {
	ctx := xlator.Internal()
	return map[string]Change{
		"write": {xlator.FopWritev, func(w *World, fd *xlator.FD) error {
			return justErr(w.X.Writev(ctx, &xlator.WritevReq{FD: fd, Offset: 10, Payload: xlator.Payload{Bytes: []byte("after")}}))
		}},
		"append": {xlator.FopWritev, func(w *World, fd *xlator.FD) error {
			return justErr(w.X.Writev(ctx, &xlator.WritevReq{FD: fd, Offset: 5000, Payload: xlator.Payload{Bytes: []byte("after")}}))
		}},
		"truncate": {xlator.FopTruncate, func(w *World, fd *xlator.FD) error {
			return justErr(w.X.Truncate(ctx, &xlator.TruncateReq{Inode: fd.Inode(), Size: 3}))
		}},
		"ftruncate": {xlator.FopFtruncate, func(w *World, fd *xlator.FD) error {
			return justErr(w.X.Ftruncate(ctx, &xlator.FtruncateReq{FD: fd, Size: 9000}))
		}},
		"fallocate": {xlator.FopFallocate, func(w *World, fd *xlator.FD) error {
			return justErr(w.X.Fallocate(ctx, &xlator.FallocateReq{FD: fd, Len: 10000}))
		}},
		"discard": {xlator.FopDiscard, func(w *World, fd *xlator.FD) error {
			return justErr(w.X.Discard(ctx, &xlator.DiscardReq{FD: fd, Len: 4096}))
		}},
		"zerofill": {xlator.FopZerofill, func(w *World, fd *xlator.FD) error {
			return justErr(w.X.Zerofill(ctx, &xlator.ZerofillReq{FD: fd, Len: 100}))
		}},
		"copy": {xlator.FopCopyFileRange, func(w *World, fd *xlator.FD) error {
			return justErr(w.X.CopyFileRange(ctx, &xlator.CopyFileRangeReq{Src: fd, Dst: fd, SrcOff: 4000, Len: 500}))
		}},
	}
}

// Stale changes a file in every way, through the subject, at every moment of a
// read, and expects the next read to see it.
func Stale(t *testing.T, s Subject) {
	s.byRead()
	each := func(name string, f func(t *testing.T, w *World, fd *xlator.FD, c Change)) {
		for change, c := range Changes() {
			t.Run(name+"/"+change, func(t *testing.T) {
				w := s.Build(t)
				fd := w.Open(w.Create("f", Fill(1, 5000)), unix.O_RDWR)
				defer w.X.Release(fd)
				f(t, w, fd, c)
			})
		}
	}
	right := func(t *testing.T, w *World, fd *xlator.FD) {
		t.Helper()
		for range 3 { // whatever is asked for after the change may be kept
			if got, want := w.Read(fd, 0, 20000), w.Truth(fd, 0, 20000); got != want {
				t.Fatalf("read %d bytes, the brick has %d, or others", len(got), len(want))
			}
		}
	}
	each("change is seen at once", func(t *testing.T, w *World, fd *xlator.FD, c Change) {
		s.Warm(w, fd)
		if !w.Cached(fd, 0, 5000) {
			t.Fatal("nothing was kept")
		}
		w.Must(c.Do(w, fd))
		right(t, w, fd)
	})
	each("answer from before a change", func(t *testing.T, w *World, fd *xlator.FD, c Change) {
		s.Prepare(w)
		g := w.P.Gate(s.Fop, true)
		read := Async(func() { s.Fetch(w, fd) })
		g.Wait(t)
		w.Must(c.Do(w, fd))
		g.Open()
		w.Ended(read)
		right(t, w, fd)
	})
	for _, after := range []bool{false, true} {
		each(fmt.Sprintf("read during a change/the child has done it %v", after), func(t *testing.T, w *World, fd *xlator.FD, c Change) {
			s.Warm(w, fd)
			g := w.P.Gate(c.Fop, after)
			change := Async(func() { w.Must(c.Do(w, fd)) })
			g.Wait(t)
			s.Warm(w, fd)
			w.Read(fd, 0, 20000)
			g.Open()
			w.Ended(change)
			right(t, w, fd)
		})
	}
	each("read ends in the middle of a change", func(t *testing.T, w *World, fd *xlator.FD, c Change) {
		s.Prepare(w)
		r, g := w.P.Gate(s.Fop, true), w.P.Gate(c.Fop, false)
		read := Async(func() { s.Fetch(w, fd) })
		r.Wait(t)
		change := Async(func() { w.Must(c.Do(w, fd)) })
		g.Wait(t)
		r.Open()
		w.Ended(read)
		g.Open()
		w.Ended(change)
		right(t, w, fd)
	})
	each("change ends in the middle of a read", func(t *testing.T, w *World, fd *xlator.FD, c Change) {
		s.Prepare(w)
		g := w.P.Gate(c.Fop, false)
		change := Async(func() { w.Must(c.Do(w, fd)) })
		g.Wait(t)
		r := w.P.Gate(s.Fop, true)
		read := Async(func() { s.Fetch(w, fd) })
		r.Wait(t)
		g.Open()
		w.Ended(change)
		r.Open()
		w.Ended(read)
		right(t, w, fd)
	})
}
