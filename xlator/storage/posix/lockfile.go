package posix

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

const lockName = "holdfast.lock"

// lockFile is the file whose flock says who serves the directory. With a keeper
// the lock belongs to the mount: it holds while no worker lives, and the next
// worker finds itself the owner.
type lockFile struct {
	*os.File
	keeper xlator.Descriptors // nil: nobody keeps it
	name   string
	// inherited says that an earlier worker took it.
	inherited bool
}

// takeLock makes this mount the only one that serves the directory.
func (rt *Runtime) takeLock(c claim) error {
	if err := unix.Mkdirat(rt.rootFD.n, metaName, 0o700); err != nil && err != unix.EEXIST {
		return fmt.Errorf("brick directory %s: make %s: %w", rt.dir, metaName, err)
	}
	var err error
	if rt.meta, err = openat(rt.rootFD.n, metaName, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0); err != nil {
		return fmt.Errorf("brick directory %s: open %s: %w", rt.dir, metaName, err)
	}
	fd, err := openat(rt.meta, lockName, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("brick directory %s: open lock file: %w", rt.dir, err)
	}
	path := filepath.Join(rt.dir, metaName, lockName)
	if rt.lock, err = inherit(fd, path, c); err != nil {
		unix.Close(fd)
		return fmt.Errorf("brick directory %s: %w", rt.dir, err)
	}
	if rt.lock != nil {
		unix.Close(fd)
		return rt.signLock()
	}
	rt.lock = &lockFile{File: os.NewFile(uintptr(fd), path)}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("brick directory %s is in use by %s; unmount it there first, or mount through that mount: %w", rt.dir, rt.lock.owner(), unix.EBUSY)
	}
	if c.keeper != nil {
		if err := c.keeper.Keep(c.name, fd); err != nil {
			return fmt.Errorf("brick directory %s: give the lock to the keeper: %w", rt.dir, err)
		}
		rt.lock.keeper, rt.lock.name = c.keeper, c.name
	}
	return rt.signLock()
}

// inherit returns the lock that an earlier worker of the mount took, nil if
// there is none. fd is the lock file of today: a lock on one that has been
// removed meanwhile keeps nobody out.
func inherit(fd int, path string, c claim) (*lockFile, error) {
	if c.keeper == nil {
		return nil, nil
	}
	kept, ok, err := c.keeper.Kept(c.name)
	if err != nil {
		return nil, fmt.Errorf("ask the keeper for the lock: %w", err)
	}
	if !ok {
		return nil, nil
	}
	var a, b unix.Stat_t
	if unix.Fstat(fd, &a) == nil && unix.Fstat(kept, &b) == nil && a.Dev == b.Dev && a.Ino == b.Ino &&
		unix.Flock(kept, unix.LOCK_EX|unix.LOCK_NB) == nil {
		return &lockFile{os.NewFile(uintptr(kept), path), c.keeper, c.name, true}, nil
	}
	unix.Close(kept)
	return nil, nil
}

// signLock says in the file which process serves the directory, for people.
func (rt *Runtime) signLock() error {
	who := []byte(strconv.Itoa(os.Getpid()) + "\n")
	_, err := rt.lock.WriteAt(who, 0)
	if err == nil {
		err = rt.lock.Truncate(int64(len(who)))
	}
	if err != nil {
		return fmt.Errorf("brick directory %s: write lock file: %w", rt.dir, err)
	}
	return nil
}

// owner is who has signed.
func (l *lockFile) owner() string {
	b := make([]byte, 32)
	n, _ := l.ReadAt(b, 0)
	line, _, _ := strings.Cut(string(b[:n]), "\n")
	if pid, err := strconv.Atoi(line); err == nil {
		return "process " + strconv.Itoa(pid)
	}
	return "another process"
}

// forget has the keeper let go of the lock. It ends when this process closes
// the file too.
func (l *lockFile) forget() error {
	if l.keeper == nil {
		return nil
	}
	return l.keeper.Drop(l.name)
}
