package posix

import (
	"testing"

	"golang.org/x/sys/unix"
)

func renameCases() map[string]Case {
	return map[string]Case{
		"RenameOverOpenFile":         renameOverOpen,
		"RenameNoReplace":            renameNoReplace,
		"RenameExchange":             renameExchange,
		"RenameDirectoryIntoItself":  renameIntoSelf,
		"RenameOverDirectories":      renameOverDirs,
		"RenameOfTwoNamesOfOneFile":  renameSameFile,
		"RenameKeepsEverything":      renameKeeps,
		"RenameBetweenDirectories":   renameBetween,
		"RenameErrors":               renameErrors,
		"RenameOfOpenDirectory":      renameOpenDir,
		"RenameOverSymlinkAndFIFO":   renameOverOthers,
		"RenameDirectoryMovesParent": renameParent,
	}
}

func renameOverOpen(t *testing.T, dir string) {
	old := create(t, in(dir, "a"), "old")
	put(t, in(dir, "b"), "new")
	ino := stat(t, in(dir, "b")).Ino
	ok(t, unix.Rename(in(dir, "b"), in(dir, "a")), "rename")
	absent(t, in(dir, "b"))
	equal(t, content(t, in(dir, "a")), "new", "content by name")
	equal(t, stat(t, in(dir, "a")).Ino, ino, "inode by name")
	equal(t, pread(t, old, 10, 0), "old", "content of what was replaced")
	equal(t, fstat(t, old).Nlink, 0, "links of what was replaced")
	pwrite(t, old, "OLD!", 0)
	equal(t, pread(t, old, 10, 0), "OLD!", "write to what was replaced")
	equal(t, content(t, in(dir, "a")), "new", "content by name")
}

func rename2(from, to string, flags uint) error {
	return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags)
}

func renameNoReplace(t *testing.T, dir string) {
	put(t, in(dir, "a"), "a")
	put(t, in(dir, "b"), "b")
	want(t, rename2(in(dir, "a"), in(dir, "b"), unix.RENAME_NOREPLACE), unix.EEXIST, "rename over what is there")
	ok(t, rename2(in(dir, "a"), in(dir, "c"), unix.RENAME_NOREPLACE), "rename to what is not there")
	equal(t, content(t, in(dir, "b"))+content(t, in(dir, "c")), "ba", "contents")
	mkdir(t, in(dir, "d"), 0o755)
	want(t, rename2(in(dir, "c"), in(dir, "d"), unix.RENAME_NOREPLACE), unix.EEXIST, "rename over a directory")
	want(t, rename2(in(dir, "c"), in(dir, "e"), unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE), unix.EINVAL, "both flags")
}

func renameExchange(t *testing.T, dir string) {
	fa := create(t, in(dir, "a"), "file a")
	mkdir(t, in(dir, "d"), 0o755)
	put(t, in(dir, "d/inside"), "x")
	fb := create(t, in(dir, "b"), "file b")
	ok(t, rename2(in(dir, "a"), in(dir, "b"), unix.RENAME_EXCHANGE), "exchange of files")
	equal(t, content(t, in(dir, "a"))+" "+content(t, in(dir, "b")), "file b file a", "contents")
	equal(t, fstat(t, fa).Ino, stat(t, in(dir, "b")).Ino, "inode of a")
	equal(t, fstat(t, fb).Ino, stat(t, in(dir, "a")).Ino, "inode of b")
	ok(t, rename2(in(dir, "a"), in(dir, "d"), unix.RENAME_EXCHANGE), "exchange of file and directory")
	equal(t, content(t, in(dir, "d")), "file b", "the file")
	equal(t, content(t, in(dir, "a/inside")), "x", "in the directory")
	want(t, rename2(in(dir, "a"), in(dir, "none"), unix.RENAME_EXCHANGE), unix.ENOENT, "exchange with nothing")
	equal(t, fstat(t, fa).Nlink, 1, "links")
	mkdir(t, in(dir, "e"), 0o755)
	ok(t, rename2(in(dir, "e"), in(dir, "a/inside"), unix.RENAME_EXCHANGE), "exchange across directories")
	equal(t, content(t, in(dir, "e")), "x", "the file outside")
	equal(t, stat(t, in(dir, "a/inside/..")).Ino, stat(t, in(dir, "a")).Ino, "parent of the directory inside")
}

func renameIntoSelf(t *testing.T, dir string) {
	mkdir(t, in(dir, "d"), 0o755)
	mkdir(t, in(dir, "d/e"), 0o755)
	want(t, unix.Rename(in(dir, "d"), in(dir, "d/x")), unix.EINVAL, "rename into itself")
	want(t, unix.Rename(in(dir, "d"), in(dir, "d/e/x")), unix.EINVAL, "rename deep into itself")
	want(t, unix.Rename(in(dir, "d/e"), in(dir, "d")), unix.ENOTEMPTY, "rename over its parent")
	ok(t, unix.Rename(in(dir, "d"), in(dir, "d")), "rename to itself")
	stat(t, in(dir, "d/e"))
}

func renameOverDirs(t *testing.T, dir string) {
	mkdir(t, in(dir, "full"), 0o755)
	put(t, in(dir, "full/f"), "x")
	mkdir(t, in(dir, "d"), 0o755)
	put(t, in(dir, "f"), "x")
	want(t, unix.Rename(in(dir, "d"), in(dir, "full")), unix.ENOTEMPTY, "over a directory that is not empty")
	want(t, unix.Rename(in(dir, "f"), in(dir, "d")), unix.EISDIR, "file over directory")
	want(t, unix.Rename(in(dir, "d"), in(dir, "f")), unix.ENOTDIR, "directory over file")
	ok(t, unix.Rename(in(dir, "full"), in(dir, "d")), "over an empty directory")
	equal(t, content(t, in(dir, "d/f")), "x", "content")
	equal(t, names(t, dir), "d f", "listing")
}

