package xlator

import (
	"context"
	"errors"
	"syscall"
)

// ErrDetached is returned by a waiting Lk whose caller gave up the call but
// not its place in the queue (see LkReq.Detach).
var ErrDetached = errors.New("lock wait detached")

// Errno flattens an error to what the application sees. Everything without an
// errno in it is EIO; a cancelled wait is EINTR.
func Errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e
	}
	if errors.Is(err, context.Canceled) {
		return syscall.EINTR
	}
	return syscall.EIO
}
