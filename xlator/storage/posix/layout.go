package posix

import (
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

const (
	metaName    = ".glusterfs"
	stagingName = "staging"
	orphansName = "unlink"
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
	staged = "handle-" + rt.stagedName(g)
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
	if rt.staging, err = rt.folder(stagingName); err != nil {
		return wrap(err)
	}
	if rt.orphans, err = rt.folder(orphansName); err != nil {
		return wrap(err)
	}
	rt.root.mdata.Store(hasXattr(rt.rootFD, xattrMdata))
	fd, err := openat(rt.rootFD.n, ".", unix.O_TMPFILE|unix.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("brick directory %s: its file system makes no files without a name (O_TMPFILE; ext4, xfs, btrfs and tmpfs do): %w", rt.dir, err)
	}
	return wrap(unix.Close(fd))
}

func (rt *Runtime) folder(name string) (int, error) {
	if err := unix.Mkdirat(rt.meta, name, 0o700); err != nil && err != unix.EEXIST {
		return -1, err
	}
	return openat(rt.meta, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
}

// sweep removes what a crash left behind.
func (rt *Runtime) sweep() error {
	for _, f := range []struct {
		fd   int
		name string
		one  func(string) error
	}{{rt.staging, stagingName, rt.sweepStaged}, {rt.orphans, orphansName, rt.sweepOrphan}} {
		names, err := namesIn(f.fd)
		if err != nil {
			return fmt.Errorf("brick directory %s: read %s/%s: %w", rt.dir, metaName, f.name, err)
		}
		for _, n := range names {
			if err := f.one(n); err != nil {
				return fmt.Errorf("brick directory %s: clear %s/%s/%s: %w", rt.dir, metaName, f.name, n, err)
			}
		}
		if len(names) > 0 {
			rt.log.Info("cleared what a crash left", "brick", rt.dir, "folder", f.name, "entries", len(names))
		}
	}
	return nil
}

func namesIn(fd int) ([]string, error) {
	n, err := openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(n), "")
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err == io.EOF {
		err = nil
	}
	return names, err
}

// sweepStaged removes an object that never got its name, with its handle, or
// completes the handle of a directory that was renamed.
func (rt *Runtime) sweepStaged(name string) error {
	text, prepared := strings.CutPrefix(name, "handle-")
	text, _, _ = strings.Cut(text, ".")
	g, err := xlator.ParseGFID(text)
	if err == nil && prepared {
		if target, err := readlink(rt.staging, name); err == nil && rt.leadsTo(target, g) {
			return rt.useDirHandle(g, name)
		}
	}
	if err == nil && !prepared {
		if err := rt.dropHandle(rt.staging, name, g); err != nil {
			return err
		}
	}
	return remove(rt.staging, name)
}

// sweepOrphan removes a file that was open without a name, or the mark of a
// directory that was being removed, with its handle if it is gone.
func (rt *Runtime) sweepOrphan(name string) error {
	if g, err := xlator.ParseGFID(name); err == nil {
		if target, err := readlink(rt.orphans, name); err == nil {
			if _, _, ok := parseDirTarget(target); ok && !rt.leadsTo(target, g) {
				if err := rt.dropHandle(rt.orphans, name, g); err != nil {
					return err
				}
			}
		}
	}
	return remove(rt.orphans, name)
}

// dropHandle removes g's handle if it is of what dir/name is: the same inode,
// or a link to where no directory of that gfid is.
func (rt *Runtime) dropHandle(dir int, name string, g xlator.GFID) error {
	path := handlePath(g)
	var a, b unix.Statx_t
	if statName(rt.meta, path, &a) != nil || statName(dir, name, &b) != nil {
		return nil
	}
	same := a.Ino == b.Ino
	if !same && uint32(a.Mode)&unix.S_IFMT == unix.S_IFLNK {
		target, err := readlink(rt.meta, path)
		if err != nil {
			return err
		}
		_, _, isDir := parseDirTarget(target)
		same = isDir && !rt.leadsTo(target, g)
	}
	if !same {
		return nil
	}
	return ifThere(unix.Unlinkat(rt.meta, path, 0))
}

// leadsTo reports whether a directory's handle with that target leads to a
// directory of that gfid.
func (rt *Runtime) leadsTo(target string, g xlator.GFID) bool {
	fd, err := rt.followDir(target, 0)
	if err != nil {
		return false
	}
	k := newKFD(fd, false)
	defer k.put()
	got, err := readGFID(k)
	return err == nil && got == g
}

func remove(dir int, name string) error {
	err := unix.Unlinkat(dir, name, 0)
	if err == unix.EISDIR || err == unix.EPERM {
		err = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
	}
	return ifThere(err)
}

func ifThere(err error) error {
	if err == unix.ENOENT {
		return nil
	}
	return err
}

func readlink(dir int, name string) (string, error) {
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, b)
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}
