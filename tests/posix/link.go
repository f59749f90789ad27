package posix

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

func linkCases() map[string]Case {
	return map[string]Case{
		"LinksAreCounted":             linksCounted,
		"LinksAreOneFile":             linksOneFile,
		"LinkErrors":                  linkErrors,
		"LinkOfSymlinkIsItsOwn":       linkSymlink,
		"DirectoryLinksAreCounted":    dirLinks,
		"LinkOfUnlinkedFileIsRefused": linkUnlinked,
		"LinkOfOthersFile":            linkOthers,
	}
}

func linksCounted(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "x")
	equal(t, fstat(t, fd).Nlink, 1, "links")
	for i := range 10 {
		ok(t, unix.Link(in(dir, "f"), in(dir, fmt.Sprint(i))), "link")
		equal(t, fstat(t, fd).Nlink, uint64(i+2), "links of the descriptor")
		equal(t, stat(t, in(dir, "f")).Nlink, uint64(i+2), "links of the first name")
		equal(t, stat(t, in(dir, fmt.Sprint(i))).Nlink, uint64(i+2), "links of the new name")
	}
	ok(t, unix.Unlink(in(dir, "f")), "unlink")
	for i := range 10 {
		equal(t, fstat(t, fd).Nlink, uint64(10-i), "links of the descriptor")
		equal(t, stat(t, in(dir, fmt.Sprint(i))).Nlink, uint64(10-i), "links of a name")
		ok(t, unix.Unlink(in(dir, fmt.Sprint(i))), "unlink")
	}
	equal(t, fstat(t, fd).Nlink, 0, "links in the end")
}

func linksOneFile(t *testing.T, dir string) {
	mkdir(t, in(dir, "d"), 0o755)
	a := create(t, in(dir, "a"), "0123456789")
	ok(t, unix.Link(in(dir, "a"), in(dir, "d/b")), "link")
	b := open(t, in(dir, "d/b"), unix.O_RDWR, 0)
	pwrite(t, a, "AA", 0)
	pwrite(t, b, "BB", 5)
	equal(t, content(t, in(dir, "a")), "AA234BB789", "content by the first name")
	equal(t, pread(t, a, 20, 0), "AA234BB789", "content through the first descriptor")
	ok(t, unix.Chmod(in(dir, "d/b"), 0o600), "chmod")
	ok(t, unix.Truncate(in(dir, "d/b"), 3), "truncate")
	st := stat(t, in(dir, "a"))
	equal(t, [2]any{st.Mode & 0o7777, st.Size}, [2]any{uint32(0o600), int64(3)}, "mode and size by the first name")
	equal(t, st.Ino, stat(t, in(dir, "d/b")).Ino, "inode")
	ok(t, unix.Unlink(in(dir, "a")), "unlink")
	equal(t, content(t, in(dir, "d/b")), "AA2", "content by the second name")
	ok(t, unix.Rename(in(dir, "d/b"), in(dir, "a")), "rename back")
	equal(t, content(t, in(dir, "a")), "AA2", "content by the first name")
}

func linkErrors(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	put(t, in(dir, "g"), "y")
	mkdir(t, in(dir, "d"), 0o755)
	want(t, unix.Link(in(dir, "d"), in(dir, "e")), unix.EPERM, "link of a directory")
	want(t, unix.Link(in(dir, "f"), in(dir, "g")), unix.EEXIST, "link over a file")
	want(t, unix.Link(in(dir, "f"), in(dir, "f")), unix.EEXIST, "link over itself")
	want(t, unix.Link(in(dir, "no"), in(dir, "x")), unix.ENOENT, "link of nothing")
	want(t, unix.Link(in(dir, "f"), in(dir, "no/x")), unix.ENOENT, "link to nowhere")
	want(t, unix.Link(in(dir, "f"), in(dir, "g/x")), unix.ENOTDIR, "link below a file")
	want(t, unix.Link(in(dir, "f"), "/dev/shm/holdfast-no-such-file"), unix.EXDEV, "link to another file system")
	equal(t, stat(t, in(dir, "f")).Nlink, 1, "links")
}

func linkSymlink(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	ok(t, unix.Symlink("f", in(dir, "s")), "symlink")
	ok(t, unix.Link(in(dir, "s"), in(dir, "t")), "link of the symlink")
	equal(t, stat(t, in(dir, "t")).Ino, stat(t, in(dir, "s")).Ino, "inode")
	equal(t, stat(t, in(dir, "s")).Nlink, 2, "links of the symlink")
	ok(t, unix.Linkat(unix.AT_FDCWD, in(dir, "s"), unix.AT_FDCWD, in(dir, "g"), unix.AT_SYMLINK_FOLLOW), "link of its target")
	equal(t, stat(t, in(dir, "g")).Ino, stat(t, in(dir, "f")).Ino, "inode")
}

func dirLinks(t *testing.T, dir string) {
	mkdir(t, in(dir, "d"), 0o755)
	equal(t, stat(t, in(dir, "d")).Nlink, 2, "links of an empty directory")
	for i := range 5 {
		mkdir(t, in(dir, fmt.Sprintf("d/%d", i)), 0o755)
		put(t, in(dir, fmt.Sprintf("d/f%d", i)), "")
		equal(t, stat(t, in(dir, "d")).Nlink, uint64(3+i), "links with subdirectories")
	}
	fd := open(t, in(dir, "d/0"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	ok(t, unix.Rmdir(in(dir, "d/0")), "rmdir")
	equal(t, stat(t, in(dir, "d")).Nlink, 6, "links after rmdir")
	equal(t, fstat(t, fd).Nlink, 0, "links of the removed directory")
}

func linkUnlinked(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "x")
	ok(t, unix.Unlink(in(dir, "f")), "unlink")
	err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, in(dir, "g"), unix.AT_SYMLINK_FOLLOW)
	want(t, err, unix.ENOENT, "name for an unlinked file")
	absent(t, in(dir, "g"))
}

// linkOthers: fs.protected_hardlinks may forbid it with EPERM, never else.
func linkOthers(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	ok(t, unix.Chmod(in(dir, "f"), 0o600), "chmod")
	ok(t, unix.Chmod(dir, 0o777), "chmod")
	c := as(t, dir, 4242, 4242)
	if err := c.err(ask{Op: "link", Path: "f", To: "g"}); err != nil && err != unix.EPERM {
		t.Errorf("link of another's file: %v", err)
	}
	_, err := c.open("own", unix.O_RDWR|unix.O_CREAT, 0o600)
	ok(t, err, "create")
	ok(t, c.err(ask{Op: "link", Path: "own", To: "own2"}), "link of one's own file")
}
