package switchtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/tests/mnt"
	"github.com/holdfast/holdfast/xlator"
)

// gate is a file that holds back what a debug/delay-gen layer matches for as
// long as it exists.
type gate struct {
	t    testing.TB
	path string
}

func newGate(t testing.TB) *gate {
	g := &gate{t, filepath.Join(t.TempDir(), "gate")}
	t.Cleanup(g.open)
	return g
}

func (g *gate) close() { must(g.t, os.WriteFile(g.path, nil, 0o644)) }
func (g *gate) open()  { os.Remove(g.path) }

// layer is the delay-gen layer of the gate for those fops.
func (g *gate) layer(fops string, more ...string) string {
	return "debug/delay-gen delay-percentage=0 gate=" + g.path + " enable=" + fops + " " + strings.Join(more, " ")
}

// gfid of a file, from the brick.
func (v *volume) gfid(name string) string {
	v.t.Helper()
	var g xlator.GFID
	if _, err := unix.Lgetxattr(filepath.Join(v.brick, name), "trusted.gfid", g[:]); err != nil {
		v.t.Fatal(err)
	}
	return g.String()
}

// inFlight waits until the kernel has at least n requests unanswered.
func (v *volume) inFlight(n int) {
	v.t.Helper()
	path := fmt.Sprintf("%s/%d/waiting", v.fusectl(), v.Minor())
	v.until(fmt.Sprintf("%d requests are in flight", n), func() bool {
		b, err := os.ReadFile(path)
		must(v.t, err)
		got, err := strconv.Atoi(strings.TrimSpace(string(b)))
		must(v.t, err)
		return got >= n
	})
}

// fusectl is the kernel's folder of FUSE connections, mounted for this test.
func (v *volume) fusectl() string {
	v.t.Helper()
	if v.ctl == "" {
		v.ctl = v.t.TempDir()
		must(v.t, unix.Mount("fusectl", v.ctl, "fusectl", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""))
		v.t.Cleanup(func() { must(v.t, unix.Unmount(v.ctl, unix.MNT_DETACH)) })
	}
	return v.ctl
}

func TestSlowWriteInTheOldGraphDoesNotSpoilTheNewOne(t *testing.T) {
	g := newGate(t)
	v := newVolume(t, g.layer("writev"))
	f := create(t, v.path("f"), 0)
	_, err := f.WriteString(strings.Repeat("a", 4096))
	must(t, err)
	g.close()
	wrote := make(chan error)
	go func() {
		_, err := f.WriteAt(bytes.Repeat([]byte("b"), 4096), 4096)
		wrote <- err
	}()
	v.inFlight(1)
	v.to("performance/write-behind", "performance/md-cache", "debug/io-stats")
	ls := func() {
		t.Helper()
		d, err := os.ReadDir(v.Dir)
		must(t, err)
		for _, e := range d {
			_, err := e.Info()
			must(t, err)
		}
	}
	ls()
	direct, err := os.OpenFile(v.path("f"), os.O_RDONLY|unix.O_DIRECT, 0)
	must(t, err)
	defer direct.Close()
	buf := aligned(4096)
	_, err = direct.ReadAt(buf, 0)
	must(t, err)
	if buf[0] != 'a' {
		t.Fatal("O_DIRECT reads something else")
	}
	ls()
	g.open()
	must(t, <-wrote)
	st, err := os.Stat(v.path("f"))
	must(t, err)
	if st.Size() != 8192 {
		t.Fatalf("size %d after the slow write", st.Size())
	}
	a, err := os.OpenFile(v.path("f"), os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	defer a.Close()
	_, err = a.WriteString("appended")
	must(t, err)
	got, err := os.ReadFile(v.path("f"))
	must(t, err)
	if want := strings.Repeat("a", 4096) + strings.Repeat("b", 4096) + "appended"; string(got) != want {
		t.Fatalf("%d bytes, the append overwrote what was acknowledged", len(got))
	}
	v.settled()
}

func TestOverlappingWriteDuringTheDrainWins(t *testing.T) {
	g := newGate(t)
	v := newVolume(t, g.layer("writev"), "performance/write-behind")
	f := create(t, v.path("f"), 0)
	g.close()
	_, err := f.WriteAt([]byte("first....."), 0) // acknowledged, and held back below
	must(t, err)
	switched := make(chan struct{})
	go func() {
		defer close(switched)
		v.to("debug/io-stats")
	}()
	v.until("the drain runs", func() bool { return v.Status().Graph.State == "draining" })
	wrote := make(chan error)
	go func() {
		_, err := f.WriteAt([]byte("second"), 2)
		wrote <- err
	}()
	v.inFlight(1)
	g.open()
	must(t, <-wrote)
	<-switched
	wantRead(t, f, 0, "fisecond..")
	got, err := os.ReadFile(filepath.Join(v.brick, "f"))
	must(t, err)
	if string(got) != "fisecond.." {
		t.Fatalf("the brick has %q", got)
	}
}

func TestDrainThatCannotFinishHoldsOnlyItsFile(t *testing.T) {
	g := newGate(t)
	v := newVolumeOpts(t, []mnt.Option{mnt.O("drain-timeout=1s")}, "performance/write-behind")
	stuck, other := create(t, v.path("stuck"), 0), create(t, v.path("other"), 0)
	v.to(g.layer("writev", "gfid="+v.gfid("stuck")), "performance/write-behind", "performance/md-cache")
	g.close()
	_, err := stuck.WriteAt([]byte("acknowledged"), 0)
	must(t, err)
	_, err = other.WriteAt([]byte("other"), 0)
	must(t, err)
	began := time.Now()
	v.to("debug/io-stats")
	if took := time.Since(began); took > 10*time.Second {
		t.Fatalf("the switch took %v", took)
	}
	if s := v.Status(); s.Files.Held != 1 {
		t.Fatalf("%d files held", s.Files.Held)
	}
	began = time.Now()
	_, err = other.WriteAt([]byte("OTHER"), 0)
	must(t, err)
	wantRead(t, other, 0, "OTHER")
	create(t, v.path("new"), 0).Close()
	if _, err := os.ReadDir(v.Dir); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Fatalf("other files waited %v", took)
	}
	read := make(chan string)
	go func() {
		buf := make([]byte, 12)
		n, err := stuck.ReadAt(buf, 0)
		read <- fmt.Sprint(string(buf[:n]), err)
	}()
	select {
	case s := <-read:
		t.Fatalf("the held file answered %s before its data was written", s)
	case <-time.After(300 * time.Millisecond):
	}
	g.open()
	if s := <-read; s != "acknowledged<nil>" {
		t.Fatal(s)
	}
	v.settled()
}

