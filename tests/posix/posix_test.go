package posix_test

import (
	"os"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/tests/mnt"
	"github.com/holdfast/holdfast/tests/posix"
)

func TestMain(m *testing.M) {
	posix.Child()
	os.Exit(m.Run())
}

// TestNative holds the cases against the kernel's own file system: what fails
// here asks for too much.
func TestNative(t *testing.T) {
	dir := t.TempDir()
	ok(t, os.Chmod(dir, 0o755))
	posix.RunAll(t, dir)
}

// TestMountedDirectoryIsPOSIX: no case sees a difference.
func TestMountedDirectoryIsPOSIX(t *testing.T) {
	m := mnt.Mount(t, t.TempDir(), mnt.O("acl"))
	posix.RunAll(t, m.Dir)
}

// TestPOSIXHoldsWhileTheGraphIsSwitched: nor does one when the graph is another
// every moment.
func TestPOSIXHoldsWhileTheGraphIsSwitched(t *testing.T) {
	m := mnt.Mount(t, t.TempDir(), mnt.O("acl"))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { switches(t, m, stop) })
	posix.RunAll(t, m.Dir)
	close(stop)
	wg.Wait()
	s := m.Status()
	t.Logf("%d switches", s.Switch.Count)
	if s.Switch.Count < 10 || s.Switch.Failed != 0 || s.Locks.Lost != 0 {
		t.Errorf("status %s", s.Raw)
	}
	m.WaitStatus(30*time.Second, "back to one graph", func(s mnt.Status) bool { return s.Graphs.Live == 1 && s.Files.Pinned == 0 })
}

// switches changes the default graph again and again.
func switches(t *testing.T, m *mnt.M, stop chan struct{}) {
	steps := [][2]string{
		{"performance.write-behind", "off"}, {"performance.stat-prefetch", "off"},
		{"performance.write-behind", "on"}, {"performance.stat-prefetch", "on"},
	}
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-time.After(50 * time.Millisecond):
		}
		if _, err := m.TrySet(steps[i%len(steps)][0], steps[i%len(steps)][1]); err != nil {
			t.Error(err)
			return
		}
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
