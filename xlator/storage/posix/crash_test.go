package posix

import (
	"bufio"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

const crashEnv = "HOLDFAST_TEST_PLAY_ON"

// TestPlayUntilKilled is the process that TestKilledBrickComesUpClean kills:
// it plays on a brick and says so, step by step. Without being asked to it does
// nothing.
func TestPlayUntilKilled(t *testing.T) {
	dir := os.Getenv(crashEnv)
	if dir == "" {
		return
	}
	b := mount(t, dir, nil)
	seed := rand.Uint64()
	parallel(4, func(k int) bool {
		p := &player{brick: b, rnd: rand.New(rand.NewPCG(seed, uint64(k)))}
		for {
			if err := p.step(); !expected[xlator.Errno(err)] {
				fmt.Printf("failed: %v\n", err)
			}
			fmt.Println("step")
		}
	})
}

func TestKilledBrickComesUpClean(t *testing.T) {
	dir := newDir(t)
	for round := range 25 {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestPlayUntilKilled$")
		cmd.Env = append(os.Environ(), crashEnv+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 20 + rand.IntN(200); n > 0 && lines.Scan(); n-- {
			if s := lines.Text(); strings.HasPrefix(s, "failed") {
				t.Error(s)
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("it ended by itself")
		}
		b := mount(t, dir, nil)
		b.heal(round)
		b.checkLayout()
		b.w.Stop()
	}
}

// heal looks every name up, as a walk through the mount would, and checks that
// each object is complete.
func (b *brick) heal(round int) {
	b.t.Helper()
	err := filepath.WalkDir(b.dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || p == b.dir {
			return err
		}
		if p == b.path(metaName) {
			return filepath.SkipDir
		}
		rel, _ := filepath.Rel(b.dir, p)
		// A name comes last: its object had its identity before.
		if n, err := unix.Lgetxattr(p, xattrGFID, nil); err != nil || n != 16 {
			b.t.Errorf("round %d: %s has a name, but no gfid", round, rel)
		}
		if mode := lstat(b.t, p).Mode; e.Type() == 0 && mode&0o7777 != 0o644 && mode&0o7777 != 0o600 {
			b.t.Errorf("round %d: %s has mode %o", round, rel, mode)
		}
		b.at(rel)
		return nil
	})
	b.must(err)
}