func TestHeldFileCanBeWaitedForInterruptibly(t *testing.T) {
	g := newGate(t)
	v := newVolumeOpts(t, []mnt.Option{mnt.O("drain-timeout=1s")}, g.layer("writev"), "performance/write-behind")
	f := create(t, v.path("f"), 0)
	c := newChild(t, nil)
	g.close()
	_, err := f.WriteAt([]byte("acknowledged"), 0)
	must(t, err)
	v.to("debug/io-stats")
	c.send("stat %s", v.path("f"))
	v.inFlight(1)
	must(t, c.cmd.Process.Kill()) // a process that waits for a held file can be killed
	done := make(chan struct{})
	go func() { c.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it cannot be killed")
	}
	g.open()
	v.settled()
	wantRead(t, f, 0, "acknowledged")
}

func TestFailedFlushIsReportedOncePerDescriptor(t *testing.T) {
	g := newGate(t)
	v := newVolume(t, "debug/error-gen failure=100 error-no=ENOSPC enable=writev", g.layer("writev"), "performance/write-behind")
	f, same := create(t, v.path("f"), 0), create(t, v.path("f"), 0)
	g.close()
	_, err := f.WriteAt([]byte("acknowledged and lost"), 0)
	must(t, err)
	switched := make(chan struct{})
	go func() {
		defer close(switched)
		v.to("debug/io-stats")
	}()
	v.until("the drain runs", func() bool { return v.Status().Graph.State == "draining" })
	g.open()
	<-switched
	for _, fd := range []*os.File{f, same} {
		if err := fd.Sync(); !isErrno(err, syscall.ENOSPC) {
			t.Fatalf("first fsync: %v", err)
		}
		must(t, fd.Sync())
	}
	late := create(t, v.path("f"), 0)
	must(t, late.Sync())
	_, err = f.WriteAt([]byte("again"), 0)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
}

func TestFailedFlushIsReportedAtClose(t *testing.T) {
	g := newGate(t)
	v := newVolume(t, "debug/error-gen failure=100 error-no=EDQUOT enable=writev", g.layer("writev"), "performance/write-behind")
	f := create(t, v.path("f"), 0)
	g.close()
	_, err := f.WriteAt([]byte("acknowledged and lost"), 0)
	must(t, err)
	time.AfterFunc(200*time.Millisecond, g.open)
	if err := f.Close(); !isErrno(err, syscall.EDQUOT) {
		t.Fatalf("close: %v", err)
	}
	late := create(t, v.path("f"), 0)
	must(t, late.Sync())
}

