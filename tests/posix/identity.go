package posix

import (
	"bytes"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

func identityCases() map[string]Case {
	return map[string]Case{
		"InodeNumbersAreStable":        inoStable,
		"InodeNumbersAreUnique":        inoUnique,
		"OneFileOneHandle":             oneHandle,
		"DescriptorAndNameAreOneInode": oneInode,
		"HandleOpensTheFile":           openHandle,
	}
}

func inoStable(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "x")
	first := fstat(t, fd)
	same := func(st unix.Stat_t, what string) {
		t.Helper()
		equal(t, [2]uint64{st.Dev, st.Ino}, [2]uint64{first.Dev, first.Ino}, what)
	}
	pwrite(t, fd, "more", 0)
	same(stat(t, in(dir, "f")), "after a write")
	ok(t, unix.Rename(in(dir, "f"), in(dir, "g")), "rename")
	same(stat(t, in(dir, "g")), "after a rename")
	ok(t, unix.Link(in(dir, "g"), in(dir, "h")), "link")
	same(stat(t, in(dir, "h")), "by a second name")
	for range 50 { // others come and go
		put(t, in(dir, "x"), "")
		ok(t, unix.Unlink(in(dir, "x")), "unlink")
	}
	same(stat(t, in(dir, "h")), "later")
	ok(t, unix.Unlink(in(dir, "g")), "unlink")
	ok(t, unix.Unlink(in(dir, "h")), "unlink")
	same(fstat(t, fd), "without a name")
	var sx unix.Statx_t
	ok(t, unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, &sx), "statx")
	equal(t, sx.Ino, first.Ino, "statx")
	equal(t, stat(t, dir).Dev, first.Dev, "device of the directory")
}

func inoUnique(t *testing.T, dir string) {
	seen := map[uint64]string{}
	for i := range 200 {
		name := fmt.Sprint(i)
		put(t, in(dir, name), "")
		ino := stat(t, in(dir, name)).Ino
		if seen[ino] != "" {
			t.Fatalf("%s and %s have inode %d", seen[ino], name, ino)
		}
		seen[ino] = name
	}
}

func handle(t *testing.T, at int, path string, flags int) []byte {
	t.Helper()
	h, _, err := unix.NameToHandleAt(at, path, flags)
	ok(t, err, "name_to_handle_at")
	return h.Bytes()
}

// oneHandle: two names and a descriptor of one file are one inode of the
// kernel, which its handle shows.
func oneHandle(t *testing.T, dir string) {
	fd := create(t, in(dir, "a"), "x")
	ok(t, unix.Link(in(dir, "a"), in(dir, "b")), "link")
	put(t, in(dir, "c"), "y")
	a := handle(t, unix.AT_FDCWD, in(dir, "a"), 0)
	equal(t, bytes.Equal(a, handle(t, unix.AT_FDCWD, in(dir, "b"), 0)), true, "handles of two names")
	equal(t, bytes.Equal(a, handle(t, fd, "", unix.AT_EMPTY_PATH)), true, "handles of name and descriptor")
	equal(t, bytes.Equal(a, handle(t, unix.AT_FDCWD, in(dir, "c"), 0)), false, "handles of two files")
	ok(t, unix.Rename(in(dir, "a"), in(dir, "d")), "rename")
	equal(t, bytes.Equal(a, handle(t, unix.AT_FDCWD, in(dir, "d"), 0)), true, "handle after a rename")
	equal(t, stat(t, in(dir, "b")).Ino, fstat(t, fd).Ino, "inodes")
}

// oneInode: what is seen by name is what the descriptor is on, shown by locks
// and by size at once.
func oneInode(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "x")
	for i := range 50 {
		again, err := unix.Open(in(dir, "f"), unix.O_RDWR|unix.O_APPEND|unix.O_CLOEXEC, 0)
		ok(t, err, "open")
		_, err = unix.Write(again, []byte("y"))
		ok(t, err, "append")
		equal(t, fstat(t, fd).Size, int64(i+2), "size through the first descriptor")
		equal(t, bytes.Equal(handle(t, again, "", unix.AT_EMPTY_PATH), handle(t, fd, "", unix.AT_EMPTY_PATH)), true, "handles")
		unix.Close(again)
	}
}

func openHandle(t *testing.T, dir string) {
	put(t, in(dir, "f"), "by handle")
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, in(dir, "f"), 0)
	ok(t, err, "name_to_handle_at")
	at := open(t, dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	fd, err := unix.OpenByHandleAt(at, h, unix.O_RDONLY|unix.O_CLOEXEC)
	ok(t, err, "open_by_handle_at")
	defer unix.Close(fd)
	equal(t, pread(t, fd, 20, 0), "by handle", "content")
	equal(t, fstat(t, fd).Ino, stat(t, in(dir, "f")).Ino, "inode")
}
