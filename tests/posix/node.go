package posix

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

func nodeCases() map[string]Case {
	return map[string]Case{
		"MknodMakesAllTypes":     mknodTypes,
		"FIFOConnectsByName":     fifo,
		"FIFOWithoutReader":      fifoNoReader,
		"SocketConnectsByName":   socket,
		"DeviceWorksOrIsRefused": device,
		"MknodNeedsRoot":         mknodRoot,
	}
}

func mknodTypes(t *testing.T, dir string) {
	for name, c := range map[string]struct {
		mode uint32
		dev  int
	}{
		"reg":   {unix.S_IFREG | 0o640, 0},
		"zero":  {0o604, 0}, // no type is a regular file
		"fifo":  {unix.S_IFIFO | 0o620, 0},
		"sock":  {unix.S_IFSOCK | 0o600, 0},
		"char":  {unix.S_IFCHR | 0o644, int(unix.Mkdev(1, 3))},
		"block": {unix.S_IFBLK | 0o600, int(unix.Mkdev(259, 1000))},
	} {
		path := in(dir, name)
		ok(t, unix.Mknod(path, c.mode, c.dev), "mknod "+name)
		ok(t, unix.Chmod(path, c.mode&0o777), "chmod")
		st := stat(t, path)
		mode := c.mode
		if mode&unix.S_IFMT == 0 {
			mode |= unix.S_IFREG
		}
		equal(t, st.Mode, mode, "mode of "+name)
		equal(t, st.Rdev, uint64(c.dev), "device of "+name)
		equal(t, st.Nlink, 1, "links of "+name)
		equal(t, st.Size, 0, "size of "+name)
		ok(t, unix.Rename(path, path+"2"), "rename")
		ok(t, unix.Link(path+"2", path), "link")
		equal(t, stat(t, path).Ino, st.Ino, "inode of "+name)
	}
	want(t, unix.Mknod(in(dir, "dir"), unix.S_IFDIR|0o755, 0), unix.EPERM, "mknod of a directory")
	for _, e := range list(t, open(t, dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)) {
		if e.name[0] != '.' {
			equal(t, uint32(e.typ)<<12, stat(t, in(dir, e.name)).Mode&unix.S_IFMT, "listed type of "+e.name)
		}
	}
}

func fifo(t *testing.T, dir string) {
	ok(t, unix.Mkfifo(in(dir, "p"), 0o644), "mkfifo")
	c := start(t, dir)
	c.begin(ask{Op: "open", Path: "p", Flags: unix.O_WRONLY})
	r := open(t, in(dir, "p"), unix.O_RDONLY, 0)
	a := c.wait()
	equal(t, a.Errno, 0, "open for writing")
	ok(t, c.err(ask{Op: "write", FD: int(a.N), Data: []byte("through the pipe")}), "write")
	b := make([]byte, 100)
	n, err := unix.Read(r, b)
	ok(t, err, "read")
	equal(t, string(b[:n]), "through the pipe", "what came")
	ok(t, c.err(ask{Op: "close", FD: int(a.N)}), "close")
	n, err = unix.Read(r, b)
	ok(t, err, "read")
	equal(t, n, 0, "the end")
}

func fifoNoReader(t *testing.T, dir string) {
	ok(t, unix.Mkfifo(in(dir, "p"), 0o644), "mkfifo")
	_, err := unix.Open(in(dir, "p"), unix.O_WRONLY|unix.O_NONBLOCK, 0)
	want(t, err, unix.ENXIO, "open for writing without a reader")
	r := open(t, in(dir, "p"), unix.O_RDONLY|unix.O_NONBLOCK, 0)
	w := open(t, in(dir, "p"), unix.O_WRONLY|unix.O_NONBLOCK, 0)
	_, err = unix.Read(r, make([]byte, 1))
	want(t, err, unix.EAGAIN, "read of an empty pipe")
	// An open pipe outlives its name.
	ok(t, unix.Unlink(in(dir, "p")), "unlink")
	_, err = unix.Write(w, []byte("x"))
	ok(t, err, "write")
	_, err = unix.Seek(r, 0, unix.SEEK_SET)
	want(t, err, unix.ESPIPE, "seek of a pipe")
}

func socket(t *testing.T, dir string) {
	ok(t, unix.Chmod(dir, 0o777), "chmod")
	// The path must fit into 108 bytes, so it goes through the descriptor.
	at := open(t, dir, unix.O_PATH, 0)
	name := fmt.Sprintf("/proc/self/fd/%d/s", at)
	l, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	ok(t, err, "socket")
	defer unix.Close(l)
	ok(t, unix.Bind(l, &unix.SockaddrUnix{Name: name}), "bind")
	equal(t, stat(t, in(dir, "s")).Mode&unix.S_IFMT, unix.S_IFSOCK, "type")
	ok(t, unix.Listen(l, 1), "listen")
	c, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	ok(t, err, "socket")
	defer unix.Close(c)
	ok(t, unix.Connect(c, &unix.SockaddrUnix{Name: name}), "connect")
	a, _, err := unix.Accept4(l, unix.SOCK_CLOEXEC)
	ok(t, err, "accept")
	defer unix.Close(a)
	_, err = unix.Write(c, []byte("hello"))
	ok(t, err, "write")
	b := make([]byte, 10)
	n, err := unix.Read(a, b)
	ok(t, err, "read")
	equal(t, string(b[:n]), "hello", "what came")
	second, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	ok(t, err, "socket")
	defer unix.Close(second)
	want(t, unix.Bind(second, &unix.SockaddrUnix{Name: name}), unix.EADDRINUSE, "bind to a name that is there")
	_, err = unix.Open(in(dir, "s"), unix.O_RDWR, 0)
	want(t, err, unix.ENXIO, "open of a socket")
	ok(t, unix.Unlink(in(dir, "s")), "unlink")
	want(t, unix.Connect(second, &unix.SockaddrUnix{Name: name}), unix.ENOENT, "connect to what is gone")
}

func device(t *testing.T, dir string) {
	ok(t, unix.Mknod(in(dir, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))), "mknod")
	fd, err := unix.Open(in(dir, "null"), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if mountFlags(t, dir)&unix.ST_NODEV != 0 {
		want(t, err, unix.EACCES, "device on a mount without devices")
		return
	}
	ok(t, err, "open")
	defer unix.Close(fd)
	n, err := unix.Write(fd, []byte("into the void"))
	ok(t, err, "write")
	equal(t, n, 13, "write")
	n, err = unix.Read(fd, make([]byte, 10))
	ok(t, err, "read")
	equal(t, n, 0, "read")
}

func mknodRoot(t *testing.T, dir string) {
	ok(t, unix.Chmod(dir, 0o777), "chmod")
	c := as(t, dir, 4242, 4242)
	want(t, c.err(ask{Op: "mknod", Path: "dev", Mode: unix.S_IFCHR | 0o666, Off: int64(unix.Mkdev(1, 3))}), unix.EPERM, "device by a user")
	ok(t, c.err(ask{Op: "mknod", Path: "fifo", Mode: unix.S_IFIFO | 0o666}), "FIFO by a user")
	ok(t, c.err(ask{Op: "mknod", Path: "file", Mode: unix.S_IFREG | 0o666}), "file by a user")
	st := stat(t, in(dir, "fifo"))
	equal(t, [2]uint32{st.Uid, st.Gid}, [2]uint32{4242, 4242}, "owner")
}
