package openbehind

import (
	"context"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/debug/delaygen"
)

// BenchmarkOpen opens a file and closes it, with a read in between and without (as
// when another translator has its content), at a child that takes 200 us for an
// open and for a read.
//
//	go test -run NONE -bench Open ./xlator/performance/openbehind
func BenchmarkOpen(b *testing.B) {
	for _, c := range []struct {
		name string
		opts map[string]string
		read bool
	}{
		{"behind, not read", nil, false},
		{"behind, read", nil, true},
		{"in the background, read", map[string]string{"lazy-open": "off"}, true},
		{"at once, not read", map[string]string{"pass-through": "on"}, false},
		{"at once, read", map[string]string{"pass-through": "on"}, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			w := build(b, c.opts)
			i := w.file("f", "content")
			w.X.Next = w.Add(delaygen.Type(), map[string]string{"delay-percentage": "100", "delay-duration": "200", "enable": "open,readv"}, w.Leaf)
			b.ReportAllocs()
			for b.Loop() {
				fd := w.open(i, unix.O_RDONLY)
				if c.read {
					if _, err := w.read(fd); err != nil {
						b.Fatal(err)
					}
				}
				w.X.Release(fd)
			}
		})
	}
}

// BenchmarkReadOfOpenFile is what open-behind adds to a read of a file that was
// opened late, and of one that was opened at once.
func BenchmarkReadOfOpenFile(b *testing.B) {
	for name, flags := range map[string]uint32{"late": unix.O_RDONLY, "at once": unix.O_RDWR} {
		b.Run(name, func(b *testing.B) {
			w := build(b, nil)
			fd := w.open(w.file("f", "content"), flags)
			if _, err := w.read(fd); err != nil {
				b.Fatal(err)
			}
			w.X.Next = &answers{}
			ctx, r := caller(), &xlator.ReadvReq{FD: fd, Size: 100}
			b.ReportAllocs()
			for b.Loop() {
				w.X.Readv(ctx, r)
			}
			w.X.Next = w.P
		})
	}
}

// answers is a child that has the answer ready.
type answers struct{ xlator.Default }

var ready = &xlator.ReadvRep{}

func (*answers) Readv(context.Context, *xlator.ReadvReq) (*xlator.ReadvRep, error) { return ready, nil }
