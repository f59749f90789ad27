package mnt

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	holdfast     = "cmd/holdfast"
	module       = "github.com/holdfast/holdfast"
	buildTimeout = 5 * time.Minute
)

// built remembers what this test process has built. It is the one thing that
// all tests of a process share: linking takes seconds.
var built sync.Map // package path and kind -> func() (string, error)

// Build builds a main package of this module, "cmd/holdfast" say, and returns
// the program's path. The race detector is in it if it is in the test.
func Build(t testing.TB, pkg string) string {
	t.Helper()
	return buildOnce(t, pkg, false)
}

// BuildPlain builds a program as users have it: without the race detector and
// without invariant checks, which both keep request memory on the heap, where a
// kill loses it.
func BuildPlain(t testing.TB, pkg string) string {
	t.Helper()
	return buildOnce(t, pkg, true)
}

func buildOnce(t testing.TB, pkg string, plain bool) string {
	t.Helper()
	type key struct {
		pkg   string
		plain bool
	}
	once, _ := built.LoadOrStore(key{pkg, plain}, sync.OnceValues(func() (string, error) { return build(pkg, plain) }))
	bin, err := once.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// Binary is the holdfast program.
func Binary(t testing.TB) string {
	t.Helper()
	return Build(t, holdfast)
}

func build(pkg string, plain bool) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("find the module %s: %w", module, err)
	}
	root := string(out[:len(out)-1])
	dir, args := filepath.Join(root, "bin", "test"), []string{"build", "-tags", "invariants"}
	switch {
	case plain:
		dir, args = filepath.Join(root, "bin", "test-plain"), []string{"build"}
	case RaceEnabled:
		dir, args = filepath.Join(root, "bin", "test-race"), append(args, "-race")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("build %s: %w", pkg, err)
	}
	// Test processes run beside each other; go leaves alone what is up to date.
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return "", fmt.Errorf("build %s: %w", pkg, err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("build %s: lock: %w", pkg, err)
	}
	bin := filepath.Join(dir, filepath.Base(pkg))
	cmd := exec.CommandContext(ctx, "go", append(args, "-o", bin, "./"+pkg)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return bin, nil
}
