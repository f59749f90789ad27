package control

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Abort ends a FUSE connection by force: what is in flight fails with
// ECONNABORTED. The kernel's switch for that is in a file system of its own,
// which not every machine has mounted; it is then mounted for a moment.
func Abort(minor int) error {
	const usual = "/sys/fs/fuse/connections"
	err := writeAbort(usual, minor)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, serr := os.Stat(usual); serr == nil && mounted(usual) {
		return err // it is there, and the connection is not
	}
	dir, err := os.MkdirTemp("", "fusectl-")
	if err != nil {
		return fmt.Errorf("abort connection %d: %w", minor, err)
	}
	defer os.Remove(dir)
	if err := unix.Mount("fusectl", dir, "fusectl", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("abort connection %d: mount fusectl: %w", minor, err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	return writeAbort(dir, minor)
}

func writeAbort(dir string, minor int) error {
	if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(minor), "abort"), []byte("1"), 0); err != nil {
		return fmt.Errorf("abort connection %d: %w", minor, err)
	}
	return nil
}

// mounted reports whether dir is of the file system for FUSE's switches.
func mounted(dir string) bool {
	const fusectlMagic = 0x65735543
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Type == fusectlMagic
}
