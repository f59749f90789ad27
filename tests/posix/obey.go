package posix

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// obey makes the call in the second process.
func obey(a *ask) (r answer) {
	f := deeds()[a.Op]
	if f == nil {
		r.Errno = unix.ENOSYS
		return r
	}
	if err := f(a, &r); err != nil && !errors.As(err, &r.Errno) {
		r.Errno = unix.EPROTO
	}
	return r
}

type deed = func(a *ask, r *answer) error

func deeds() map[string]deed {
	return map[string]deed{
		"gettid": func(a *ask, r *answer) error { r.N = int64(unix.Gettid()); return nil },
		"become": become,
		"umask":  func(a *ask, r *answer) error { r.N = int64(unix.Umask(int(a.Mode))); return nil },
		"chdir":  func(a *ask, r *answer) error { return unix.Chdir(a.Path) },
		"getcwd": func(a *ask, r *answer) (err error) {
			b := make([]byte, 8192)
			n, err := unix.Getcwd(b)
			r.Data = b[:max(n, 0)]
			return err
		},
		"open": func(a *ask, r *answer) error {
			fd, err := unix.Open(a.Path, a.Flags|unix.O_CLOEXEC, a.Mode)
			r.N = int64(fd)
			return err
		},
		"close": func(a *ask, r *answer) error { return unix.Close(a.FD) },
		"dup": func(a *ask, r *answer) error {
			fd, err := unix.Dup(a.FD)
			r.N = int64(fd)
			return err
		},
		"pread": func(a *ask, r *answer) error {
			b := make([]byte, a.Len)
			n, err := unix.Pread(a.FD, b, a.Off)
			r.Data = b[:max(n, 0)]
			return err
		},
		"read": func(a *ask, r *answer) error {
			b := make([]byte, a.Len)
			n, err := unix.Read(a.FD, b)
			r.Data = b[:max(n, 0)]
			return err
		},
		"pwrite": func(a *ask, r *answer) error {
			n, err := unix.Pwrite(a.FD, a.Data, a.Off)
			r.N = int64(n)
			return err
		},
		"write": func(a *ask, r *answer) error {
			n, err := unix.Write(a.FD, a.Data)
			r.N = int64(n)
			return err
		},
		"mkdir":     func(a *ask, r *answer) error { return unix.Mkdir(a.Path, a.Mode) },
		"mknod":     func(a *ask, r *answer) error { return unix.Mknod(a.Path, a.Mode, int(a.Off)) },
		"rmdir":     func(a *ask, r *answer) error { return unix.Rmdir(a.Path) },
		"unlink":    func(a *ask, r *answer) error { return unix.Unlink(a.Path) },
		"rename":    func(a *ask, r *answer) error { return unix.Rename(a.Path, a.To) },
		"link":      func(a *ask, r *answer) error { return unix.Link(a.Path, a.To) },
		"symlink":   func(a *ask, r *answer) error { return unix.Symlink(a.To, a.Path) },
		"chmod":     func(a *ask, r *answer) error { return unix.Chmod(a.Path, a.Mode) },
		"chown":     func(a *ask, r *answer) error { return unix.Lchown(a.Path, a.UID, a.GID) },
		"truncate":  func(a *ask, r *answer) error { return unix.Truncate(a.Path, a.Len) },
		"ftruncate": func(a *ask, r *answer) error { return unix.Ftruncate(a.FD, a.Len) },
		"fallocate": func(a *ask, r *answer) error { return unix.Fallocate(a.FD, a.Mode, a.Off, a.Len) },
		"stat":      func(a *ask, r *answer) error { return unix.Lstat(a.Path, &r.Stat) },
		"fstat":     func(a *ask, r *answer) error { return unix.Fstat(a.FD, &r.Stat) },
		"access":    func(a *ask, r *answer) error { return unix.Access(a.Path, a.Mode) },
		"setxattr":  func(a *ask, r *answer) error { return unix.Lsetxattr(a.Path, a.To, a.Data, a.Flags) },
		"getxattr": func(a *ask, r *answer) error {
			b := make([]byte, 65536)
			n, err := unix.Lgetxattr(a.Path, a.To, b)
			r.Data = b[:max(n, 0)]
			return err
		},
		"utimens": func(a *ask, r *answer) error {
			return unix.UtimesNanoAt(unix.AT_FDCWD, a.Path, []unix.Timespec{{Nsec: a.AtimeNS}, {Nsec: a.MtimeNS}}, 0)
		},
		"list": func(a *ask, r *answer) error {
			_, err := os.ReadDir(a.Path)
			return err
		},
		"fcntl": func(a *ask, r *answer) error {
			r.Lock = unix.Flock_t{Type: a.Typ, Start: a.Off, Len: a.Len}
			return unix.FcntlFlock(uintptr(a.FD), a.Cmd, &r.Lock)
		},
		"flock": func(a *ask, r *answer) error { return unix.Flock(a.FD, a.Cmd) },
	}
}

// become changes the user of the whole process.
func become(a *ask, _ *answer) error {
	if err := syscall.Setgroups(a.Groups); err != nil {
		return err
	}
	if err := syscall.Setgid(a.GID); err != nil {
		return err
	}
	return syscall.Setuid(a.UID)
}
