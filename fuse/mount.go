package fuse

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const device = "/dev/fuse"

// Device is the kernel's end of a mount: what a Session serves. It outlives
// processes: whoever inherits the descriptor and knows what was said at INIT has
// all that a Session needs.
type Device struct {
	FD    int // of /dev/fuse
	Minor int // of the mount's st_dev: the number of its connection
	// INIT as the kernel sent it and as it was answered.
	InitIn, InitOut []byte
}

// Mount opens /dev/fuse, mounts the file system and answers the kernel's INIT.
// From then on the mount exists, and requests wait until a Session serves it.
// After an error nothing is left behind.
func Mount(opts Options) (*Device, error) {
	opts.setDefaults()
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s (is the fuse module loaded?): %w", device, err)
	}
	data := append([]string{
		"fd=" + strconv.Itoa(fd), "rootmode=40000", "user_id=0", "group_id=0",
		"max_read=" + strconv.Itoa(opts.MaxWrite),
	}, opts.Data...)
	flags := opts.Flags
	if opts.ReadOnly {
		flags |= unix.MS_RDONLY
	}
	fstype := "fuse." + opts.Subtype
	if err := unix.Mount(opts.Source, opts.Mountpoint, fstype, flags, strings.Join(data, ",")); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("mount %s on %s (type %s, options %s): %w", opts.Source, opts.Mountpoint, fstype, strings.Join(data, ","), err)
	}
	d := &Device{FD: fd}
	if err = d.handshake(&opts); err == nil {
		d.Minor, err = connection(fd, opts.Mountpoint)
	}
	if err != nil {
		_ = unix.Unmount(opts.Mountpoint, unix.MNT_DETACH)
		unix.Close(fd)
		return nil, fmt.Errorf("mount %s on %s: %w", opts.Source, opts.Mountpoint, err)
	}
	d.raiseReadAhead(&opts)
	return d, nil
}

// Close closes the descriptor. The connection ends with the last one of all
// processes; a Session closes its own.
func (d *Device) Close() error {
	if err := unix.Close(d.FD); err != nil {
		return fmt.Errorf("close %s: %w", device, err)
	}
	return nil
}

// connection finds the number of the connection: the minor of the mount's
// st_dev, by which the kernel names it in /sys/fs/fuse/connections.
func connection(fd int, mountpoint string) (int, error) {
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err == nil {
		for line := range bytes.Lines(info) {
			if v, ok := bytes.CutPrefix(line, []byte("fuse_connection:")); ok {
				if n, err := strconv.Atoi(string(bytes.TrimSpace(v))); err == nil {
					return n, nil
				}
			}
		}
	}
	return connectionOfMount(mountpoint)
}

// connectionOfMount is for kernels whose fdinfo does not say: it asks
// mountinfo, which does not touch the mount.
func connectionOfMount(mountpoint string) (int, error) {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return 0, fmt.Errorf("find the connection: %w", err)
	}
	found := -1
	for line := range bytes.Lines(info) {
		// 36 35 0:98 / /mnt ...
		f := strings.Fields(string(line))
		if len(f) < 5 || unescape(f[4]) != mountpoint {
			continue
		}
		if n, err := strconv.Atoi(strings.TrimPrefix(f[2], "0:")); err == nil {
			found = n // the last is on top
		}
	}
	if found < 0 {
		return 0, fmt.Errorf("find the connection: %s is not in mountinfo", mountpoint)
	}
	return found, nil
}

// unescape undoes mountinfo's octal escapes.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// raiseReadAhead widens the kernel's window for sequential buffered reads,
// which INIT can only narrow. Best effort: without it such reads come in pieces
// of 128 KiB.
func (d *Device) raiseReadAhead(opts *Options) {
	path := fmt.Sprintf("/sys/class/bdi/0:%d/read_ahead_kb", d.Minor)
	if err := os.WriteFile(path, []byte(strconv.Itoa(opts.ReadAhead>>10)), 0); err != nil {
		opts.Log.Debug("readahead stays at the kernel's default", "err", err)
	}
}

// Unmount takes a mount away. If it is in use it is detached: nobody new gets
// in, and Serve returns when the last user has gone.
func Unmount(mountpoint string) error {
	err := unix.Unmount(mountpoint, unix.UMOUNT_NOFOLLOW)
	if err == unix.EBUSY {
		err = unix.Unmount(mountpoint, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", mountpoint, err)
	}
	return nil
}
