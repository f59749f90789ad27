package readdirahead

import (
	"context"
	"testing"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/debug/delaygen"
)

// BenchmarkList2000 lists a directory of 2,000 files in pieces of 4 KiB, as the
// kernel asks for them, from a child that takes 200 us for each piece.
//
//	go test -run NONE -bench List2000 ./xlator/performance/readdirahead
func BenchmarkList2000(b *testing.B) {
	for _, c := range []struct {
		name string
		opts map[string]string
	}{{"ahead", nil}, {"through", map[string]string{"pass-through": "on"}}} {
		b.Run(c.name, func(b *testing.B) {
			w := build(b, c.opts)
			d := w.fill(2000)
			w.X.Next = w.Add(delaygen.Type(), map[string]string{"delay-percentage": "100", "delay-duration": "200", "enable": "readdirp"}, w.Leaf)
			b.ReportAllocs()
			for b.Loop() {
				fd := w.opendir(w.X, d)
				if n := len(w.list(w.X, fd, 0, 4096)); n != 2002 {
					b.Fatalf("%d entries", n)
				}
				w.X.Release(fd)
			}
		})
	}
}

// BenchmarkFopBeside is what readdir-ahead adds to a fop that changes nothing,
// and to one that does.
func BenchmarkFopBeside(b *testing.B) {
	w := build(b, nil)
	w.Must(w.create(w.Leaf, w.Root, "f"))
	i := w.find(w.Root, "f")
	w.X.Next = &answers{}
	ctx := xlator.Internal()
	b.Run("stat", func(b *testing.B) {
		r := &xlator.StatReq{Inode: i}
		for b.Loop() {
			w.X.Stat(ctx, r)
		}
	})
	b.Run("truncate", func(b *testing.B) {
		r := &xlator.TruncateReq{Inode: i}
		for b.Loop() {
			w.X.Truncate(ctx, r)
		}
	})
	w.X.Next = w.P
}

// answers is a child that has the answer ready.
type answers struct{ xlator.Default }

var ready = &xlator.AttrRep{}

func (*answers) Stat(context.Context, *xlator.StatReq) (*xlator.AttrRep, error) { return ready, nil }

func (*answers) Truncate(context.Context, *xlator.TruncateReq) (*xlator.AttrRep, error) {
	return ready, nil
}
