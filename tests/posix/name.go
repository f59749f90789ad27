package posix

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func nameCases() map[string]Case {
	return map[string]Case{
		"NameOf255BytesButNot256":   nameLength,
		"NameOfAnyBytes":            nameBytes,
		"PathOf4000Bytes":           longPath,
		"NameErrors":                nameErrors,
		"UnlinkAndRmdirErrors":      removeErrors,
		"NameComesBackAsAnother":    nameReused,
		"SymlinkOfAnyTarget":        symlinks,
		"SymlinkLoop":               symlinkLoop,
		"SymlinkIsFollowed":         symlinkFollowed,
		"DotAndSlashes":             dots,
		"CaseMatters":               caseMatters,
		"CreatedNameIsSeenAtOnce":   seenAtOnce,
		"CallsRelativeToADirectory": relative,
	}
}

func nameLength(t *testing.T, dir string) {
	long := strings.Repeat("n", 255)
	put(t, in(dir, long), "x")
	equal(t, content(t, in(dir, long)), "x", "content")
	ok(t, unix.Rename(in(dir, long), in(dir, strings.Repeat("m", 255))), "rename")
	equal(t, names(t, dir), strings.Repeat("m", 255), "listing")
	tooLong := in(dir, long+"n")
	var st unix.Stat_t
	want(t, unix.Lstat(tooLong, &st), unix.ENAMETOOLONG, "stat")
	_, err := unix.Open(tooLong, unix.O_RDWR|unix.O_CREAT, 0o644)
	want(t, err, unix.ENAMETOOLONG, "create")
	want(t, unix.Mkdir(tooLong, 0o755), unix.ENAMETOOLONG, "mkdir")
	want(t, unix.Symlink("x", tooLong), unix.ENAMETOOLONG, "symlink")
	want(t, unix.Mknod(tooLong, unix.S_IFIFO|0o644, 0), unix.ENAMETOOLONG, "mknod")
	want(t, unix.Rename(in(dir, strings.Repeat("m", 255)), tooLong), unix.ENAMETOOLONG, "rename")
	want(t, unix.Link(in(dir, strings.Repeat("m", 255)), tooLong), unix.ENAMETOOLONG, "link")
	want(t, unix.Unlink(tooLong), unix.ENAMETOOLONG, "unlink")
}

