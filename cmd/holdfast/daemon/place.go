package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
)

// checkMountpoint says whether dir, an absolute path, can be mounted on, and
// returns it without symbolic links.
func checkMountpoint(dir string) (string, error) {
	// First without touching it: what is mounted there may hang.
	if m, err := control.FindMount(dir); err == nil {
		if s, err := control.FindState(m); err != nil && s.Service != "" {
			return "", err
		} else if err != nil {
			return "", fmt.Errorf("%s: a holdfast mount whose process is gone is in the way; unmount it with `umount -l %[1]s`", m.Mountpoint)
		}
		return "", fmt.Errorf("%s: %s is mounted there already", m.Mountpoint, m.Source)
	}
	st, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("mount point %s does not exist", dir)
	case errors.Is(err, syscall.ENOTCONN):
		return "", fmt.Errorf("mount point %s: a FUSE mount whose process is gone is in the way; unmount it with `umount -l %[1]s`", dir)
	case err != nil:
		return "", fmt.Errorf("mount point: %w", err)
	case !st.IsDir():
		return "", fmt.Errorf("mount point %s is not a directory", dir)
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", fmt.Errorf("mount point: %w", err)
	}
	return real, nil
}

// checkApart refuses a mount over or inside one of its own bricks, and a brick
// inside the mount point: the mount would hide what it is made of.
func checkApart(mountpoint string, bricks []string) error {
	for _, b := range bricks {
		real, err := filepath.EvalSymlinks(b)
		if err != nil {
			continue // the translator says it better
		}
		switch {
		case real == mountpoint:
			return fmt.Errorf("%s cannot be mounted on itself", b)
		case within(mountpoint, real):
			return fmt.Errorf("mount point %s is inside the brick %s", mountpoint, b)
		case within(real, mountpoint):
			return fmt.Errorf("brick %s is inside the mount point %s, which would hide it", b, mountpoint)
		}
	}
	return nil
}

// within reports whether path is below dir; both are clean.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != "." && rel != ".." && !strings.HasPrefix(rel, "../")
}
