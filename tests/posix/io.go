package posix

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func ioCases() map[string]Case {
	return map[string]Case{
		"ReadEndsAtTheEnd":            readEnd,
		"ReadvAndWritev":              vectors,
		"WriteMakesAHole":             writeHole,
		"WriteOfNothing":              writeNothing,
		"DupSharesTheOffset":          dupShares,
		"TwoDescriptorsSeeEachOther":  twoDescriptors,
		"UnlinkedFileStaysUsable":     unlinkedOpen,
		"CopyFileRange":               copyRange,
		"SendfileAndSplice":           sendSplice,
		"SyncCallsSucceed":            syncCalls,
		"LargeWriteComesBack":         largeWrite,
		"SizeIsRightAtOnce":           sizeAtOnce,
		"WriteSurvivesClose":          writeClose,
		"PermissionGoneAfterOpen":     permissionGone,
		"ReadOnlyDescriptorOfDeleted": deletedReadOnly,
	}
}

func readEnd(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "0123456789")
	equal(t, pread(t, fd, 100, 0), "0123456789", "read over the end")
	equal(t, pread(t, fd, 100, 5), "56789", "read from the middle")
	equal(t, pread(t, fd, 100, 10), "", "read at the end")
	equal(t, pread(t, fd, 100, 1<<40), "", "read far behind the end")
	pwrite(t, fd, "AB", 4)
	equal(t, pread(t, fd, 100, 0), "0123AB6789", "after an overwrite")
}

func vectors(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "")
	n, err := unix.Pwritev(fd, [][]byte{[]byte("ab"), nil, []byte("cde"), []byte("f")}, 1)
	ok(t, err, "pwritev")
	equal(t, n, 6, "pwritev")
	a, b := make([]byte, 3), make([]byte, 10)
	n, err = unix.Preadv(fd, [][]byte{a, b}, 0)
	ok(t, err, "preadv")
	equal(t, string(a)+string(b[:n-3]), "\x00abcdef", "preadv")
	_, err = unix.Seek(fd, 0, unix.SEEK_SET)
	ok(t, err, "seek")
	n, err = unix.Writev(fd, [][]byte{[]byte("X"), []byte("Y")})
	ok(t, err, "writev")
	equal(t, n, 2, "writev")
	n, err = unix.Readv(fd, [][]byte{a})
	ok(t, err, "readv")
	equal(t, string(a[:n]), "bcd", "readv goes on where writev ended")
	_, err = unix.Pwritev2(fd, [][]byte{[]byte("zz")}, -1, unix.RWF_APPEND)
	ok(t, err, "pwritev2 that appends")
	equal(t, content(t, in(dir, "f")), "XYbcdefzz", "content")
}

func writeHole(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "a")
	const far = 3<<20 + 17
	pwrite(t, fd, "z", far)
	st := fstat(t, fd)
	equal(t, st.Size, far+1, "size")
	if st.Blocks*512 >= far {
		t.Errorf("%d blocks for a file with two bytes of data", st.Blocks)
	}
	all := content(t, in(dir, "f"))
	equal(t, len(all), far+1, "length")
	equal(t, all[0] == 'a' && all[far] == 'z' && allZero(all[1:far]), true, "data, zeros, data")
}

func writeNothing(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "abc")
	n, err := unix.Pwrite(fd, nil, 100)
	ok(t, err, "write of nothing")
	equal(t, n, 0, "write of nothing")
	equal(t, fstat(t, fd).Size, 3, "size")
}

func dupShares(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "0123456789")
	dup, err := unix.Dup(fd)
	ok(t, err, "dup")
	b := make([]byte, 4)
	for i, d := range []int{fd, dup} {
		_, err = unix.Read(d, b)
		ok(t, err, "read")
		equal(t, string(b), []string{"0123", "4567"}[i], "read through both")
	}
	ok(t, unix.Close(fd), "close of the first")
	t.Cleanup(func() { unix.Close(dup) })
	_, err = unix.Write(dup, []byte("AB"))
	ok(t, err, "write through the second")
	equal(t, content(t, in(dir, "f")), "01234567AB", "content")
}

