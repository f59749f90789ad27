package mdcache

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

func TestAttributesAreAnsweredFromMemoryUntilTheTimeout(t *testing.T) {
	w := build(t, nil)
	fd := w.create("f")
	i, ctx := fd.Inode(), xlator.Internal()
	if !w.cached(i) {
		t.Error("what came with the create was not kept")
	}
	if w.stat(i) != w.truth(i) {
		t.Error("not what the child says")
	}
	n := w.asked(xlator.FopFstat, func() { _, err := w.X.Fstat(ctx, &xlator.FstatReq{FD: fd}); w.Must(err) })
	n += w.asked(xlator.FopLookup, func() {
		rep, err := w.X.Lookup(ctx, &xlator.LookupReq{GFID: i.GFID()})
		w.Must(err)
		if rep.Inode != i || rep.Attr != w.truth(i) {
			t.Errorf("lookup by gfid: %+v", rep)
		}
	})
	if n != 0 {
		t.Errorf("the child was asked %d times", n)
	}
	w.Pass(time.Second - 1)
	if !w.cached(i) {
		t.Error("asked before the timeout")
	}
	w.Pass(1)
	if w.cached(i) {
		t.Error("answered after the timeout")
	}
	if !w.cached(i) {
		t.Error("the new answer was not kept")
	}
	// The age counts from when it was asked for, not from when it came.
	w.Pass(time.Hour)
	g := w.P.Gate(xlator.FopStat, true)
	done := xlatortest.Async(func() { w.stat(i) })
	g.Wait(t)
	w.Pass(time.Second)
	close(g.Open)
	xlatortest.Ended(w.T(), done)
	if w.cached(i) {
		t.Error("an answer that took a second was used")
	}
}

func TestAnswersWithAttributesAreKept(t *testing.T) {
	ctx := xlator.Internal()
	w := build(t, nil)
	fd := w.create("f")
	i := fd.Inode()
	set := xlator.Setattr{Mask: xlator.SetMode, Mode: 0o600}
	for name, op := range map[string]func() error{
		"lookup":    func() error { _, err := w.X.Lookup(ctx, &xlator.LookupReq{Parent: w.Root, Name: "f"}); return err },
		"gfid":      func() error { _, err := w.X.Lookup(ctx, &xlator.LookupReq{GFID: i.GFID()}); return err },
		"fstat":     func() error { _, err := w.X.Fstat(ctx, &xlator.FstatReq{FD: fd}); return err },
		"fsync":     func() error { _, err := w.X.Fsync(ctx, &xlator.FsyncReq{FD: fd}); return err },
		"setattr":   func() error { _, err := w.X.Setattr(ctx, &xlator.SetattrReq{Inode: i, Setattr: set}); return err },
		"fsetattr":  func() error { _, err := w.X.Fsetattr(ctx, &xlator.FsetattrReq{FD: fd, Setattr: set}); return err },
		"truncate":  func() error { _, err := w.X.Truncate(ctx, &xlator.TruncateReq{Inode: i, Size: 7}); return err },
		"ftruncate": func() error { _, err := w.X.Ftruncate(ctx, &xlator.FtruncateReq{FD: fd, Size: 8}); return err },
		"fallocate": func() error { _, err := w.X.Fallocate(ctx, &xlator.FallocateReq{FD: fd, Len: 100}); return err },
		"link": func() error {
			_, err := w.X.Link(ctx, &xlator.LinkReq{Inode: i, Parent: w.Root, Name: "l"})
			return err
		},
		"readdirp": func() error {
			d, err := w.X.Opendir(ctx, &xlator.OpenReq{Inode: w.Root, Flags: unix.O_DIRECTORY, Base: 99})
			if err != nil {
				return err
			}
			defer w.X.Release(d.FD)
			_, err = w.X.Readdirp(ctx, &xlator.ReaddirReq{FD: d.FD, Size: 1 << 16})
			return err
		},
	} {
		w.Pass(time.Hour)
		w.Must(op())
		if !w.cached(i) {
			t.Errorf("%s: its attributes were not kept", name)
		}
		if w.stat(i) != w.truth(i) {
			t.Errorf("%s: not what the child says", name)
		}
	}
	w.Pass(time.Hour)
	w.create("g")
	if !w.cached(w.Root) || w.stat(w.Root) != w.truth(w.Root) {
		t.Error("the parent's attributes after a create were not kept")
	}
}

func TestOptionsTakeEffectAtOnce(t *testing.T) {
	w := build(t, nil)
	i := w.create("f").Inode()
	w.Reconfigure(map[string]string{"md-cache-timeout": "10"})
	if w.cached(i) {
		t.Error("answered with what was kept under other options")
	}
	w.Pass(9 * time.Second)
	if !w.cached(i) {
		t.Error("asked before the new timeout")
	}
	for _, opts := range []map[string]string{{"md-cache-timeout": "0"}, {"pass-through": "on"}} {
		w.Reconfigure(opts)
		w.stat(i)
		if w.cached(i) {
			t.Errorf("%v: answered from memory", opts)
		}
	}
}

