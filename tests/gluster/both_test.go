package gluster_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/tests/lab"
	"github.com/holdfast/holdfast/tests/mnt"
)

// both is one volume, with the default options, mounted here and by the stock client.
type both struct {
	v      *lab.Volume
	m      *mnt.M
	stock  *lab.Stock
	ours   string
	theirs string
}

func mountBoth(t *testing.T, keyValue ...string) *both {
	t.Helper()
	l := lab.Start(t)
	x := &both{v: l.Volume("one", lab.Set(keyValue...))}
	x.m = mnt.Mount(t, x.v.Source(), mnt.O("attribute-timeout=0", "entry-timeout=0"))
	x.stock = l.MountStock(x.v, lab.Args("--attribute-timeout=0", "--entry-timeout=0"))
	x.ours, x.theirs = x.m.Dir, x.stock.Dir
	return x
}

// populate makes one of everything.
func populate(t *testing.T, dir string) {
	t.Helper()
	in := func(name string) string { return filepath.Join(dir, name) }
	ok(t, os.Mkdir(dir, 0o755))
	for i, size := range []int{0, 1, 4095, 4096, 4097, 128<<10 + 1, 3 << 20} {
		ok(t, os.WriteFile(in(fmt.Sprint("size", i)), bytes.Repeat([]byte{byte('a' + i)}, size), 0o644))
	}
	f, err := os.OpenFile(in("hole"), os.O_CREATE|os.O_RDWR, 0o600)
	ok(t, err)
	_, err = f.WriteAt([]byte("end"), 1<<20)
	ok(t, err)
	ok(t, f.Close())
	f, err = os.OpenFile(in("allocated"), os.O_CREATE|os.O_RDWR, 0o600)
	ok(t, err)
	ok(t, unix.Fallocate(int(f.Fd()), 0, 0, 64<<10))
	ok(t, f.Close())
	ok(t, os.WriteFile(in("cut"), make([]byte, 10000), 0o644))
	ok(t, os.Truncate(in("cut"), 5000))
	ok(t, os.Truncate(in("cut"), 7000))

	ok(t, os.MkdirAll(in("a/b/c"), 0o755))
	ok(t, os.Mkdir(in("set-gid"), 0o755))
	ok(t, unix.Chown(in("set-gid"), 7, 8))
	ok(t, unix.Chmod(in("set-gid"), 0o2775))
	ok(t, os.WriteFile(in("set-gid/f"), nil, 0o644))
	ok(t, os.Mkdir(in("set-gid/d"), 0o755))
	ok(t, os.Mkdir(in("sticky"), 0o755))
	ok(t, unix.Chmod(in("sticky"), 0o1777))
	ok(t, os.Symlink("no/where at all", in("link")))
	ok(t, os.Symlink(strings.Repeat("x", 4000), in("long link")))
	ok(t, os.WriteFile(in("one"), []byte("linked"), 0o644))
	ok(t, os.Link(in("one"), in("a/two")))
	ok(t, os.Link(in("one"), in("a/b/three")))
	ok(t, unix.Mkfifo(in("fifo"), 0o640))
	ok(t, unix.Mknod(in("character"), unix.S_IFCHR|0o600, int(unix.Mkdev(8, 3))))
	ok(t, unix.Mknod(in("block"), unix.S_IFBLK|0o600, int(unix.Mkdev(259, 1048575))))
	ok(t, unix.Mknod(in("socket"), unix.S_IFSOCK|0o600, 0))

	ok(t, os.WriteFile(in("moved"), []byte("moved"), 0o644))
	ok(t, os.Rename(in("moved"), in("a/b/c/moved")))
	ok(t, os.WriteFile(in("old"), []byte("old"), 0o644))
	ok(t, os.WriteFile(in("new"), []byte("new"), 0o644))
	ok(t, os.Rename(in("new"), in("old")))
	ok(t, os.Mkdir(in("dir"), 0o755))
	ok(t, os.WriteFile(in("dir/f"), nil, 0o644))
	ok(t, os.Rename(in("dir"), in("a/dir")))
	ok(t, os.WriteFile(in("gone"), nil, 0o644))
	ok(t, os.Remove(in("gone")))
	ok(t, os.Mkdir(in("gone"), 0o755))
	ok(t, os.Remove(in("gone")))
	ok(t, os.WriteFile(in(strings.Repeat("n", 255)), nil, 0o644))
	ok(t, os.WriteFile(in("na\xffme\n"), nil, 0o644))

	ok(t, os.WriteFile(in("modes"), []byte("x"), 0o644))
	ok(t, unix.Chown(in("modes"), 1234, 4321))
	ok(t, unix.Chmod(in("modes"), 0o6711))
	ok(t, unix.UtimesNanoAt(unix.AT_FDCWD, in("modes"), []unix.Timespec{{Sec: 1, Nsec: 2}, {Sec: 3000000000, Nsec: 999999999}}, 0))
	ok(t, unix.UtimesNanoAt(unix.AT_FDCWD, in("link"), []unix.Timespec{{Sec: 5, Nsec: 6}, {Sec: 7, Nsec: 8}}, unix.AT_SYMLINK_NOFOLLOW))
	for _, on := range []string{"one", "a", "modes"} {
		ok(t, unix.Setxattr(in(on), "user.text", []byte("value"), 0))
		ok(t, unix.Setxattr(in(on), "user.bytes", []byte{0, 1, 0xff, 0}, 0))
		ok(t, unix.Setxattr(in(on), "user.empty", nil, 0))
		ok(t, unix.Setxattr(in(on), "user.gone", []byte("x"), 0))
		ok(t, unix.Removexattr(in(on), "user.gone"))
		ok(t, unix.Setxattr(in(on), "trusted.mine", bytes.Repeat([]byte("t"), 1000), 0))
	}
}

