package posix

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func sizeCases() map[string]Case {
	return map[string]Case{
		"TruncateUpReadsZeros":        truncateUp,
		"TruncateDownAndUpForgets":    truncateDownUp,
		"TruncateErrors":              truncateErrors,
		"FallocateGrows":              fallocateGrows,
		"FallocateKeepsSize":          fallocateKeeps,
		"FallocatePunchesHole":        fallocatePunch,
		"FallocateZeroesRange":        fallocateZero,
		"FallocateMovesOrSaysNo":      fallocateCollapse,
		"FallocateErrors":             fallocateErrors,
		"SeekFindsDataAndHoles":       seekHoles,
		"SeekRules":                   seekRules,
		"TruncateUnderAnotherHandle":  truncateOther,
		"OffsetsNearTheEndOfNumbers":  farOffsets,
		"FileSizeLimitIsAnErrorToo":   bigFile,
		"BlocksAreCountedIn512Bytes":  blocks,
		"StatfsMakesSense":            statfs,
		"UnalignedHoleKeepsItsBorder": holeBorder,
	}
}

func truncateUp(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "abc")
	ok(t, unix.Ftruncate(fd, 10000), "ftruncate")
	equal(t, content(t, in(dir, "f")) == "abc"+zeros(9997), true, "zeros behind the data")
	ok(t, unix.Truncate(in(dir, "f"), 20001), "truncate")
	equal(t, fstat(t, fd).Size, 20001, "size")
	equal(t, pread(t, fd, 100, 20000), "\x00", "the last byte")
}

// truncateDownUp: cut off data must not come back.
func truncateDownUp(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), strings.Repeat("x", 100_000))
	for _, n := range []int{70_001, 4096, 4095, 1, 0} {
		ok(t, unix.Ftruncate(fd, int64(n)), "ftruncate down")
		ok(t, unix.Ftruncate(fd, 100_000), "ftruncate up")
		all := content(t, in(dir, "f"))
		equal(t, len(all) == 100_000 && all[:n] == strings.Repeat("x", n) && allZero(all[n:]), true, "zeros where data was cut")
	}
	pwrite(t, fd, "y", 50_000)
	ok(t, unix.Ftruncate(fd, 10), "ftruncate")
	pwrite(t, fd, "z", 60_000)
	all := content(t, in(dir, "f"))
	equal(t, allZero(all[:60_000]) && all[60_000:] == "z", true, "zeros before a write behind the end")
}

func truncateErrors(t *testing.T, dir string) {
	put(t, in(dir, "f"), "abc")
	mkdir(t, in(dir, "d"), 0o755)
	want(t, unix.Truncate(in(dir, "d"), 0), unix.EISDIR, "truncate of a directory")
	want(t, unix.Truncate(in(dir, "none"), 0), unix.ENOENT, "truncate of nothing")
	want(t, unix.Truncate(in(dir, "f"), -1), unix.EINVAL, "truncate to -1")
	want(t, unix.Truncate(in(dir, "f"), 1<<62), unix.EFBIG, "truncate to 2^62")
	want(t, unix.Truncate(in(dir, "f/g"), 0), unix.ENOTDIR, "truncate below a file")
	equal(t, content(t, in(dir, "f")), "abc", "content")
}

func fallocateGrows(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "abc")
	ok(t, unix.Fallocate(fd, 0, 1000, 9000), "fallocate")
	st := fstat(t, fd)
	equal(t, st.Size, 10000, "size")
	equal(t, st.Blocks*512 >= 9000, true, "blocks are there")
	equal(t, stat(t, in(dir, "f")).Size, 10000, "size by name")
	equal(t, content(t, in(dir, "f")) == "abc"+zeros(9997), true, "content")
	ok(t, unix.Fallocate(fd, 0, 0, 100), "fallocate inside")
	equal(t, fstat(t, fd).Size, 10000, "size")
}

func fallocateKeeps(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "abc")
	ok(t, unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, 1<<20), "fallocate")
	st := fstat(t, fd)
	equal(t, st.Size, 3, "size")
	equal(t, st.Blocks*512 >= 1<<20, true, "blocks are there")
	equal(t, content(t, in(dir, "f")), "abc", "content")
}

func fallocatePunch(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), strings.Repeat("x", 100_000))
	before := fstat(t, fd).Blocks
	ok(t, unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 10_000, 50_000), "punch")
	st := fstat(t, fd)
	equal(t, st.Size, 100_000, "size")
	equal(t, st.Blocks < before, true, "fewer blocks")
	all := content(t, in(dir, "f"))
	equal(t, all == strings.Repeat("x", 10_000)+zeros(50_000)+strings.Repeat("x", 40_000), true, "content")
	ok(t, unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 90_000, 50_000), "punch over the end")
	equal(t, fstat(t, fd).Size, 100_000, "size")
	equal(t, allZero(pread(t, fd, 20_000, 90_000)), true, "content at the end")
}

