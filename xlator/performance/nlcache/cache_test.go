package nlcache

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

func TestAbsentNameIsAnsweredFromMemoryUntilTheTimeout(t *testing.T) {
	w := build(t, nil)
	if w.cached(w.Root, "n") {
		t.Error("the first lookup did not reach the child")
	}
	if !w.cached(w.Root, "n") {
		t.Error("asked again")
	}
	w.Pass(60*time.Second - 1)
	if !w.cached(w.Root, "n") {
		t.Error("asked before the timeout")
	}
	w.Pass(1)
	if w.cached(w.Root, "n") {
		t.Error("answered after the timeout")
	}
	// The age counts from when it was asked for, not from when it came.
	w.Pass(time.Hour)
	g := w.P.Gate(xlator.FopLookup, true)
	done := xlatortest.Async(func() { there(t, w.X, w.Root, "n") })
	g.Wait(t)
	w.Pass(time.Minute)
	close(g.Open)
	xlatortest.Ended(t, done)
	if w.cached(w.Root, "n") {
		t.Error("an answer that took a minute was used")
	}
}

func TestNamesThatMeanSomethingElseAreNotKept(t *testing.T) {
	w := build(t, nil)
	d := w.mkdir(w.X, w.Root, "d")
	for _, n := range []string{".", ".."} {
		for range 2 {
			if w.asked(func() { there(t, w.X, d, n) }) != 1 {
				t.Errorf("%s was answered from memory", n)
			}
		}
	}
}

// change makes, moves or removes a name.
type change struct {
	fop   xlator.Fop
	names []string
	do    func(w *world) error
}

var changes = map[string]change{
	"mknod": {xlator.FopMknod, []string{"n"}, func(w *world) error {
		return justErr(w.X.Mknod(xlator.Internal(), &xlator.MknodReq{MakeReq: w.name(w.Root, "n"), Type: xlator.TypeFIFO}))
	}},
	"mkdir": {xlator.FopMkdir, []string{"n"}, func(w *world) error {
		return justErr(w.X.Mkdir(xlator.Internal(), &xlator.MkdirReq{MakeReq: w.name(w.Root, "n")}))
	}},
	"symlink": {xlator.FopSymlink, []string{"n"}, func(w *world) error {
		return justErr(w.X.Symlink(xlator.Internal(), &xlator.SymlinkReq{MakeReq: w.name(w.Root, "n"), Target: "f"}))
	}},
	"create": {xlator.FopCreate, []string{"n"}, func(w *world) error { return w.create(w.X, w.Root, "n") }},
	"link": {xlator.FopLink, []string{"n"}, func(w *world) error {
		return justErr(w.X.Link(xlator.Internal(), &xlator.LinkReq{Inode: w.find("f"), Parent: w.Root, Name: "n"}))
	}},
	"unlink": {xlator.FopUnlink, []string{"f"}, func(w *world) error { return unlink(w.X, w.Root, "f") }},
	"rmdir": {xlator.FopRmdir, []string{"d"}, func(w *world) error {
		return justErr(w.X.Rmdir(xlator.Internal(), &xlator.RmdirReq{Parent: w.Root, Name: "d"}))
	}},
	"rename": {xlator.FopRename, []string{"f", "n"}, func(w *world) error {
		return justErr(w.X.Rename(xlator.Internal(), &xlator.RenameReq{OldParent: w.Root, OldName: "f", NewParent: w.Root, NewName: "n"}))
	}},
	"exchange": {xlator.FopRename, []string{"f", "d"}, func(w *world) error {
		return justErr(w.X.Rename(xlator.Internal(), &xlator.RenameReq{OldParent: w.Root, OldName: "f", NewParent: w.Root, NewName: "d", Flags: unix.RENAME_EXCHANGE}))
	}},
	"rename of one file over itself": {xlator.FopRename, []string{"f", "same"}, func(w *world) error {
		return justErr(w.X.Rename(xlator.Internal(), &xlator.RenameReq{OldParent: w.Root, OldName: "f", NewParent: w.Root, NewName: "same"}))
	}},
}

func (w *world) find(n string) *xlator.Inode {
	w.T().Helper()
	rep, err := w.Leaf.Lookup(xlator.Internal(), &xlator.LookupReq{Parent: w.Root, Name: n})
	w.Must(err)
	return rep.Inode
}

