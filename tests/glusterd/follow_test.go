package glusterd_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/tests/lab"
	"github.com/holdfast/holdfast/tests/mnt"
	"github.com/holdfast/holdfast/tests/workload"
)

// toggles are glusterd's options that put a translator into a client's graph or
// take it out.
var toggles = []struct {
	key, translator string
	on              bool // by default
}{
	{"performance.write-behind", "performance/write-behind", true},
	{"performance.open-behind", "performance/open-behind", true},
	{"performance.quick-read", "performance/quick-read", true},
	{"performance.stat-prefetch", "performance/md-cache", true},
	{"performance.client-io-threads", "performance/io-threads", true},
	{"performance.read-ahead", "performance/read-ahead", false},
	{"performance.readdir-ahead", "performance/readdir-ahead", false},
	{"performance.io-cache", "performance/io-cache", false},
	{"performance.nl-cache", "performance/nl-cache", false},
	{"features.ctime", "features/utime", true},
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// setsEnv is how often the volume is changed, if not once for each translator out
// and in.
const setsEnv = "HOLDFAST_TEST_VOLUME_SETS"

// Applications do not notice that the volume is changed under them, nor that the
// management daemon dies and comes back.
func TestVolumeSetIsFollowedUnderLoad(t *testing.T) {
	l := newLab(t)
	v := l.Volume("one")
	m := mnt.Mount(t, v.Source())
	open := make([]*os.File, 50)
	for i := range open {
		f, err := os.CreateTemp(m.Dir, "open")
		must(t, err)
		defer f.Close()
		_, err = f.WriteString("before")
		must(t, err)
		if open[i] = f; i%2 == 0 {
			must(t, os.Remove(f.Name()))
		}
	}
	var load []*workload.Process
	for i, kind := range []string{"writer", "appender", "renamer", "locker", "truncater", "xattr", "walker"} {
		load = append(load, mnt.Load(t, workload.Config{Kind: kind, Dir: m.Dir, Seed: uint64(i + 1)}))
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: 3, Len: 2}
	for _, f := range open[:4] { // with names, and without
		must(t, unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lock))
	}
	switches, want := uint64(0), uint64(2*len(toggles))
	if n := os.Getenv(setsEnv); n != "" {
		var err error
		want, err = strconv.ParseUint(n, 10, 64)
		must(t, err)
	}
	for i := 0; switches < want; i++ {
		o := toggles[i%len(toggles)]
		for _, on := range []bool{!o.on, o.on} {
			v.Set(o.key, onOff(on))
			switches++
			waitGraph(t, m, o.translator, on)
		}
		if i%4 == 1 {
			l.Glusterd.Kill()
			wait(t, m, "the daemon is missed", func(s status) bool { return s.Glusterd.Server == "" })
			l.StartGlusterd()
		}
	}
	s := wait(t, m, "one graph is left, connected", func(s status) bool {
		return s.Graphs.Live == 1 && s.Graph.State == "serving" && s.Glusterd.Server != ""
	})
	if s.Switch.Count != switches || s.Switch.Failed != 0 || s.Reload.Error != "" {
		t.Errorf("%d switches, %d failed, want %d, 0: %+v", s.Switch.Count, s.Switch.Failed, switches, s.Reload)
	}
	if s.Locks.Held < 4 {
		t.Errorf("locks: %+v", s.Locks)
	}
	theirs, err := os.OpenFile(filepath.Join(l.MountStock(v).Dir, filepath.Base(open[1].Name())), os.O_RDWR, 0)
	must(t, err)
	defer theirs.Close()
	isErrno(t, "a lock that is held here", unix.FcntlFlock(theirs.Fd(), unix.F_SETLK, &lock), unix.EAGAIN)
	for _, p := range load {
		r := mnt.Stop(t, p)
		t.Logf("%s: %d operations, longest pause %v", r.Kind, r.Ops, time.Duration(r.LongestPauseUS)*time.Microsecond)
		if r.Errors != 0 || r.Ops == 0 {
			t.Errorf("%s: %d errors of %d: %s", r.Kind, r.Errors, r.Ops, r.FirstError)
		}
	}
	for _, f := range open {
		_, err := f.WriteString("after")
		must(t, err)
		b := make([]byte, 20)
		n, err := f.ReadAt(b, 0)
		if string(b[:n]) != "beforeafter" {
			t.Errorf("%s: %q %v", f.Name(), b[:n], err)
		}
	}
}

func TestOptionIsChangedInPlace(t *testing.T) {
	l := newLab(t)
	v := l.Volume("one", lab.Set("performance.io-cache", "on"))
	m := mnt.Mount(t, v.Source())
	for _, o := range [][3]string{
		{"network.ping-timeout", "7", "ping-timeout 7"},
		{"performance.write-behind-window-size", "2MB", "cache-size 2MB"},
		{"performance.md-cache-timeout", "5", "md-cache-timeout 5"},
		{"diagnostics.client-log-level", "WARNING", "log-level WARNING"},
		{"cluster.lookup-optimize", "off", "lookup-optimize off"},
	} {
		v.Set(o[0], o[1])
		waitGraph(t, m, o[2], true)
	}
	if s := read(t, m.Status()); s.Switch.Count != 0 || s.Graph.Generation != 1 || s.Reload.Error != "" {
		t.Errorf("%d switches, generation %d, %+v", s.Switch.Count, s.Graph.Generation, s.Reload)
	}
}