func holeBorder(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), strings.Repeat("x", 20_000))
	for _, r := range [][2]int{{1, 1}, {4095, 2}, {5000, 4096}, {12_287, 4097}} {
		ok(t, unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(r[0]), int64(r[1])), "punch")
		got := pread(t, fd, r[1]+2, int64(r[0]-1))
		equal(t, got == "x"+zeros(r[1])+"x", true, "hole and its borders")
	}
}

func fallocateZero(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), strings.Repeat("x", 10_000))
	ok(t, unix.Fallocate(fd, unix.FALLOC_FL_ZERO_RANGE|unix.FALLOC_FL_KEEP_SIZE, 8000, 8000), "zero, keep size")
	equal(t, fstat(t, fd).Size, 10_000, "size")
	ok(t, unix.Fallocate(fd, unix.FALLOC_FL_ZERO_RANGE, 100, 19_900), "zero")
	equal(t, fstat(t, fd).Size, 20_000, "size")
	equal(t, content(t, in(dir, "f")) == strings.Repeat("x", 100)+zeros(19_900), true, "content")
}

func fallocateCollapse(t *testing.T, dir string) {
	const block = 64 << 10 // a multiple of any block size
	data := strings.Repeat("a", block) + strings.Repeat("b", block) + strings.Repeat("c", block)
	fd := create(t, in(dir, "f"), data)
	switch err := unix.Fallocate(fd, unix.FALLOC_FL_COLLAPSE_RANGE, block, block); err {
	case nil:
		equal(t, content(t, in(dir, "f")) == data[:block]+data[2*block:], true, "collapsed")
	case unix.EOPNOTSUPP:
		equal(t, content(t, in(dir, "f")) == data, true, "unchanged")
	default:
		t.Errorf("collapse: %v", err)
	}
	before := content(t, in(dir, "f"))
	switch err := unix.Fallocate(fd, unix.FALLOC_FL_INSERT_RANGE, block, block); err {
	case nil:
		equal(t, content(t, in(dir, "f")) == before[:block]+zeros(block)+before[block:], true, "inserted")
	case unix.EOPNOTSUPP:
		equal(t, content(t, in(dir, "f")) == before, true, "unchanged")
	default:
		t.Errorf("insert: %v", err)
	}
}

func fallocateErrors(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "abc")
	r := open(t, in(dir, "f"), unix.O_RDONLY, 0)
	want(t, unix.Fallocate(fd, 0, -1, 10), unix.EINVAL, "negative offset")
	want(t, unix.Fallocate(fd, 0, 0, 0), unix.EINVAL, "no length")
	want(t, unix.Fallocate(fd, 0, 1<<62, 1<<62), unix.EFBIG, "behind 2^63")
	want(t, unix.Fallocate(r, 0, 0, 10), unix.EBADF, "read only")
	want(t, unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE, 0, 10), unix.EOPNOTSUPP, "hole without keep size")
	equal(t, content(t, in(dir, "f")), "abc", "content")
}

func seekHoles(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "")
	const mib = 1 << 20
	pwrite(t, fd, strings.Repeat("x", 65536), mib)
	ok(t, unix.Ftruncate(fd, 4*mib), "ftruncate")
	seek := func(off int64, whence int, wanted int64, what string) {
		t.Helper()
		got, err := unix.Seek(fd, off, whence)
		ok(t, err, what)
		equal(t, got, wanted, what)
	}
	seek(0, unix.SEEK_HOLE, 0, "first hole")
	seek(0, unix.SEEK_DATA, mib, "first data")
	seek(mib+10, unix.SEEK_DATA, mib+10, "data in data")
	seek(mib, unix.SEEK_HOLE, mib+65536, "hole behind the data")
	seek(2*mib, unix.SEEK_HOLE, 2*mib, "hole in a hole")
	_, err := unix.Seek(fd, 2*mib, unix.SEEK_DATA)
	want(t, err, unix.ENXIO, "data where there is none")
	_, err = unix.Seek(fd, 4*mib, unix.SEEK_DATA)
	want(t, err, unix.ENXIO, "data at the end")
	_, err = unix.Seek(fd, 5*mib, unix.SEEK_HOLE)
	want(t, err, unix.ENXIO, "hole behind the end")
	pwrite(t, fd, "end", 4*mib-3)
	seek(4*mib-2, unix.SEEK_HOLE, 4*mib, "the hole that is the end")
}

