package posix

import (
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

const (
	metaName    = ".glusterfs"
	stagingName = "staging"
	orphansName = "unlink"

	preparedPrefix = "handle-" // of a directory's handle in the staging folder
)

// handlePath is the object's handle, relative to .glusterfs.
func handlePath(g xlator.GFID) string {
	s := g.String()
	return s[:2] + "/" + s[2:4] + "/" + s
}

// dirTarget is what the handle of a directory points to.
func dirTarget(parent xlator.GFID, name string) string {
	return "../../" + handlePath(parent) + "/" + name
}

// parseDirTarget reads it back.
func parseDirTarget(s string) (parent xlator.GFID, name string, ok bool) {
	s, ok = strings.CutPrefix(s, "../../")
	if !ok || len(s) < 6+36+2 || s[6+36] != '/' {
		return parent, "", false
	}
	parent, err := xlator.ParseGFID(s[6 : 6+36])
	name = s[6+37:]
	return parent, name, err == nil && handlePath(parent) == s[:6+36] && !strings.Contains(name, "/")
}

// makeFolder makes the folder that a handle is in.
func (rt *Runtime) makeFolder(g xlator.GFID) error {
	a := hex.EncodeToString(g[:1])
	if err := unix.Mkdirat(rt.meta, a, 0o700); err != nil && err != unix.EEXIST {
		return err
	}
	if err := unix.Mkdirat(rt.meta, a+"/"+hex.EncodeToString(g[1:2]), 0o700); err != nil && err != unix.EEXIST {
		return err
	}
	return nil
}

// inFolder calls f, which makes something in the folder of g's handle, and once
// more if that folder had to be made first.
func (rt *Runtime) inFolder(g xlator.GFID, f func(path string) error) error {
	path := handlePath(g)
	err := f(path)
	if err != unix.ENOENT {
		return err
	}
	if err := rt.makeFolder(g); err != nil {
		return err
	}
	return f(path)
}

// stagedName is a fresh name in the staging folder for something of that gfid.
func (rt *Runtime) stagedName(g xlator.GFID) string {
	return fmt.Sprintf("%s.%d", g, rt.serial.Add(1))
}

// stageDirHandle prepares a directory's handle in the staging folder. A crash
// leaves it there, and the sweep uses it if the directory is where it says.
func (rt *Runtime) stageDirHandle(g, parent xlator.GFID, name string) (staged string, err error) {
	staged = preparedPrefix + rt.stagedName(g)
	return staged, unix.Symlinkat(dirTarget(parent, name), rt.staging, staged)
}

// useDirHandle puts a prepared handle in place of whatever is there.
func (rt *Runtime) useDirHandle(g xlator.GFID, staged string) error {
	return rt.inFolder(g, func(path string) error {
		return unix.Renameat(rt.staging, staged, rt.meta, path)
	})
}

// prepareRoot sets up what a brick's root has.
func (rt *Runtime) prepareRoot() (err error) {
	wrap := func(err error) error {
		if err != nil {
			return fmt.Errorf("brick directory %s: set up %s: %w", rt.dir, metaName, err)
		}
		return nil
	}
	if err := rt.rootFD.setxattr(xattrGFID, xlator.RootGFID[:], unix.XATTR_CREATE); err != nil && err != unix.EEXIST {
		return wrap(err)
	}
	err = rt.inFolder(xlator.RootGFID, func(path string) error { return unix.Symlinkat("../../..", rt.meta, path) })
	if err != nil && err != unix.EEXIST {
		return wrap(err)
	}
	fd, err := openat(rt.rootFD.n, ".", unix.O_TMPFILE|unix.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("brick directory %s: its file system makes no files without a name (O_TMPFILE; ext4, xfs, btrfs and tmpfs do): %w", rt.dir, err)
	}
	return wrap(unix.Close(fd))
}

// openFolders makes and opens the folders beside the handles.
func (rt *Runtime) openFolders() (err error) {
	if rt.staging, err = rt.folder(stagingName); err == nil {
		rt.orphans, err = rt.folder(orphansName)
	}
	if err != nil {
		return fmt.Errorf("brick directory %s: set up %s: %w", rt.dir, metaName, err)
	}
	return nil
}

func (rt *Runtime) folder(name string) (int, error) {
	if err := unix.Mkdirat(rt.meta, name, 0o700); err != nil && err != unix.EEXIST {
		return -1, err
	}
	return openat(rt.meta, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
}

func readlink(dir int, name string) (string, error) {
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, b)
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}
