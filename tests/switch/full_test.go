package switchtest

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/tests/mnt"
)

// TestFullDiskReachesTheApplication: what write-behind has acknowledged and the
// brick has no room for is reported at the latest by fsync or close, also when
// the graph is switched in between; what was reported as durable is there.
func TestFullDiskReachesTheApplication(t *testing.T) {
	dir := t.TempDir()
	brick := filepath.Join(dir, "brick")
	must(t, os.Mkdir(brick, 0o755))
	must(t, unix.Mount("tmpfs", brick, "tmpfs", 0, "size=8m"))
	t.Cleanup(func() { must(t, unix.Unmount(brick, unix.MNT_DETACH)) })
	v := newVolumeOn(t, brick, []mnt.Option{}, stacks[0]...)
	for _, switched := range []bool{false, true} {
		f := create(t, v.path("f"), os.O_TRUNC)
		block := bytes.Repeat([]byte("x"), 4096)
		var durable int64
		var err error
		for i := int64(0); i < 4096 && err == nil; i++ {
			if _, err = f.WriteAt(block, i*4096); err == nil && i%64 == 63 {
				if err = f.Sync(); err == nil {
					durable = (i + 1) * 4096
				}
			}
			if switched && i == 1000 {
				v.step()
			}
		}
		if err == nil {
			err = f.Sync()
		}
		if !isErrno(err, syscall.ENOSPC) {
			t.Fatalf("16 MiB on a disk of 8: %v", err)
		}
		got, err := os.ReadFile(filepath.Join(brick, "f"))
		must(t, err)
		if durable == 0 || int64(len(got)) < durable || !bytes.Equal(got[:durable], bytes.Repeat(block, int(durable/4096))) {
			t.Fatalf("%d bytes are there of %d that fsync vouched for", len(got), durable)
		}
		f.Close()
		must(t, os.Remove(v.path("f")))
		must(t, os.WriteFile(v.path("after"), block, 0o644))
	}
	v.settled()
}
