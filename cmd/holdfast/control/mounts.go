package control

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// FSType is what the kernel calls the type of our mounts.
const FSType = "fuse.holdfast"

// Mount is one line of mountinfo that is ours.
type Mount struct {
	Mountpoint string
	Source     string
	Minor      int
	// Covered says that something else is mounted over it.
	Covered bool
}

// ErrNotMounted is wrapped when there is no holdfast mount at a path.
var ErrNotMounted = errors.New("not a holdfast mount")

// Mounts lists our mounts, in the order in which they were mounted.
func Mounts() ([]Mount, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readMounts(f)
}

func readMounts(r io.Reader) ([]Mount, error) {
	infos, err := mountinfo.GetMountsFromReader(r, nil)
	if err != nil {
		return nil, fmt.Errorf("read mountinfo: %w", err)
	}
	top := map[string]*mountinfo.Info{}
	for _, in := range infos {
		top[in.Mountpoint] = in
	}
	var ms []Mount
	for _, in := range infos {
		if in.FSType == FSType {
			ms = append(ms, Mount{Mountpoint: in.Mountpoint, Source: in.Source, Minor: in.Minor, Covered: top[in.Mountpoint] != in})
		}
	}
	return ms, nil
}

// Unmount calls umount2(2) for the mount, unless that would unmount another.
func (m Mount) Unmount(flags int) error {
	if m.Covered {
		return fmt.Errorf("%s: something else is mounted over it", m.Mountpoint)
	}
	return unix.Unmount(m.Mountpoint, flags|unix.UMOUNT_NOFOLLOW)
}

// OpenHere lists descriptors of the calling process that are open in the mount.
// It does not touch the mount.
func (m Mount) OpenHere() (fds []int, err error) {
	infos, err := mountinfo.GetMounts(func(in *mountinfo.Info) (skip, stop bool) {
		return in.FSType != FSType || in.Minor != m.Minor, false
	})
	if err != nil {
		return nil, fmt.Errorf("read mountinfo: %w", err)
	}
	ids := map[string]bool{}
	for _, in := range infos {
		ids[strconv.Itoa(in.ID)] = true
	}
	all, err := os.ReadDir("/proc/self/fdinfo")
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		b, err := os.ReadFile("/proc/self/fdinfo/" + e.Name())
		if err != nil {
			continue // closed
		}
		for l := range strings.Lines(string(b)) {
			if id, ok := strings.CutPrefix(l, "mnt_id:"); ok && ids[strings.TrimSpace(id)] {
				fd, _ := strconv.Atoi(e.Name())
				fds = append(fds, fd)
			}
		}
	}
	return fds, nil
}

// MountOf finds the mount with that connection, wherever it has been moved.
func MountOf(minor int) (Mount, error) {
	ms, err := Mounts()
	if err != nil {
		return Mount{}, err
	}
	for i := len(ms) - 1; i >= 0; i-- {
		if ms[i].Minor == minor {
			return ms[i], nil
		}
	}
	return Mount{}, fmt.Errorf("connection %d: %w", minor, ErrNotMounted)
}

// FindMount finds the mount whose root path names, the topmost if there are
// several. The path itself is never looked at, only its parent, and that only
// if the text alone does not match.
func FindMount(path string) (Mount, error) {
	ms, err := Mounts()
	if err != nil {
		return Mount{}, err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return Mount{}, err
	}
	for range 40 {
		if m, ok := mountAt(ms, abs); ok {
			return m, nil
		}
		dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
		if err != nil {
			break
		}
		real := filepath.Join(dir, filepath.Base(abs))
		if m, ok := mountAt(ms, real); ok {
			return m, nil
		}
		// Not the root of one of our mounts, so it may be looked at.
		target, err := os.Readlink(real)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		abs = filepath.Clean(target)
	}
	return Mount{}, fmt.Errorf("%s: %w", path, ErrNotMounted)
}

func mountAt(ms []Mount, path string) (Mount, bool) {
	for i := len(ms) - 1; i >= 0; i-- {
		if ms[i].Mountpoint == path {
			return ms[i], true
		}
	}
	return Mount{}, false
}
