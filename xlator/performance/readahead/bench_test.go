package readahead

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/debug/delaygen"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// BenchmarkReadInSequence reads a file of 32 MiB from its beginning to its end, 128
// KiB at a time, from a brick that takes 1 ms for each READ: with read-ahead, and
// without.
//
//	go test -run NONE -bench ReadInSequence ./xlator/performance/readahead
func BenchmarkReadInSequence(b *testing.B) {
	for _, c := range []struct {
		name string
		opts map[string]string
	}{{"read-ahead", nil}, {"16 pages", map[string]string{"page-count": "16"}}, {"without", map[string]string{"pass-through": "on"}}} {
		b.Run(c.name, func(b *testing.B) {
			s := subject(c.opts)
			s.Between = xlatortest.Above(delaygen.Type(), map[string]string{"delay-percentage": "100", "delay-duration": "1000", "enable": "readv"})
			w := s.Build(b)
			const size, step = 32 << 20, 128 << 10
			fd := open(w, "f", size, unix.O_RDONLY)
			ctx, r := xlator.Internal(), &xlator.ReadvReq{FD: fd, Size: step, Dst: &kept{make([]byte, step)}}
			b.SetBytes(step)
			b.ReportAllocs()
			b.ResetTimer()
			for n := range int64(b.N) {
				r.Offset = n * step % size
				if _, err := w.X.Readv(ctx, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// kept is a destination used again.
type kept struct{ mem []byte }

func (k *kept) Grab(n int) []byte { return k.mem[:n] }
