package mnt_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/tests/mnt"
)

func TestMountAnswersAndLeavesNothing(t *testing.T) {
	src := t.TempDir()
	m := mnt.Mount(t, src, mnt.WithMetrics())
	path := filepath.Join(m.Dir, "file")
	if err := os.WriteFile(path, []byte("through"), 0o644); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(src, "file")); err != nil || string(b) != "through" {
		t.Errorf("the brick has %q, %v", b, err)
	}
	s := m.Status()
	if s.Process.PID != m.PID() || s.Graph.Generation == 0 || s.Graph.State != "serving" || s.Graphs.Live != 1 {
		t.Errorf("status %s", s.Raw)
	}
	if r := m.Set("performance.write-behind", "off"); r.Action != "switched" || r.Generation != s.Graph.Generation+1 {
		t.Errorf("set answers %s", r.Raw)
	}
	if s := m.Status(); s.Switch.Count != 1 || s.Switch.Failed != 0 {
		t.Errorf("status after a switch %s", s.Raw)
	}
	if r := m.Reload(""); r.Action != "none" {
		t.Errorf("reload of the same answers %s", r.Raw)
	}
	if !strings.Contains(m.Metrics(), "holdfast_") {
		t.Errorf("metrics:\n%s", m.Metrics())
	}
	if !strings.Contains(m.Log(), "switch") {
		t.Errorf("log:\n%s", m.Log())
	}
	m.Umount()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("after umount: %v", err)
	}
}

func TestRefusedMountSaysWhy(t *testing.T) {
	_, err := mnt.TryMount(t, filepath.Join(t.TempDir(), "nothing-here"))
	if err == nil || !strings.Contains(err.Error(), "nothing-here") {
		t.Errorf("error %v", err)
	}
}

func TestBusyMountIsNotTakenAway(t *testing.T) {
	m := mnt.Mount(t, t.TempDir())
	f, err := os.Create(filepath.Join(m.Dir, "open"))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.TryUmount(); err == nil || !strings.Contains(err.Error(), "busy") {
		t.Errorf("umount with a file open: %v", err)
	}
	if _, err := f.WriteString("still there"); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
