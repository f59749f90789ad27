package iocache

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/debug/delaygen"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

// BenchmarkReadAgain reads a file of 8 MiB over and over, 128 KiB at a time, from a
// brick that takes 1 ms for each READ and FSTAT: with io-cache, and without.
//
//	go test -run NONE -bench ReadAgain ./xlator/performance/iocache
func BenchmarkReadAgain(b *testing.B) {
	for _, c := range []struct {
		name string
		opts map[string]string
	}{{"io-cache", nil}, {"without", map[string]string{"pass-through": "on"}}} {
		b.Run(c.name, func(b *testing.B) {
			s := subject(c.opts)
			s.Between = xlatortest.Above(delaygen.Type(), map[string]string{"delay-percentage": "100", "delay-duration": "1000", "enable": "readv,fstat"})
			w := s.Build(b)
			const size, step = 8 << 20, 128 << 10
			fd := open(w, "f", size, unix.O_RDONLY)
			w.Lookup("f")
			buf := &kept{make([]byte, step)}
			ctx, r := xlator.Internal(), &xlator.ReadvReq{FD: fd, Size: step, Dst: buf}
			b.SetBytes(step)
			b.ReportAllocs()
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
