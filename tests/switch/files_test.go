package switchtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestUnlinkedOpenFileSurvivesTenSwitches(t *testing.T) {
	v := newVolume(t, stacks[0]...)
	f := create(t, v.path("f"), 0)
	_, err := f.WriteString("0123456789")
	must(t, err)
	must(t, os.Remove(f.Name()))
	for i := range 10 {
		v.step()
		mark := fmt.Sprintf("switch-%d", i)
		_, err := f.WriteAt([]byte(mark), int64(100*i))
		must(t, err)
		wantRead(t, f, int64(100*i), mark)
		st, err := f.Stat()
		must(t, err)
		if n := st.Sys().(*syscall.Stat_t).Nlink; n != 0 {
			t.Fatalf("nlink %d", n)
		}
	}
	v.settled()
	if s := v.Status(); s.Files.Pinned != 0 || s.Graphs.Live != 1 {
		t.Fatalf("%+v", s)
	}
}

func TestFileReplacedByRenameKeepsItsOldData(t *testing.T) {
	v := newVolume(t, stacks[0]...)
	f := create(t, v.path("f"), 0)
	_, err := f.WriteString("old")
	must(t, err)
	must(t, os.WriteFile(v.path("g"), []byte("new"), 0o644))
	v.step()
	must(t, os.Rename(v.path("g"), v.path("f")))
	v.step()
	wantRead(t, f, 0, "old")
	_, err = f.WriteAt([]byte("OLD"), 0)
	must(t, err)
	wantRead(t, f, 0, "OLD")
	if got, err := os.ReadFile(v.path("f")); err != nil || string(got) != "new" {
		t.Fatalf("%q, %v", got, err)
	}
}

// TestReplacedOrRemovedRightAfterSwap: the name goes before the open fd has
// been used on the new graph.
func TestReplacedOrRemovedRightAfterSwap(t *testing.T) {
	v := newVolume(t, stacks[0]...)
	for i := range 20 {
		f, g, d := create(t, v.path("f"), 0), create(t, v.path("g"), 0), v.path(fmt.Sprint("d", i))
		must(t, os.Mkdir(d, 0o755))
		dir, err := os.Open(d)
		must(t, err)
		_, err = f.WriteString("f data")
		must(t, err)
		_, err = g.WriteString("g data")
		must(t, err)
		v.step()
		must(t, os.Rename(v.path("f"), v.path("g")))
		must(t, os.Remove(v.path("g")))
		must(t, os.Remove(d))
		wantRead(t, f, 0, "f data")
		wantRead(t, g, 0, "g data")
		if names, err := dir.Readdirnames(-1); len(names) != 0 {
			t.Fatal(names, err)
		}
		f.Close()
		g.Close()
		dir.Close()
	}
	v.settled()
}

func TestAppendGoesOnAtTheEnd(t *testing.T) {
	v := newVolume(t, stacks[0]...)
	f := create(t, v.path("log"), os.O_APPEND)
	var want bytes.Buffer
	for i := range 200 {
		line := fmt.Sprintf("line %d\n", i)
		want.WriteString(line)
		_, err := f.WriteString(line)
		must(t, err)
		if i%20 == 10 {
			v.step()
		}
	}
	got, err := os.ReadFile(v.path("log"))
	must(t, err)
	if !bytes.Equal(got, want.Bytes()) {
		t.Fatalf("%d bytes, want %d", len(got), want.Len())
	}
}

func aligned(n int) []byte {
	raw := make([]byte, n+4096)
	off := 4096 - int(uintptr(unsafe.Pointer(&raw[0]))&4095)
	return raw[off : off+n]
}

func TestDirectIOGoesOn(t *testing.T) {
	v := newVolume(t, stacks[0]...)
	f := create(t, v.path("f"), unix.O_DIRECT)
	for i := range 10 {
		buf := aligned(8192)
		for j := range buf {
			buf[j] = byte(i + j)
		}
		_, err := f.WriteAt(buf, int64(i)*8192)
		must(t, err)
		v.step()
		got := aligned(8192)
		_, err = f.ReadAt(got, int64(i)*8192)
		must(t, err)
		if !bytes.Equal(got, buf) {
			t.Fatalf("block %d differs", i)
		}
	}
}

func TestHalfReadDirectoryGoesOnWithoutLossOrDouble(t *testing.T) {
	v := newVolume(t, stacks[0]...)
	const entries = 10000
	dir := v.path("d")
	must(t, os.Mkdir(dir, 0o755))
	for i := range entries { // on the brick it is quicker; the volume takes what is there
		must(t, os.WriteFile(filepath.Join(v.brick, "d", fmt.Sprintf("entry-%05d", i)), nil, 0o644))
	}
	d, err := os.Open(dir)
	must(t, err)
	defer d.Close()
	var names []string
	for {
		some, err := d.Readdirnames(1000)
		names = append(names, some...)
		if err == io.EOF {
			break
		}
		must(t, err)
		v.step()
	}
	sort.Strings(names)
	if len(names) != entries {
		t.Fatalf("%d names", len(names))
	}
	for i, n := range names {
		if n != fmt.Sprintf("entry-%05d", i) {
			t.Fatalf("name %d is %s", i, n)
		}
	}
}

