package crash

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast/holdfast/tests/kill"
	"github.com/holdfast/holdfast/tests/mnt"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// brick makes a directory to be mounted.
func brick(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "brick")
	must(t, os.Mkdir(dir, 0o755))
	return dir
}

// keeper is the process that keeps the mount.
func keeper(t testing.TB, m *mnt.M) int {
	t.Helper()
	if s := m.Status(); s.Keeper.PID != 0 {
		return s.Keeper.PID
	}
	t.Fatal("the mount has no keeper")
	return 0
}

// killAndWait kills the worker and returns when it is gone.
func killAndWait(t testing.TB, keeper int) {
	t.Helper()
	must(t, kill.AndWait(keeper))
}

// storm kills the worker n times, so far apart as between says, and calls check
// after each.
func storm(keeper, n int, from, to time.Duration, r *rand.Rand, check func() bool) (kills int) {
	for kills < n {
		time.Sleep(from + time.Duration(r.Int64N(int64(to-from)+1)))
		kills += kill.Now(keeper)
		if !check() {
			break
		}
	}
	return kills
}

// eventually waits for something that comes without being asked for.
func eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}
