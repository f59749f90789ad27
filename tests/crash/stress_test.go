package crash

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast/holdfast/tests/mnt"
)

// TestStressNoticesNeitherKillsNorSwitches: stress-ng's file system stressors, all
// at once, check what they do.
func TestStressNoticesNeitherKillsNorSwitches(t *testing.T) {
	m := mnt.Mount(t, brick(t), mnt.Plain())
	k := keeper(t, m)
	dir := filepath.Join(m.Dir, "stress")
	must(t, os.Mkdir(dir, 0o755))
	// Left out is what mounts, what is not about files here, and what goes to
	// other tests' mounts: fanotify hears of them, io and getdent open them.
	c := exec.Command("stress-ng", "--class", "filesystem", "--all", "1", "--exclude", "bind-mount,binderfs,procfs,ioprio,verity,fanotify,io,getdent",
		"--timeout", "20", "--verify", "--temp-path", dir)
	type result struct {
		out []byte
		err error
	}
	ended := make(chan result, 1)
	go func() {
		out, err := c.CombinedOutput()
		ended <- result{out, err}
	}()
	r := rand.New(rand.NewPCG(9, 9))
	kills, switches := 0, 0
	for i := 0; ; i++ {
		kills += storm(k, 1, 200*time.Millisecond, 800*time.Millisecond, r, func() bool { return true })
		if _, err := m.TrySet("performance.write-behind", []string{"off", "on"}[i%2]); err == nil {
			switches++
		}
		select {
		case e := <-ended:
			if e.err != nil {
				t.Errorf("stress-ng: %v\n%s", e.err, e.out)
			}
			t.Logf("%d kills, %d switches", kills, switches)
			eventually(t, 20*time.Second, "no file is open", func() bool { return m.Status().Files.Open == 0 })
			return
		default:
		}
	}
}
