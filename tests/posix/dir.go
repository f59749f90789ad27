package posix

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

func dirCases() map[string]Case {
	return map[string]Case{
		"ListingIsComplete":             listComplete,
		"ListingOf10000Entries":         listMany,
		"ListingGoesOnFromACookie":      listCookie,
		"ListingRewindsAndSeesChanges":  listRewind,
		"ListingOfRemovedDirectory":     listRemoved,
		"ListingWhileEntriesGo":         listShrinking,
		"ListingTypesAndInodes":         listTypes,
		"RmdirOfOpenDirectory":          rmdirOpen,
		"MkdirInRemovedDirectory":       mkdirRemoved,
		"ListingThroughTwoDescriptors":  listTwo,
		"RemoveAllOfADeepTree":          removeTree,
		"CurrentDirectoryIsRemoved":     cwdRemoved,
		"CurrentDirectoryIsRenamed":     cwdRenamed,
		"ListingIntoASmallBufferErrors": listSmall,
	}
}

type dirent struct {
	name string
	ino  uint64
	off  int64
	typ  byte
}

func getdents(t *testing.T, fd, size int) []dirent {
	t.Helper()
	b := make([]byte, size)
	n, err := unix.Getdents(fd, b)
	ok(t, err, "getdents")
	var all []dirent
	le := binary.LittleEndian
	for b = b[:n]; len(b) > 0; {
		n := int(le.Uint16(b[16:]))
		name, _, _ := bytes.Cut(b[19:n], []byte{0})
		all = append(all, dirent{name: string(name), ino: le.Uint64(b), off: int64(le.Uint64(b[8:])), typ: b[18]})
		b = b[n:]
	}
	return all
}

// list reads to the end.
func list(t *testing.T, fd int) []dirent {
	t.Helper()
	var all []dirent
	for {
		more := getdents(t, fd, 4096)
		if len(more) == 0 {
			return all
		}
		all = append(all, more...)
	}
}

func once(t *testing.T, ents []dirent) map[string]bool {
	t.Helper()
	seen := map[string]bool{}
	for _, e := range ents {
		if seen[e.name] {
			t.Errorf("listing shows %q twice", e.name)
		}
		seen[e.name] = true
	}
	return seen
}

func fillDir(t *testing.T, dir string, n int) {
	t.Helper()
	at, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	ok(t, err, "open")
	defer unix.Close(at)
	for i := range n {
		ok(t, unix.Mknodat(at, fmt.Sprintf("entry-%05d", i), unix.S_IFREG|0o644, 0), "mknod")
	}
}

