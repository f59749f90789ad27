package lab_test

import (
	"encoding/binary"
	"fmt"
	"net"
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

// listening are the addresses where a process listens on TCP.
func listening(t *testing.T, pid int) []string {
	t.Helper()
	fds, err := filepath.Glob(filepath.Join("/proc", itoa(pid), "fd", "*"))
	if err != nil || len(fds) == 0 {
		t.Fatalf("process %d has no descriptors: %v", pid, err)
	}
	own := map[string]bool{}
	for _, fd := range fds {
		if link, err := os.Readlink(fd); err == nil {
			own[link] = true
		}
	}
	var found []string
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, err := os.ReadFile(table)
		if err != nil {
			continue // no such protocol here
		}
		for line := range strings.Lines(string(b)) {
			const local, state, listen, inode = 1, 3, "0A", 9
			if f := strings.Fields(line); f[state] == listen && own["socket:["+f[inode]+"]"] {
				found = append(found, f[local])
			}
		}
	}
	return found
}

func TestDaemonsListenOnTheLabsAddressOnly(t *testing.T) {
	l := lab.Start(t)
	v := l.Volume("one")
	a := net.ParseIP(l.Host).To4()
	for pid, port := range map[int]int{l.Glusterd.PID(): 24007, v.Bricks[0].PID(): v.Bricks[0].Port()} {
		// The kernel prints addresses as numbers of this machine's byte order.
		want := fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(a), port)
		if got := listening(t, pid); len(got) != 1 || got[0] != want {
			t.Errorf("process %d listens at %q, want %s", pid, got, want)
		}
	}
}

// TestSystemsFoldersStayAsTheyAre: those that GlusterFS has fixed names for.
func TestSystemsFoldersStayAsTheyAre(t *testing.T) {
	list := func() string {
		var b strings.Builder
		for _, dir := range []string{"/var/lib/glusterd", "/var/log/glusterfs", "/run/gluster", "/run/glusterd.socket", "/etc/glusterfs"} {
			filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
				if err != nil {
					return nil // not there
				}
				s, err := d.Info()
				if err == nil {
					fmt.Fprintln(&b, path, s.Size(), s.ModTime())
				}
				return nil
			})
		}
		return b.String()
	}
	before := list()
	t.Run("lab", func(t *testing.T) {
		l := lab.Start(t)
		v := l.Volume("one")
		m := l.MountStock(v)
		write(t, filepath.Join(m.Dir, "file"), "text")
		v.Set("performance.write-behind", "off")
		v.Bricks[0].Statedump()
		m.Umount()
		v.Stop()
	})
	if after := list(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
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
