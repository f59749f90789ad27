package writebehind

import (
	"testing"

	"github.com/holdfast/holdfast/xlator"
)

// BenchmarkWrite4K writes 4 KiB after 4 KiB over 64 MiB of a file, then closes it:
// with write-behind, and written through it, on the brick alone.
//
//	go test -run NONE -bench Write4K ./xlator/performance/writebehind
func BenchmarkWrite4K(b *testing.B) {
	for _, c := range []struct {
		name   string
		opts   map[string]string
		alone  bool
		stride int64
	}{
		{"behind, one after another", nil, false, 4096},
		{"behind, with gaps", nil, false, 12288},
		{"through", map[string]string{"pass-through": "on"}, false, 4096},
		{"brick alone", nil, true, 4096},
	} {
		b.Run(c.name, func(b *testing.B) {
			w := build(b, c.opts)
			fd := w.create("f", rdwr)
			w.x.Next = w.leaf // without the probe
			top := xlator.Fops(w.x)
			if c.alone {
				top = w.leaf
			}
			data := fill('a', 4096)
			ctx, r := xlator.Internal(), req(fd, 0, data)
			b.SetBytes(4096)
			b.ReportAllocs()
			for n := range int64(b.N) {
				r.Offset = n * c.stride % (64 << 20)
				if _, err := top.Writev(ctx, r); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := top.Flush(ctx, &xlator.FlushReq{FD: fd}); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkFstatClean is what write-behind adds to a fop on a clean file.
func BenchmarkFstatClean(b *testing.B) {
	w := build(b, nil)
	fd := w.create("f", rdwr)
	w.x.Next = answers{}
	ctx, r := xlator.Internal(), &xlator.FstatReq{FD: fd}
	b.ReportAllocs()
	for b.Loop() {
		w.x.Fstat(ctx, r)
	}
	w.x.Next = w.p
}
