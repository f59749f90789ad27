package crash

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/tests/mnt"
)

// TestUnlinkedFileKeepsItsDataUntilItsLastClose: no process of ours has the file
// open while the next worker starts.
func TestUnlinkedFileKeepsItsDataUntilItsLastClose(t *testing.T) {
	dir := brick(t)
	m := mnt.Mount(t, dir, mnt.Plain())
	k := keeper(t, m)
	data := bytes.Repeat([]byte("without a name "), 10000)
	f, err := os.OpenFile(in(m.Dir, "f"), os.O_RDWR|os.O_CREATE, 0o600)
	must(t, err)
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	must(t, os.Remove(in(m.Dir, "f")))
	for i := range 5 {
		killAndWait(t, k)
		got := make([]byte, len(data))
		if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("after kill %d: %v", i+1, err)
		}
		data[i] ^= 1
		if _, err := f.WriteAt(data[i:i+1], int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := orphans(t, dir); n != 1 {
		t.Errorf("%d files in the unlink folder, want 1", n)
	}
	killAndWait(t, k)
	must(t, f.Close()) // nobody has opened it since the kill
	eventually(t, 10*time.Second, "its data is gone after the last close", func() bool { return orphans(t, dir) == 0 })
}

func orphans(t *testing.T, brick string) int {
	t.Helper()
	es, err := os.ReadDir(in(brick, ".glusterfs/unlink"))
	must(t, err)
	return len(es)
}

// TestFileUnlinkedAfterAKillStaysOpen: the new worker has not opened it yet when
// its last name goes.
func TestFileUnlinkedAfterAKillStaysOpen(t *testing.T) {
	m := mnt.Mount(t, brick(t), mnt.Plain())
	k := keeper(t, m)
	f, err := os.Create(in(m.Dir, "f"))
	must(t, err)
	defer f.Close()
	if _, err := f.WriteString("data"); err != nil {
		t.Fatal(err)
	}
	killAndWait(t, k)
	must(t, os.Remove(in(m.Dir, "f")))
	b := make([]byte, 4)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "data" {
		t.Fatalf("%q, %v", b, err)
	}
	killAndWait(t, k)
	if _, err := f.WriteAt([]byte("DATA"), 0); err != nil {
		t.Fatal(err)
	}
}

// TestOpenOutlivesItsPermission: the file is opened again by what it is, with
// the rights of the open, whatever its mode says now.
func TestOpenOutlivesItsPermission(t *testing.T) {
	m := mnt.Mount(t, brick(t), mnt.Plain())
	k := keeper(t, m)
	path := in(m.Dir, "f")
	must(t, os.WriteFile(path, []byte("secret"), 0o666))
	must(t, os.Chmod(path, 0o666))
	must(t, os.Chmod(m.Dir, 0o755))
	// A process of another user keeps it open and writes when told to.
	cmd := exec.Command("sh", "-c", `exec 3<>"$1"; echo open; read x; echo new >&3 && echo done`, "sh", path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	stdin, err := cmd.StdinPipe()
	must(t, err)
	var out bytes.Buffer
	pr, pw, err := os.Pipe()
	must(t, err)
	cmd.Stdout = pw
	must(t, cmd.Start())
	pw.Close()
	b := make([]byte, 5)
	if _, err := pr.Read(b); err != nil {
		t.Fatal(err)
	}
	must(t, os.Chmod(path, 0))
	killAndWait(t, k)
	fmt.Fprintln(stdin)
	if _, err := out.ReadFrom(pr); err != nil {
		t.Fatal(err)
	}
	must(t, cmd.Wait())
	if out.String() != "done\n" {
		t.Fatalf("it said %q", out.String())
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "new\net" {
		t.Fatalf("%q, %v", got, err)
	}
}

// TestHalfReadDirectoryGoesOn: cookies are valid after a kill.
func TestHalfReadDirectoryGoesOn(t *testing.T) {
	m := mnt.Mount(t, brick(t), mnt.Plain())
	k := keeper(t, m)
	const n = 2000
	for i := range n {
		must(t, os.WriteFile(in(m.Dir, fmt.Sprintf("entry-%04d", i)), nil, 0o644))
	}
	d, err := os.Open(m.Dir)
	must(t, err)
	defer d.Close()
	seen := map[string]bool{}
	for len(seen) < n {
		names, err := d.Readdirnames(150)
		must(t, err)
		for _, name := range names {
			if seen[name] {
				t.Fatalf("%s twice", name)
			}
			seen[name] = true
		}
		killAndWait(t, k)
	}
}

// TestForgetStormsLeaveNoStaleFile: the kernel drops what it knows, all the
// time, and workers die over the FORGETs.
func TestForgetStormsLeaveNoStaleFile(t *testing.T) {
	m := mnt.Mount(t, brick(t), mnt.Plain())
	k := keeper(t, m)
	const n = 300
	for i := range n {
		must(t, os.MkdirAll(in(m.Dir, fmt.Sprintf("d%d", i%10)), 0o755))
		must(t, os.WriteFile(in(m.Dir, fmt.Sprintf("d%d/f%d", i%10, i)), fmt.Appendf(nil, "content %d", i), 0o644))
	}
	stop, stopped := make(chan struct{}), make(chan error, 2)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0); err != nil {
				stopped <- err
				return
			}
			time.Sleep(3 * time.Millisecond)
		}
	}()
	go func() {
		r := rand.New(rand.NewPCG(5, 5))
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			i := r.IntN(n)
			b, err := os.ReadFile(in(m.Dir, fmt.Sprintf("d%d/f%d", i%10, i)))
			if err != nil || string(b) != fmt.Sprintf("content %d", i) {
				stopped <- fmt.Errorf("file %d: %q, %v", i, b, err)
				return
			}
		}
	}()
	kills := storm(k, 80, 10*time.Millisecond, 120*time.Millisecond, rand.New(rand.NewPCG(6, 6)), func() bool { return len(stopped) == 0 })
	close(stop)
	for range 2 {
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d kills", kills)
}