func TestTransparentGraphNeitherAnswersNorKeeps(t *testing.T) {
	for _, phase := range []xlator.PhaseName{xlator.PhaseSettling, xlator.PhaseDraining} {
		w := build(t, map[string]string{"md-cache-timeout": "600"})
		i := w.create("f").Inode()
		if !w.cached(i) {
			t.Fatal("not kept while serving")
		}
		w.Phase.Set(phase)
		w.stat(i)
		if w.cached(i) {
			t.Errorf("%v: answered from memory", phase)
		}
		// What was learned before does not answer after.
		w.Phase.Set(xlator.PhaseServing)
		if w.cached(i) {
			t.Errorf("answered from before %v", phase)
		}
		if !w.cached(i) {
			t.Error("not kept while serving again")
		}
		// An answer on its way while the phase changes belongs to neither.
		for _, across := range []struct{ from, to xlator.PhaseName }{{xlator.PhaseServing, phase}, {phase, xlator.PhaseServing}} {
			w.Phase.Set(across.from)
			w.Pass(time.Hour)
			g := w.P.Gate(xlator.FopStat, true)
			done := xlatortest.Async(func() { w.stat(i) })
			g.Wait(t)
			w.Phase.Set(across.to)
			close(g.Open)
			xlatortest.Ended(w.T(), done)
			w.Phase.Set(xlator.PhaseServing)
			if w.cached(i) {
				t.Errorf("kept across a change from %v to %v", across.from, across.to)
			}
		}
	}
}

// A change that began while the graph settled ends while it serves: what was asked
// for meanwhile is not kept.
func TestChangeThatBeganWhileSettlingCounts(t *testing.T) {
	w := build(t, nil)
	fd := w.create("f")
	w.Phase.Set(xlator.PhaseSettling)
	g := w.P.Gate(xlator.FopFtruncate, false)
	done := xlatortest.Async(func() {
		_, err := w.X.Ftruncate(xlator.Internal(), &xlator.FtruncateReq{FD: fd, Size: 10})
		w.Must(err)
	})
	g.Wait(t)
	w.Phase.Set(xlator.PhaseServing)
	w.stat(fd.Inode())
	close(g.Open)
	xlatortest.Ended(w.T(), done)
	if a := w.stat(fd.Inode()); a.Size != 10 {
		t.Errorf("size %d", a.Size)
	}
}

// Fops that fail in a way that leaves open what they did: everything is asked for
// again.
func TestFailedRemovalForgetsEverything(t *testing.T) {
	for _, c := range []struct {
		err  error
		keep bool
	}{{unix.EIO, false}, {unix.ENOTCONN, false}, {errors.New("no errno"), false}, {unix.ENOTEMPTY, true}, {unix.EACCES, true}} {
		w := build(t, nil)
		i := w.create("f").Inode()
		other := w.create("other").Inode()
		g := w.P.Gate(xlator.FopUnlink, true)
		g.Err = c.err
		close(g.Open)
		if _, err := w.X.Unlink(xlator.Internal(), &xlator.UnlinkReq{Parent: w.Root, Name: "f"}); err == nil {
			t.Fatal("it did not fail")
		}
		if w.cached(other) != c.keep {
			t.Errorf("%v: another file kept: %v", c.err, !c.keep)
		}
		if !c.keep && w.stat(i).Nlink != 0 {
			t.Errorf("%v: still has a name", c.err)
		}
	}
}

func TestLockLooksAgain(t *testing.T) {
	w := build(t, nil)
	fd := w.create("f")
	_, err := w.X.Lk(xlator.Internal(), &xlator.LkReq{FD: fd, Cmd: xlator.LkSet, Lock: xlator.Lock{Type: unix.F_WRLCK, End: 10, Owner: 1}})
	w.Must(err)
	if w.cached(fd.Inode()) {
		t.Error("answered from before the lock was taken")
	}
}

func TestHitAllocatesTheReplyOnly(t *testing.T) {
	w := build(t, nil)
	i := w.create("f").Inode()
	ctx, req := xlator.Internal(), &xlator.StatReq{Inode: i}
	if n := testing.AllocsPerRun(1000, func() { w.X.Stat(ctx, req) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

func TestDumpCounts(t *testing.T) {
	w := build(t, nil)
	i := w.create("f").Inode()
	w.stat(i)
	w.Pass(time.Hour)
	w.stat(i)
	text, err := json.Marshal(w.X.Dump())
	w.Must(err)
	// Kept: the root by its lookup, the file and the root by the create, the stat.
	want := `{"hits":1,"kept":4,"misses":1,"refused":0,"xattr_hits":0,"xattr_misses":0}`
	if string(text) != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
}

// BenchmarkStat is an answer from memory, beside one from the brick:
//
//	go test -run NONE -bench Stat ./xlator/performance/mdcache
func BenchmarkStat(b *testing.B) {
	for _, opts := range []map[string]string{{"md-cache-timeout": "600"}, {"md-cache-timeout": "0"}} {
		b.Run("timeout "+opts["md-cache-timeout"], func(b *testing.B) {
			w := build(b, opts)
			i := w.create("f").Inode()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				ctx, req := xlator.Internal(), &xlator.StatReq{Inode: i}
				for pb.Next() {
					w.X.Stat(ctx, req)
				}
			})
		})
	}
}