func TestRemovedOpenDirectoryStaysOpen(t *testing.T) {
	v := newVolume(t, stacks[0]...)
	must(t, os.Mkdir(v.path("d"), 0o755))
	d, err := os.Open(v.path("d"))
	must(t, err)
	defer d.Close()
	must(t, os.Remove(v.path("d")))
	for range 5 {
		v.step()
		if _, err := d.Stat(); err != nil {
			t.Fatal(err)
		}
		if names, err := d.Readdirnames(-1); err != nil && !errors.Is(err, syscall.ENOENT) || len(names) > 0 {
			t.Fatal(names, err)
		}
		if _, err := d.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
	}
	v.settled()
}

func TestMapsAndDescriptorsSeeEachOther(t *testing.T) {
	v := newVolume(t, stacks[0]...)
	before := create(t, v.path("f"), 0)
	must(t, before.Truncate(16384))
	m1, err := unix.Mmap(int(before.Fd()), 0, 16384, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	defer unix.Munmap(m1)
	copy(m1[0:], "map before")
	for i := range 6 {
		v.step()
		after := create(t, v.path("f"), 0)
		m2, err := unix.Mmap(int(after.Fd()), 0, 16384, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		must(t, err)
		a, b := fmt.Sprintf("old to new %d", i), fmt.Sprintf("new to old %d", i)
		copy(m1[100:], a)
		if got := string(m2[100 : 100+len(a)]); got != a {
			t.Fatalf("the new map reads %q", got)
		}
		copy(m2[4096:], b)
		if got := string(m1[4096 : 4096+len(b)]); got != b {
			t.Fatalf("the old map reads %q", got)
		}
		wantRead(t, before, 4096, b)
		wantRead(t, after, 100, a)
		_, err = after.WriteAt([]byte(b), 8192)
		must(t, err)
		wantRead(t, before, 8192, b)
		if got := string(m1[8192 : 8192+len(b)]); got != b {
			t.Fatalf("the old map reads %q after a write through the new fd", got)
		}
		must(t, unix.Msync(m1, unix.MS_SYNC))
		must(t, unix.Munmap(m2))
		after.Close()
	}
	brick, err := os.ReadFile(filepath.Join(v.brick, "f"))
	must(t, err)
	if !strings.HasPrefix(string(brick), "map before") {
		t.Fatal("msync did not reach the brick")
	}
}

func TestNameAndOldDescriptorAreOneInode(t *testing.T) {
	v := newVolume(t, stacks[0]...)
	f := create(t, v.path("f"), 0)
	var first unix.Stat_t
	must(t, unix.Fstat(int(f.Fd()), &first))
	h1, _, err := unix.NameToHandleAt(unix.AT_FDCWD, v.path("f"), 0)
	must(t, err)
	for i := range 6 {
		v.step()
		_, err := f.WriteAt(bytes.Repeat([]byte("x"), i+1), int64(100*i))
		must(t, err)
		var byName, byFD unix.Stat_t
		must(t, unix.Stat(v.path("f"), &byName))
		must(t, unix.Fstat(int(f.Fd()), &byFD))
		if want := int64(100*i + i + 1); byName.Size != want || byFD.Size != want {
			t.Fatalf("size by name %d, by fd %d, want %d", byName.Size, byFD.Size, want)
		}
		if byName.Ino != first.Ino || byName.Dev != first.Dev || byFD.Ino != first.Ino || byFD.Dev != first.Dev {
			t.Fatalf("st_ino or st_dev changed: %v %v %v", first, byName, byFD)
		}
		h2, _, err := unix.NameToHandleAt(unix.AT_FDCWD, v.path("f"), 0)
		must(t, err)
		h3, _, err := unix.NameToHandleAt(int(f.Fd()), "", unix.AT_EMPTY_PATH)
		must(t, err)
		if !bytes.Equal(h1.Bytes(), h2.Bytes()) || !bytes.Equal(h1.Bytes(), h3.Bytes()) {
			t.Fatal("the name and the old fd are two kernel inodes")
		}
	}
}

func TestDupAndTwoDescriptorsOfOneFile(t *testing.T) {
	v := newVolume(t, stacks[0]...)
	f := create(t, v.path("f"), 0)
	d, err := unix.Dup(int(f.Fd()))
	must(t, err)
	dup := os.NewFile(uintptr(d), "dup")
	defer dup.Close()
	_, err = f.WriteString("one ")
	must(t, err)
	v.step()
	_, err = dup.WriteString("two ")
	must(t, err)
	v.step()
	_, err = f.WriteString("three")
	must(t, err)
	wantRead(t, dup, 0, "one two three")
	must(t, f.Close())
	v.step()
	wantRead(t, dup, 0, "one two three")
}

func TestRightsOfTheOpenLastWhateverTheModeSaysNow(t *testing.T) {
	v := newVolume(t, stacks[0]...)
	must(t, os.Chmod(v.Dir, 0o777))
	must(t, os.WriteFile(v.path("f"), nil, 0o666))
	must(t, os.Chmod(v.path("f"), 0o666))
	c := newChild(t, &syscall.Credential{Uid: 12345, Gid: 12345})
	c.want("ok", "open f %s %d", v.path("f"), unix.O_WRONLY)
	must(t, os.Chmod(v.path("f"), 0))
	for i := range 4 {
		v.step()
		c.want("ok", "write f %d x%d", 10*i, i)
	}
	c.want("EACCES", "open g %s %d", v.path("f"), unix.O_WRONLY)
	got, err := os.ReadFile(filepath.Join(v.brick, "f"))
	must(t, err)
	if !strings.HasSuffix(string(got), "x3") {
		t.Fatalf("%q", got)
	}
}

func TestFIFOAndSocketByName(t *testing.T) {
	v := newVolume(t, stacks[0]...)
	must(t, unix.Mkfifo(v.path("fifo"), 0o644))
	r, err := os.OpenFile(v.path("fifo"), os.O_RDONLY|unix.O_NONBLOCK, 0)
	must(t, err)
	defer r.Close()
	w, err := os.OpenFile(v.path("fifo"), os.O_WRONLY, 0)
	must(t, err)
	defer w.Close()
	// A relative name: socket addresses are short.
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(s)
	dirfd, err := os.Open(v.Dir)
	must(t, err)
	defer dirfd.Close()
	addr := &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/sock", dirfd.Fd())}
	must(t, unix.Bind(s, addr))
	must(t, unix.Listen(s, 4))
	for i := range 4 {
		v.step()
		w2, err := os.OpenFile(v.path("fifo"), os.O_WRONLY|unix.O_NONBLOCK, 0)
		must(t, err)
		msg := fmt.Sprintf("through the name %d", i)
		_, err = w2.WriteString(msg)
		must(t, err)
		buf := make([]byte, 100)
		n, err := r.Read(buf)
		if string(buf[:n]) != msg {
			t.Fatalf("%q, %v: another FIFO?", buf[:n], err)
		}
		w2.Close()
		c, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		must(t, err)
		must(t, unix.Connect(c, addr))
		unix.Close(c)
	}
}

func TestThreeSwitchesInARowWhileWriting(t *testing.T) {
	v := newVolume(t, stacks[0]...)
	f := create(t, v.path("f"), 0)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var n int64
	wg.Go(func() {
		block := bytes.Repeat([]byte("w"), 4096)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := f.WriteAt(block, 4096*(n%256)); err != nil {
				t.Error(err)
				return
			}
			n++
		}
	})
	for range 10 {
		v.step()
		v.step()
		v.step()
	}
	close(stop)
	wg.Wait()
	if n == 0 {
		t.Fatal("nothing was written")
	}
	v.settled()
}

func TestDirtyDataOfWriteBehindReachesTheBrick(t *testing.T) {
	v := newVolume(t, "debug/delay-gen delay-percentage=100 delay-duration=20000 enable=writev", "performance/write-behind")
	f := create(t, v.path("f"), 0)
	for i := range 50 {
		_, err := f.WriteAt([]byte(fmt.Sprintf("%08d", i)), int64(8*i))
		must(t, err)
	}
	v.to("debug/io-stats")
	got, err := os.ReadFile(filepath.Join(v.brick, "f"))
	must(t, err)
	for i := range 50 {
		if want := fmt.Sprintf("%08d", i); string(got[8*i:8*i+8]) != want {
			t.Fatalf("block %d is %q on the brick after the swap", i, got[8*i:8*i+8])
		}
	}
}

func TestManyOpenFilesMoveByThemselves(t *testing.T) {
	v := newVolume(t, stacks[0]...)
	const files = 500
	fs := make([]*os.File, files)
	for i := range fs {
		fs[i] = create(t, v.path(fmt.Sprintf("f%d", i)), 0)
		_, err := fmt.Fprintf(fs[i], "file %d", i)
		must(t, err)
	}
	for range 5 {
		v.step()
		v.settled()
	}
	for i, f := range fs {
		wantRead(t, f, 0, fmt.Sprintf("file %d", i))
	}
	if s := v.Status(); s.Files.Moved < 5*files {
		t.Fatalf("moved %d", s.Files.Moved)
	}
}