func isErrno(err error, e syscall.Errno) bool {
	var got syscall.Errno
	if pe, ok := err.(*os.PathError); ok {
		got, _ = pe.Err.(syscall.Errno)
	}
	return got == e
}

func TestGraphThatCannotStartLeavesTheOldOneInService(t *testing.T) {
	v := newVolume(t, stacks[0]...)
	f := create(t, v.path("f"), 0)
	_, err := f.WriteString("data")
	must(t, err)
	gen := v.Status().Graph.Generation
	other := filepath.Join(t.TempDir(), "other-volume")
	must(t, os.Mkdir(other, 0o755))
	for name, c := range map[string]struct{ text, want string }{
		"unknown type":     {v.text("no/such-type"), "no/such-type"},
		"unfinished":       {strings.TrimSuffix(v.text(), "end-volume\n"), "end-volume"},
		"bad option":       {v.text("performance/write-behind cache-size=-1"), "cache-size"},
		"dangling":         {v.text() + "volume x\n type debug/io-stats\n subvolumes nowhere\nend-volume\n", "nowhere"},
		"backtick":         {v.text() + "volume x\n type debug/io-stats\n option log-level `touch " + v.brick + "/pwned`\n subvolumes locks\nend-volume\n", "backtick"},
		"another volume":   {strings.ReplaceAll(v.text(), v.brick, other), "another volume"},
		"no brick":         {strings.ReplaceAll(v.text(), v.brick, v.brick+"-gone"), "brick"},
		"refused by name":  {v.text("cluster/replicate"), "cluster/replicate"},
		"fails its lookup": {v.text("debug/error-gen failure=100 enable=lookup"), "lookup"},
	} {
		path := filepath.Join(t.TempDir(), "bad.vol")
		v.write(path, c.text)
		_, err := v.TryReload(path, time.Minute)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want something about %q", name, err, c.want)
		}
	}
	g := newGate(t)
	g.close()
	path := filepath.Join(t.TempDir(), "hangs.vol")
	v.write(path, v.text(g.layer("lookup")))
	began := time.Now()
	if _, err := v.TryReload(path, time.Second); err == nil || time.Since(began) > 10*time.Second {
		t.Errorf("a graph that hangs: %v after %v", err, time.Since(began))
	}
	wantRead(t, f, 0, "data")
	if s := v.Status(); s.Graph.Generation != gen || s.Graphs.Live != 1 || s.Switch.Failed == 0 {
		t.Errorf("%+v", s)
	}
	if _, err := os.Stat(v.brick + "/pwned"); err == nil {
		t.Fatal("a backtick was run")
	}
	v.step()
	wantRead(t, f, 0, "data")
}

func TestThousandsOfBlockedReadersCostLittle(t *testing.T) {
	g := newGate(t)
	v := newVolume(t, g.layer("readv"), "debug/io-stats")
	f := create(t, v.path("f"), unix.O_DIRECT)
	_, err := f.WriteAt(aligned(4096), 0)
	must(t, err)
	g.close()
	const readers = 5000
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			if _, err := f.ReadAt(aligned(4096), 0); err != nil {
				t.Error(err)
			}
		})
	}
	v.inFlight(readers)
	s := v.Status()
	if mib := s.Process.RSSBytes >> 20; mib > 300 && !mnt.RaceEnabled {
		t.Errorf("%d MiB resident with %d readers blocked", mib, readers)
	}
	g.open()
	wg.Wait()
}

func TestThousandSwitchesWithThousandOpenFilesLeakNothing(t *testing.T) {
	v := newVolume(t, stacks[0]...)
	const files, switches = 1000, 1000
	var fs []*os.File
	for i := range files {
		fs = append(fs, create(t, v.path(fmt.Sprintf("f%d", i)), 0))
	}
	for range 20 {
		v.step()
	}
	v.settled()
	before := v.Status()
	for i := range switches {
		v.step()
		if i%50 == 0 {
			_, err := fs[i%files].WriteAt([]byte("x"), 0)
			must(t, err)
		}
	}
	v.settled()
	v.until("the goroutines end", func() bool { return v.Status().Process.Goroutines <= before.Process.Goroutines+5 })
	after := v.Status()
	if grown := (after.Process.RSSBytes - before.Process.RSSBytes) >> 20; grown > 20 && !mnt.RaceEnabled { // `make test` runs it without the detector too
		t.Errorf("%d MiB more after %d switches", grown, switches)
	}
	t.Logf("before %+v after %+v", before.Process, after.Process)
}
