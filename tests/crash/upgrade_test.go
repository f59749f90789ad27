package crash

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/tests/mnt"
)

// TestNoApplicationNoticesUpgrades: the worker is replaced 100 times, as a new
// version would replace it, under the load of all kinds.
func TestNoApplicationNoticesUpgrades(t *testing.T) {
	m := mnt.Mount(t, brick(t), mnt.Plain())
	ps := load(t, m, everyone)
	before := m.Status().Worker.Generation
	n := 0
	for ; n < 100 && working(t, ps); n++ {
		if out, err := m.Run("upgrade", m.Dir, "--json"); err != nil {
			t.Fatalf("upgrade %d: %v %s", n+1, err, out)
		}
	}
	if s := m.Status(); s.Worker.Generation < before+100 || s.Worker.Deaths != 0 {
		t.Errorf("after %d upgrades: %+v", n, s.Worker)
	}
	finish(t, m, ps)
}

// TestUpgradeToABadProgramIsRolledBack: applications go on with the old one.
func TestUpgradeToABadProgramIsRolledBack(t *testing.T) {
	m := mnt.Mount(t, brick(t), mnt.Plain())
	ps := load(t, m, everyone[:4])
	for name, script := range map[string]string{
		"crashes": "#!/bin/sh\nkill -9 $$\n",
		"ends":    "#!/bin/sh\nexit 0\n",
		"hangs":   "#!/bin/sh\nexec sleep 1000\n",
		"garbage": "not a program",
	} {
		bin := in(t.TempDir(), name)
		must(t, os.WriteFile(bin, []byte(script), 0o755))
		start := time.Now()
		out, err := m.Run("upgrade", m.Dir, "--binary", bin, "--timeout", "3s")
		if err == nil {
			t.Errorf("%s: upgraded: %s", name, out)
		} else if !strings.Contains(err.Error(), "old") && !strings.Contains(err.Error(), "goes on") {
			t.Errorf("%s: the message does not say what serves now: %v", name, err)
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%s: it took %v", name, d)
		}
	}
	k := keeper(t, m)
	storm(k, 5, 50*time.Millisecond, 200*time.Millisecond, rand.New(rand.NewPCG(10, 10)), func() bool { return working(t, ps) })
	finish(t, m, ps)
}