func twoDescriptors(t *testing.T, dir string) {
	a := create(t, in(dir, "f"), "0123456789")
	b := open(t, in(dir, "f"), unix.O_RDWR, 0)
	for i := range 10 {
		fd, other := a, b
		if i%2 == 1 {
			fd, other = b, a
		}
		text := strings.Repeat(string(rune('a'+i)), 5)
		pwrite(t, fd, text, int64(3*i))
		equal(t, pread(t, other, 5, int64(3*i)), text, "what the other wrote")
		equal(t, fstat(t, other).Size, max(10, int64(3*i+5)), "size through the other")
	}
}

func unlinkedOpen(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "data")
	ino := fstat(t, fd).Ino
	ok(t, unix.Unlink(in(dir, "f")), "unlink")
	absent(t, in(dir, "f"))
	st := fstat(t, fd)
	equal(t, st.Nlink, 0, "links")
	equal(t, st.Ino, ino, "inode")
	pwrite(t, fd, "more", 4)
	equal(t, pread(t, fd, 10, 0), "datamore", "content")
	ok(t, unix.Ftruncate(fd, 2), "ftruncate")
	ok(t, unix.Fchmod(fd, 0o600), "fchmod")
	ok(t, unix.Fsync(fd), "fsync")
	st = fstat(t, fd)
	equal(t, st.Size, 2, "size")
	equal(t, st.Mode&0o7777, 0o600, "mode")
	put(t, in(dir, "f"), "another")
	equal(t, pread(t, fd, 10, 0), "da", "content beside a new file of the name")
	equal(t, content(t, in(dir, "f")), "another", "the new file")
}

func copyRange(t *testing.T, dir string) {
	const size = 3 << 20
	data := strings.Repeat("0123456789abcdef", size/16)
	a := create(t, in(dir, "a"), data)
	b := create(t, in(dir, "b"), "")
	from, to := int64(5), int64(7)
	for left := size - 5; left > 0; {
		n, err := unix.CopyFileRange(a, &from, b, &to, left, 0)
		ok(t, err, "copy_file_range")
		if n == 0 {
			t.Fatalf("copy_file_range ends %d bytes early", left)
		}
		left -= n
	}
	equal(t, from, size, "source offset")
	equal(t, content(t, in(dir, "b")) == zeros(7)+data[5:], true, "copied")
	n, err := unix.CopyFileRange(a, &from, b, &to, 100, 0)
	ok(t, err, "copy at the end")
	equal(t, n, 0, "copy at the end")
	x, y := int64(0), int64(8)
	_, err = unix.CopyFileRange(a, &x, a, &y, 16, 0)
	want(t, err, unix.EINVAL, "copy that overlaps itself")
	d := open(t, dir, unix.O_RDONLY, 0)
	_, err = unix.CopyFileRange(d, nil, b, nil, 16, 0)
	want(t, err, unix.EISDIR, "copy of a directory")
}

func sendSplice(t *testing.T, dir string) {
	data := strings.Repeat("sendfile", 1000)
	a := create(t, in(dir, "a"), data)
	b := create(t, in(dir, "b"), "")
	off := int64(0)
	for off < int64(len(data)) {
		_, err := unix.Sendfile(b, a, &off, len(data))
		ok(t, err, "sendfile")
	}
	equal(t, content(t, in(dir, "b")) == data, true, "sendfile")
	r, w, err := os.Pipe()
	ok(t, err, "pipe")
	defer r.Close()
	defer w.Close()
	c := create(t, in(dir, "c"), "")
	from, to := int64(0), int64(0)
	for from < int64(len(data)) {
		n, err := unix.Splice(a, &from, int(w.Fd()), nil, 4096, 0)
		ok(t, err, "splice into a pipe")
		for n > 0 {
			m, err := unix.Splice(int(r.Fd()), nil, c, &to, int(n), 0)
			ok(t, err, "splice out of a pipe")
			n -= m
		}
	}
	equal(t, content(t, in(dir, "c")) == data, true, "splice")
}

