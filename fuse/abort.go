package fuse

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// connections is where the kernel's switches of FUSE connections are, if
// somebody has mounted them.
const connections = "/sys/fs/fuse/connections"

// Abort ends the connection by force: every request in flight fails in the
// application with ECONNABORTED, and Serve returns. The mount point stays until
// it is unmounted.
func (s *Session) Abort() error {
	return (&Device{FD: s.fd, Minor: s.minor}).Abort()
}

// Abort ends the connection by force (see Session.Abort). One that is gone
// already is left alone: its number may be another mount's.
func (d *Device) Abort() error {
	p := []unix.PollFd{{Fd: int32(d.FD)}}
	if _, err := unix.Poll(p, 0); err == nil && p[0].Revents&(unix.POLLERR|unix.POLLNVAL) != 0 {
		return nil
	}
	return Abort(d.Minor)
}

// Abort ends the connection of that number by force (see Session.Abort). The
// caller knows that it is the one it means: the number of a connection that has
// ended is used again at once. Where
// the kernel's switches are not mounted they are, for a moment, in a folder of
// our own.
func Abort(connection int) error {
	err := abortIn(connections, connection)
	if !errors.Is(err, fs.ErrNotExist) || isFusectl(connections) {
		return err
	}
	dir, err := os.MkdirTemp("", "holdfast-fusectl-")
	if err != nil {
		return fmt.Errorf("abort connection %d: %w", connection, err)
	}
	defer os.Remove(dir)
	if err := unix.Mount("fusectl", dir, "fusectl", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("abort connection %d: mount fusectl: %w", connection, err)
	}
	defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
	return abortIn(dir, connection)
}

func abortIn(dir string, connection int) error {
	path := filepath.Join(dir, strconv.Itoa(connection), "abort")
	if err := os.WriteFile(path, []byte("1"), 0); err != nil {
		return fmt.Errorf("abort connection %d: %w", connection, err)
	}
	return nil
}

func isFusectl(dir string) bool {
	const magic = 0x65735543
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Type == magic
}