func opendir(t *testing.T, dir string) int {
	t.Helper()
	return open(t, dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
}

func listComplete(t *testing.T, dir string) {
	d := mkdir(t, in(dir, "d"), 0o755)
	seen := once(t, list(t, opendir(t, d)))
	equal(t, len(seen) == 2 && seen["."] && seen[".."], true, "an empty directory has . and ..")
	for n := range 60 {
		put(t, in(d, fmt.Sprint(n)), "")
		equal(t, len(once(t, list(t, opendir(t, d)))), n+3, "entries")
	}
}

func listMany(t *testing.T, dir string) {
	const n = 10_000
	fillDir(t, dir, n)
	for _, size := range []int{512, 4096, 1 << 20} {
		fd := opendir(t, dir)
		var all []dirent
		for {
			more := getdents(t, fd, size)
			if len(more) == 0 {
				break
			}
			all = append(all, more...)
		}
		seen := once(t, all)
		equal(t, len(seen), n+2, fmt.Sprintf("entries by %d bytes", size))
		for i := range n {
			if !seen[fmt.Sprintf("entry-%05d", i)] {
				t.Fatalf("listing does not show entry %d", i)
			}
		}
	}
}

// listCookie goes back to the offset of every entry once.
func listCookie(t *testing.T, dir string) {
	const n = 500
	fillDir(t, dir, n)
	fd := opendir(t, dir)
	all := list(t, fd)
	equal(t, len(all), n+2, "entries")
	for i := 0; i < len(all); i += 7 {
		at, err := unix.Seek(fd, all[i].off, unix.SEEK_SET)
		ok(t, err, "seek to a cookie")
		equal(t, at, all[i].off, "seek to a cookie")
		rest := list(t, fd)
		if len(rest) != len(all)-i-1 {
			t.Fatalf("%d entries after number %d of %d", len(rest), i, len(all))
		}
		for k, e := range rest {
			if e.name != all[i+1+k].name {
				t.Fatalf("after number %d stands %q, want %q", i, e.name, all[i+1+k].name)
			}
		}
	}
	other := opendir(t, dir) // a cookie is good in another stream
	_, err := unix.Seek(other, all[100].off, unix.SEEK_SET)
	ok(t, err, "seek in another stream")
	equal(t, len(list(t, other)), len(all)-101, "entries of another stream")
}

func listRewind(t *testing.T, dir string) {
	put(t, in(dir, "a"), "")
	fd := opendir(t, dir)
	equal(t, len(list(t, fd)), 3, "entries")
	put(t, in(dir, "b"), "")
	ok(t, unix.Unlink(in(dir, "a")), "unlink")
	_, err := unix.Seek(fd, 0, unix.SEEK_SET)
	ok(t, err, "rewind")
	seen := once(t, list(t, fd))
	equal(t, len(seen) == 3 && seen["b"], true, "entries after rewind")
}

func listRemoved(t *testing.T, dir string) {
	d := mkdir(t, in(dir, "d"), 0o755)
	fd := opendir(t, d)
	ok(t, unix.Rmdir(d), "rmdir")
	// Linux: getdents of a removed directory is ENOENT.
	_, err := unix.Getdents(fd, make([]byte, 4096))
	want(t, err, unix.ENOENT, "listing of a removed directory")
	equal(t, fstat(t, fd).Nlink, 0, "links")
}

func listShrinking(t *testing.T, dir string) {
	const n = 1000
	fillDir(t, dir, n)
	fd := opendir(t, dir)
	seen := map[string]bool{}
	gone := 0
	for {
		ents := getdents(t, fd, 2048)
		if len(ents) == 0 {
			break
		}
		for _, e := range ents {
			if seen[e.name] {
				t.Errorf("listing shows %q twice", e.name)
			}
			seen[e.name] = true
			if e.name[0] != '.' {
				ok(t, unix.Unlink(in(dir, e.name)), "unlink what is listed")
				gone++
			}
		}
	}
	equal(t, gone, n, "listed and removed")
	equal(t, names(t, dir), "", "what is left")
}

func listTypes(t *testing.T, dir string) {
	put(t, in(dir, "file"), "")
	mkdir(t, in(dir, "dir"), 0o755)
	ok(t, unix.Symlink("x", in(dir, "link")), "symlink")
	ok(t, unix.Mkfifo(in(dir, "fifo"), 0o644), "mkfifo")
	ok(t, unix.Link(in(dir, "file"), in(dir, "hard")), "link")
	types := map[string]byte{".": unix.DT_DIR, "..": unix.DT_DIR, "file": unix.DT_REG, "hard": unix.DT_REG,
		"dir": unix.DT_DIR, "link": unix.DT_LNK, "fifo": unix.DT_FIFO}
	ents := list(t, opendir(t, dir))
	equal(t, len(ents), len(types), "entries")
	for _, e := range ents {
		equal(t, e.typ, types[e.name], "type of "+e.name)
		var st unix.Stat_t
		ok(t, unix.Fstatat(unix.AT_FDCWD, dir+"/"+e.name, &st, unix.AT_SYMLINK_NOFOLLOW), "stat")
		equal(t, e.ino, st.Ino, "inode of "+e.name)
	}
	d := opendir(t, in(dir, "dir"))
	for _, e := range list(t, d) {
		if e.name == ".." {
			equal(t, e.ino, stat(t, dir).Ino, "inode of .. in a subdirectory")
		}
	}
}

func rmdirOpen(t *testing.T, dir string) {
	d := mkdir(t, in(dir, "d"), 0o755)
	put(t, in(d, "f"), "")
	fd := opendir(t, d)
	getdents(t, fd, 4096)
	ok(t, unix.Unlink(in(d, "f")), "unlink")
	ok(t, unix.Rmdir(d), "rmdir")
	absent(t, d)
	mkdir(t, d, 0o755)
	put(t, in(d, "new"), "")
	var st unix.Stat_t
	want(t, unix.Fstatat(fd, "new", &st, 0), unix.ENOENT, "a new directory's file through the old descriptor")
	equal(t, fstat(t, fd).Ino != stat(t, d).Ino || fstat(t, fd).Nlink == 0, true, "they are two")
}

func mkdirRemoved(t *testing.T, dir string) {
	d := mkdir(t, in(dir, "d"), 0o755)
	fd := opendir(t, d)
	ok(t, unix.Rmdir(d), "rmdir")
	want(t, unix.Mkdirat(fd, "sub", 0o755), unix.ENOENT, "mkdir")
	_, err := unix.Openat(fd, "f", unix.O_RDWR|unix.O_CREAT, 0o644)
	want(t, err, unix.ENOENT, "create")
	want(t, unix.Symlinkat("x", fd, "s"), unix.ENOENT, "symlink")
	put(t, in(dir, "f"), "")
	want(t, unix.Linkat(unix.AT_FDCWD, in(dir, "f"), fd, "f", 0), unix.ENOENT, "link")
	want(t, unix.Renameat(unix.AT_FDCWD, in(dir, "f"), fd, "f"), unix.ENOENT, "rename")
}

func listTwo(t *testing.T, dir string) {
	fillDir(t, dir, 300)
	a, b := opendir(t, dir), opendir(t, dir)
	var la, lb []dirent
	for {
		ma, mb := getdents(t, a, 600), getdents(t, b, 1100)
		if len(ma)+len(mb) == 0 {
			break
		}
		la, lb = append(la, ma...), append(lb, mb...)
	}
	equal(t, len(once(t, la)), 302, "entries through the first")
	equal(t, len(once(t, lb)), 302, "entries through the second")
}

func removeTree(t *testing.T, dir string) {
	path := in(dir, "t")
	for i := range 30 {
		mkdir(t, path, 0o755)
		for k := range 3 {
			put(t, in(path, fmt.Sprintf("f%d", k)), fmt.Sprint(i))
		}
		path = in(path, "d")
	}
	var remove func(path string)
	remove = func(path string) {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		ok(t, err, "open")
		for _, e := range list(t, fd) {
			switch {
			case e.name == "." || e.name == "..":
			case e.typ == unix.DT_DIR:
				remove(in(path, e.name))
			default:
				ok(t, unix.Unlink(in(path, e.name)), "unlink")
			}
		}
		unix.Close(fd)
		ok(t, unix.Rmdir(path), "rmdir")
	}
	remove(in(dir, "t"))
	equal(t, names(t, dir), "", "what is left")
}

func cwdRemoved(t *testing.T, dir string) {
	d := mkdir(t, in(dir, "d"), 0o755)
	c := start(t, d)
	ok(t, unix.Rmdir(d), "rmdir")
	want(t, c.err(ask{Op: "getcwd"}), unix.ENOENT, "getcwd")
	equal(t, c.call(ask{Op: "stat", Path: "."}).Errno, 0, "stat of .")
	_, err := c.open("f", unix.O_RDWR|unix.O_CREAT, 0o644)
	want(t, err, unix.ENOENT, "create")
	want(t, c.err(ask{Op: "stat", Path: "f"}), unix.ENOENT, "stat")
	ok(t, c.err(ask{Op: "chdir", Path: ".."}), "chdir to ..")
	ok(t, c.err(ask{Op: "mkdir", Path: "x", Mode: 0o755}), "mkdir there")
	stat(t, in(dir, "x"))
}

func cwdRenamed(t *testing.T, dir string) {
	d := mkdir(t, in(dir, "d"), 0o755)
	c := start(t, d)
	ok(t, unix.Rename(d, in(dir, "e")), "rename")
	equal(t, string(bytes.TrimRight(c.call(ask{Op: "getcwd"}).Data, "\x00")), in(dir, "e"), "getcwd")
	fd, err := c.open("f", unix.O_RDWR|unix.O_CREAT, 0o644)
	ok(t, err, "create")
	ok(t, c.err(ask{Op: "pwrite", FD: fd, Data: []byte("x")}), "write")
	equal(t, content(t, in(dir, "e/f")), "x", "content")
}

func listSmall(t *testing.T, dir string) {
	put(t, in(dir, "name-that-is-longer-than-the-buffer"), "")
	fd := opendir(t, dir)
	for {
		n, err := unix.Getdents(fd, make([]byte, 24))
		if err != nil {
			want(t, err, unix.EINVAL, "an entry into too few bytes")
			return
		}
		if n == 0 {
			t.Fatal("the listing ended without the entry")
		}
	}
}
