package iocache

import (
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

func subject(opts map[string]string) ct.Subject {
	return ct.Subject{
		Type: Type(), Options: opts, Leaf: xlatortest.LeafOf(posix.Type(), locks.Type()),
		New:  func(e *xlator.Env, now func() time.Duration) (xlator.Fops, error) { return newTranslator(e, now) },
		Warm: warm,
	}
}

func onWriteBehind(opts map[string]string) ct.Subject {
	s := subject(opts)
	s.Between = xlatortest.Above(writebehind.Type(), nil)
	return s
}

func warm(w *ct.World, fd *xlator.FD) {
	w.Lookup("f")
	w.Read(fd, 0, pageSize)
}

func TestChangeIsSeen(t *testing.T) {
	ct.Stale(t, subject(map[string]string{"cache-timeout": "60"}))
}

func TestPhasesAreKept(t *testing.T) {
	ct.Phases(t, subject(map[string]string{"cache-timeout": "60"}))
}

func TestEventsAreHeard(t *testing.T) {
	ct.Events(t, subject(map[string]string{"cache-timeout": "60"}))
}

func TestReadsAreAsWithoutCache(t *testing.T) {
	options := []map[string]string{nil, {"cache-timeout": "0"}, {"cache-timeout": "60"}, {"pass-through": "on"}, {"cache-size": "4MB", "max-file-size": "300KB"}}
	t.Run("alone", func(t *testing.T) { ct.Model(t, subject(nil), options...) })
	t.Run("above write-behind", func(t *testing.T) { ct.Model(t, onWriteBehind(nil), options...) })
}

// open makes a file of that many bytes and opens it.
func open(w *ct.World, name string, size int, flags uint32) *xlator.FD {
	fd := w.Open(w.Create(name, ct.Fill(1, size)), flags)
	w.T().Cleanup(func() { w.X.Release(fd) })
	return fd
}

func TestPagesAnswerUntilTheTimeoutAndThenAfterALook(t *testing.T) {
	w := subject(nil).Build(t)
	fd := open(w, "f", 300000, unix.O_RDWR)
	w.Lookup("f")
	if w.Read(fd, 1000, 200000) != w.Truth(fd, 1000, 200000) {
		t.Fatal("not what the brick has")
	}
	// Of the pages that were read, each byte; the end of the last one, too.
	for _, r := range []struct{ off, size int }{{0, 262144}, {131000, 200}, {1, 1}, {262143, 1}} {
		if !w.Cached(fd, int64(r.off), r.size) {
			t.Errorf("%d at %d: asked", r.size, r.off)
		}
		if w.Read(fd, int64(r.off), r.size) != w.Truth(fd, int64(r.off), r.size) {
			t.Errorf("%d at %d: not what the brick has", r.size, r.off)
		}
	}
	if w.Cached(fd, 262144, 1) {
		t.Error("answered from a page that nobody read")
	}
	if !w.Cached(fd, 262144, 1<<20) || len(w.Read(fd, 262144, 1<<20)) != 300000-262144 {
		t.Error("the page at the end of the file was not kept")
	}
	w.Pass(time.Second)
	n := w.Asked(xlator.FopFstat, func() {
		if !w.Cached(fd, 0, 262144) || !w.Cached(fd, 131072, 131072) {
			t.Error("read again what has not changed")
		}
	})
	if n != 1 {
		t.Errorf("asked %d times whether it has changed, want once", n)
	}
	// Another client writes: within the timeout the old is good enough, after it
	// only the new.
	w.PutBelow(fd, 10, []byte("other"))
	w.Pass(time.Second)
	if got := w.Read(fd, 0, 100); got != w.Truth(fd, 0, 100) {
		t.Error("old content after the timeout")
	}
}

func TestTimeoutOfZeroAsksEachTime(t *testing.T) {
	w := subject(map[string]string{"cache-timeout": "0"}).Build(t)
	fd := open(w, "f", 5000, unix.O_RDWR)
	warm(w, fd)
	for n := range 3 {
		if asked := w.Asked(xlator.FopFstat, func() {
			if !w.Cached(fd, 0, 5000) {
				t.Error("read again what has not changed")
			}
		}); asked != 1 {
			t.Errorf("asked %d times", asked)
		}
		w.PutBelow(fd, int64(n), []byte("x"))
		if w.Read(fd, 0, 5000) != w.Truth(fd, 0, 5000) {
			t.Error("old content")
		}
		w.Read(fd, 0, 5000)
	}
}

// An attribute that passes tells as much as one that is asked for.
func TestAttributesThatPassAreCompared(t *testing.T) {
	ctx := xlator.Internal()
	for name, look := range map[string]func(w *ct.World, fd *xlator.FD){
		"lookup": func(w *ct.World, _ *xlator.FD) { w.Lookup("f") },
		"stat":   func(w *ct.World, fd *xlator.FD) { w.X.Stat(ctx, &xlator.StatReq{Inode: fd.Inode()}) },
		"fstat":  func(w *ct.World, fd *xlator.FD) { w.X.Fstat(ctx, &xlator.FstatReq{FD: fd}) },
		"fsync":  func(w *ct.World, fd *xlator.FD) { w.X.Fsync(ctx, &xlator.FsyncReq{FD: fd}) },
		"link": func(w *ct.World, fd *xlator.FD) {
			w.X.Link(ctx, &xlator.LinkReq{Inode: fd.Inode(), Parent: w.Root, Name: "l"})
		},
		"readdirp": func(w *ct.World, _ *xlator.FD) {
			d, err := w.X.Opendir(ctx, &xlator.OpenReq{Inode: w.Root, Flags: unix.O_DIRECTORY, Base: 99})
			w.Must(err)
			defer w.X.Release(d.FD)
			w.X.Readdirp(ctx, &xlator.ReaddirReq{FD: d.FD, Size: 1 << 16})
		},
		"create": func(w *ct.World, fd *xlator.FD) {
			rep, err := w.X.Create(ctx, &xlator.CreateReq{MakeReq: xlator.MakeReq{Parent: w.Root, Name: "f", GFID: xlator.NewGFID()}, Flags: unix.O_RDWR, Base: 98})
			w.Must(err)
			w.X.Release(rep.FD)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := subject(map[string]string{"cache-timeout": "60"}).Build(t)
			fd := open(w, "f", 5000, unix.O_RDWR)
			warm(w, fd)
			w.PutBelow(fd, 5000, []byte("longer"))
			if !w.Cached(fd, 0, 9000) {
				t.Fatal("nothing was kept")
			}
			look(w, fd)
			if w.Read(fd, 0, 9000) != w.Truth(fd, 0, 9000) {
				t.Error("old content after new attributes")
			}
		})
	}
}

