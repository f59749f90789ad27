package posix

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// sweep removes what a crash left behind, but not what applications have open.
// An entry that cannot be dealt with does not keep it from the others.
func (rt *Runtime) sweep() error {
	errs := []error{rt.sweepHandles()}
	for _, f := range []struct {
		fd   int
		name string
		one  func(string) (kept bool, err error)
	}{{rt.staging, stagingName, rt.sweepStaged}, {rt.orphans, orphansName, rt.sweepOrphan}} {
		names, err := namesIn(f.fd)
		if err != nil {
			errs = append(errs, fmt.Errorf("brick directory %s: read %s/%s: %w", rt.dir, metaName, f.name, err))
		}
		cleared, kept := 0, 0
		for _, n := range names {
			switch stays, err := f.one(n); {
			case err != nil:
				errs = append(errs, fmt.Errorf("brick directory %s: clear %s/%s/%s: %w", rt.dir, metaName, f.name, n, err))
			case stays:
				kept++
			default:
				cleared++
			}
		}
		if len(names) > 0 {
			rt.log.Info("cleared what a crash left", "brick", rt.dir, "folder", f.name, "entries", cleared, "open", kept)
		}
	}
	return errors.Join(errs...)
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

// sweepHandles completes the handles of directories that were renamed. One may
// lead through another that has to be completed first.
func (rt *Runtime) sweepHandles() error {
	names, err := namesIn(rt.staging)
	if err != nil {
		return fmt.Errorf("brick directory %s: read %s/%s: %w", rt.dir, metaName, stagingName, err)
	}
	for used := true; used; {
		used = false
		left := names[:0]
		for _, name := range names {
			g, prepared := preparedHandle(name)
			target, err := readlink(rt.staging, name)
			if !prepared || err != nil || !rt.leadsTo(target, g) {
				left = append(left, name)
				continue
			}
			if err := rt.useDirHandle(g, name); err != nil {
				return fmt.Errorf("brick directory %s: use %s/%s/%s: %w", rt.dir, metaName, stagingName, name, err)
			}
			used = true
		}
		names = left
	}
	return nil
}

// preparedHandle reads a name that stageDirHandle gave.
func preparedHandle(name string) (g xlator.GFID, ok bool) {
	text, ok := strings.CutPrefix(name, preparedPrefix)
	text, _, _ = strings.Cut(text, ".")
	g, err := xlator.ParseGFID(text)
	return g, ok && err == nil
}

// sweepStaged removes an object that never got its name, with its handle.
func (rt *Runtime) sweepStaged(name string) (kept bool, err error) {
	if g, prepared := preparedHandle(name); prepared {
		if target, err := readlink(rt.staging, name); err == nil && rt.leadsTo(target, g) {
			return true, nil // it could not be used this time
		}
	}
	text, _, _ := strings.Cut(name, ".")
	if g, err := xlator.ParseGFID(text); err == nil {
		if err := rt.dropHandle(rt.staging, name, g); err != nil {
			return false, err
		}
	}
	return false, remove(rt.staging, name)
}

// sweepOrphan removes a file that was open without a name, or the mark of a
// directory that was being removed, with its handle if it is gone. A file that
// is still open stays; one that has a name gets its handle back.
func (rt *Runtime) sweepOrphan(name string) (kept bool, err error) {
	g, err := xlator.ParseGFID(name)
	if err != nil {
		return false, remove(rt.orphans, name)
	}
	var st unix.Statx_t
	if err := statName(rt.orphans, name, &st); err != nil {
		return false, ifThere(err)
	}
	switch uint32(st.Mode) & unix.S_IFMT {
	case unix.S_IFLNK:
		if target, err := readlink(rt.orphans, name); err == nil {
			if _, _, ok := parseDirTarget(target); ok && !rt.leadsTo(target, g) {
				if err := rt.dropHandle(rt.orphans, name, g); err != nil {
					return false, err
				}
			}
		}
	case unix.S_IFREG:
		if st.Nlink > 1 {
			return false, rt.restoreHandle(g)
		}
		if rt.inUse(g) {
			return true, nil
		}
	}
	return false, remove(rt.orphans, name)
}

// restoreHandle makes the link in the unlink folder the handle again: the file
// has a name, because a crash came before it went or after it came.
func (rt *Runtime) restoreHandle(g xlator.GFID) error {
	orphan := g.String()
	err := rt.inFolder(g, func(path string) error { return renameNew(rt.orphans, orphan, rt.meta, path) })
	if err == unix.EEXIST {
		err = remove(rt.orphans, orphan) // it has one, or a copy of it has; a lookup decides
	}
	return err
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