func eachChange(t *testing.T, f func(t *testing.T, w *world, c change)) {
	for name, c := range changes {
		t.Run(name, func(t *testing.T) {
			w := build(t, nil)
			w.Must(w.create(w.Leaf, w.Root, "f"))
			w.Must(justErr(w.Leaf.Link(xlator.Internal(), &xlator.LinkReq{Inode: w.find("f"), Parent: w.Root, Name: "same"})))
			w.mkdir(w.Leaf, w.Root, "d")
			f(t, w, c)
			for _, n := range c.names {
				w.right(w.Root, n)
				w.right(w.Root, n)
			}
		})
	}
}

func TestChangeIsSeenAtOnce(t *testing.T) {
	eachChange(t, func(t *testing.T, w *world, c change) {
		for _, n := range c.names {
			w.right(w.Root, n)
			w.right(w.Root, n)
		}
		w.Must(c.do(w))
	})
}

// The answer to a lookup is on its way while the whole change happens.
func TestAnswerFromBeforeAChangeIsNotKept(t *testing.T) {
	eachChange(t, func(t *testing.T, w *world, c change) {
		for _, n := range c.names {
			g := w.P.Gate(xlator.FopLookup, true)
			defer xlatortest.Ended(t, xlatortest.Async(func() { there(t, w.X, w.Root, n) }))
			g.Wait(t)
			defer close(g.Open)
		}
		w.Must(c.do(w))
	})
}

// The lookup comes and goes while the change has not reached the child yet, or has
// and its answer is on its way.
func TestAnswerFromDuringAChangeIsNotKept(t *testing.T) {
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprint("after the child ", after), func(t *testing.T) {
			eachChange(t, func(t *testing.T, w *world, c change) {
				g := w.P.Gate(c.fop, after)
				done := xlatortest.Async(func() { w.Must(c.do(w)) })
				g.Wait(t)
				for _, n := range c.names {
					there(t, w.X, w.Root, n)
				}
				close(g.Open)
				xlatortest.Ended(t, done)
			})
		})
	}
}

// The lookup begins before the change and ends in the middle of it, or the other
// way round.
func TestAnswerThatOverlapsAChangeIsNotKept(t *testing.T) {
	eachChange(t, func(t *testing.T, w *world, c change) {
		for _, n := range c.names[:1] {
			s, g := w.P.Gate(xlator.FopLookup, true), w.P.Gate(c.fop, false)
			look := xlatortest.Async(func() { there(t, w.X, w.Root, n) })
			s.Wait(t)
			change := xlatortest.Async(func() { w.Must(c.do(w)) })
			g.Wait(t)
			close(s.Open)
			xlatortest.Ended(t, look)
			close(g.Open)
			xlatortest.Ended(t, change)
		}
	})
	eachChange(t, func(t *testing.T, w *world, c change) {
		for _, n := range c.names[:1] {
			s, g := w.P.Gate(xlator.FopLookup, true), w.P.Gate(c.fop, false)
			change := xlatortest.Async(func() { w.Must(c.do(w)) })
			g.Wait(t)
			look := xlatortest.Async(func() { there(t, w.X, w.Root, n) })
			s.Wait(t)
			close(g.Open)
			xlatortest.Ended(t, change)
			close(s.Open)
			xlatortest.Ended(t, look)
		}
	})
}

// Two at once on one name: the removal says nothing of what the other made.
func TestRemovalBesideACreateKeepsNothing(t *testing.T) {
	w := build(t, nil)
	w.Must(w.create(w.X, w.Root, "f"))
	g := w.P.Gate(xlator.FopUnlink, true)
	done := xlatortest.Async(func() { w.Must(unlink(w.X, w.Root, "f")) })
	g.Wait(t)
	w.Must(w.create(w.X, w.Root, "f"))
	close(g.Open)
	xlatortest.Ended(t, done)
	if !there(t, w.X, w.Root, "f") {
		t.Error("the name that was made meanwhile is not there")
	}
}

func TestRemovedNameIsKnownToBeAbsent(t *testing.T) {
	w := build(t, nil)
	w.Must(w.create(w.X, w.Root, "f"))
	w.mkdir(w.X, w.Root, "d")
	w.Must(unlink(w.X, w.Root, "f"))
	w.Must(justErr(w.X.Rmdir(xlator.Internal(), &xlator.RmdirReq{Parent: w.Root, Name: "d"})))
	if !w.cached(w.Root, "f") || !w.cached(w.Root, "d") {
		t.Error("the child was asked for a name that was removed")
	}
}