func seekRules(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "0123456789")
	at, err := unix.Seek(fd, -3, unix.SEEK_END)
	ok(t, err, "seek from the end")
	equal(t, at, 7, "seek from the end")
	at, err = unix.Seek(fd, 100, unix.SEEK_CUR)
	ok(t, err, "seek on")
	equal(t, at, 107, "seek on")
	equal(t, fstat(t, fd).Size, 10, "size")
	_, err = unix.Seek(fd, -1, unix.SEEK_SET)
	want(t, err, unix.EINVAL, "seek to -1")
	_, err = unix.Seek(fd, 0, 77)
	want(t, err, unix.EINVAL, "seek of an unknown kind")
}

func truncateOther(t *testing.T, dir string) {
	a := create(t, in(dir, "f"), strings.Repeat("x", 10_000))
	b := open(t, in(dir, "f"), unix.O_RDWR, 0)
	equal(t, len(pread(t, a, 20_000, 0)), 10_000, "read")
	ok(t, unix.Ftruncate(b, 5000), "ftruncate")
	equal(t, len(pread(t, a, 20_000, 0)), 5000, "read after the other's truncate")
	ok(t, unix.Truncate(in(dir, "f"), 7000), "truncate")
	equal(t, pread(t, a, 20_000, 0) == strings.Repeat("x", 5000)+zeros(2000), true, "read after a truncate by name")
}

func farOffsets(t *testing.T, dir string) {
	const last = 1<<63 - 1
	fd := create(t, in(dir, "f"), "abc")
	b := make([]byte, 10)
	_, err := unix.Pwrite(fd, b, last)
	if err != unix.EFBIG && err != unix.EINVAL {
		t.Errorf("write at 2^63-1: %v, want EFBIG or EINVAL", err)
	}
	_, err = unix.Pwrite(fd, b, last-5)
	if err != unix.EFBIG && err != unix.EINVAL {
		t.Errorf("write over 2^63: %v, want EFBIG or EINVAL", err)
	}
	_, err = unix.Pwrite(fd, b, -1)
	want(t, err, unix.EINVAL, "write at -1")
	_, err = unix.Pread(fd, b, -1)
	want(t, err, unix.EINVAL, "read at -1")
	n, err := unix.Pread(fd, b, last-10)
	if n > 0 || err != nil && err != unix.EINVAL && err != unix.EOVERFLOW {
		t.Errorf("read near 2^63: %d, %v", n, err)
	}
	_, err = unix.Pread(fd, b, last)
	if err != nil && err != unix.EINVAL && err != unix.EOVERFLOW {
		t.Errorf("read at 2^63-1: %v", err)
	}
	want(t, unix.Ftruncate(fd, last), unix.EFBIG, "truncate to 2^63-1")
	equal(t, content(t, in(dir, "f")), "abc", "content")
}

// bigFile: 1 TiB with three bytes in it works on ext4.
func bigFile(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), "")
	const far = 1 << 40
	pwrite(t, fd, "far", far)
	equal(t, pread(t, fd, 10, far-2), "\x00\x00far", "read")
	equal(t, fstat(t, fd).Size, far+3, "size")
	at, err := unix.Seek(fd, 0, unix.SEEK_DATA)
	ok(t, err, "seek")
	equal(t, at > far-1<<20, true, "data begins near the end")
	_, err = unix.Pwrite(fd, []byte("x"), 1<<60)
	want(t, err, unix.EFBIG, "write at 2^60, where ext4 ends before")
}

func blocks(t *testing.T, dir string) {
	fd := create(t, in(dir, "f"), strings.Repeat("x", 1<<20))
	ok(t, unix.Fsync(fd), "fsync")
	st := fstat(t, fd)
	if n := st.Blocks * 512; n < 1<<20 || n > 2<<20 {
		t.Errorf("a file of 1 MiB has %d blocks", st.Blocks)
	}
	equal(t, st.Blksize >= 512, true, "block size")
}

func statfs(t *testing.T, dir string) {
	var st, other unix.Statfs_t
	ok(t, unix.Statfs(dir, &st), "statfs")
	if st.Bsize <= 0 || st.Blocks == 0 || st.Bfree > st.Blocks || st.Bavail > st.Bfree || st.Namelen != 255 {
		t.Errorf("statfs: %+v", st)
	}
	fd := create(t, in(dir, "f"), "")
	ok(t, unix.Fstatfs(fd, &other), "fstatfs")
	equal(t, other.Type, st.Type, "type")
	equal(t, other.Blocks, st.Blocks, "blocks")
}
