package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/cmd/holdfast/daemon"
	"github.com/holdfast/holdfast/cmd/holdfast/source"
	"github.com/holdfast/holdfast/graph"
)

func (w *world) set(args ...string) (r daemon.SetReply) {
	w.Helper()
	out := w.must(append([]string{"set", w.mnt, "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		w.Fatal(err)
	}
	return r
}

func (w *world) expect(r graph.Result, action string, generation uint64) {
	w.Helper()
	if r.Action != action || r.Generation != generation {
		w.Errorf("got %+v, want %s, generation %d", r, action, generation)
	}
}

func TestSettingsChangeTheGraphAndAreKept(t *testing.T) {
	w := newWorld(t)
	w.mount()
	f, err := os.Create(w.mnt + "/open")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w.expect(w.set("performance.write-behind", "off").Result, "switched", 2)
	f.WriteString("one")
	w.expect(w.set("performance.write-behind", "off").Result, "none", 2)
	w.expect(w.set("performance.md-cache-timeout", "5").Result, "reconfigured", 2)
	w.expect(w.set("performance.write-behind", "on", "performance.stat-prefetch", "off").Result, "switched", 3)
	f.WriteString("two")
	w.refuses("did you mean performance.write-behind?", "set", w.mnt, "performance.write-behnd", "off")
	w.refuses("neither on nor off", "set", w.mnt, "performance.write-behind", "perhaps")
	w.expect(w.set("performance.write-behind", "on").Result, "none", 3)
	if got := w.read(w.mnt + "/open"); got != "onetwo" {
		t.Errorf("%q", got)
	}
	f.Close()
	s := w.until("one graph is left", func(s daemon.Status) bool { return s.Graphs.Live == 1 })
	if s.Switch.Count != 2 || s.Switch.Failed != 0 || s.Files.Pinned != 0 {
		t.Errorf("%+v", s)
	}
	w.umount()

	w.mount()
	var all []source.Setting
	if err := json.Unmarshal([]byte(w.must("set", w.mnt, "--json")), &all); err != nil {
		t.Fatal(err)
	}
	set := map[string]string{}
	for _, s := range all {
		if !s.Default {
			set[s.Key] = s.Value
		}
	}
	if len(set) != 3 || set["performance.stat-prefetch"] != "off" || set["performance.md-cache-timeout"] != "5" || set["performance.write-behind"] != "on" {
		t.Errorf("%v", set)
	}
	if out := w.must("graph", w.mnt); strings.Contains(out, "md-cache") {
		t.Error(out)
	}
	w.expect(w.set("--reset").Result, "switched", 2)
	if out := w.must("graph", w.mnt); !strings.Contains(out, "md-cache") {
		t.Error(out)
	}
	w.umount()
}

func TestReloadOfAVolfile(t *testing.T) {
	w := newWorld(t)
	file := w.mountVolfile(w.volfile(""))
	reload := func(args ...string) (r graph.Result) {
		t.Helper()
		if err := json.Unmarshal([]byte(w.must(append([]string{"reload", w.mnt, "--json"}, args...)...)), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	w.expect(reload(), "none", 1)
	other := filepath.Join(w.dir, "other.vol")
	w.write(other, w.volfile("volume mid\n    type performance/write-behind\n    subvolumes low\nend-volume\n"))
	w.expect(reload("--volfile", other), "switched", 2)
	if s := w.status(); s.Mount.Volfile != other {
		t.Errorf("%+v", s.Mount)
	}
	w.expect(reload(), "none", 2)
	w.refuses("the graph comes from "+other, "set", w.mnt, "performance.write-behind", "off")

	w.refuses("no such file", "reload", w.mnt, "--volfile", w.dir+"/nope.vol")
	w.write(file, "volume x\n")
	w.refuses("graph.vol:", "reload", w.mnt, "--volfile", file)
	w.write(file, strings.ReplaceAll(w.volfile(""), w.brick, w.dir+"/elsewhere"))
	w.refuses("posix", "reload", w.mnt, "--volfile", file)
	if err := os.Mkdir(w.dir+"/elsewhere", 0o755); err != nil {
		t.Fatal(err)
	}
	w.refuses("another volume", "reload", w.mnt, "--volfile", file)
	s := w.status()
	if s.Mount.Volfile != other || s.Graph.Generation != 2 || s.Graph.State != "serving" || !strings.Contains(s.Reload.Error, "another volume") {
		t.Errorf("%+v", s)
	}
	w.write(w.mnt+"/x", "y")
	w.umount()
}

func TestVolfileIsWatched(t *testing.T) {
	w := newWorld(t)
	file := w.mountVolfile(w.volfile(""))
	w.write(file, w.volfile("volume mid\n    type performance/write-behind\n    subvolumes low\nend-volume\n"))
	w.until("generation 2", func(s daemon.Status) bool { return s.Graph.Generation == 2 })

	// As editors do: a new file in the old one's place.
	w.write(file+".new", w.volfile("volume mid\n    type performance/md-cache\n    subvolumes low\nend-volume\n"))
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	w.until("generation 3", func(s daemon.Status) bool { return s.Graph.Generation == 3 })

	w.write(file, w.volfile("volume mid\n    type performance/nonsense\n    subvolumes low\nend-volume\n"))
	s := w.until("an error", func(s daemon.Status) bool { return s.Reload.Error != "" })
	if s.Graph.Generation != 3 || s.Reload.By != "watch" || !strings.Contains(s.Reload.Error, "performance/nonsense") {
		t.Errorf("%+v", s)
	}
	w.write(file, w.volfile(""))
	w.until("generation 4", func(s daemon.Status) bool { return s.Graph.Generation == 4 && s.Reload.Error == "" })

	// Another file is watched after a reload from it, and this one no more.
	other := filepath.Join(w.dir, "other.vol")
	w.write(other, w.volfile(""))
	w.must("reload", w.mnt, "--volfile", other)
	w.write(file, "rubbish")
	w.write(other, w.volfile("volume mid\n    type performance/write-behind\n    subvolumes low\nend-volume\n"))
	s = w.until("generation 5", func(s daemon.Status) bool { return s.Graph.Generation == 5 })
	if s.Reload.Error != "" {
		t.Errorf("%+v", s.Reload)
	}
	w.umount()
}

func TestHangupOpensTheLogAndReloads(t *testing.T) {
	w := newWorld(t)
	w.mount()
	if err := os.Rename(w.log, w.log+".1"); err != nil {
		t.Fatal(err)
	}
	// Settings that somebody wrote by hand.
	if err := (source.Settings{"performance.write-behind": "off"}).Save(w.brick); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(w.status().Process.PID, unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	w.until("generation 2", func(s daemon.Status) bool { return s.Graph.Generation == 2 && s.Reload.By == "SIGHUP" })
	w.umount()
	if got := w.read(w.log); !strings.Contains(got, "holdfast ends") {
		t.Errorf("%q", got)
	}
	if got := w.read(w.log + ".1"); strings.Contains(got, "holdfast ends") {
		t.Errorf("%q", got)
	}
}
