package xlator

import (
	"errors"

	"golang.org/x/sys/unix"
)

// MakeKept makes a file in memory of that many bytes, which can neither grow nor
// shrink, and has the keeper hold it under that name. label is how it is called in
// /proc. The descriptor is the caller's.
func MakeKept(keeper Descriptors, name, label string, size int64) (fd int, err error) {
	fd, err = unix.MemfdCreate(label, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, err
	}
	if err = unix.Ftruncate(fd, size); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_GROW|unix.F_SEAL_SHRINK)
	}
	if err == nil {
		err = keeper.Keep(name, fd)
	}
	if err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}
