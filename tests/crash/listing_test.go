package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/tests/mnt"
)

// TestListingsAreCountedOnceWhateverDies: each READDIRPLUS counts a lookup of each
// file. When the kernel has forgotten all files, so have we.
func TestListingsAreCountedOnceWhateverDies(t *testing.T) {
	const files, readers = 300, 6
	m := mnt.Mount(t, brick(t), mnt.Plain())
	k := keeper(t, m)
	dir := in(m.Dir, "d")
	must(t, os.Mkdir(dir, 0o755))
	for i := range files {
		must(t, os.WriteFile(in(dir, fmt.Sprintf("file-%03d", i)), nil, 0o644))
	}
	stop, failed := make(chan struct{}), make(chan error, readers)
	var wg sync.WaitGroup
	end := sync.OnceFunc(func() { close(stop); wg.Wait() })
	t.Cleanup(end)
	for range readers {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				es, err := os.ReadDir(dir)
				if err == nil && len(es) != files {
					err = fmt.Errorf("%d files, want %d", len(es), files)
				}
				if err != nil {
					failed <- err
					return
				}
			}
		})
	}
	n := storm(k, 200, 5*time.Millisecond, 60*time.Millisecond, rand.New(rand.NewPCG(5, 5)), func() bool { return len(failed) == 0 })
	t.Logf("%d kills", n)
	end()
	if len(failed) > 0 {
		t.Fatal(<-failed)
	}
	must(t, os.RemoveAll(dir))
	// The kernel sends what it forgets when it has time.
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", m.Dump())
		}
	})
	eventually(t, 20*time.Second, "the root is the only file that is known", func() bool { return m.Status().Files.Nodes == 1 })
}
