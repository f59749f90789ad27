package readdirahead

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/holdfast/holdfast/xlator"
)

// fresh answers each request of a listing from a descriptor of its own: file
// systems may go on with what they had read before a name was removed.
type fresh struct {
	xlator.Default
	w *world
}

func (f *fresh) Readdirp(ctx context.Context, r *xlator.ReaddirReq) (*xlator.ReaddirRep, error) {
	o, err := f.Next.Opendir(ctx, &xlator.OpenReq{Inode: r.FD.Inode(), Flags: unix.O_DIRECTORY, Base: f.w.NextBase()})
	if err != nil {
		return nil, err // the brick has stopped
	}
	defer f.Next.Release(o.FD)
	own := *r
	own.FD = o.FD
	return f.Next.Readdirp(ctx, &own)
}

// Any order of listings from any cookie, of changes through us and by another
// client that the brick tells of, of phases and options: each piece is what the
// child gives, and no attributes are old.
func TestListsWhatTheBrickLists(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := build(t, map[string]string{"rda-request-size": "4096", "rda-high-wmark": "8KB"})
		defer w.Stop()
		w.P.Next = &fresh{w: w, Default: xlator.Default{Next: w.Leaf}}
		d := w.fill(60)
		var fds []*xlator.FD
		ctx := xlator.Internal()
		name := func(r *rapid.T) string { return fmt.Sprintf("file-%04d", rapid.IntRange(0, 70).Draw(r, "n")) }
		r.Repeat(map[string]func(*rapid.T){
			"open": func(r *rapid.T) { fds = append(fds, w.opendir(w.X, d)) },
			"close": func(r *rapid.T) {
				if len(fds) > 0 {
					n := rapid.IntRange(0, len(fds)-1).Draw(r, "fd")
					w.X.Release(fds[n])
					fds = slices.Delete(fds, n, n+1)
				}
			},
			"create": func(r *rapid.T) { w.create(w.X, d, name(r)) },
			"unlink": func(r *rapid.T) { unlink(w.X, d, name(r)) },
			"truncate": func(r *rapid.T) {
				if rep, err := w.X.Lookup(ctx, &xlator.LookupReq{Parent: d, Name: name(r)}); err == nil {
					w.Must(justErr(w.X.Truncate(ctx, &xlator.TruncateReq{Inode: rep.Inode, Size: uint64(rapid.IntRange(0, 99).Draw(r, "size"))})))
				}
			},
			"another client": func(r *rapid.T) {
				w.create(w.Leaf, d, name(r))
				w.X.Notified(w.P, xlator.Event{Kind: xlator.Invalidate, File: d.GFID(), Stale: xlator.StaleEntries})
			},
			"phase": func(r *rapid.T) {
				w.Phase.Set(rapid.SampledFrom([]xlator.PhaseName{xlator.PhaseSettling, xlator.PhaseServing, xlator.PhaseServing, xlator.PhaseDraining}).Draw(r, "phase"))
			},
			"options": func(r *rapid.T) {
				w.Reconfigure(map[string]string{"rda-request-size": "4096",
					"rda-high-wmark":  rapid.SampledFrom([]string{"0", "5KB", "128KB"}).Draw(r, "high"),
					"rda-cache-limit": rapid.SampledFrom([]string{"0", "20KB", "10MB"}).Draw(r, "limit")})
			},
			"list": func(r *rapid.T) {
				if len(fds) == 0 {
					return
				}
				fd := rapid.SampledFrom(fds).Draw(r, "fd")
				ref := w.opendir(w.Leaf, d)
				all := w.list(w.Leaf, ref, 0, 1<<16)
				w.Leaf.Release(ref)
				at := rapid.IntRange(0, len(all)).Draw(r, "at")
				for range rapid.IntRange(1, 5).Draw(r, "pieces") {
					offset := int64(0)
					if at > 0 {
						offset = all[at-1].Offset
					}
					es := w.piece(w.X, fd, offset, rapid.IntRange(100, 3000).Draw(r, "size"))
					if len(es) == 0 != (at == len(all)) || !slices.Equal(told(es), told(all[at:at+len(es)])) {
						r.Fatalf("from %d: %v\nof %v", at, told(es), told(all))
					}
					for i, e := range es {
						if truth := all[at+i].Attr; e.Attr.Valid() && (e.Attr.Size != truth.Size || e.Attr.Ctime != truth.Ctime) {
							r.Fatalf("%s: %+v\nbut the brick has %+v", e.Name, e.Attr, truth)
						}
					}
					at += len(es)
				}
			},
		})
		for _, fd := range fds {
			w.X.Release(fd)
		}
		w.Stop()
		if n := w.X.memory.Load(); n != 0 {
			r.Fatalf("%d bytes left", n)
		}
	})
}

// Several read one directory, each a descriptor of its own and one in common,
// while others make and remove files and write, and phases change: what was there
// all the time is listed once, and no size is older than what was acknowledged.
func TestReadersAmongWriters(t *testing.T) {
	for _, procs := range []int{1, 2} {
		t.Run(fmt.Sprint(procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			w := build(t, map[string]string{"rda-request-size": "4096", "rda-high-wmark": "16KB", "rda-cache-limit": "100KB"})
			d := w.fill(80)
			grown := w.find(d, "file-0040")
			ctx := xlator.Internal()
			var size struct {
				sync.Mutex
				least uint64
			}
			common := w.opendir(w.X, d)
			var readers, others sync.WaitGroup
			stop := make(chan struct{})
			for c := range 4 {
				readers.Go(func() {
					for range 60 {
						fd := common
						if c > 0 {
							fd = w.opendir(w.X, d)
						}
						size.Lock()
						least := size.least
						size.Unlock()
						seen := map[string]int{}
						for _, e := range w.list(w.X, fd, 0, 2000) {
							seen[e.Name]++
							if e.Name == "file-0040" && e.Attr.Valid() && e.Attr.Size < least {
								t.Errorf("size %d, but %d was acknowledged before", e.Attr.Size, least)
							}
						}
						for n := range 80 {
							if name := fmt.Sprintf("file-%04d", n); seen[name] != 1 {
								t.Errorf("%s is listed %d times", name, seen[name])
								return
							}
						}
						if c > 0 {
							w.X.Release(fd)
						}
					}
				})
			}
			until := func(f func(n int)) {
				others.Go(func() {
					for n := 0; ; n++ {
						select {
						case <-stop:
							return
						case <-time.After(time.Duration(rand.IntN(300)) * time.Microsecond):
							f(n)
						}
					}
				})
			}
			until(func(n int) {
				w.Must(justErr(w.X.Truncate(ctx, &xlator.TruncateReq{Inode: grown, Size: uint64(n)})))
				size.Lock()
				size.least = uint64(n)
				size.Unlock()
			})
			until(func(n int) {
				w.Must(w.create(w.X, d, "coming"))
				w.Must(unlink(w.X, d, "coming"))
			})
			until(func(n int) { w.Phase.Set([]xlator.PhaseName{xlator.PhaseServing, xlator.PhaseDraining}[n/20%2]) })
			readers.Wait()
			close(stop)
			others.Wait()
			w.X.Release(common)
			w.Stop()
			if n := w.X.memory.Load(); n != 0 {
				t.Errorf("%d bytes left", n)
			}
		})
	}
}
