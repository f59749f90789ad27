package lab_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/tests/lab"
)

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func wantText(t *testing.T, file, text string) {
	t.Helper()
	if b, err := os.ReadFile(file); err != nil || string(b) != text {
		t.Errorf("%s holds %q, %v; want %q", file, b, err, text)
	}
}

func TestStockClientWritesAndReads(t *testing.T) {
	l := lab.Start(t)
	v := l.Volume("one")
	m := l.MountStock(v)
	write(t, filepath.Join(m.Dir, "file"), "text")
	wantText(t, filepath.Join(m.Dir, "file"), "text")
	wantText(t, filepath.Join(v.Bricks[0].Dir, "file"), "text")
	other := l.MountStock(v, lab.Args("--attribute-timeout=0", "--entry-timeout=0"))
	wantText(t, filepath.Join(other.Dir, "file"), "text")
	m.Umount()
	write(t, filepath.Join(other.Dir, "file"), "more")
	wantText(t, filepath.Join(v.Bricks[0].Dir, "file"), "more")
}

func TestReplicatedVolumeWritesToAllBricks(t *testing.T) {
	l := lab.Start(t)
	v := l.Volume("three", lab.Bricks(3), lab.Layout("replica", "3"), lab.Set("performance.write-behind", "off"))
	m := l.MountStock(v)
	write(t, filepath.Join(m.Dir, "file"), "text")
	for _, b := range v.Bricks {
		wantText(t, filepath.Join(b.Dir, "file"), "text")
	}
}

func TestVolfileIsThatOfTheVolumesOptions(t *testing.T) {
	l := lab.Start(t)
	v := l.Volume("one")
	const wb = "type performance/write-behind"
	before := v.Volfile()
	if !strings.Contains(before, wb) || !strings.Contains(before, "option remote-subvolume "+v.Bricks[0].Path+"\n") {
		t.Errorf("volfile:\n%s", before)
	}
	v.Set("performance.write-behind", "off")
	if spec := v.Volfile(); strings.Contains(spec, wb) {
		t.Errorf("volfile without write-behind:\n%s", spec)
	}
	v.Reset("performance.write-behind")
	if spec := v.Volfile(); spec != before {
		t.Errorf("volfile after a reset:\n%s\nbefore:\n%s", spec, before)
	}
}

func TestVolumeIsMadeAgainUnderItsName(t *testing.T) {
	l := lab.Start(t)
	v := l.Volume("one", lab.Stopped())
	if _, err := l.TryGluster("volume", "stop", "one"); err == nil {
		t.Error("a stopped volume was running")
	}
	v.Start()
	m := l.MountStock(v)
	write(t, filepath.Join(m.Dir, "file"), "text")
	m.Umount()
	pid := v.Bricks[0].PID()
	v.Stop()
	if _, err := os.Stat(filepath.Join("/proc", itoa(pid), "exe")); err == nil {
		t.Errorf("brick %d outlives its volume", pid)
	}
	v.Delete()
	v = l.Volume("one")
	m = l.MountStock(v)
	if entries, err := os.ReadDir(m.Dir); err != nil || len(entries) != 0 {
		t.Errorf("a new volume holds %v, %v", entries, err)
	}
}

func TestLabsRunBesideEachOther(t *testing.T) {
	one, two := lab.Start(t), lab.Start(t)
	a, b := one.Volume("same"), two.Volume("same")
	ma, mb := one.MountStock(a), two.MountStock(b)
	write(t, filepath.Join(ma.Dir, "file"), "one")
	write(t, filepath.Join(mb.Dir, "file"), "two")
	wantText(t, filepath.Join(a.Bricks[0].Dir, "file"), "one")
	wantText(t, filepath.Join(b.Bricks[0].Dir, "file"), "two")
}

func TestOpenFilesOfABrickAreSeen(t *testing.T) {
	l := lab.Start(t)
	v := l.Volume("one")
	m := l.MountStock(v)
	b := v.Bricks[0]
	if open := b.OpenFiles(); len(open) != 0 {
		t.Errorf("an idle brick has open: %q", open)
	}
	f, err := os.Create(filepath.Join(m.Dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if open := b.OpenFiles(); len(open) != 1 || open[0] != "file" {
		t.Errorf("the brick has open: %q", open)
	}
	if dump := b.Statedump(); !strings.Contains(dump, "[storage/posix.one-posix]") {
		t.Errorf("statedump:\n%s", dump)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	b.WaitOpenFiles(0)
}