func TestNamesOfARemovedDirectoryAreForgotten(t *testing.T) {
	for _, complete := range []string{"off", "on"} {
		w := build(t, map[string]string{"nl-cache-positive-entry": complete})
		d := w.mkdir(w.X, w.Root, "d")
		there(t, w.X, d, "n")
		w.Must(justErr(w.X.Rmdir(xlator.Internal(), &xlator.RmdirReq{Parent: w.Root, Name: "d"})))
		_, err := w.X.Lookup(xlator.Internal(), &xlator.LookupReq{Parent: d, Name: "n"})
		_, want := w.Leaf.Lookup(xlator.Internal(), &xlator.LookupReq{Parent: d, Name: "n"})
		if xlator.Errno(err) != xlator.Errno(want) {
			t.Errorf("%v, and the child says %v", err, want)
		}
	}
}

func TestEventsForget(t *testing.T) {
	other := xlator.NewGFID()
	for name, c := range map[string]struct {
		e     xlator.Event
		stays bool
	}{
		"down":                   {xlator.Event{Kind: xlator.ChildDown}, false},
		"up":                     {xlator.Event{Kind: xlator.ChildUp}, false},
		"entries":                {xlator.Event{Kind: xlator.Invalidate, File: xlator.RootGFID, Stale: xlator.StaleEntries | xlator.StaleAttr}, false},
		"the directory is gone":  {xlator.Event{Kind: xlator.Invalidate, File: xlator.RootGFID, Stale: xlator.StaleName}, false},
		"attributes only":        {xlator.Event{Kind: xlator.Invalidate, File: xlator.RootGFID, Stale: xlator.StaleAttr}, true},
		"of another directory":   {xlator.Event{Kind: xlator.Invalidate, File: other, Stale: xlator.StaleEntries}, true},
		"entries, asked for now": {xlator.Event{Kind: xlator.Invalidate, File: xlator.RootGFID, Stale: xlator.StaleEntries}, false},
	} {
		w := build(t, nil)
		if w.cached(w.Root, "n") || !w.cached(w.Root, "n") {
			t.Fatal("not kept")
		}
		if !w.X.Notified(w.P, c.e) {
			t.Errorf("%s: the parents are not told", name)
		}
		if w.cached(w.Root, "n") != c.stays {
			t.Errorf("%s: kept %v", name, !c.stays)
		}
		// While the answer is on its way.
		g := w.P.Gate(xlator.FopLookup, true)
		done := xlatortest.Async(func() { there(t, w.X, w.Root, "m") })
		g.Wait(t)
		w.X.Notified(w.P, c.e)
		close(g.Open)
		xlatortest.Ended(t, done)
		if w.cached(w.Root, "m") != c.stays {
			t.Errorf("%s: kept %v, when the answer was on its way", name, !c.stays)
		}
	}
}

func TestTransparentGraphNeitherKeepsNorAnswers(t *testing.T) {
	for _, phase := range []xlator.PhaseName{xlator.PhaseSettling, xlator.PhaseDraining} {
		for _, complete := range []string{"off", "on"} {
			w := build(t, map[string]string{"nl-cache-positive-entry": complete})
			d := w.mkdir(w.X, w.Root, "d")
			there(t, w.X, d, "n")
			w.Phase.Set(phase)
			if w.cached(d, "n") {
				t.Errorf("%s: answered from memory", phase)
			}
			e := w.mkdir(w.X, w.Root, "e")
			w.Must(w.create(w.X, d, "gone"))
			w.Must(unlink(w.X, d, "gone"))
			w.Phase.Set(xlator.PhaseServing)
			if w.cached(d, "n") || w.cached(d, "gone") || w.cached(e, "n") {
				t.Errorf("%s: what was learned then is used", phase)
			}
			// The answer is on its way when the phase changes and changes back.
			g := w.P.Gate(xlator.FopLookup, true)
			done := xlatortest.Async(func() { there(t, w.X, w.Root, "m") })
			g.Wait(t)
			w.Phase.Set(phase)
			w.Phase.Set(xlator.PhaseServing)
			close(g.Open)
			xlatortest.Ended(t, done)
			if w.cached(w.Root, "m") {
				t.Errorf("%s: an answer from before it was kept", phase)
			}
		}
	}
}

func TestOptionsTakeEffectAtOnce(t *testing.T) {
	w := build(t, nil)
	there(t, w.X, w.Root, "n")
	w.Reconfigure(map[string]string{"nl-cache-timeout": "10"})
	if w.cached(w.Root, "n") {
		t.Error("answered with what was kept under other options")
	}
	w.Pass(9 * time.Second)
	if !w.cached(w.Root, "n") {
		t.Error("asked before the new timeout")
	}
	w.Pass(time.Second)
	if w.cached(w.Root, "n") {
		t.Error("answered after the new timeout")
	}
	for _, opts := range []map[string]string{{"nl-cache-timeout": "0"}, {"pass-through": "on"}, {"nl-cache-limit": "0"}} {
		w.Reconfigure(opts)
		there(t, w.X, w.Root, "n")
		if w.cached(w.Root, "n") {
			t.Errorf("%v: answered from memory", opts)
		}
	}
}

