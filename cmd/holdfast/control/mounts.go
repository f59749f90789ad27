package control

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/moby/sys/mountinfo"
)

// FSType is what the kernel calls the type of our mounts.
const FSType = "fuse.holdfast"

// Mount is one line of mountinfo that is ours.
type Mount struct {
	Mountpoint string
	Source     string
	Minor      int
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
	infos, err := mountinfo.GetMountsFromReader(r, func(i *mountinfo.Info) (skip, stop bool) {
		return i.FSType != FSType, false
	})
	if err != nil {
		return nil, fmt.Errorf("read mountinfo: %w", err)
	}
	ms := make([]Mount, len(infos))
	for i, in := range infos {
		ms[i] = Mount{Mountpoint: in.Mountpoint, Source: in.Source, Minor: in.Minor}
	}
	return ms, nil
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
