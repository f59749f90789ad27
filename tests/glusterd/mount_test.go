package glusterd_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/tests/lab"
	"github.com/holdfast/holdfast/tests/mnt"
)

func TestVolumeIsMountedByItsName(t *testing.T) {
	l := newLab(t)
	v := l.Volume("one")
	stock := l.MountStock(v)
	m := mnt.Mount(t, v.Source())
	must(t, os.Mkdir(filepath.Join(m.Dir, "ours"), 0o755))
	write(t, filepath.Join(m.Dir, "ours", "file"), "written by holdfast")
	must(t, os.Mkdir(filepath.Join(stock.Dir, "theirs"), 0o755))
	write(t, filepath.Join(stock.Dir, "theirs", "file"), "written by the stock client")
	for _, dir := range []string{m.Dir, stock.Dir} {
		wantFile(t, filepath.Join(dir, "ours", "file"), "written by holdfast")
		wantFile(t, filepath.Join(dir, "theirs", "file"), "written by the stock client")
		if got := names(t, dir); !slices.Equal(got, []string{"ours", "theirs"}) {
			t.Errorf("%s: %q", dir, got)
		}
	}
	s := read(t, m.Status())
	if s.Glusterd.Server != l.Host+":24007" || s.Glusterd.Volfile.Server != s.Glusterd.Server || !slices.Equal(s.Glusterd.Servers, []string{s.Glusterd.Server}) {
		t.Errorf("status: %+v", s.Glusterd)
	}
	if text, err := m.Run("status", m.Dir); err != nil || !strings.Contains(text, "glusterd") || !strings.Contains(text, "connected since") || !strings.Contains(text, "fetched from "+s.Glusterd.Server) {
		t.Errorf("%v\n%s", err, text)
	}
}

// As in fstab: mount -t holdfast HOST:/VOLUME, with the options that people have
// there.
func TestMount8MountsAVolume(t *testing.T) {
	l := newLab(t)
	v := l.Volume("one")
	h, dir, log := helper(t), t.TempDir(), filepath.Join(t.TempDir(), "log")
	run(t, h, v.Source(), dir, "-o", "rw,_netdev,noatime,backup-volfile-servers=no-such-host.invalid:127.1.2.3,log-level=WARNING,log-file="+log+
		",attribute-timeout=2,entry-timeout=2,negative-timeout=1,direct-io-mode=disable,acl,transport=tcp,fetch-attempts=3,use-readdirp=no")
	t.Cleanup(func() { run(t, mnt.Binary(t), "umount", dir) })
	write(t, filepath.Join(dir, "file"), "data")
	wantFile(t, filepath.Join(v.Bricks[0].Dir, "file"), "data")
	if b, err := os.ReadFile("/proc/self/mountinfo"); err != nil || !strings.Contains(string(b), dir+" rw,noatime") || !strings.Contains(string(b), "fuse.holdfast "+v.Source()[:strings.Index(v.Source(), ":")]+":/one ") {
		t.Errorf("mountinfo: %v\n%s", err, b)
	}
	ro := t.TempDir()
	run(t, h, v.Source(), ro, "-o", "ro,log-file="+log)
	t.Cleanup(func() { run(t, mnt.Binary(t), "umount", ro) })
	isErrno(t, "a write to a read-only mount", os.WriteFile(filepath.Join(ro, "other"), nil, 0o644), unix.EROFS)
	wantFile(t, filepath.Join(ro, "file"), "data")
}

func TestNextServerIsAskedForTheVolfile(t *testing.T) {
	l := newLab(t)
	v := l.Volume("one")
	for _, c := range []struct {
		source string
		opts   []string
	}{
		{"no-such-host.invalid,127.1.2.3," + v.Source(), nil},
		{"127.1.2.3:/one", []string{"backup-volfile-servers=no-such-host.invalid:" + l.Host}},
		{"no-such-host.invalid:one", []string{"backupvolfile-server=" + l.Host}},
	} {
		m := mnt.Mount(t, c.source, mnt.O(c.opts...))
		if s := read(t, m.Status()); s.Glusterd.Server != l.Host+":24007" {
			t.Errorf("%s: %+v", c.source, s.Glusterd)
		}
		m.Umount()
	}
}

func TestWhatCannotBeMountedIsExplained(t *testing.T) {
	l := newLab(t)
	l.Volume("one")
	l.Volume("down", lab.Stopped())
	two := l.Volume("two", lab.Bricks(2))
	rep := l.Volume("rep", lab.Bricks(3), lab.Layout("replica", "3"))
	shard := l.Volume("shard", lab.Set("features.shard", "on"))
	for source, want := range map[string]string{
		l.Host + ":/nope":           "there is no volume nope at " + l.Host + ":24007",
		l.Host + ":/down":           "volume down is not started; `gluster volume start down`",
		"no-such-host.invalid:/one": "host no-such-host.invalid is unknown",
		"127.1.2.3:/one":            "nobody listens at 127.1.2.3:24007: does glusterd run there?",
		"[::1]:/one":                "nobody listens at [::1]:24007",
		two.Source():                "volume two-dht: type cluster/distribute with 2 subvolumes cannot be served: volumes spread over several bricks come next",
		rep.Source():                "type cluster/replicate cannot be served: without it, copies of the data would drift apart",
		shard.Source():              "type features/shard cannot be served: a large file is in many pieces",
		l.Host + ":/one/nowhere":    "/nowhere",
		l.Host + ":/one/../x":       ".. has no place in it",
		l.Host + ":":                "the volume is missing",
	} {
		got := refused(t, source)
		if !strings.Contains(got, want) || strings.Count(strings.TrimSpace(got), "\n") > 0 {
			t.Errorf("%s: got\n%s\nwant %q in one line", source, got, want)
		}
	}
	for _, source := range []string{two.Source(), rep.Source(), shard.Source()} {
		volume := source[strings.LastIndex(source, "/")+1:]
		if got := refused(t, source); !strings.Contains(got, l.Host+":/"+volume+":") {
			t.Errorf("the line of %s is not named: %s", source, got)
		}
	}
}

