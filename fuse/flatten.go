package fuse

import (
	"log/slog"
	"sync"
	"syscall"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/holdfast/holdfast/xlator"
)

const (
	errNoTTY  = syscall.ENOTTY
	errTooBig = syscall.E2BIG
	// maxErrno is the largest that the kernel takes in a reply.
	maxErrno = 511
)

// fail is the one place where an error becomes what the application sees. Its
// text goes to the debug log; what an operator would want to know of goes to
// the log, once per kind and now and then.
func (r *request) fail(err error) gofuse.Status {
	e := xlator.Errno(err)
	switch {
	case e == syscall.ENOSYS:
		// The kernel would never ask again, whatever graph comes next.
		e = syscall.EOPNOTSUPP
	case e == syscall.EINTR && r.call.Err() == nil:
		e = syscall.EIO // nothing was interrupted that may be
	case e <= 0 || e > maxErrno:
		e = syscall.EIO
	}
	s := r.s
	if s.debugging() {
		s.log.Debug("request failed", "op", opName(r.op), "node", r.node, "errno", e.Error(), "err", err)
	}
	if !expected[e] {
		s.complaints.complain(s.log, r.op, e, err)
	}
	return gofuse.Status(e)
}

// expected errors are ordinary answers to what applications ask.
var expected = map[syscall.Errno]bool{
	syscall.EPERM: true, syscall.ENOENT: true, syscall.EINTR: true, syscall.ENXIO: true, syscall.E2BIG: true,
	syscall.EBADF: true, syscall.EAGAIN: true, syscall.EACCES: true, syscall.EBUSY: true, syscall.EEXIST: true,
	syscall.EXDEV: true, syscall.ENOTDIR: true, syscall.EISDIR: true, syscall.EINVAL: true, syscall.ETXTBSY: true,
	syscall.EFBIG: true, syscall.EROFS: true, syscall.EMLINK: true, syscall.ERANGE: true, syscall.EDEADLK: true,
	syscall.ENAMETOOLONG: true, syscall.ENOTEMPTY: true, syscall.ELOOP: true, syscall.ENODATA: true,
	syscall.EOVERFLOW: true, syscall.EOPNOTSUPP: true, syscall.ESTALE: true,
}

// complaintPause is how long a kind of error is quiet after it was logged.
const complaintPause = 10 * time.Second

// complaints limits how often errors of one kind are logged.
type complaints struct {
	mu   sync.Mutex
	seen map[complaint]*complaintState // guarded by mu
}

type complaint struct {
	op uint32
	e  syscall.Errno
}

type complaintState struct {
	last   time.Time
	silent uint64 // since then
}

func (c *complaints) complain(log *slog.Logger, op uint32, e syscall.Errno, err error) {
	if silent, ok := c.admit(complaint{op, e}, time.Now()); ok {
		log.Warn("request failed", "op", opName(op), "errno", e.Error(), "err", err, "more_like_it", silent)
	}
}

// admit says whether to log, and how many were passed over before.
func (c *complaints) admit(k complaint, now time.Time) (silent uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.seen[k]
	if st == nil {
		if c.seen == nil {
			c.seen = map[complaint]*complaintState{}
		}
		c.seen[k] = &complaintState{last: now}
		return 0, true
	}
	if now.Sub(st.last) < complaintPause {
		st.silent++
		return 0, false
	}
	silent, st.silent, st.last = st.silent, 0, now
	return silent, true
}
