package posix

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

func openCases() map[string]Case {
	return map[string]Case{
		"OpenExclusiveRefusesWhatIsThere": openExclusive,
		"OpenTruncates":                   openTruncates,
		"OpenAppends":                     openAppends,
		"OpenNoFollow":                    openNoFollow,
		"OpenDirectory":                   openDirectory,
		"OpenPath":                        openPath,
		"OpenModesAreKept":                openModes,
		"OpenWithoutPermissionToReopen":   openCreateReadOnlyMode,
		"TmpfileGetsItsNameLater":         tmpfileLink,
		"TmpfileExclusiveHasNoName":       tmpfileExclusive,
		"OpenFlagsAreTold":                openFlagsTold,
		"AppendFlagIsSetLater":            appendLater,
		"OpenDirectReadsAndWrites":        openDirect,
	}
}

func openExclusive(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	mkdir(t, in(dir, "d"), 0o755)
	ok(t, unix.Symlink("nowhere", in(dir, "s")), "symlink")
	for _, name := range []string{"f", "d", "s"} {
		_, err := unix.Open(in(dir, name), unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o644)
		want(t, err, unix.EEXIST, "exclusive create of "+name)
	}
	absent(t, in(dir, "nowhere"))
}

func openTruncates(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "some data")
	open(t, in(dir, "f"), unix.O_WRONLY|unix.O_TRUNC, 0)
	equal(t, fstat(t, fd).Size, 0, "size through the older descriptor")
	equal(t, stat(t, in(dir, "f")).Size, 0, "size by name")
	pwrite(t, fd, "xy", 3)
	equal(t, content(t, in(dir, "f")), "\x00\x00\x00xy", "content")
	open(t, in(dir, "f"), unix.O_RDWR|unix.O_CREAT|unix.O_TRUNC, 0o600)
	equal(t, perm(t, in(dir, "f")), 0o644, "mode of a file that was there")
}

func openAppends(t *testing.T, dir string) {
	create(t, in(dir, "f"), "0123456789")
	a := open(t, in(dir, "f"), unix.O_RDWR|unix.O_APPEND, 0)
	b := open(t, in(dir, "f"), unix.O_WRONLY|unix.O_APPEND, 0)
	for i, fd := range []int{a, b, a, b} {
		_, err := unix.Seek(fd, 2, unix.SEEK_SET)
		ok(t, err, "seek")
		_, err = unix.Write(fd, fmt.Appendf(nil, "%d", i))
		ok(t, err, "append")
	}
	// Linux: pwrite on such a descriptor appends too.
	pwrite(t, a, "p", 0)
	equal(t, content(t, in(dir, "f")), "01234567890123p", "content")
	at, err := unix.Seek(a, 0, unix.SEEK_CUR)
	ok(t, err, "seek")
	equal(t, at, 13, "offset after the append")
	equal(t, pread(t, a, 3, 0), "012", "read of an appending descriptor")
}

func openNoFollow(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	ok(t, unix.Symlink("f", in(dir, "s")), "symlink")
	_, err := unix.Open(in(dir, "s"), unix.O_RDONLY|unix.O_NOFOLLOW, 0)
	want(t, err, unix.ELOOP, "open of a symlink with O_NOFOLLOW")
	open(t, in(dir, "f"), unix.O_RDONLY|unix.O_NOFOLLOW, 0)
	fd := open(t, in(dir, "s"), unix.O_PATH|unix.O_NOFOLLOW, 0)
	equal(t, fstat(t, fd).Mode&unix.S_IFMT, unix.S_IFLNK, "type of what O_PATH opened")
}