func syncCalls(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "x")
	ok(t, unix.Fsync(fd), "fsync")
	ok(t, unix.Fdatasync(fd), "fdatasync")
	ok(t, unix.Syncfs(fd), "syncfs")
	ok(t, unix.SyncFileRange(fd, 0, 1, unix.SYNC_FILE_RANGE_WRITE), "sync_file_range")
	d := open(t, dir, unix.O_RDONLY, 0)
	ok(t, unix.Fsync(d), "fsync of a directory")
	s := open(t, in(dir, "f"), unix.O_WRONLY|unix.O_SYNC, 0)
	pwrite(t, s, "y", 0)
	ds := open(t, in(dir, "f"), unix.O_WRONLY|unix.O_DSYNC, 0)
	pwrite(t, ds, "z", 1)
	equal(t, content(t, in(dir, "f")), "yz", "content")
}

func largeWrite(t *testing.T, dir string) {
	b := make([]byte, 5<<20+3)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	fd := create(t, in(dir, "f"), "")
	n, err := unix.Pwrite(fd, b, 11)
	ok(t, err, "write of 5 MiB")
	equal(t, n, len(b), "write of 5 MiB")
	equal(t, pread(t, fd, len(b)+100, 11) == string(b), true, "read of 5 MiB")
	ok(t, unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED), "fadvise")
	equal(t, content(t, in(dir, "f")) == zeros(11)+string(b), true, "read cold")
}

func sizeAtOnce(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "")
	for i := range 200 {
		pwrite(t, fd, "0123456789", int64(10*i))
		equal(t, stat(t, in(dir, "f")).Size, int64(10*i+10), "size by name after a write")
	}
	at, err := unix.Seek(fd, 0, unix.SEEK_END)
	ok(t, err, "seek")
	equal(t, at, 2000, "the end")
}

func writeClose(t *testing.T, dir string) {
	for i := range 50 {
		path := in(dir, "f")
		put(t, path, strings.Repeat("x", i*100))
		equal(t, len(content(t, path)), i*100, "length")
		equal(t, stat(t, path).Size, int64(i*100), "size")
		ok(t, unix.Unlink(path), "unlink")
	}
}

// permissionGone: what is open stays open.
func permissionGone(t *testing.T, dir string) {
	put(t, in(dir, "f"), "abc")
	ok(t, unix.Chmod(in(dir, "f"), 0o666), "chmod")
	c := as(t, dir, 4242, 4242)
	fd, err := c.open("f", unix.O_RDWR, 0)
	ok(t, err, "open")
	ok(t, unix.Chmod(in(dir, "f"), 0), "chmod")
	ok(t, c.err(ask{Op: "pwrite", FD: fd, Data: []byte("X")}), "write after chmod 0")
	equal(t, string(c.call(ask{Op: "pread", FD: fd, Len: 10}).Data), "Xbc", "read after chmod 0")
	ok(t, c.err(ask{Op: "ftruncate", FD: fd, Len: 2}), "ftruncate after chmod 0")
	want(t, c.err(ask{Op: "truncate", Path: "f", Len: 1}), unix.EACCES, "truncate by name after chmod 0")
	equal(t, content(t, in(dir, "f")), "Xb", "content")
}

func deletedReadOnly(t *testing.T, dir string) {
	put(t, in(dir, "f"), "abc")
	r := open(t, in(dir, "f"), unix.O_RDONLY, 0)
	ok(t, unix.Unlink(in(dir, "f")), "unlink")
	ok(t, unix.Fadvise(r, 0, 0, unix.FADV_DONTNEED), "fadvise")
	equal(t, pread(t, r, 10, 0), "abc", "cold read")
	equal(t, fstat(t, r).Size, 3, "size")
}