// Changes faster than anybody can follow end with the last one.
func TestBurstOfChangesEndsWithTheLast(t *testing.T) {
	l := newLab(t)
	v := l.Volume("one")
	m := mnt.Mount(t, v.Source())
	for i := range 12 {
		v.Set("performance.io-cache", onOff(i%2 == 0), "performance.nl-cache", onOff(i%2 != 0))
	}
	waitGraph(t, m, "performance/nl-cache", true)
	waitGraph(t, m, "performance/io-cache", false)
	wait(t, m, "one graph is left", func(s status) bool { return s.Graphs.Live == 1 && s.Graph.State == "serving" })
	text, err := m.Run("graph", m.Dir, "--format", "volfile")
	if err != nil || text != v.Volfile() {
		t.Errorf("%v\n%s\nwant\n%s", err, text, v.Volfile())
	}
}

// What cannot be served is named, and the mount goes on with the graph that it
// has, until the volume is as before.
func TestChangeThatCannotBeServedIsRefused(t *testing.T) {
	l := newLab(t)
	v := l.Volume("one")
	m := mnt.Mount(t, v.Source())
	f, err := os.Create(filepath.Join(m.Dir, "file"))
	must(t, err)
	defer f.Close()
	v.Set("features.shard", "on")
	s := wait(t, m, "the change is refused", func(s status) bool { return s.Reload.Error != "" })
	if !strings.Contains(s.Reload.Error, "type features/shard cannot be served") || s.Reload.By != "glusterd" {
		t.Errorf("%+v", s.Reload)
	}
	_, err = f.WriteString("data")
	must(t, err)
	wantFile(t, filepath.Join(m.Dir, "file"), "data")
	if _, err := m.TryReload(""); err == nil || !strings.Contains(err.Error(), "features/shard") {
		t.Errorf("reload: %v", err)
	}
	v.Set("features.shard", "off")
	s = wait(t, m, "the error is over", func(s status) bool { return s.Reload.Error == "" })
	if s.Switch.Count != 0 || s.Graph.Generation != 1 {
		t.Errorf("%d switches, generation %d", s.Switch.Count, s.Graph.Generation)
	}
	wantFile(t, filepath.Join(m.Dir, "file"), "data")
}

func TestMountGoesOnWithoutTheDaemon(t *testing.T) {
	l := newLab(t)
	v := l.Volume("one")
	m := mnt.Mount(t, v.Source())
	before := read(t, m.Status())
	l.Glusterd.Kill()
	s := wait(t, m, "the daemon is missed", func(s status) bool { return s.Glusterd.Server == "" })
	if s.Glusterd.Error == "" || s.Glusterd.Volfile != before.Glusterd.Volfile {
		t.Errorf("%+v", s.Glusterd)
	}
	text, err := m.Run("status", m.Dir)
	if err != nil || !strings.Contains(text, "changes of the volume are not seen") || !strings.Contains(text, "fetched from "+l.Host+":24007 at ") {
		t.Errorf("%v\n%s", err, text)
	}
	if log := m.Log(); strings.Count(log, "management daemon lost; the mount goes on with the graph that it has") != 1 {
		t.Errorf("the log does not say it once")
	}
	write(t, filepath.Join(m.Dir, "file"), "data")
	wantFile(t, filepath.Join(m.Dir, "file"), "data")
	if _, err := m.TryReload(""); err == nil || !strings.Contains(err.Error(), "nobody listens at "+l.Host+":24007: does glusterd run there?") {
		t.Errorf("reload: %v", err)
	}
	// What is changed before the mount is connected again is not missed.
	l.StartGlusterd()
	v.Set("performance.io-cache", "on")
	waitGraph(t, m, "performance/io-cache", true)
	wantFile(t, filepath.Join(m.Dir, "file"), "data")
}

func TestReloadFetchesAgainAndGoesToAFileAndBack(t *testing.T) {
	l := newLab(t)
	v := l.Volume("one")
	m := mnt.Mount(t, v.Source())
	if r, err := m.TryReload(""); err != nil || r.Action != "none" {
		t.Errorf("%+v %v", r, err)
	}
	file := filepath.Join(t.TempDir(), "own.vol")
	text, err := m.Run("graph", m.Dir, "--format", "volfile")
	must(t, err)
	// Without write-behind, whose place its child takes.
	text = strings.Replace(text, "volume one-write-behind\n    type performance/write-behind\n    subvolumes one-utime\nend-volume\n\n", "", 1)
	write(t, file, strings.ReplaceAll(text, "subvolumes one-write-behind", "subvolumes one-utime"))
	if r, err := m.TryReload(file); err != nil || r.Action != "switched" {
		t.Fatalf("%+v %v", r, err)
	}
	// The servers have no say now.
	v.Set("performance.io-cache", "on")
	if r, err := m.TryReload(""); err != nil || r.Action != "none" {
		t.Errorf("%+v %v", r, err)
	}
	if g := graph(t, m); strings.Contains(g, "io-cache") || strings.Contains(g, "write-behind") {
		t.Errorf("%s", g)
	}
	if _, err := m.Run("reload", m.Dir, "--volfile", l.Host+":/other"); err == nil || !strings.Contains(err.Error(), "the mount is of "+l.Host+":/one, not of "+l.Host+":/other") {
		t.Errorf("another volume: %v", err)
	}
	if out, err := m.Run("reload", m.Dir, "--volfile", v.Source()); err != nil || !strings.Contains(out, "switched") {
		t.Fatalf("%s %v", out, err)
	}
	waitGraph(t, m, "performance/write-behind", true)
	v.Set("performance.io-cache", "off")
	waitGraph(t, m, "performance/io-cache", false)
}
