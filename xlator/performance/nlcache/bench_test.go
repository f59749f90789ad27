package nlcache

import (
	"context"
	"fmt"
	"testing"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/debug/delaygen"
)

// BenchmarkLookupOfAbsentName looks up one of 100 names that are not there, as a
// search along a path does, at a child that takes 200 us for a lookup.
//
//	go test -run NONE -bench LookupOfAbsentName ./xlator/performance/nlcache
func BenchmarkLookupOfAbsentName(b *testing.B) {
	for _, c := range []struct {
		name string
		opts map[string]string
	}{{"kept", nil}, {"through", map[string]string{"pass-through": "on"}}} {
		b.Run(c.name, func(b *testing.B) {
			w := build(b, c.opts)
			w.X.Next = w.slow()
			var names []string
			for n := range 100 {
				names = append(names, fmt.Sprint("lib", n, ".so"))
			}
			ctx, n := xlator.Internal(), 0
			r := &xlator.LookupReq{Parent: w.Root}
			b.ReportAllocs()
			for b.Loop() {
				n++
				r.Name = names[n%len(names)]
				if _, err := w.X.Lookup(ctx, r); err == nil {
					b.Fatal("it is there")
				}
			}
		})
	}
}

// BenchmarkLookupOfNameThatIsThere is what nl-cache adds to a lookup that it has
// to pass on.
func BenchmarkLookupOfNameThatIsThere(b *testing.B) {
	w := build(b, nil)
	w.X.Next = &answers{rep: &xlator.LookupRep{Inode: w.Root}}
	ctx, r := xlator.Internal(), &xlator.LookupReq{Parent: w.Root, Name: "f"}
	b.ReportAllocs()
	for b.Loop() {
		w.X.Lookup(ctx, r)
	}
	w.X.Next = w.P
}

// answers is a child that has the answer ready.
type answers struct {
	xlator.Default
	rep *xlator.LookupRep
}

func (a *answers) Lookup(context.Context, *xlator.LookupReq) (*xlator.LookupRep, error) {
	return a.rep, nil
}

// slow is the brick behind debug/delay-gen.
func (w *world) slow() xlator.Fops {
	x := w.Add(delaygen.Type(), map[string]string{"delay-percentage": "100", "delay-duration": "200", "enable": "lookup"}, w.Leaf)
	return x
}
