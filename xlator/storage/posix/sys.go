package posix

import (
	"encoding/binary"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// opError says what was being done to what; it is cheap to make, because
// lookups that find nothing are common.
type opError struct {
	op   string
	gfid xlator.GFID
	name string
	err  error
}

func (e *opError) Error() string {
	s := e.op + " gfid " + e.gfid.String()
	if e.name != "" {
		s += "/" + strconv.Quote(e.name)
	}
	return s + ": " + e.err.Error()
}

func (e *opError) Unwrap() error { return e.err }

func fail(op string, g xlator.GFID, name string, err error) error {
	if err == nil {
		return nil
	}
	return &opError{op, g, name, err}
}

// maxHandle is MAX_HANDLE_SZ of <fcntl.h>.
const maxHandle = 128

// rawHandle is the kernel's struct file_handle with room for the largest.
type rawHandle [8 + maxHandle]byte

func (h *rawHandle) size() int { return int(binary.NativeEndian.Uint32(h[:4])) }

// key is type and bytes of the handle: what an inode is known by, for ever.
func (h *rawHandle) key() []byte { return h[4 : 8+h.size()] }

func (h *rawHandle) set(key string) {
	binary.NativeEndian.PutUint32(h[:4], uint32(len(key)-4))
	copy(h[4:], key)
}

// nameToHandle is name_to_handle_at(2); a symbolic link is not followed. An
// empty name with AT_EMPTY_PATH means fd itself.
func nameToHandle(fd int, name string, flags int, h *rawHandle) (mount int32, err error) {
	p, err := unix.BytePtrFromString(name)
	if err != nil {
		return 0, err
	}
	binary.NativeEndian.PutUint32(h[:4], maxHandle)
	_, _, e := unix.Syscall6(unix.SYS_NAME_TO_HANDLE_AT, uintptr(fd), uintptr(unsafe.Pointer(p)),
		uintptr(unsafe.Pointer(h)), uintptr(unsafe.Pointer(&mount)), uintptr(flags), 0)
	if e != 0 {
		return 0, e
	}
	return mount, nil
}

// openByHandle is open_by_handle_at(2) of the object that key names.
func openByHandle(root int, key string, flags int) (int, error) {
	var h rawHandle
	h.set(key)
	for {
		fd, _, e := unix.Syscall(unix.SYS_OPEN_BY_HANDLE_AT, uintptr(root), uintptr(unsafe.Pointer(&h)), uintptr(flags|unix.O_CLOEXEC))
		if e == 0 {
			return int(fd), nil
		}
		if e != unix.EINTR {
			return -1, e
		}
	}
}

// again repeats f while a signal (the Go runtime sends itself many) cuts it short.
func again(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

func openat(dir int, name string, flags int, mode uint32) (fd int, err error) {
	err = again(func() error {
		fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC, mode)
		return err
	})
	return fd, err
}

const statxMask = unix.STATX_BASIC_STATS | unix.STATX_BTIME

func statName(dir int, name string, st *unix.Statx_t) error {
	return unix.Statx(dir, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, statxMask, st)
}

func statFD(fd int, st *unix.Statx_t) error {
	return unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW, statxMask, st)
}

func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// linkFD gives the object behind fd a name.
func linkFD(fd, dir int, name string) error {
	return unix.Linkat(fd, "", dir, name, unix.AT_EMPTY_PATH)
}

// kept is the flags of an open that the kernel descriptor gets: the rest must
// happen once only, or is not for a descriptor that several offsets share.
const kept = unix.O_ACCMODE | unix.O_SYNC | unix.O_DSYNC | unix.O_NOATIME

func kernelFlags(f uint32) int {
	return int(f)&kept | unix.O_LARGEFILE | unix.O_NOFOLLOW | unix.O_NONBLOCK
}