func renameSameFile(t *testing.T, dir string) {
	put(t, in(dir, "a"), "x")
	ok(t, unix.Link(in(dir, "a"), in(dir, "b")), "link")
	ok(t, unix.Rename(in(dir, "a"), in(dir, "b")), "rename")
	// POSIX: two names of one file, nothing happens.
	equal(t, names(t, dir), "a b", "listing")
	equal(t, stat(t, in(dir, "a")).Nlink, 2, "links")
}

func renameKeeps(t *testing.T, dir string) {
	fd := create(t, in(dir, "a"), "data")
	ok(t, unix.Chmod(in(dir, "a"), 0o4711), "chmod")
	ok(t, unix.Setxattr(in(dir, "a"), "user.k", []byte("v"), 0), "setxattr")
	before := stat(t, in(dir, "a"))
	ok(t, unix.Rename(in(dir, "a"), in(dir, "b")), "rename")
	after := stat(t, in(dir, "b"))
	equal(t, [4]any{after.Ino, after.Mode, after.Size, after.Mtim}, [4]any{before.Ino, before.Mode, before.Size, before.Mtim}, "inode, mode, size, mtime")
	equal(t, getxattr(t, in(dir, "b"), "user.k"), "v", "xattr")
	pwrite(t, fd, "D", 0)
	equal(t, content(t, in(dir, "b")), "Data", "write through the old descriptor")
}

func renameBetween(t *testing.T, dir string) {
	mkdir(t, in(dir, "x"), 0o755)
	mkdir(t, in(dir, "y"), 0o755)
	put(t, in(dir, "x/f"), "content")
	mkdir(t, in(dir, "x/d"), 0o755)
	nx, ny := stat(t, in(dir, "x")).Nlink, stat(t, in(dir, "y")).Nlink
	ok(t, unix.Rename(in(dir, "x/f"), in(dir, "y/g")), "rename a file")
	ok(t, unix.Rename(in(dir, "x/d"), in(dir, "y/d")), "rename a directory")
	equal(t, content(t, in(dir, "y/g")), "content", "content")
	equal(t, names(t, in(dir, "x"))+"|"+names(t, in(dir, "y")), "|d g", "listings")
	equal(t, stat(t, in(dir, "x")).Nlink, nx-1, "links of the old parent")
	equal(t, stat(t, in(dir, "y")).Nlink, ny+1, "links of the new parent")
}

func renameErrors(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	mkdir(t, in(dir, "d"), 0o755)
	want(t, unix.Rename(in(dir, "no"), in(dir, "x")), unix.ENOENT, "rename of nothing")
	want(t, unix.Rename(in(dir, "f"), in(dir, "no/x")), unix.ENOENT, "rename to nowhere")
	want(t, unix.Rename(in(dir, "f"), in(dir, "f/x")), unix.ENOTDIR, "rename below a file")
	want(t, unix.Rename(dir+"/d/.", in(dir, "x")), unix.EBUSY, "rename of .")
	want(t, unix.Rename(in(dir, "f"), "/dev/shm/holdfast-no-such-file"), unix.EXDEV, "rename to another file system")
	want(t, unix.Rename(in(dir, "f"), in(dir, "x")+"/"), unix.ENOTDIR, "rename of a file with a slash behind")
	equal(t, content(t, in(dir, "f")), "x", "content")
}

func renameOpenDir(t *testing.T, dir string) {
	mkdir(t, in(dir, "d"), 0o755)
	put(t, in(dir, "d/f"), "x")
	fd := open(t, in(dir, "d"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	ok(t, unix.Rename(in(dir, "d"), in(dir, "e")), "rename")
	mkdir(t, in(dir, "d"), 0o755)
	equal(t, len(list(t, fd)), 3, "entries through the old descriptor")
	var st unix.Stat_t
	ok(t, unix.Fstatat(fd, "f", &st, 0), "stat through the old descriptor")
}

func renameOverOthers(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	ok(t, unix.Symlink("f", in(dir, "s")), "symlink")
	ok(t, unix.Rename(in(dir, "f"), in(dir, "s")), "rename over a link to itself")
	equal(t, stat(t, in(dir, "s")).Mode&unix.S_IFMT, unix.S_IFREG, "type")
	ok(t, unix.Mkfifo(in(dir, "p"), 0o644), "mkfifo")
	ok(t, unix.Rename(in(dir, "s"), in(dir, "p")), "rename over a FIFO")
	equal(t, content(t, in(dir, "p")), "x", "content")
	equal(t, names(t, dir), "p", "listing")
}

func renameParent(t *testing.T, dir string) {
	mkdir(t, in(dir, "a"), 0o755)
	mkdir(t, in(dir, "b"), 0o755)
	mkdir(t, in(dir, "a/d"), 0o755)
	equal(t, stat(t, in(dir, "a/d/..")).Ino, stat(t, in(dir, "a")).Ino, "parent before")
	ok(t, unix.Rename(in(dir, "a/d"), in(dir, "b/d")), "rename")
	equal(t, stat(t, in(dir, "b/d/..")).Ino, stat(t, in(dir, "b")).Ino, "parent after")
	fd := open(t, in(dir, "b/d"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	for _, e := range list(t, fd) {
		if e.name == ".." {
			equal(t, e.ino, stat(t, in(dir, "b")).Ino, "inode of the listed ..")
		}
	}
}
