package contenttest

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// Subject is the translator under test.
type Subject struct {
	Type *xlator.Type
	// New is Type's, with a clock of the test's.
	New func(e *xlator.Env, now func() time.Duration) (xlator.Fops, error)
	// Options are as in a volfile.
	Options map[string]string
	// Leaf makes the brick.
	Leaf xlatortest.Leaf
	// Between, if not nil, puts something between the probe and the brick.
	Between func(*xlatortest.World, xlator.Fops) xlator.Fops
	// Base is where the part of the file begins that is changed and read.
	Base int64
	// Warm has the subject keep what it can of the file f; it must then answer a
	// read of 5000 bytes at Base, the end of the file, from memory.
	Warm func(w *World, fd *xlator.FD)
	// Prepare does what has to come before Fetch, and Fetch has the subject ask
	// the child for content by a Fop. nil: a lookup, and a read by READV.
	Prepare func(w *World)
	Fetch   func(w *World, fd *xlator.FD)
	Fop     xlator.Fop
	Match   func(req any) bool // which request by Fop; nil: the first
}

func (s *Subject) gate(w *World) *xlatortest.Gate { return w.P.GateFor(s.Fop, true, s.Match) }

// open makes the file f and opens it.
func (s *Subject) open(w *World) *xlator.FD {
	return w.Open(w.Create("f", Fill(1, int(s.Base)+5000)), unix.O_RDWR)
}

// right demands that a read gives what the brick has.
func (s *Subject) right(w *World, fd *xlator.FD, what string) {
	w.T().Helper()
	if got, want := w.Read(fd, s.Base, 20000), w.Truth(fd, s.Base, 20000); got != want {
		w.T().Errorf("%s: read %d bytes, the brick has %d, or others", what, len(got), len(want))
	}
}

// byRead fills in how content is asked for if the test does not say it.
func (s *Subject) byRead() {
	if s.Fetch == nil {
		s.Prepare = func(w *World) { w.Lookup("f") }
		s.Fetch = func(w *World, fd *xlator.FD) { w.Read(fd, s.Base, 20000) }
		s.Fop = xlator.FopReadv
	}
}

// World is the subject above a probe above a brick.
type World struct {
	*xlatortest.Stack[xlator.Fops]
	mtime int64
}

// Build makes a World that serves.
func (s Subject) Build(t testing.TB) *World {
	t.Helper()
	return &World{Stack: xlatortest.Plan[xlator.Fops]{Type: s.Type, New: s.New, Options: s.Options, Leaf: s.Leaf, Between: s.Between}.Build(t)}
}

// Create makes a file with that content, by another client.
func (w *World) Create(name string, data []byte) *xlator.Inode {
	w.T().Helper()
	rep, err := w.Leaf.Create(xlator.Internal(), &xlator.CreateReq{
		MakeReq: xlator.MakeReq{Parent: w.Root, Name: name, GFID: xlator.NewGFID(), Mode: 0o644}, Flags: unix.O_RDWR, Base: w.NextBase()})
	w.Must(err)
	w.PutBelow(rep.FD, 0, data)
	w.Leaf.Release(rep.FD)
	return rep.FD.Inode()
}

// PutBelow writes as another client, and sees to it that the time of change is
// another one, however coarse the brick's clock.
func (w *World) PutBelow(fd *xlator.FD, off int64, data []byte) {
	w.T().Helper()
	_, err := w.Leaf.Writev(xlator.Internal(), &xlator.WritevReq{FD: fd, Offset: off, Payload: xlator.Payload{Bytes: data}})
	w.Must(err)
	w.mtime++
	_, err = w.Leaf.Fsetattr(xlator.Internal(), &xlator.FsetattrReq{FD: fd, Setattr: xlator.Setattr{Mask: xlator.SetMtime, Mtime: xlator.Time{Sec: w.mtime}}})
	w.Must(err)
}

// Open opens through the subject.
func (w *World) Open(i *xlator.Inode, flags uint32) *xlator.FD {
	w.T().Helper()
	rep, err := w.X.Open(xlator.Internal(), &xlator.OpenReq{Inode: i, Flags: flags, Base: w.NextBase()})
	w.Must(err)
	return rep.FD
}

// Release ends an FD at the end of a test: what is held goes on.
func (w *World) Release(fd *xlator.FD) {
	w.P.End()
	w.X.Release(fd)
}

// Lookup looks a name in the root up through the subject.
func (w *World) Lookup(name string) *xlator.LookupRep {
	w.T().Helper()
	rep, err := w.X.Lookup(xlator.Internal(), &xlator.LookupReq{Parent: w.Root, Name: name})
	w.Must(err)
	return rep
}

// Read reads through the subject.
func (w *World) Read(fd *xlator.FD, off int64, size int) string {
	w.T().Helper()
	rep, err := w.X.Readv(xlator.Internal(), &xlator.ReadvReq{FD: fd, Offset: off, Size: size, Flags: fd.Flags()})
	w.Must(err)
	return string(rep.Data)
}

// Truth is what the brick has.
func (w *World) Truth(fd *xlator.FD, off int64, size int) string {
	w.T().Helper()
	rep, err := w.Leaf.Readv(xlator.Internal(), &xlator.ReadvReq{FD: fd, Offset: off, Size: size, Flags: fd.Flags()})
	w.Must(err)
	return string(rep.Data)
}

// Asked says how many fops of a kind f sends to the child.
func (w *World) Asked(fop xlator.Fop, f func()) int64 {
	return w.P.During(f, fop)
}

// Cached reports whether a read is answered from memory.
func (w *World) Cached(fd *xlator.FD, off int64, size int) bool {
	w.T().Helper()
	return w.Asked(xlator.FopReadv, func() { w.Read(fd, off, size) }) == 0
}

// Tell has the subject hear of an event below.
func (w *World) Tell(e xlator.Event) { w.X.(xlator.Listener).Notified(w.P, e) }

// Fill is n bytes that differ by seed and place.
func Fill(seed byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = seed ^ byte(i*7) ^ byte(i>>9)
	}
	return b
}