func TestMemoryIsBoundedAndGoesByUseAndPriority(t *testing.T) {
	w := subject(map[string]string{"cache-size": "4MB", "cache-timeout": "60", "priority": "*.hot:3,*.none:0"}).Build(t)
	files := map[string]*xlator.FD{}
	for _, name := range []string{"a.hot", "b", "c.none", "d"} {
		files[name] = open(w, name, 1<<20, unix.O_RDONLY)
		w.Lookup(name)
		w.Read(files[name], 0, 1<<20)
	}
	for name, want := range map[string]bool{"a.hot": true, "b": true, "c.none": false, "d": true} {
		if got := w.Cached(files[name], 0, 1<<20); got != want {
			t.Errorf("%s: cached %v, want %v", name, got, want)
		}
	}
	big := open(w, "big", 10<<20, unix.O_RDONLY)
	w.Lookup("big")
	for off := int64(0); off < 10<<20; off += 1 << 20 {
		w.Read(big, off, 1<<20)
	}
	d := w.X.(*translator).Dump().(map[string]uint64)
	if d["bytes"] > 4<<20 || d["pieces"] < 16 {
		t.Errorf("%v", d)
	}
	if !w.Cached(files["a.hot"], 0, 1<<20) {
		t.Error("what has priority went first")
	}
	if w.Cached(files["b"], 0, 1<<20) {
		t.Error("what was used last went later than what was not used for long")
	}
}