// describe is everything that a mount says of what is below a directory, by path.
// Attributes of a kind that only a brick's own folder shows are left out.
func describe(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	ok(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var s unix.Stat_t
		if err := unix.Lstat(path, &s); err != nil {
			return err
		}
		var b strings.Builder
		fmt.Fprintf(&b, "inode %d, mode %o, links %d, owner %d %d, device %x, size %d, blocks %d, atime %v, mtime %v, ctime %v",
			s.Ino, s.Mode, s.Nlink, s.Uid, s.Gid, s.Rdev, s.Size, s.Blocks, s.Atim, s.Mtim, s.Ctim)
		switch s.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, ", data %x", sha256.Sum256(data))
		case unix.S_IFLNK:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, ", to %q", to)
		}
		for _, name := range xattrNames(t, path) {
			if !strings.HasPrefix(name, "user.") && name != "trusted.mine" {
				continue
			}
			fmt.Fprintf(&b, ", %s %x", name, xattr(t, path, name))
		}
		rel, err := filepath.Rel(dir, path)
		all[rel] = b.String()
		return err
	}))
	return all
}

func xattrNames(t *testing.T, path string) []string {
	t.Helper()
	b := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, b)
	ok(t, err)
	names := strings.Split(string(b[:n]), "\x00")
	names = names[:len(names)-1]
	slices.Sort(names)
	return names
}

func xattr(t *testing.T, path, name string) []byte {
	t.Helper()
	b := make([]byte, 64<<10)
	n, err := unix.Lgetxattr(path, name, b)
	if err != nil {
		t.Fatalf("%s of %s: %v", name, path, err)
	}
	return b[:n]
}

// same compares two descriptions.
func same(t *testing.T, what string, ours, theirs map[string]string) {
	t.Helper()
	for _, path := range slices.Sorted(maps.Keys(ours)) {
		if ours[path] != theirs[path] {
			t.Errorf("%s: %q:\nhere:   %s\nstock:  %s", what, path, ours[path], theirs[path])
		}
	}
	for path := range theirs {
		if _, ok := ours[path]; !ok {
			t.Errorf("%s: %q is not seen here", what, path)
		}
	}
}

// TestBothClientsSeeTheSame, whichever of them has written it.
func TestBothClientsSeeTheSame(t *testing.T) {
	t.Parallel()
	x := mountBoth(t)
	populate(t, filepath.Join(x.ours, "ours"))
	populate(t, filepath.Join(x.theirs, "theirs"))
	for _, dir := range []string{"ours", "theirs"} {
		o, s := describe(t, filepath.Join(x.ours, dir)), describe(t, filepath.Join(x.theirs, dir))
		if len(o) < 30 {
			t.Fatalf("only %d objects are there", len(o))
		}
		same(t, "made in "+dir, o, s)
	}
	var o, s unix.Statfs_t
	ok(t, unix.Statfs(x.ours, &o))
	ok(t, unix.Statfs(x.theirs, &s))
	if o.Bsize != s.Bsize || o.Blocks != s.Blocks || o.Files != s.Files || o.Namelen != s.Namelen {
		t.Errorf("statfs: %+v here, %+v there", o, s)
	}
}