// names lists a directory, sorted, with spaces between.
func names(t *testing.T, dir string) string {
	t.Helper()
	ents, err := os.ReadDir(dir)
	ok(t, err, "list")
	var all []string
	for _, e := range ents {
		all = append(all, e.Name())
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func nameBytes(t *testing.T, dir string) {
	var all []string
	for i := 1; i < 256; i++ {
		if i != '/' {
			all = append(all, "n"+string([]byte{byte(i)}))
		}
	}
	all = append(all, "\xff\xfe\xfd", "\xc3\x28", "line\nfeed", " ", "...", "-rf", "*", "$(x)", `\`, "ü", "日本", "\xed\xa0\x80")
	for i, name := range all {
		put(t, in(dir, name), fmt.Sprint(i))
	}
	ents, err := os.ReadDir(dir)
	ok(t, err, "list")
	equal(t, len(ents), len(all), "entries")
	for _, e := range ents {
		if !slices.Contains(all, e.Name()) {
			t.Errorf("listing shows %q", e.Name())
		}
	}
	for i, name := range all {
		equal(t, content(t, in(dir, name)), fmt.Sprint(i), fmt.Sprintf("content of %q", name))
	}
	ok(t, unix.Rename(in(dir, "\xff\xfe\xfd"), in(dir, "\xfe")), "rename")
	ok(t, unix.Symlink("\xff\x01", in(dir, "s")), "symlink")
	target, err := os.Readlink(in(dir, "s"))
	ok(t, err, "readlink")
	equal(t, target, "\xff\x01", "target")
}

// longPath goes down by openat, and asks by paths just below and above the
// limit of 4,096 bytes.
func longPath(t *testing.T, dir string) {
	part := strings.Repeat("d", 200)
	at, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	ok(t, err, "open")
	path := dir
	for range 25 {
		ok(t, unix.Mkdirat(at, part, 0o755), "mkdirat")
		next, err := unix.Openat(at, part, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		ok(t, err, "openat")
		unix.Close(at)
		at, path = next, path+"/"+part
	}
	defer unix.Close(at)
	fd, err := unix.Openat(at, "f", unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o644)
	ok(t, err, "create at the bottom")
	pwrite(t, fd, "deep", 0)
	unix.Close(fd)
	var st unix.Stat_t
	want(t, unix.Lstat(path, &st), unix.ENAMETOOLONG, "path over 4,096 bytes")
	below := path[:4095]
	below = below[:strings.LastIndexByte(below, '/')]
	if len(below) < 3800 {
		t.Fatalf("path of %d bytes", len(below))
	}
	ok(t, unix.Lstat(below, &st), "path of nearly 4,096 bytes")
	fd, err = unix.Openat(at, "f", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	ok(t, err, "open at the bottom")
	equal(t, pread(t, fd, 10, 0), "deep", "content")
	unix.Close(fd)
}

func nameErrors(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	mkdir(t, in(dir, "d"), 0o755)
	want(t, unix.Mkdir(in(dir, "d"), 0o755), unix.EEXIST, "mkdir over a directory")
	want(t, unix.Mkdir(in(dir, "f"), 0o755), unix.EEXIST, "mkdir over a file")
	want(t, unix.Mkdir(in(dir, "f/d"), 0o755), unix.ENOTDIR, "mkdir below a file")
	want(t, unix.Mkdir(in(dir, "no/d"), 0o755), unix.ENOENT, "mkdir below nothing")
	want(t, unix.Mknod(in(dir, "f"), unix.S_IFREG|0o644, 0), unix.EEXIST, "mknod over a file")
	want(t, unix.Symlink("x", in(dir, "f")), unix.EEXIST, "symlink over a file")
	want(t, unix.Symlink("", in(dir, "s")), unix.ENOENT, "symlink to nothing")
	_, err := unix.Readlink(in(dir, "f"), make([]byte, 10))
	want(t, err, unix.EINVAL, "readlink of a file")
	want(t, unix.Chdir(in(dir, "f")), unix.ENOTDIR, "chdir to a file")
}

func removeErrors(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	mkdir(t, in(dir, "d"), 0o755)
	put(t, in(dir, "d/g"), "x")
	want(t, unix.Unlink(in(dir, "d")), unix.EISDIR, "unlink of a directory")
	want(t, unix.Rmdir(in(dir, "f")), unix.ENOTDIR, "rmdir of a file")
	want(t, unix.Rmdir(in(dir, "d")), unix.ENOTEMPTY, "rmdir of what is not empty")
	want(t, unix.Unlink(in(dir, "no")), unix.ENOENT, "unlink of nothing")
	want(t, unix.Rmdir(in(dir, "no")), unix.ENOENT, "rmdir of nothing")
	want(t, unix.Rmdir(dir+"/d/."), unix.EINVAL, "rmdir of .")
	want(t, unix.Rmdir(dir+"/d/.."), unix.ENOTEMPTY, "rmdir of ..")
	want(t, unix.Unlink(in(dir, "f")+"/"), unix.ENOTDIR, "unlink with a slash behind")
	ok(t, unix.Unlink(in(dir, "d/g")), "unlink")
	ok(t, unix.Rmdir(in(dir, "d")), "rmdir")
	absent(t, in(dir, "d"))
	equal(t, names(t, dir), "f", "listing")
}

func nameReused(t *testing.T, dir string) {
	path := in(dir, "n")
	for range 20 {
		put(t, path, "file")
		equal(t, content(t, path), "file", "content")
		ok(t, unix.Unlink(path), "unlink")
		mkdir(t, path, 0o755)
		put(t, in(path, "inside"), "")
		equal(t, stat(t, path).Mode&unix.S_IFMT, unix.S_IFDIR, "type")
		ok(t, unix.Unlink(in(path, "inside")), "unlink inside")
		ok(t, unix.Rmdir(path), "rmdir")
		ok(t, unix.Symlink("somewhere", path), "symlink")
		equal(t, stat(t, path).Mode&unix.S_IFMT, unix.S_IFLNK, "type")
		ok(t, unix.Unlink(path), "unlink")
		absent(t, path)
	}
}

func symlinks(t *testing.T, dir string) {
	for i, target := range []string{"x", "../../..", "/", "/no/such/thing", strings.Repeat("t", 59), strings.Repeat("t", 60),
		strings.Repeat("t/", 500), strings.Repeat("l", 4095), "with space\nand line"} {
		path := in(dir, fmt.Sprint(i))
		if len(target) == 4095 {
			// ext4 keeps less than a block with the NUL.
			if err := unix.Symlink(target, path); err == unix.ENAMETOOLONG {
				continue
			} else {
				ok(t, err, "symlink of 4095 bytes")
			}
		} else {
			ok(t, unix.Symlink(target, path), "symlink")
		}
		got, err := os.Readlink(path)
		ok(t, err, "readlink")
		equal(t, got, target, "target")
		st := stat(t, path)
		equal(t, st.Size, int64(len(target)), "size")
		equal(t, st.Mode, unix.S_IFLNK|0o777, "mode")
		b := make([]byte, 1)
		n, err := unix.Readlink(path, b)
		ok(t, err, "readlink into one byte")
		equal(t, string(b[:n]), target[:1], "cut target")
	}
	want(t, unix.Symlink(strings.Repeat("l", 4096), in(dir, "l")), unix.ENAMETOOLONG, "symlink of 4096 bytes")
}

func symlinkLoop(t *testing.T, dir string) {
	ok(t, unix.Symlink("b", in(dir, "a")), "symlink")
	ok(t, unix.Symlink("a", in(dir, "b")), "symlink")
	var st unix.Stat_t
	want(t, unix.Stat(in(dir, "a"), &st), unix.ELOOP, "stat through a loop")
	_, err := unix.Open(in(dir, "a/x"), unix.O_RDONLY, 0)
	want(t, err, unix.ELOOP, "open through a loop")
	ok(t, unix.Symlink("nowhere", in(dir, "dangling")), "symlink")
	want(t, unix.Stat(in(dir, "dangling"), &st), unix.ENOENT, "stat of a dangling link")
	// Creating through a dangling link makes its target.
	fd := open(t, in(dir, "dangling"), unix.O_RDWR|unix.O_CREAT, 0o644)
	pwrite(t, fd, "made", 0)
	equal(t, content(t, in(dir, "nowhere")), "made", "target")
}

func symlinkFollowed(t *testing.T, dir string) {
	mkdir(t, in(dir, "d"), 0o755)
	put(t, in(dir, "d/f"), "abc")
	ok(t, unix.Symlink("d", in(dir, "s")), "symlink")
	ok(t, unix.Symlink(in(dir, "s/f"), in(dir, "abs")), "symlink")
	equal(t, content(t, in(dir, "s/f")), "abc", "through a link to a directory")
	equal(t, content(t, in(dir, "abs")), "abc", "through an absolute link")
	ok(t, unix.Chmod(in(dir, "abs"), 0o600), "chmod through a link")
	equal(t, perm(t, in(dir, "d/f")), 0o600, "mode of the target")
	ok(t, unix.Lchown(in(dir, "abs"), 11, 12), "lchown")
	st := stat(t, in(dir, "abs"))
	equal(t, [2]uint32{st.Uid, st.Gid}, [2]uint32{11, 12}, "owner of the link")
	equal(t, stat(t, in(dir, "d/f")).Uid, 0, "owner of the target")
	ok(t, unix.Unlink(in(dir, "s")), "unlink of the link")
	equal(t, content(t, in(dir, "d/f")), "abc", "target after it")
}

func dots(t *testing.T, dir string) {
	mkdir(t, in(dir, "d"), 0o755)
	put(t, in(dir, "f"), "x")
	equal(t, stat(t, dir+"/d/..").Ino, stat(t, dir).Ino, "..")
	equal(t, stat(t, dir+"/d/.").Ino, stat(t, dir+"/d").Ino, ".")
	equal(t, content(t, dir+"//d/..///./f"), "x", "slashes")
	want(t, unix.Mkdir(dir+"/.", 0o755), unix.EEXIST, "mkdir .")
	var st unix.Stat_t
	want(t, unix.Lstat(dir+"/f/.", &st), unix.ENOTDIR, "a file's .")
	want(t, unix.Lstat(dir+"/f/", &st), unix.ENOTDIR, "a file with a slash")
}

func caseMatters(t *testing.T, dir string) {
	put(t, in(dir, "name"), "lower")
	put(t, in(dir, "Name"), "upper")
	equal(t, content(t, in(dir, "name"))+content(t, in(dir, "Name")), "lowerupper", "contents")
}

// seenAtOnce: that a name was absent must not be remembered.
func seenAtOnce(t *testing.T, dir string) {
	for i := range 100 {
		path := in(dir, fmt.Sprint(i))
		absent(t, path)
		put(t, path, "")
		stat(t, path)
		to := path + "r"
		absent(t, to)
		ok(t, unix.Rename(path, to), "rename")
		absent(t, path)
		stat(t, to)
		ok(t, unix.Unlink(to), "unlink")
		absent(t, to)
	}
}

func relative(t *testing.T, dir string) {
	mkdir(t, in(dir, "d"), 0o755)
	at := open(t, in(dir, "d"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	ok(t, unix.Rename(in(dir, "d"), in(dir, "e")), "rename the directory")
	fd, err := unix.Openat(at, "f", unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o644)
	ok(t, err, "openat")
	unix.Close(fd)
	ok(t, unix.Mkdirat(at, "sub", 0o755), "mkdirat")
	ok(t, unix.Symlinkat("f", at, "s"), "symlinkat")
	ok(t, unix.Linkat(at, "f", at, "h", 0), "linkat")
	ok(t, unix.Renameat(at, "f", at, "g"), "renameat")
	ok(t, unix.Unlinkat(at, "s", 0), "unlinkat")
	ok(t, unix.Unlinkat(at, "sub", unix.AT_REMOVEDIR), "unlinkat of a directory")
	equal(t, names(t, in(dir, "e")), "g h", "listing")
	var st unix.Stat_t
	ok(t, unix.Fstatat(at, "", &st, unix.AT_EMPTY_PATH), "fstatat of the descriptor itself")
	equal(t, st.Ino, stat(t, in(dir, "e")).Ino, "inode")
}