func TestSizesThatAreNotWanted(t *testing.T) {
	w := subject(map[string]string{"min-file-size": "4KB", "max-file-size": "100KB", "cache-timeout": "60"}).Build(t)
	for _, c := range []struct {
		name string
		size int
		want bool
	}{{"small", 4095, false}, {"right", 4096, true}, {"large", 100 << 10, true}, {"too large", 100<<10 + 1, false}} {
		fd := open(w, c.name, c.size, unix.O_RDONLY)
		w.Lookup(c.name)
		w.Read(fd, 0, 1<<20)
		if w.Cached(fd, 0, c.size) != c.want {
			t.Errorf("%s: kept %v", c.name, !c.want)
		}
		if n := w.Asked(xlator.FopFstat, func() { w.Read(fd, 0, 1<<20) }); n > 0 {
			t.Errorf("%s: asked for attributes", c.name)
		}
	}
}

func TestDirectAndForbiddenReadsGoToTheBrick(t *testing.T) {
	w := subject(map[string]string{"cache-timeout": "60"}).Build(t)
	fd := open(w, "f", 8192, unix.O_RDWR)
	warm(w, fd)
	if n := w.Asked(xlator.FopReadv, func() {
		w.X.Readv(xlator.Internal(), &xlator.ReadvReq{FD: fd, Size: 4096, Flags: fd.Flags() | unix.O_DIRECT})
	}); n != 1 {
		t.Error("O_DIRECT was answered from memory")
	}
	wo := w.Open(fd.Inode(), unix.O_WRONLY)
	defer w.X.Release(wo)
	if _, err := w.X.Readv(xlator.Internal(), &xlator.ReadvReq{FD: wo, Size: 4096}); err == nil {
		t.Error("read what was opened for writing only")
	}
}

func TestLockLooksAgain(t *testing.T) {
	w := subject(map[string]string{"cache-timeout": "60"}).Build(t)
	fd := open(w, "f", 5000, unix.O_RDWR)
	warm(w, fd)
	w.PutBelow(fd, 0, []byte("under lock"))
	_, err := w.X.Lk(xlator.Internal(), &xlator.LkReq{FD: fd, Cmd: xlator.LkSet, Lock: xlator.Lock{Type: unix.F_RDLCK, End: 10, Owner: 1}})
	w.Must(err)
	if w.Read(fd, 0, 10) != "under lock" {
		t.Error("answered from before the lock was taken")
	}
}

func TestFileIsFoundAgainAfterItWasClosed(t *testing.T) {
	w := subject(map[string]string{"cache-timeout": "60"}).Build(t)
	i := w.Create("f", ct.Fill(1, 5000))
	fd := w.Open(i, unix.O_RDWR)
	warm(w, fd)
	w.X.Release(fd)
	again := w.Open(i, unix.O_RDONLY)
	defer w.X.Release(again)
	if !w.Cached(again, 0, 5000) {
		t.Error("forgotten with the last close")
	}
}

// A fetch of whole pages that fails must not fail a read that would succeed.
func TestReadSucceedsWhenAFetchFails(t *testing.T) {
	w := subject(map[string]string{"cache-timeout": "60"}).Build(t)
	fd := open(w, "f", 300000, unix.O_RDWR)
	w.Lookup("f")
	g := w.P.Gate(xlator.FopReadv, false)
	g.Err = unix.EIO
	close(g.Open)
	if w.Read(fd, 1000, 10) != w.Truth(fd, 1000, 10) {
		t.Error("not what the brick has")
	}
}

func TestOptionsTakeEffectAtOnce(t *testing.T) {
	w := subject(map[string]string{"cache-timeout": "60"}).Build(t)
	fd := open(w, "f", 5000, unix.O_RDWR)
	warm(w, fd)
	w.Reconfigure(map[string]string{"pass-through": "on"})
	for range 3 {
		if w.Cached(fd, 0, 5000) {
			t.Error("answered from memory")
		}
	}
	w.Reconfigure(nil)
	warm(w, fd)
	if !w.Cached(fd, 0, 5000) {
		t.Error("nothing is kept")
	}
	if o, _ := Type().FindOption("priority"); o != nil {
		for _, bad := range []string{"x", "*:", "a:300", "[:1", ":1"} {
			if _, err := o.Parse(bad); err == nil {
				t.Errorf("priority %q is taken", bad)
			}
		}
	}
}
