package openbehind

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/holdfast/holdfast/xlator"
)

// Any order of opens, reads, closes, removals, changes of mode, drains and phases:
// an open is refused only if the brick refuses it, and what was opened reads as
// the file that it was, whatever became of its name.
func TestWhatWasOpenedIsReadable(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := build(t, nil)
		defer w.Stop()
		content := map[xlator.GFID]string{}
		var files []*xlator.Inode
		var fds []*xlator.FD
		names := []string{"a", "b", "c"}
		name := func(r *rapid.T) string { return rapid.SampledFrom(names).Draw(r, "name") }
		ctx := caller()
		r.Repeat(map[string]func(*rapid.T){
			"make": func(r *rapid.T) {
				n := name(r)
				if _, err := w.Leaf.Lookup(ctx, &xlator.LookupReq{Parent: w.Root, Name: n}); err == nil {
					return
				}
				text := fmt.Sprint("content ", len(files))
				i := w.file(n, text)
				content[i.GFID()] = text
				files = append(files, i)
			},
			"open": func(r *rapid.T) {
				if len(files) == 0 {
					return
				}
				i := rapid.SampledFrom(files).Draw(r, "file")
				flags := rapid.SampledFrom([]uint32{unix.O_RDONLY, unix.O_RDONLY, unix.O_RDONLY, unix.O_RDWR}).Draw(r, "flags")
				rep, err := w.X.Open(ctx, &xlator.OpenReq{Inode: i, Flags: flags, Base: w.NextBase()})
				own, want := w.Leaf.Open(ctx, &xlator.OpenReq{Inode: i, Flags: flags, Base: w.NextBase()})
				if want == nil {
					w.Leaf.Release(own.FD)
				}
				if xlator.Errno(err) != xlator.Errno(want) {
					r.Fatalf("open: %v, at the brick %v", err, want)
				}
				if err == nil {
					fds = append(fds, rep.FD)
				}
			},
			"read": func(r *rapid.T) {
				if len(fds) == 0 {
					return
				}
				fd := rapid.SampledFrom(fds).Draw(r, "fd")
				if s, err := w.read(fd); err != nil || s != content[fd.Inode().GFID()] {
					r.Fatalf("%q, %v; want %q", s, err, content[fd.Inode().GFID()])
				}
			},
			"close": func(r *rapid.T) {
				if len(fds) == 0 {
					return
				}
				n := rapid.IntRange(0, len(fds)-1).Draw(r, "fd")
				w.Must(justErr(w.X.Flush(ctx, &xlator.FlushReq{FD: fds[n]})))
				w.X.Release(fds[n])
				fds = slices.Delete(fds, n, n+1)
			},
			"unlink": func(r *rapid.T) { unlink(w.X, w.Root, name(r)) },
			"rename": func(r *rapid.T) {
				w.X.Rename(ctx, &xlator.RenameReq{OldParent: w.Root, OldName: name(r), NewParent: w.Root, NewName: name(r)})
			},
			"chmod": func(r *rapid.T) {
				if len(files) > 0 {
					w.X.Setattr(ctx, &xlator.SetattrReq{Inode: rapid.SampledFrom(files).Draw(r, "file"), Setattr: xlator.Setattr{Mask: xlator.SetMode, Mode: 0}})
				}
			},
			"phase": func(r *rapid.T) {
				w.Phase.Set(rapid.SampledFrom([]xlator.PhaseName{xlator.PhaseSettling, xlator.PhaseServing, xlator.PhaseServing}).Draw(r, "phase"))
			},
			"drain": func(r *rapid.T) {
				w.Drain()
				w.Phase.Set(xlator.PhaseServing)
			},
			"options": func(r *rapid.T) {
				v, err := Type().Defaults()
				w.Must(err)
				o, _ := Type().FindOption("lazy-open")
				v["lazy-open"], err = o.Parse(rapid.SampledFrom([]string{"on", "off"}).Draw(r, "lazy"))
				w.Must(err)
				w.Must(w.X.Reconfigure(v))
			},
		})
		for _, fd := range fds {
			w.X.Release(fd)
		}
		w.X.attempts.Wait()
		for _, i := range files {
			if f := w.X.files.Get(i); f != nil && (f.open != 0 || f.late != nil) {
				r.Fatalf("%+v after everything was closed", *f)
			}
		}
	})
}

// Several read files that others replace by renaming over them and drain: whoever
// got a file open reads all of it.
func TestReadersAmongReplacers(t *testing.T) {
	for _, procs := range []int{1, 2} {
		t.Run(fmt.Sprint(procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			w := build(t, nil)
			ctx := caller()
			for n := range 3 {
				w.file(fmt.Sprint("f", n), "content")
			}
			var readers, others sync.WaitGroup
			stop, turns := make(chan struct{}), make(chan struct{}, 1)
			for c := range 4 {
				readers.Go(func() {
					dice := rand.New(rand.NewPCG(uint64(c), 2))
					for n := range 500 {
						if n%3 == 2 { // so that not every open is beside a rename
							select {
							case turns <- struct{}{}:
							default:
							}
						}
						found, err := w.X.Lookup(ctx, &xlator.LookupReq{Parent: w.Root, Name: fmt.Sprint("f", dice.IntN(3))})
						if err != nil {
							t.Errorf("lookup of a name that is always there: %v", err)
							continue
						}
						rep, err := w.X.Open(ctx, &xlator.OpenReq{Inode: found.Inode, Flags: unix.O_RDONLY, Base: w.NextBase()})
						if err != nil {
							if !errors.Is(err, syscall.ESTALE) && !errors.Is(err, syscall.ENOENT) {
								t.Errorf("open: %v", err)
							}
							continue // replaced meanwhile: the kernel looks again
						}
						if dice.IntN(4) > 0 {
							if s, err := w.read(rep.FD); err != nil || s != "content" {
								t.Errorf("%q, %v", s, err)
							}
						}
						w.X.Release(rep.FD)
					}
				})
			}
			others.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					case <-turns:
					}
					w.file("tmp", "content")
					w.Must(justErr(w.X.Rename(ctx, &xlator.RenameReq{OldParent: w.Root, OldName: "tmp", NewParent: w.Root, NewName: fmt.Sprint("f", n%3)})))
					if n%10 == 0 {
						w.Drain()
						w.Phase.Set(xlator.PhaseServing)
					}
				}
			})
			readers.Wait()
			close(stop)
			others.Wait()
			if w.X.early.Load() == 0 {
				t.Error("no open was answered early")
			}
			if n := len(w.X.all()); n != 0 {
				t.Errorf("%d wait to be opened", n)
			}
		})
	}
}