func TestDirectoryOfAVolumeIsMounted(t *testing.T) {
	l := newLab(t)
	v := l.Volume("one")
	whole := mnt.Mount(t, v.Source())
	must(t, os.MkdirAll(filepath.Join(whole.Dir, "a", "b c"), 0o755))
	write(t, filepath.Join(whole.Dir, "a", "b c", "file"), "data")
	write(t, filepath.Join(whole.Dir, "secret"), "not below a")
	for _, m := range []*mnt.M{mnt.Mount(t, v.Source()+"/a/b c"), mnt.Mount(t, v.Source(), mnt.O("subdir-mount=a/b c"))} {
		wantFile(t, filepath.Join(m.Dir, "file"), "data")
		if got := names(t, m.Dir); !slices.Equal(got, []string{"file"}) {
			t.Errorf("%q", got)
		}
		must(t, os.Mkdir(filepath.Join(m.Dir, "new"), 0o755))
		if got := xattr(filepath.Join(v.Bricks[0].Dir, "a", "b c", "new"), "trusted.glusterfs.dht"); got != wholeRing {
			t.Errorf("layout of a new directory: %s", got)
		}
		must(t, os.Remove(filepath.Join(m.Dir, "new")))
		// A change of the volume keeps the directory.
		v.Set("performance.io-cache", "on")
		waitGraph(t, m, "performance/io-cache", true)
		wantFile(t, filepath.Join(m.Dir, "file"), "data")
		if got := names(t, m.Dir); !slices.Equal(got, []string{"file"}) {
			t.Errorf("after a switch: %q", got)
		}
		v.Set("performance.io-cache", "off")
		waitGraph(t, m, "performance/io-cache", false)
		m.Umount()
	}
	if got := refused(t, v.Source()+"/a", mnt.O("subdir-mount=/other")); !strings.Contains(got, "subdir-mount is /other, and "+l.Host+":/one/a names /a") {
		t.Error(got)
	}
}

func TestGraphOfAVolumeIsShownWithoutMountingIt(t *testing.T) {
	l := newLab(t)
	v := l.Volume("one")
	bin := mnt.Binary(t)
	text := run(t, bin, "graph", v.Source())
	if !strings.HasPrefix(text, "one  debug/io-stats") || !strings.Contains(text, "one-client-0  protocol/client") || strings.Contains(text, "warning") {
		t.Errorf("%s", text)
	}
	if got := run(t, bin, "graph", v.Source(), "--format", "volfile"); got != v.Volfile() {
		t.Errorf("got\n%s\nwant\n%s", got, v.Volfile())
	}
	if text = run(t, bin, "graph", v.Source()+"/a"); !strings.Contains(text, "subdir-mount /a") {
		t.Errorf("%s", text)
	}
}

func TestSettingsAreTheServers(t *testing.T) {
	l := newLab(t)
	v := l.Volume("one")
	m := mnt.Mount(t, v.Source())
	const want = "`gluster volume set one KEY VALUE` on one of its servers"
	for _, args := range [][]string{{}, {"performance.io-cache", "on"}, {"--reset", "performance.io-cache"}} {
		if _, err := m.Run(append([]string{"set", m.Dir}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("set %q: %v", args, err)
		}
	}
	if got := read(t, m.Status()).Switch.Count; got != 0 {
		t.Errorf("%d switches", got)
	}
}

// What the kernel shows of an object is what the stock client shows.
func TestAttributesOfDirectoriesAreTheStockClients(t *testing.T) {
	l := newLab(t)
	v := l.Volume("one")
	stock, m := l.MountStock(v), mnt.Mount(t, v.Source())
	dir := filepath.Join(m.Dir, "d")
	must(t, os.Mkdir(dir, 0o750))
	for i := range 200 {
		write(t, filepath.Join(dir, strings.Repeat("x", 200)+string(rune('a'+i%26))+strings.Repeat("y", i%7)), "")
	}
	must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o755))
	var ours, theirs syscall.Stat_t
	must(t, syscall.Stat(dir, &ours))
	must(t, syscall.Stat(filepath.Join(stock.Dir, "d"), &theirs))
	if ours.Size != theirs.Size || ours.Blocks != theirs.Blocks || ours.Nlink != theirs.Nlink || ours.Ino != theirs.Ino || ours.Mode != theirs.Mode || ours.Mtim != theirs.Mtim {
		t.Errorf("ours   %+v\ntheirs %+v", ours, theirs)
	}
	// And what is on the disk, to the byte.
	must(t, os.Mkdir(filepath.Join(stock.Dir, "e"), 0o750))
	b := v.Bricks[0].Dir
	if o, s := xattr(filepath.Join(b, "d"), "trusted.glusterfs.dht"), xattr(filepath.Join(b, "e"), "trusted.glusterfs.dht"); o != s || o != wholeRing {
		t.Errorf("layouts on the brick: ours %s, theirs %s", o, s)
	}
	for _, path := range []string{dir, filepath.Join(stock.Dir, "d")} {
		if got := xattr(path, "trusted.glusterfs.dht"); got != unix.ENODATA.Error() {
			t.Errorf("%s shows a layout: %s", path, got)
		}
	}
	isErrno(t, "setting a layout", unix.Setxattr(dir, "trusted.glusterfs.dht", []byte("x"), 0), unix.EPERM)
	isErrno(t, "removing a layout", unix.Removexattr(dir, "trusted.glusterfs.dht"), unix.EPERM)
}
