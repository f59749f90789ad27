package posix

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func mapCases() map[string]Case {
	return map[string]Case{
		"MapSharedIsTheFile":      mapShared,
		"MapPrivateIsNot":         mapPrivate,
		"MapsOfTwoDescriptors":    mapTwo,
		"MapOutlivesClose":        mapOutlives,
		"MapOfUnlinkedFile":       mapUnlinked,
		"MapNeedsTheRightOpen":    mapRights,
		"MapTailIsZero":           mapTail,
		"MapSeesTruncateAndWrite": mapTruncate,
	}
}

func mapFile(t *testing.T, fd, n, prot, flags int) []byte {
	t.Helper()
	b, err := unix.Mmap(fd, 0, n, prot, flags)
	ok(t, err, "mmap")
	t.Cleanup(func() { unix.Munmap(b) })
	return b
}

func mapShared(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), strings.Repeat("x", 10_000))
	m := mapFile(t, fd, 10_000, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	copy(m[5000:], "through the map")
	equal(t, pread(t, fd, 15, 5000), "through the map", "read beside the map")
	pwrite(t, fd, "through the file", 100)
	equal(t, string(m[100:116]), "through the file", "map beside a write")
	ok(t, unix.Msync(m, unix.MS_SYNC), "msync")
	ok(t, unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED), "fadvise")
	equal(t, content(t, in(dir, "f"))[5000:5015], "through the map", "content by name")
	equal(t, stat(t, in(dir, "f")).Size, 10_000, "size")
}

func mapPrivate(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), strings.Repeat("x", 4096))
	r := open(t, in(dir, "f"), unix.O_RDONLY, 0)
	m := mapFile(t, r, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	copy(m, "mine")
	equal(t, string(m[:5]), "minex", "the map")
	equal(t, pread(t, fd, 4, 0), "xxxx", "the file")
}

func mapTwo(t *testing.T, dir string) {
	a := create(t, in(dir, "f"), zeros(8192))
	b := open(t, in(dir, "f"), unix.O_RDWR, 0)
	ma := mapFile(t, a, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	mb := mapFile(t, b, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	copy(ma[10:], "from a")
	copy(mb[5000:], "from b")
	equal(t, string(mb[10:16]), "from a", "second map")
	equal(t, string(ma[5000:5006]), "from b", "first map")
}

func mapOutlives(t *testing.T, dir string) {
	put(t, in(dir, "f"), zeros(4096))
	fd, err := unix.Open(in(dir, "f"), unix.O_RDWR|unix.O_CLOEXEC, 0)
	ok(t, err, "open")
	m, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	ok(t, err, "mmap")
	ok(t, unix.Close(fd), "close")
	copy(m[7:], "late")
	ok(t, unix.Msync(m, unix.MS_SYNC), "msync")
	equal(t, content(t, in(dir, "f"))[7:11], "late", "content")
	copy(m[7:], "LAST")
	ok(t, unix.Munmap(m), "munmap")
	equal(t, content(t, in(dir, "f"))[7:11], "LAST", "content after munmap")
}

func mapUnlinked(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), zeros(8192))
	m := mapFile(t, fd, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	ok(t, unix.Unlink(in(dir, "f")), "unlink")
	copy(m[5000:], "nameless")
	ok(t, unix.Msync(m, unix.MS_SYNC), "msync")
	equal(t, pread(t, fd, 8, 5000), "nameless", "read")
}

func mapRights(t *testing.T, dir string) {
	put(t, in(dir, "f"), "x")
	r := open(t, in(dir, "f"), unix.O_RDONLY, 0)
	_, err := unix.Mmap(r, 0, 1, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	want(t, err, unix.EACCES, "shared map for writing of O_RDONLY")
	w := open(t, in(dir, "f"), unix.O_WRONLY, 0)
	_, err = unix.Mmap(w, 0, 1, unix.PROT_READ, unix.MAP_SHARED)
	want(t, err, unix.EACCES, "map of O_WRONLY")
	d := open(t, dir, unix.O_RDONLY, 0)
	_, err = unix.Mmap(d, 0, 1, unix.PROT_READ, unix.MAP_SHARED)
	want(t, err, unix.ENODEV, "map of a directory")
}

func mapTail(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "abc")
	m := mapFile(t, fd, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	equal(t, string(m[:3])+zeros(10), string(m[:13]), "zeros behind the end")
	m[100] = 'x' // behind the end: goes nowhere
	ok(t, unix.Msync(m, unix.MS_SYNC), "msync")
	equal(t, content(t, in(dir, "f")), "abc", "content")
}

func mapTruncate(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), strings.Repeat("x", 8192))
	m := mapFile(t, fd, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	equal(t, m[8000], 'x', "before")
	ok(t, unix.Ftruncate(fd, 100), "ftruncate")
	ok(t, unix.Ftruncate(fd, 8192), "ftruncate")
	equal(t, m[8000], 0, "after truncate down and up")
	equal(t, m[99], 'x', "what was not cut")
	pwrite(t, fd, "new", 8000)
	equal(t, string(m[8000:8003]), "new", "a write after it")
}