// onDisk is what a brick has of what is below a directory: attributes with what must
// differ (gfids, times) replaced by whether it is right.
func onDisk(t *testing.T, brick, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	handles := map[string]string{} // the gfid of a directory, for gfid2path of what is in it
	ok(t, filepath.WalkDir(filepath.Join(brick, dir), func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(filepath.Join(brick, dir), path)
		if err != nil {
			return err
		}
		var s unix.Stat_t
		if err := unix.Lstat(path, &s); err != nil {
			return err
		}
		var b strings.Builder
		fmt.Fprintf(&b, "mode %o, links %d, owner %d %d, device %x", s.Mode, s.Nlink, s.Uid, s.Gid, s.Rdev)
		if s.Mode&unix.S_IFMT != unix.S_IFDIR {
			fmt.Fprintf(&b, ", size %d, blocks %d", s.Size, s.Blocks)
		}
		gfid := hex.EncodeToString(xattr(t, path, "trusted.gfid"))
		uuid := gfid[:8] + "-" + gfid[8:12] + "-" + gfid[12:16] + "-" + gfid[16:20] + "-" + gfid[20:]
		handles[uuid] = rel
		if gfid[12] != '4' {
			fmt.Fprintf(&b, ", gfid %s is not random", gfid)
		}
		handle := filepath.Join(brick, ".glusterfs", gfid[:2], gfid[2:4], uuid)
		fmt.Fprintf(&b, ", handle %s", handleOf(handle, path, &s))
		links := 0
		for _, name := range xattrNames(t, path) {
			v := xattr(t, path, name)
			switch {
			case name == "trusted.gfid":
			case name == "trusted.glusterfs.mdata":
				fmt.Fprintf(&b, ", mdata %s", mdata(v))
			case strings.HasPrefix(name, "trusted.gfid2path."):
				// <gfid of the directory>/<name>
				parent, base, _ := strings.Cut(string(v), "/")
				if _, err := os.Lstat(filepath.Join(brick, dir, handles[parent], base)); err != nil || handles[parent] == "" {
					fmt.Fprintf(&b, ", gfid2path %q leads nowhere", v)
				}
				links++
			default:
				fmt.Fprintf(&b, ", %s %x", name, v)
			}
		}
		fmt.Fprintf(&b, ", %d paths", links)
		all[rel] = b.String()
		return nil
	}))
	return all
}

// handleOf says what a brick's handle of an object is: another link of it, or for a
// directory a symlink.
func handleOf(handle, path string, s *unix.Stat_t) string {
	var h unix.Stat_t
	if err := unix.Lstat(handle, &h); err != nil {
		return err.Error()
	}
	if s.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fmt.Sprintf("is a link: %v", h.Ino == s.Ino)
	}
	a, err := os.Stat(handle)
	if err != nil {
		return err.Error()
	}
	b, err := os.Stat(path)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("is a symlink to it: %v", h.Mode&unix.S_IFMT == unix.S_IFLNK && os.SameFile(a, b))
}

// mdata is a brick's record of the times: version, flags, and then ctime, mtime,
// atime in seconds and nanoseconds.
func mdata(v []byte) string {
	if len(v) != 57 {
		return fmt.Sprintf("%x", v)
	}
	sane := true
	now := time.Now()
	for at := 9; at < len(v); at += 16 {
		sec, nsec := int64(binary.BigEndian.Uint64(v[at:])), binary.BigEndian.Uint64(v[at+8:])
		when := time.Unix(sec, int64(nsec))
		recent := when.Before(now.Add(time.Second)) && when.After(now.Add(-10*time.Minute))
		set := sec < 10 || sec == 3000000000 // by populate
		sane = sane && nsec < 1e9 && (recent || set)
	}
	return fmt.Sprintf("version %d, flags %x, times are sane: %v", v[0], v[1:9], sane)
}

// TestBrickIsLeftAsByTheStockClient: the same done by both leaves the same, object by
// object: modes and links, gfids with their handles, layouts, recorded times and paths.
func TestBrickIsLeftAsByTheStockClient(t *testing.T) {
	t.Parallel()
	x := mountBoth(t)
	populate(t, filepath.Join(x.ours, "ours"))
	populate(t, filepath.Join(x.theirs, "theirs"))
	brick := x.v.Bricks[0].Dir
	o, s := onDisk(t, brick, "ours"), onDisk(t, brick, "theirs")
	same(t, "on the brick", o, s)
	for path, text := range o {
		if strings.Contains(text, "false") || strings.Contains(text, "nowhere") || strings.Contains(text, "not random") || !strings.Contains(text, "mdata version 1") {
			t.Errorf("%q: %s", path, text)
		}
	}
	if !strings.Contains(o["a"], "trusted.glusterfs.dht 000000000000000000000000ffffffff") {
		t.Errorf("no layout: %s", o["a"])
	}
}

