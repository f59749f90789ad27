package nlcache

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast/holdfast/xlator"
)

// Any order of requests through nl-cache, of changes by another client that the
// brick tells of, of phases and options: each lookup says what the brick says.
func TestAgreesWithTheBrick(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := build(t, map[string]string{"nl-cache-positive-entry": "on"})
		defer w.Stop()
		dirs := []*xlator.Inode{w.Root}
		files := []*xlator.Inode{}
		names := []string{"a", "b", "c"}
		name := func() string { return rapid.SampledFrom(names).Draw(r, "name") }
		dir := func() *xlator.Inode { return rapid.SampledFrom(dirs).Draw(r, "dir") }
		ctx := xlator.Internal()
		r.Repeat(map[string]func(*rapid.T){
			"create": func(r *rapid.T) {
				d, n := dir(), name()
				if rep, err := w.X.Mknod(ctx, &xlator.MknodReq{MakeReq: w.name(d, n), Type: xlator.TypeRegular}); err == nil {
					files = append(files, rep.Inode)
				}
			},
			"open": func(r *rapid.T) { w.create(w.X, dir(), name()) },
			"mkdir": func(r *rapid.T) {
				if rep, err := w.X.Mkdir(ctx, &xlator.MkdirReq{MakeReq: w.name(dir(), name())}); err == nil {
					dirs = append(dirs, rep.Inode)
				}
			},
			"unlink": func(r *rapid.T) { unlink(w.X, dir(), name()) },
			"rmdir":  func(r *rapid.T) { w.X.Rmdir(ctx, &xlator.RmdirReq{Parent: dir(), Name: name()}) },
			"rename": func(r *rapid.T) {
				w.X.Rename(ctx, &xlator.RenameReq{OldParent: dir(), OldName: name(), NewParent: dir(), NewName: name(),
					Flags: uint32(rapid.IntRange(0, 2).Draw(r, "flags"))})
			},
			"link": func(r *rapid.T) {
				if len(files) > 0 {
					w.X.Link(ctx, &xlator.LinkReq{Inode: rapid.SampledFrom(files).Draw(r, "file"), Parent: dir(), Name: name()})
				}
			},
			"another client": func(r *rapid.T) {
				d, n := dir(), name()
				if rapid.Bool().Draw(r, "makes") {
					w.create(w.Leaf, d, n)
				} else {
					unlink(w.Leaf, d, n)
				}
				w.X.Notified(w.P, xlator.Event{Kind: xlator.Invalidate, File: d.GFID(), Stale: xlator.StaleEntries})
			},
			"time": func(r *rapid.T) { w.Pass(time.Duration(rapid.IntRange(1, 50).Draw(r, "s")) * time.Second) },
			"phase": func(r *rapid.T) {
				w.Phase.Set(rapid.SampledFrom([]xlator.PhaseName{xlator.PhaseSettling, xlator.PhaseServing, xlator.PhaseServing, xlator.PhaseDraining}).Draw(r, "phase"))
			},
			"options": func(r *rapid.T) {
				w.Reconfigure(map[string]string{
					"nl-cache-positive-entry": rapid.SampledFrom([]string{"on", "off"}).Draw(r, "complete"),
					"nl-cache-limit":          rapid.SampledFrom([]string{"0", "500", "100KB"}).Draw(r, "limit"),
				})
			},
			"": func(r *rapid.T) {
				d := dir()
				for _, n := range names {
					_, got := w.X.Lookup(ctx, &xlator.LookupReq{Parent: d, Name: n})
					_, want := w.Leaf.Lookup(ctx, &xlator.LookupReq{Parent: d, Name: n})
					if xlator.Errno(got) != xlator.Errno(want) {
						r.Fatalf("%s: %v, at the brick %v", n, got, want)
					}
				}
				w.consistent(r)
			},
		})
	})
}

// consistent holds what is kept against what is counted.
func (w *world) consistent(r *rapid.T) {
	w.X.mu.Lock()
	defer w.X.mu.Unlock()
	bytes := int64(0)
	for e := w.X.list.Front(); e != nil; e = e.Next() {
		n := e.Value.(*name)
		bytes += n.cost()
		if n.dir.names[n.text] != e {
			r.Fatalf("%s is not in its directory", n.text)
		}
		if n.there && !n.dir.complete {
			r.Fatalf("%s is there in a directory that is not complete", n.text)
		}
	}
	if bytes != w.X.bytes || bytes > w.X.settings.Load().limit {
		r.Fatalf("%d bytes, counted as %d", bytes, w.X.bytes)
	}
}

// Each of several clients of one graph makes and removes names of its own, looks
// at everybody's, and always sees what it has done itself; phases change.
func TestEverybodySeesOwnChangesAtOnce(t *testing.T) {
	for _, procs := range []int{1, 2} {
		for _, complete := range []string{"off", "on"} {
			t.Run(fmt.Sprint(procs, " complete ", complete), func(t *testing.T) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
				w := build(t, map[string]string{"nl-cache-positive-entry": complete, "nl-cache-limit": "1500"})
				d := w.mkdir(w.X, w.Root, "d")
				var wg sync.WaitGroup
				for c := range 6 {
					wg.Go(func() {
						dice := rand.New(rand.NewPCG(uint64(c), 1))
						own := fmt.Sprint("own", c)
						for range 400 {
							if err := w.create(w.X, d, own); err != nil {
								t.Error(err)
								return
							}
							if !there(t, w.X, d, own) {
								t.Errorf("%s was made and is not there", own)
								return
							}
							there(t, w.X, d, fmt.Sprint("own", dice.IntN(6)))
							if err := unlink(w.X, d, own); err != nil {
								t.Error(err)
								return
							}
							if there(t, w.X, d, own) {
								t.Errorf("%s was removed and is there", own)
								return
							}
							switch dice.IntN(20) {
							case 0:
								w.Phase.Set([]xlator.PhaseName{xlator.PhaseServing, xlator.PhaseDraining}[dice.IntN(2)])
							case 1:
								w.X.Notified(w.P, xlator.Event{Kind: xlator.Invalidate, File: d.GFID(), Stale: xlator.StaleEntries})
							}
						}
					})
				}
				wg.Wait()
			})
		}
	}
}