func openDirectory(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	_, err := unix.Open(in(dir, "f"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	want(t, err, unix.ENOTDIR, "O_DIRECTORY of a file")
	for _, flags := range []int{unix.O_WRONLY, unix.O_RDWR, unix.O_RDONLY | unix.O_CREAT} {
		_, err = unix.Open(dir, flags, 0o644)
		want(t, err, unix.EISDIR, fmt.Sprintf("open a directory with flags %#x", flags))
	}
	fd := open(t, dir, unix.O_RDONLY, 0)
	_, err = unix.Read(fd, make([]byte, 10))
	want(t, err, unix.EISDIR, "read of a directory")
	_, err = unix.Open(in(dir, "f/g"), unix.O_RDONLY, 0)
	want(t, err, unix.ENOTDIR, "a file in the middle of a path")
	_, err = unix.Open(in(dir, "none"), unix.O_RDONLY, 0)
	want(t, err, unix.ENOENT, "open what is not there")
	_, err = unix.Open(in(dir, "none/f"), unix.O_RDWR|unix.O_CREAT, 0o644)
	want(t, err, unix.ENOENT, "create in what is not there")
	_, err = unix.Open(in(dir, "g")+"/", unix.O_RDWR|unix.O_CREAT, 0o644)
	want(t, err, unix.EISDIR, "create with a slash behind")
}

func openPath(t *testing.T, dir string) {
	put(t, in(dir, "f"), "abc")
	fd := open(t, in(dir, "f"), unix.O_PATH, 0)
	equal(t, fstat(t, fd).Ino, stat(t, in(dir, "f")).Ino, "inode")
	_, err := unix.Pread(fd, make([]byte, 3), 0)
	want(t, err, unix.EBADF, "read of an O_PATH descriptor")
	want(t, unix.Fchmod(fd, 0o600), unix.EBADF, "fchmod of an O_PATH descriptor")
	again := open(t, fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY, 0)
	equal(t, pread(t, again, 3, 0), "abc", "read after opening it for real")
	ok(t, unix.Unlink(in(dir, "f")), "unlink")
	equal(t, fstat(t, fd).Nlink, 0, "links after unlink")
	again = open(t, fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY, 0)
	equal(t, pread(t, again, 3, 0), "abc", "read after opening what has no name")
}

func openModes(t *testing.T, dir string) {
	put(t, in(dir, "f"), "abc")
	r := open(t, in(dir, "f"), unix.O_RDONLY, 0)
	_, err := unix.Pwrite(r, []byte("x"), 0)
	want(t, err, unix.EBADF, "write to O_RDONLY")
	want(t, unix.Ftruncate(r, 0), unix.EINVAL, "ftruncate of O_RDONLY")
	w := open(t, in(dir, "f"), unix.O_WRONLY, 0)
	_, err = unix.Pread(w, make([]byte, 1), 0)
	want(t, err, unix.EBADF, "read of O_WRONLY")
	pwrite(t, w, "X", 0)
	equal(t, pread(t, r, 3, 0), "Xbc", "content")
}

// openCreateReadOnlyMode: the mode given to open is for later opens.
func openCreateReadOnlyMode(t *testing.T, dir string) {
	ok(t, unix.Chmod(dir, 0o777), "chmod")
	c := as(t, dir, 4242, 4242)
	fd, err := c.open("f", unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0)
	ok(t, err, "create with mode 0")
	ok(t, c.err(ask{Op: "pwrite", FD: fd, Data: []byte("abc")}), "write")
	r := c.call(ask{Op: "pread", FD: fd, Len: 3})
	equal(t, string(r.Data), "abc", "read back")
	_, err = c.open("f", unix.O_RDONLY, 0)
	want(t, err, unix.EACCES, "open again")
	equal(t, content(t, in(dir, "f")), "abc", "what root reads")
}

func tmpfileLink(t *testing.T, dir string) {
	fd := open(t, dir, unix.O_RDWR|unix.O_TMPFILE, 0o640)
	st := fstat(t, fd)
	equal(t, st.Nlink, 0, "links without a name")
	equal(t, st.Mode, unix.S_IFREG|0o640, "mode")
	pwrite(t, fd, "late", 0)
	proc := fmt.Sprintf("/proc/self/fd/%d", fd)
	ok(t, unix.Linkat(unix.AT_FDCWD, proc, unix.AT_FDCWD, in(dir, "f"), unix.AT_SYMLINK_FOLLOW), "link to a name")
	equal(t, content(t, in(dir, "f")), "late", "content by name")
	equal(t, fstat(t, fd).Nlink, 1, "links with a name")
	equal(t, stat(t, in(dir, "f")).Ino, st.Ino, "inode")
	pwrite(t, fd, "L", 0)
	equal(t, content(t, in(dir, "f")), "Late", "content after a write through the descriptor")
	_, err := unix.Open(dir, unix.O_RDONLY|unix.O_TMPFILE, 0o600)
	want(t, err, unix.EINVAL, "O_TMPFILE for reading")
}

func tmpfileExclusive(t *testing.T, dir string) {
	fd := open(t, dir, unix.O_RDWR|unix.O_TMPFILE|unix.O_EXCL, 0o600)
	err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, in(dir, "f"), unix.AT_SYMLINK_FOLLOW)
	want(t, err, unix.ENOENT, "name for an exclusive O_TMPFILE")
	pwrite(t, fd, "abc", 0)
	equal(t, pread(t, fd, 3, 0), "abc", "content")
}

func openFlagsTold(t *testing.T, dir string) {
	fd := open(t, in(dir, "f"), unix.O_RDWR|unix.O_CREAT|unix.O_APPEND, 0o644)
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	ok(t, err, "F_GETFL")
	equal(t, flags&(unix.O_ACCMODE|unix.O_APPEND|unix.O_CREAT), unix.O_RDWR|unix.O_APPEND, "flags")
}

// appendLater: a flag that is set with fcntl counts for the next write.
func appendLater(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "abc")
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_APPEND)
	ok(t, err, "set O_APPEND")
	pwrite(t, fd, "d", 0)
	_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, 0)
	ok(t, err, "clear O_APPEND")
	pwrite(t, fd, "A", 0)
	equal(t, content(t, in(dir, "f")), "Abcd", "content")
}

func openDirect(t *testing.T, dir string) {
	const size = 64 << 10
	buf, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	ok(t, err, "aligned buffer")
	t.Cleanup(func() { unix.Munmap(buf) })
	for i := range buf {
		buf[i] = byte(i>>9 + i)
	}
	data := string(buf)
	b := create(t, in(dir, "f"), zeros(size))
	d := open(t, in(dir, "f"), unix.O_RDWR|unix.O_DIRECT, 0)
	n, err := unix.Pwrite(d, buf, 0)
	if err != nil || n != size {
		t.Fatalf("direct write: %d, %v", n, err)
	}
	equal(t, pread(t, b, size, 0) == data, true, "buffered read of a direct write")
	pwrite(t, b, "HELLO", 5000)
	clear(buf)
	n, err = unix.Pread(d, buf, 0)
	if err != nil || n != size {
		t.Fatalf("direct read: %d, %v", n, err)
	}
	equal(t, string(buf) == data[:5000]+"HELLO"+data[5005:], true, "direct read of a buffered write")
	n, err = unix.Pread(d, buf, size)
	ok(t, err, "direct read at the end")
	equal(t, n, 0, "direct read at the end")
}
