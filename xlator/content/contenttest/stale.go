package contenttest

import (
	"fmt"
	"testing"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// Change is a fop that changes the content of a file.
type Change struct {
	Fop xlator.Fop
	Do  func(w *World, fd *xlator.FD, base int64) error
}

func justErr[T any](_ T, err error) error { return err }

// Changes is every fop that changes content. The file has 5000 bytes behind base.
func Changes() map[string]Change {
	ctx := xlator.Internal()
	return map[string]Change{
		"write": {xlator.FopWritev, func(w *World, fd *xlator.FD, base int64) error {
			return justErr(w.X.Writev(ctx, &xlator.WritevReq{FD: fd, Offset: base + 10, Payload: xlator.Payload{Bytes: []byte("after")}}))
		}},
		"append": {xlator.FopWritev, func(w *World, fd *xlator.FD, base int64) error {
			return justErr(w.X.Writev(ctx, &xlator.WritevReq{FD: fd, Offset: base + 5000, Payload: xlator.Payload{Bytes: []byte("after")}}))
		}},
		"truncate": {xlator.FopTruncate, func(w *World, fd *xlator.FD, base int64) error {
			return justErr(w.X.Truncate(ctx, &xlator.TruncateReq{Inode: fd.Inode(), Size: uint64(base) + 3}))
		}},
		"ftruncate": {xlator.FopFtruncate, func(w *World, fd *xlator.FD, base int64) error {
			return justErr(w.X.Ftruncate(ctx, &xlator.FtruncateReq{FD: fd, Size: uint64(base) + 9000}))
		}},
		"fallocate": {xlator.FopFallocate, func(w *World, fd *xlator.FD, base int64) error {
			return justErr(w.X.Fallocate(ctx, &xlator.FallocateReq{FD: fd, Offset: base, Len: 10000}))
		}},
		"discard": {xlator.FopDiscard, func(w *World, fd *xlator.FD, base int64) error {
			return justErr(w.X.Discard(ctx, &xlator.DiscardReq{FD: fd, Offset: base, Len: 4096}))
		}},
		"zerofill": {xlator.FopZerofill, func(w *World, fd *xlator.FD, base int64) error {
			return justErr(w.X.Zerofill(ctx, &xlator.ZerofillReq{FD: fd, Offset: base, Len: 100}))
		}},
		"copy": {xlator.FopCopyFileRange, func(w *World, fd *xlator.FD, base int64) error {
			return justErr(w.X.CopyFileRange(ctx, &xlator.CopyFileRangeReq{Src: fd, Dst: fd, SrcOff: base + 4000, DstOff: base, Len: 500}))
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
				fd := s.open(w)
				defer w.Release(fd)
				f(t, w, fd, c)
			})
		}
	}
	right := func(w *World, fd *xlator.FD) {
		w.T().Helper()
		for range 3 { // whatever is asked for after the change may be kept
			s.right(w, fd, "after the change")
		}
	}
	each("change is seen at once", func(t *testing.T, w *World, fd *xlator.FD, c Change) {
		s.Warm(w, fd)
		if !w.Cached(fd, s.Base, 5000) {
			t.Fatal("nothing was kept")
		}
		w.Must(c.Do(w, fd, s.Base))
		right(w, fd)
	})
	each("answer from before a change", func(t *testing.T, w *World, fd *xlator.FD, c Change) {
		s.Prepare(w)
		g := s.gate(w)
		read := xlatortest.Async(func() { s.Fetch(w, fd) })
		g.Wait(t)
		w.Must(c.Do(w, fd, s.Base))
		close(g.Open)
		xlatortest.Ended(w.T(), read)
		right(w, fd)
	})
	for _, after := range []bool{false, true} {
		each(fmt.Sprintf("read during a change/the child has done it %v", after), func(t *testing.T, w *World, fd *xlator.FD, c Change) {
			s.Warm(w, fd)
			g := w.P.Gate(c.Fop, after)
			change := xlatortest.Async(func() { w.Must(c.Do(w, fd, s.Base)) })
			g.Wait(t)
			s.Warm(w, fd)
			w.Read(fd, s.Base, 20000)
			close(g.Open)
			xlatortest.Ended(w.T(), change)
			right(w, fd)
		})
	}
	each("read ends in the middle of a change", func(t *testing.T, w *World, fd *xlator.FD, c Change) {
		s.Prepare(w)
		r, g := s.gate(w), w.P.Gate(c.Fop, false)
		read := xlatortest.Async(func() { s.Fetch(w, fd) })
		r.Wait(t)
		change := xlatortest.Async(func() { w.Must(c.Do(w, fd, s.Base)) })
		g.Wait(t)
		close(r.Open)
		xlatortest.Ended(w.T(), read)
		close(g.Open)
		xlatortest.Ended(w.T(), change)
		right(w, fd)
	})
	each("change ends in the middle of a read", func(t *testing.T, w *World, fd *xlator.FD, c Change) {
		s.Prepare(w)
		g := w.P.Gate(c.Fop, false)
		change := xlatortest.Async(func() { w.Must(c.Do(w, fd, s.Base)) })
		g.Wait(t)
		r := s.gate(w)
		read := xlatortest.Async(func() { s.Fetch(w, fd) })
		r.Wait(t)
		close(g.Open)
		xlatortest.Ended(w.T(), change)
		close(r.Open)
		xlatortest.Ended(w.T(), read)
		right(w, fd)
	})
}
