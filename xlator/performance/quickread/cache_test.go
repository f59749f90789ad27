package quickread

import (
	"context"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	ct "github.com/holdfast/holdfast/xlator/content/contenttest"
	"github.com/holdfast/holdfast/xlator/features/locks"
	"github.com/holdfast/holdfast/xlator/performance/writebehind"
	"github.com/holdfast/holdfast/xlator/storage/posix"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// bringer answers glusterfs.content as a brick of GlusterFS does.
type bringer struct{ xlator.Default }

func bring(leaf xlator.Fops) xlator.Fops { return &bringer{xlator.Default{Next: leaf}} }

func (b *bringer) Lookup(ctx context.Context, r *xlator.LookupReq) (*xlator.LookupRep, error) {
	rep, err := b.Next.Lookup(ctx, r)
	largest, asked := r.Xdata.Get(contentKey)
	if err != nil || !asked || rep.Attr.Type != xlator.TypeRegular || rep.Attr.Size > uint64(largest.Num) {
		return rep, err
	}
	o, err := b.Next.Open(xlator.Internal(), &xlator.OpenReq{Inode: rep.Inode})
	if err != nil {
		return nil, err
	}
	defer b.Next.Release(o.FD)
	data, err := b.Next.Readv(xlator.Internal(), &xlator.ReadvReq{FD: o.FD, Size: int(largest.Num)})
	if err != nil {
		return nil, err
	}
	rep.Xdata = &xlator.Dict{}
	rep.Xdata.SetBytes(contentKey, data.Data)
	rep.Xdata.SetInt("other", 1)
	return rep, nil
}

// subject is quick-read above a child that brings content, or one that does not.
func subject(bringing bool, opts map[string]string) ct.Subject {
	s := ct.Subject{
		Type: Type(), Options: opts, Leaf: xlatortest.LeafOf(posix.Type(), locks.Type()),
		New:  func(e *xlator.Env, now func() time.Duration) (xlator.Fops, error) { return newTranslator(e, now) },
		Warm: func(w *ct.World, fd *xlator.FD) { w.Lookup("f"); w.Read(fd, 0, 65536) },
	}
	if bringing {
		s.Between = func(_ *xlatortest.World, leaf xlator.Fops) xlator.Fops { return bring(leaf) }
		s.Warm = func(w *ct.World, _ *xlator.FD) { w.Lookup("f") }
		s.Prepare = func(*ct.World) {}
		s.Fetch = func(w *ct.World, _ *xlator.FD) { w.Lookup("f") }
		s.Fop = xlator.FopLookup
	}
	return s
}

// both runs a test with content from lookups and from reads.
func both(t *testing.T, opts map[string]string, test func(*testing.T, ct.Subject)) {
	t.Run("from lookups", func(t *testing.T) { test(t, subject(true, opts)) })
	t.Run("from reads", func(t *testing.T) { test(t, subject(false, opts)) })
}

var long = map[string]string{"cache-timeout": "600"}

func TestChangeIsSeen(t *testing.T)   { both(t, long, ct.Stale) }
func TestPhasesAreKept(t *testing.T)  { both(t, long, ct.Phases) }
func TestEventsAreHeard(t *testing.T) { both(t, long, ct.Events) }

func TestReadsAreAsWithoutCache(t *testing.T) {
	options := []map[string]string{nil, {"max-file-size": "1MB"}, {"max-file-size": "1MB", "cache-timeout": "600"}, {"pass-through": "on"},
		{"max-file-size": "300KB", "cache-size": "300KB", "ctime-invalidation": "on"}, {"max-file-size": "0"}}
	s := subject(true, options[2])
	t.Run("alone", func(t *testing.T) { ct.Model(t, s, options...) })
	s.Between = func(w *xlatortest.World, leaf xlator.Fops) xlator.Fops {
		return w.Add(writebehind.Type(), nil, bring(leaf))
	}
	t.Run("above write-behind", func(t *testing.T) { ct.Model(t, s, options...) })
}

func open(w *ct.World, name string, size int, flags uint32) *xlator.FD {
	fd := w.Open(w.Create(name, ct.Fill(1, size)), flags)
	w.T().Cleanup(func() { w.X.Release(fd) })
	return fd
}

func TestLookupBringsSmallFiles(t *testing.T) {
	w := subject(true, nil).Build(t)
	for _, c := range []struct {
		name string
		size int
		want bool
	}{{"small", 1, true}, {"largest", 64 << 10, true}, {"too large", 64<<10 + 1, false}} {
		fd := open(w, c.name, c.size, unix.O_RDONLY)
		rep := w.Lookup(c.name)
		if rep.Xdata.Has(contentKey) || c.want && !rep.Xdata.Has("other") {
			t.Errorf("%s: the reply has %v", c.name, rep.Xdata.Pairs())
		}
		if got := w.Cached(fd, 0, 1<<20); got != c.want {
			t.Errorf("%s: brought %v, want %v", c.name, got, c.want)
		}
		for _, off := range []int{0, c.size / 2, c.size - 1, c.size, c.size + 1} {
			if w.Read(fd, int64(off), 5000) != w.Truth(fd, int64(off), 5000) {
				t.Errorf("%s: at %d: not what the brick has", c.name, off)
			}
		}
	}
}

// What is kept is not brought again, and what was brought counts for as long as
// attributes say that it is right.
func TestKnownContentIsNotBroughtAgain(t *testing.T) {
	w := subject(true, nil).Build(t)
	fd := open(w, "f", 5000, unix.O_RDWR)
	x := w.X.(*translator)
	for range 3 {
		w.Lookup("f")
		_, err := w.X.Lookup(xlator.Internal(), &xlator.LookupReq{GFID: fd.Inode().GFID()})
		w.Must(err)
	}
	if n := x.asked.Load(); n != 1 {
		t.Errorf("asked for it %d times", n)
	}
	w.Pass(time.Second)
	if w.Cached(fd, 0, 5000) {
		t.Error("used after the timeout")
	}
	w.Lookup("f")
	if !w.Cached(fd, 0, 5000) || x.asked.Load() != 1 {
		t.Error("not used after a look at its attributes")
	}
	w.PutBelow(fd, 0, []byte("other"))
	w.Lookup("f")
	if w.Read(fd, 0, 5) != "other" {
		t.Error("used although its attributes changed")
	}
	w.Lookup("f")
	if x.asked.Load() != 2 || !w.Cached(fd, 0, 5000) {
		t.Error("not brought again after it changed")
	}
}

func TestCtimeCountsWhenAskedFor(t *testing.T) {
	for _, on := range []string{"off", "on"} {
		w := subject(true, map[string]string{"cache-timeout": "600", "ctime-invalidation": on}).Build(t)
		fd := open(w, "f", 5000, unix.O_RDWR)
		w.Lookup("f")
		st, err := w.Leaf.Fstat(xlator.Internal(), &xlator.FstatReq{FD: fd})
		w.Must(err)
		w.PutBelow(fd, 0, []byte("other"))
		_, err = w.Leaf.Fsetattr(xlator.Internal(), &xlator.FsetattrReq{FD: fd, Setattr: xlator.Setattr{Mask: xlator.SetMtime, Mtime: st.Attr.Mtime}})
		w.Must(err)
		w.Lookup("f")
		if got := w.Read(fd, 0, 5) == "other"; got != (on == "on") {
			t.Errorf("ctime-invalidation %s: change with the same mtime seen: %v", on, got)
		}
	}
}

func TestMemoryIsBoundedAndGoesByPriority(t *testing.T) {
	w := subject(true, map[string]string{"cache-size": "200KB", "cache-timeout": "600", "priority": "*.hot:2,*.none:0"}).Build(t)
	fds := map[string]*xlator.FD{}
	for _, name := range []string{"a.hot", "b", "c.none", "d", "e", "f", "g"} {
		fds[name] = open(w, name, 50000, unix.O_RDONLY)
		w.Lookup(name)
	}
	for name, want := range map[string]bool{"a.hot": true, "b": false, "c.none": false, "g": true} {
		if got := w.Cached(fds[name], 0, 50000); got != want {
			t.Errorf("%s: kept %v", name, got)
		}
	}
	if d := w.X.(*translator).Dump().(map[string]uint64); d["bytes"] > 200<<10 || d["pieces"] != 4 {
		t.Errorf("%v", d)
	}
	for n := range 2000 { // files so small that what surrounds them counts
		w.Create(string(rune('A'+n%26))+time.Duration(n).String(), []byte("x"))
	}
	d, err := w.X.Opendir(xlator.Internal(), &xlator.OpenReq{Inode: w.Root, Flags: unix.O_DIRECTORY, Base: 99})
	w.Must(err)
	defer w.X.Release(d.FD)
	for off := int64(0); ; {
		rep, err := w.X.Readdirp(xlator.Internal(), &xlator.ReaddirReq{FD: d.FD, Offset: off, Size: 1 << 16})
		w.Must(err)
		if len(rep.Entries) == 0 {
			break
		}
		for _, e := range rep.Entries {
			off = e.Offset
			if e.Type == xlator.TypeRegular {
				w.Lookup(e.Name)
			}
		}
	}
	if d := w.X.(*translator).Dump().(map[string]uint64); d["bytes"] > 200<<10 || d["files"] > 400 {
		t.Errorf("%v", d)
	}
}

func TestOptionsTakeEffectAtOnce(t *testing.T) {
	w := subject(true, long).Build(t)
	fd := open(w, "f", 5000, unix.O_RDWR)
	w.Lookup("f")
	for _, opts := range []map[string]string{{"pass-through": "on"}, {"max-file-size": "0"}, {"max-file-size": "4999B"}, {"cache-size": "0"}} {
		w.Reconfigure(opts)
		w.Lookup("f")
		w.Read(fd, 0, 65536)
		if w.Cached(fd, 0, 5000) {
			t.Errorf("%v: answered from memory", opts)
		}
	}
	w.Reconfigure(nil)
	w.Lookup("f")
	if !w.Cached(fd, 0, 5000) {
		t.Error("nothing is kept")
	}
}