// TestPendingWriteErrorSurvives: a write that was answered fails, the worker
// dies, and the error is reported once, by the next fsync.
func TestPendingWriteErrorSurvives(t *testing.T) {
	dir := t.TempDir()
	vol := in(dir, "err.vol")
	b := brick(t)
	write := func(fail string) {
		must(t, os.WriteFile(vol, []byte(`volume brick
    type storage/posix
    option directory `+b+`
end-volume
volume locks
    type features/locks
    subvolumes brick
end-volume
volume err
    type debug/error-gen
    option failure `+fail+`
    option error-no ENOSPC
    option enable writev
    subvolumes locks
end-volume
volume wb
    type performance/write-behind
    subvolumes err
end-volume
`), 0o644))
	}
	write("0")
	m := mnt.Mount(t, vol, mnt.Plain())
	k := keeper(t, m)
	f, err := os.Create(in(m.Dir, "f"))
	must(t, err)
	defer f.Close()
	other, err := os.Open(in(m.Dir, "f"))
	must(t, err)
	defer other.Close()
	write("100")
	m.Ask(control.OpReload, nil)
	if _, err := f.WriteString("lost"); err != nil {
		t.Fatalf("the write was not answered early: %v", err)
	}
	eventually(t, 10*time.Second, "the error is known", func() bool { return bytes.Contains([]byte(m.Log()), []byte("could not be written")) })
	killAndWait(t, k)
	if err := unix.Fsync(int(f.Fd())); err != unix.ENOSPC {
		t.Errorf("the first fsync says %v", err)
	}
	killAndWait(t, k)
	if err := unix.Fsync(int(f.Fd())); err != nil {
		t.Errorf("the second fsync says %v", err)
	}
	if err := unix.Fsync(int(other.Fd())); err != unix.ENOSPC {
		t.Errorf("the other descriptor says %v", err)
	}
}
