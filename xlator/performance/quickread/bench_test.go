package quickread

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/debug/delaygen"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// BenchmarkSmallFiles looks up and reads 500 files of 4 KiB, over and over, from a
// brick that takes 1 ms for each LOOKUP and READ: with quick-read, and without.
//
//	go test -run NONE -bench SmallFiles ./xlator/performance/quickread
func BenchmarkSmallFiles(b *testing.B) {
	for _, c := range []struct {
		name string
		opts map[string]string
	}{{"quick-read", nil}, {"without", map[string]string{"pass-through": "on"}}} {
		b.Run(c.name, func(b *testing.B) {
			s := subject(true, c.opts)
			s.Between = func(w *xlatortest.World, leaf xlator.Fops) xlator.Fops {
				return w.Add(delaygen.Type(), map[string]string{"delay-percentage": "100", "delay-duration": "1000", "enable": "lookup,readv"}, bring(leaf))
			}
			w := s.Build(b)
			fds := make([]*xlator.FD, 500)
			for n := range fds {
				fds[n] = open(w, fmt.Sprint("f", n), 4096, unix.O_RDONLY)
			}
			ctx := xlator.Internal()
			b.ReportAllocs()
			b.ResetTimer()
			for n := range b.N {
				w.Lookup(fmt.Sprint("f", n%len(fds)))
				if _, err := w.X.Readv(ctx, &xlator.ReadvReq{FD: fds[n%len(fds)], Size: 65536}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
