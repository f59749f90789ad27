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
	if err := rt.openMeta(); err != nil {
		return err
	}
	fd, err := openat(rt.meta, lockName, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("brick directory %s: open lock file: %w", rt.dir, err)
	}
	rt.lock = &lockFile{File: os.NewFile(uintptr(fd), rt.lockPath())}
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

func (rt *Runtime) lockPath() string { return filepath.Join(rt.dir, metaName, lockName) }

func (rt *Runtime) openMeta() (err error) {
	if rt.meta >= 0 {
		return nil
	}
	if rt.meta, err = openat(rt.rootFD.n, metaName, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0); err != nil {
		return fmt.Errorf("brick directory %s: open %s: %w", rt.dir, metaName, err)
	}
	return nil
}

// inheritLock takes over the lock that an earlier worker of the mount took, and
// reports whether there is one. A lock on a file that is not the lock file any
// more keeps nobody out and is none.
func (rt *Runtime) inheritLock(c claim) (bool, error) {
	if c.keeper == nil {
		return false, nil
	}
	kept, ok, err := c.keeper.Kept(c.name)
	if err != nil {
		return false, fmt.Errorf("brick directory %s: ask the keeper for the lock: %w", rt.dir, err)
	}
	if !ok {
		return false, nil
	}
	var st unix.Stat_t
	var today unix.Statx_t
	if unix.Fstat(kept, &st) != nil || rt.openMeta() != nil || statName(rt.meta, lockName, &today) != nil ||
		st.Ino != today.Ino || st.Dev != unix.Mkdev(today.Dev_major, today.Dev_minor) || unix.Flock(kept, unix.LOCK_EX|unix.LOCK_NB) != nil {
		unix.Close(kept)
		return false, nil
	}
	rt.lock = &lockFile{os.NewFile(uintptr(kept), rt.lockPath()), c.keeper, c.name, true}
	return true, nil
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
		who := "process " + strconv.Itoa(pid)
		if pid > 0 && unix.Kill(pid, 0) == unix.ESRCH {
			who += " (which is gone; its mount's keeper has the lock, and starts another)"
		}
		return who
	}
	return "another process"
}

// giveUpLock has the keeper let go of the lock, unless the mount goes on. It ends
// when this process closes the file too.
func (rt *Runtime) giveUpLock() error {
	l := rt.lock
	if l == nil || l.keeper == nil || l.inherited && !rt.served.Load() {
		return nil
	}
	return l.keeper.Drop(l.name)
}
