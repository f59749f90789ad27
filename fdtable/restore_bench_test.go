package fdtable_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable"
	"github.com/holdfast/holdfast/xlator"
)

// BenchmarkRestore is the beginning of a worker after one that knew 100,000 nodes
// and had 10,000 files open: until requests can be served, and until files can
// be found by gfid.
func BenchmarkRestore(b *testing.B) {
	for _, c := range []struct {
		name       string
		nodes, fds int
	}{
		{"nodes=100000/fds=0", 100_000, 0},
		{"nodes=100000/fds=10000", 100_000, 10_000},
		{"nodes=1000000/fds=10000", 1_000_000, 10_000},
	} {
		b.Run(c.name, func(b *testing.B) {
			k := newKeeper(b)
			table, end := k.table()
			mem := k.open()
			defer mem.Close()
			for i := range c.nodes {
				n := table.Found(xlator.NewGFID(), xlator.TypeRegular)
				if i < c.fds { // opened by nobody: there is no graph here
					fh := table.Reserve(unix.O_RDWR).FH()
					mem.FDAt(uint32(fh)).Put(uint32(fh>>32), n.ID(), unix.O_RDWR, 0, 0)
				}
			}
			end()
			var serving, indexed time.Duration
			for b.Loop() {
				m := k.open()
				began := time.Now()
				table := fdtable.New(quiet(b), m)
				serving += time.Since(began)
				table.Indexed()
				indexed += time.Since(began)
				if fds, _, _, _, damaged := table.Restored(); fds != c.fds || damaged != 0 {
					b.Fatalf("%d base fds, %d damaged", fds, damaged)
				}
				table.Close()
				m.Close()
			}
			b.ReportMetric(float64(serving.Microseconds())/float64(b.N)/1000, "serving-ms")
			b.ReportMetric(float64(indexed.Microseconds())/float64(b.N)/1000, "indexed-ms")
		})
	}
}
