package glusterd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/tests/lab"
	"github.com/holdfast/holdfast/tests/mnt"
)

// TestLinkFilesOfAShrunkVolumeAreFreeNames: renames leave link files on a volume
// of two bricks. When one brick is taken away by force, those that pointed there
// stay, and are no files.
func TestLinkFilesOfAShrunkVolumeAreFreeNames(t *testing.T) {
	l := newLab(t)
	v := l.Volume("two", lab.Bricks(2))
	stock := l.MountStock(v)
	must(t, os.Mkdir(filepath.Join(stock.Dir, "d"), 0o755))
	for i := range 40 {
		old := filepath.Join(stock.Dir, "d", fmt.Sprint("old", i))
		write(t, old, "data")
		must(t, os.Rename(old, filepath.Join(stock.Dir, "d", fmt.Sprint("new", i))))
	}
	stock.Umount()
	brick := filepath.Join(v.Bricks[0].Dir, "d")
	var files, links []string
	for _, name := range names(t, brick) {
		if xattr(filepath.Join(brick, name), "trusted.glusterfs.dht.linkto") == unix.ENODATA.Error() {
			files = append(files, name)
		} else {
			links = append(links, name)
		}
	}
	if len(links) < 3 || len(files) < 3 {
		t.Fatalf("%d files and %d link files: the test needs both", len(files), len(links))
	}
	gone := v.Bricks[1]
	v.Bricks = v.Bricks[:1]
	l.Gluster("volume", "remove-brick", "two", l.Host+":"+gone.Path, "force")

	m := mnt.Mount(t, v.Source())
	dir := filepath.Join(m.Dir, "d")
	if got := names(t, dir); !slices.Equal(got, files) {
		t.Errorf("listed %q, want %q", got, files)
	}
	_, err := os.Lstat(filepath.Join(dir, links[0]))
	isErrno(t, "stat of a link file", err, unix.ENOENT)
	must(t, os.Mkdir(filepath.Join(dir, links[0]), 0o755))
	write(t, filepath.Join(dir, links[1]), "new data")
	wantFile(t, filepath.Join(brick, links[1]), "new data")
	if got := xattr(filepath.Join(brick, links[1]), "trusted.glusterfs.dht.linkto"); got != unix.ENODATA.Error() {
		t.Errorf("the new file still points elsewhere: %s", got)
	}
	// Nothing but link files is left in it, and it goes.
	must(t, os.Remove(filepath.Join(dir, links[0])))
	must(t, os.Remove(filepath.Join(dir, links[1])))
	for _, name := range files {
		must(t, os.Remove(filepath.Join(dir, name)))
	}
	must(t, os.Remove(dir))
	if _, err := os.Lstat(brick); !os.IsNotExist(err) {
		t.Errorf("on the brick: %v", err)
	}
}

// TestVolumeGrowsAfterUs: what was made here is found and spread by the stock
// client when the volume gets a second brick.
func TestVolumeGrowsAfterUs(t *testing.T) {
	l := newLab(t)
	v := l.Volume("one")
	m := mnt.Mount(t, v.Source())
	var want []string
	must(t, os.Mkdir(filepath.Join(m.Dir, "d"), 0o755))
	for i := range 20 {
		name := fmt.Sprintf("file-%02d", i)
		write(t, filepath.Join(m.Dir, "d", name), name)
		want = append(want, name)
	}
	// The graph with two bricks cannot be served; the mount says so and goes on.
	second := filepath.Join(filepath.Dir(v.Bricks[0].Dir), "one-second")
	must(t, os.Mkdir(second, 0o755))
	l.Gluster("volume", "add-brick", "one", l.Host+":"+filepath.Join(filepath.Dir(v.Bricks[0].Path), "one-second"), "force")
	wait(t, m, "the change is refused", func(s status) bool { return s.Reload.Error != "" })
	wantFile(t, filepath.Join(m.Dir, "d", want[0]), want[0])
	m.Umount()

	stock := l.MountStock(v)
	dir := filepath.Join(stock.Dir, "d")
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("the stock client lists %q", got)
	}
	for _, name := range want {
		wantFile(t, filepath.Join(dir, name), name)
	}
	must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o755))
	for i := range 20 {
		write(t, filepath.Join(dir, "sub", fmt.Sprint(i)), "x")
	}
	if a, b := len(names(t, filepath.Join(v.Bricks[0].Dir, "d", "sub"))), len(names(t, filepath.Join(second, "d", "sub"))); a == 0 || b == 0 || a+b != 20 {
		t.Errorf("new files of the stock client: %d and %d on the bricks", a, b)
	}
}
