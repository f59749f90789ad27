package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast/holdfast/tests/mnt"
	"github.com/holdfast/holdfast/tests/workload"
)

// everyone is a process of each kind that a kill could hurt.
var everyone = []workload.Config{
	{Kind: "writer"}, {Kind: "appender"}, {Kind: "renamer"}, {Kind: "xattr"}, {Kind: "walker", N: 2000},
	{Kind: "locker"}, {Kind: "mmap"}, {Kind: "tmpfile"},
}

// load starts the workers in folders of their own.
func load(t *testing.T, m *mnt.M, kinds []workload.Config) (ps []*workload.Process) {
	t.Helper()
	hfload := mnt.BuildPlain(t, "tests/hfload")
	for i, cfg := range kinds {
		cfg.Dir = filepath.Join(m.Dir, fmt.Sprintf("%d-%s", i, cfg.Kind))
		must(t, os.Mkdir(cfg.Dir, 0o755))
		cfg.ID, cfg.Seed, cfg.Partner = i, uint64(i), hfload
		ps = append(ps, mnt.LoadWith(t, hfload, cfg))
	}
	return ps
}

// working reports whether all of them still are.
func working(t *testing.T, ps []*workload.Process) bool {
	for _, p := range ps {
		select {
		case <-p.Ended():
			t.Errorf("a worker ended: %+v", p.Last())
			return false
		default:
		}
	}
	return true
}

// finish has all verify a last time, and checks that nothing is left.
func finish(t *testing.T, m *mnt.M, ps []*workload.Process) {
	t.Helper()
	var ops int64
	for _, p := range ps {
		r := mnt.Stop(t, p)
		t.Logf("%s: %d operations, longest pause %v", r.Kind, r.Ops, time.Duration(r.LongestPauseUS)*time.Microsecond)
		if r.Errors != 0 || r.Ops == 0 {
			t.Errorf("%+v", r)
		}
		ops += r.Ops
	}
	s := m.Status()
	t.Logf("%d operations; %d requests recovered, last recovery %.1f ms, worker %d", ops, s.Recovery.Requests, s.Recovery.LastMS, s.Worker.Generation)
	if s.Locks.Lost != 0 || s.Locks.Held != 0 {
		t.Errorf("locks: %+v", s.Locks)
	}
	eventually(t, 20*time.Second, "no file is open, of the dead neither", func() bool { return m.Status().Files.Open == 0 })
}

// TestNoApplicationNoticesKills: a process of every kind works while the worker
// is killed 500 times.
func TestNoApplicationNoticesKills(t *testing.T) {
	m := mnt.Mount(t, brick(t), mnt.Plain())
	k := keeper(t, m)
	ps := load(t, m, everyone)
	n := storm(k, 500, 10*time.Millisecond, 300*time.Millisecond, rand.New(rand.NewPCG(1, 1)), func() bool { return working(t, ps) })
	t.Logf("%d kills", n)
	finish(t, m, ps)
}

// TestNoApplicationNoticesKillsDuringSwitches: the graph is switched meanwhile.
func TestNoApplicationNoticesKillsDuringSwitches(t *testing.T) {
	dir := brick(t)
	m := mnt.Mount(t, dir, mnt.Plain())
	k := keeper(t, m)
	ps := load(t, m, everyone)
	r := rand.New(rand.NewPCG(2, 2))
	end := time.Now().Add(25 * time.Second)
	kills, switches := 0, 0
	for i := 0; time.Now().Before(end) && working(t, ps); i++ {
		done := make(chan error, 1)
		go func() {
			_, err := m.TrySet("performance.write-behind", []string{"off", "on"}[i%2])
			done <- err
		}()
		kills += storm(k, 2, 10*time.Millisecond, 150*time.Millisecond, r, func() bool { return true })
		if err := <-done; err == nil {
			switches++ // what was killed under the command may or may not have been done
		}
	}
	t.Logf("%d kills, %d switches", kills, switches)
	finish(t, m, ps)
	eventually(t, 20*time.Second, "one graph is left", func() bool { return m.Status().Graphs.Live == 1 })
}

// TestLargeWritesSurviveKills: requests of a megabyte are on their way at every
// moment; a page of their memory that is not there when the kernel copies would
// be an EIO.
func TestLargeWritesSurviveKills(t *testing.T) {
	m := mnt.Mount(t, brick(t), mnt.Plain())
	k := keeper(t, m)
	ps := load(t, m, []workload.Config{{Kind: "direct"}, {Kind: "writer"}, {Kind: "direct"}, {Kind: "truncater"}})
	n := storm(k, 1000, 5*time.Millisecond, 35*time.Millisecond, rand.New(rand.NewPCG(3, 3)), func() bool { return working(t, ps) })
	t.Logf("%d kills", n)
	finish(t, m, ps)
}

// TestAcknowledgedWritesReachASlowBrick: write-behind has answered, the brick is
// slow, and the worker dies.
func TestAcknowledgedWritesReachASlowBrick(t *testing.T) {
	dir := brick(t)
	vol := filepath.Join(t.TempDir(), "slow.vol")
	must(t, os.WriteFile(vol, []byte(`volume brick
    type storage/posix
    option directory `+dir+`
end-volume
volume locks
    type features/locks
    subvolumes brick
end-volume
volume slow
    type debug/delay-gen
    option delay-percentage 100
    option delay-duration 20000
    option enable writev
    subvolumes locks
end-volume
volume wb
    type performance/write-behind
    subvolumes slow
end-volume
`), 0o644))
	m := mnt.Mount(t, vol, mnt.Plain())
	k := keeper(t, m)
	ps := load(t, m, []workload.Config{{Kind: "writer"}, {Kind: "appender"}, {Kind: "writer"}})
	n := storm(k, 60, 30*time.Millisecond, 300*time.Millisecond, rand.New(rand.NewPCG(4, 4)), func() bool { return working(t, ps) })
	t.Logf("%d kills", n)
	if s := m.Status(); s.Recovery.ByKind["owed"] == 0 {
		t.Errorf("no acknowledged write was found in a slot: %+v", s.Recovery)
	}
	finish(t, m, ps)
}