func TestMemoryStaysBelowTheLimit(t *testing.T) {
	w := build(t, map[string]string{"nl-cache-limit": "8KB"})
	d := w.mkdir(w.X, w.Root, "d")
	for n := range 500 {
		there(t, w.X, []*xlator.Inode{w.Root, d}[n%2], fmt.Sprint("name", n))
		there(t, w.X, w.Root, "used")
		if w.X.bytes > 8<<10 {
			t.Fatalf("%d bytes", w.X.bytes)
		}
	}
	if !w.cached(w.Root, "used") || w.cached(w.Root, "name0") {
		t.Error("not the least recently used were dropped")
	}
	var d2 struct{ Names, Bytes, Hits, Kept uint64 }
	text, err := json.Marshal(w.X.Dump())
	w.Must(err)
	w.Must(json.Unmarshal(text, &d2))
	if d2.Names < 20 || d2.Names > 42 || d2.Bytes > 8<<10 || d2.Hits == 0 || d2.Kept < 500 {
		t.Errorf("dump: %s", text)
	}
	w.X.forgetAll()
	if w.X.bytes != 0 || w.X.list.Len() != 0 {
		t.Errorf("%d bytes of %d names left", w.X.bytes, w.X.list.Len())
	}
}

func TestDirectoryMadeHereIsKnownCompletely(t *testing.T) {
	w := build(t, map[string]string{"nl-cache-positive-entry": "on"})
	d := w.mkdir(w.X, w.Root, "d")
	if !w.cached(d, "n") {
		t.Error("the child was asked for a name in an empty directory")
	}
	w.Must(w.create(w.X, d, "f"))
	if !there(t, w.X, d, "f") {
		t.Error("what was made is not there")
	}
	if !w.cached(d, "n") {
		t.Error("not known any more")
	}
	w.Must(unlink(w.X, d, "f"))
	if !w.cached(d, "f") {
		t.Error("the child was asked for what was removed")
	}
	if w.cached(w.Root, "n") {
		t.Error("a directory that was there before is known completely")
	}
	w.Must(w.create(w.Leaf, d, "theirs"))
	w.X.Notified(w.P, xlator.Event{Kind: xlator.Invalidate, File: d.GFID(), Stale: xlator.StaleEntries})
	if !there(t, w.X, d, "theirs") {
		t.Error("another client's name is not there after it was told of")
	}
	e := w.mkdir(w.X, w.Root, "e")
	w.Pass(time.Minute)
	if w.cached(e, "n") {
		t.Error("known for longer than the timeout")
	}
}

// The brick tells of a change in a directory before the answer to its mkdir is
// here.
func TestDirectoryChangedWhileItIsMadeIsNotKnownCompletely(t *testing.T) {
	w := build(t, map[string]string{"nl-cache-positive-entry": "on"})
	g := w.P.Gate(xlator.FopMkdir, true)
	req := w.name(w.Root, "d")
	var d *xlator.Inode
	done := xlatortest.Async(func() {
		rep, err := w.X.Mkdir(xlator.Internal(), &xlator.MkdirReq{MakeReq: req})
		w.Must(err)
		d = rep.Inode
	})
	g.Wait(t)
	w.X.Notified(w.P, xlator.Event{Kind: xlator.Invalidate, File: req.GFID, Stale: xlator.StaleEntries})
	close(g.Open)
	xlatortest.Ended(t, done)
	if w.cached(d, "n") {
		t.Error("it is")
	}
}

// Names that cannot be kept make the directory unknown, not the names absent.
func TestCompleteDirectoryBeyondTheLimitIsForgotten(t *testing.T) {
	w := build(t, map[string]string{"nl-cache-positive-entry": "on", "nl-cache-limit": "2000"})
	d := w.mkdir(w.X, w.Root, "d")
	for n := range 30 {
		w.Must(w.create(w.X, d, fmt.Sprint("f", n)))
		for m := range n + 1 {
			if !there(t, w.X, d, fmt.Sprint("f", m)) {
				t.Fatalf("f%d is not there after %d were made", m, n+1)
			}
		}
	}
	if w.X.bytes > 2000 {
		t.Errorf("%d bytes", w.X.bytes)
	}
}