// TestRecordLocksExcludeAcrossClients, both ways, and a wait here ends when the other
// unlocks there.
func TestRecordLocksExcludeAcrossClients(t *testing.T) {
	t.Parallel()
	x := mountBoth(t)
	ok(t, os.WriteFile(filepath.Join(x.ours, "f"), make([]byte, 100), 0o644))
	open := func(dir string) *os.File {
		f, err := os.OpenFile(filepath.Join(dir, "f"), os.O_RDWR, 0)
		ok(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	a, b := open(x.ours), open(x.theirs)
	lk := func(f *os.File, cmd int, typ int16, start, n int64) error {
		return unix.FcntlFlock(f.Fd(), cmd, &unix.Flock_t{Type: typ, Start: start, Len: n})
	}
	for range 2 {
		ok(t, lk(a, unix.F_SETLK, unix.F_WRLCK, 10, 10))
		for _, c := range []struct {
			typ      int16
			start, n int64
			want     error
		}{
			{unix.F_WRLCK, 0, 10, nil}, {unix.F_WRLCK, 20, 0, nil}, {unix.F_WRLCK, 0, 0, unix.EAGAIN}, {unix.F_RDLCK, 19, 1, unix.EAGAIN}, {unix.F_WRLCK, 10, 1, unix.EAGAIN},
		} {
			if err := lk(b, unix.F_SETLK, c.typ, c.start, c.n); !errors.Is(err, c.want) {
				t.Errorf("%s: type %d at %d+%d: %v, want %v", b.Name(), c.typ, c.start, c.n, err, c.want)
			}
			ok(t, lk(b, unix.F_SETLK, unix.F_UNLCK, c.start, c.n))
		}
		held := unix.Flock_t{Type: unix.F_WRLCK}
		ok(t, unix.FcntlFlock(b.Fd(), unix.F_GETLK, &held))
		if held.Type != unix.F_WRLCK || held.Start != 10 || held.Len != 10 {
			t.Errorf("%s: who has it: %+v", b.Name(), held)
		}
		got := make(chan error, 1)
		go func() { got <- lk(b, unix.F_SETLKW, unix.F_RDLCK, 15, 1) }()
		select {
		case err := <-got:
			t.Fatalf("%s: granted beside the other: %v", b.Name(), err)
		case <-time.After(300 * time.Millisecond):
		}
		ok(t, lk(a, unix.F_SETLK, unix.F_UNLCK, 0, 0))
		select {
		case err := <-got:
			ok(t, err)
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: not granted", b.Name())
		}
		ok(t, lk(a, unix.F_SETLK, unix.F_RDLCK, 15, 1)) // readers share
		ok(t, lk(a, unix.F_SETLK, unix.F_UNLCK, 0, 0))
		ok(t, lk(b, unix.F_SETLK, unix.F_UNLCK, 0, 0))
		a, b = b, a
	}
}

// TestAppendsOfBothClientsAreAllThere, once each and in the order of whoever
// wrote them. The kernel sends an append that crosses a page in two requests
// (either client's), so another's may come between; therefore each writer has
// letters of its own.
func TestAppendsOfBothClientsAreAllThere(t *testing.T) {
	t.Parallel()
	const each = 300
	x := mountBoth(t)
	ok(t, os.WriteFile(filepath.Join(x.ours, "log"), nil, 0o644))
	var wg sync.WaitGroup
	var want [4]string
	for i, dir := range []string{x.ours, x.ours, x.theirs, x.theirs} {
		f, err := os.OpenFile(filepath.Join(dir, "log"), os.O_WRONLY|os.O_APPEND, 0)
		ok(t, err)
		var records []string
		for n := range each {
			records = append(records, lettered(i, fmt.Sprintf("%06x%s", n, strings.Repeat("f", n%90))))
		}
		want[i] = strings.Join(records, "")
		wg.Go(func() {
			for _, r := range records {
				if _, err := f.WriteString(r); err != nil {
					t.Errorf("%s: %v", f.Name(), err)
				}
			}
			if err := f.Close(); err != nil {
				t.Errorf("%s: %v", f.Name(), err)
			}
		})
	}
	wg.Wait()
	for _, dir := range []string{x.ours, x.theirs} {
		b, err := os.ReadFile(filepath.Join(dir, "log"))
		ok(t, err)
		for i := range want {
			got := strings.Map(func(r rune) rune {
				if strings.ContainsRune(letters[i*16:][:16], r) {
					return r
				}
				return -1
			}, string(b))
			if got != want[i] {
				t.Errorf("%s: of writer %d there are %d bytes, want %d; the first that differ are at %d", dir, i, len(got), len(want[i]), differ(got, want[i]))
			}
		}
		if all := len(strings.Join(want[:], "")); len(b) != all {
			t.Errorf("%s: %d bytes, want %d", dir, len(b), all)
		}
	}
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// lettered writes a hexadecimal number with the 16 letters of a writer.
func lettered(writer int, hex string) string {
	return strings.Map(func(r rune) rune {
		return rune(letters[writer*16+strings.IndexRune("0123456789abcdef", r)])
	}, hex)
}

func differ(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
