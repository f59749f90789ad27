package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/cmd/holdfast/daemon"
	"github.com/holdfast/holdfast/fuse/keeper"
	"github.com/holdfast/holdfast/tests/kill"
)

// kill ends a process with SIGKILL and waits for that.
func (w *world) kill(pid int) {
	w.Helper()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		w.Fatalf("kill %d: %v", pid, err)
	}
	w.waitGone(pid)
}

func TestMountSurvivesTheDeathOfItsWorker(t *testing.T) {
	w := newWorld(t)
	w.mount()
	f, err := os.OpenFile(w.mnt+"/open", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	gone, err := os.Create(w.mnt + "/gone")
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	lock := &unix.Flock_t{Type: unix.F_WRLCK, Len: 10}
	err = errors.Join(os.Remove(w.mnt+"/gone"), os.Chmod(w.mnt+"/open", 0), unix.FcntlFlock(f.Fd(), unix.F_SETLK, lock))
	if err != nil {
		t.Fatal(err)
	}
	a := w.application()
	for i := range 5 {
		a.goesOn()
		for _, f := range []*os.File{f, gone} {
			if _, err := fmt.Fprintf(f, "%d", i); err != nil {
				t.Error(err)
			}
		}
		w.kill(w.status().Process.PID)
	}
	a.goesOn()
	for _, f := range []*os.File{f, gone} {
		b := make([]byte, 10)
		if n, _ := f.ReadAt(b, 0); string(b[:n]) != "01234" {
			t.Errorf("%s holds %q", f.Name(), b[:n])
		}
	}
	s := w.status()
	if s.Keeper.State != "on" || s.Worker.Generation != 6 || s.Worker.Restarts != 5 || s.Worker.Deaths != 5 || s.Locks.Held != 1 || s.Locks.Lost != 0 {
		t.Errorf("%+v %+v %+v", s.Keeper, s.Worker, s.Locks)
	}
	a.finish()
	f.Close()
	gone.Close()
	w.until("the unlinked file is gone from the brick", func(daemon.Status) bool {
		es, err := os.ReadDir(w.brick + "/.glusterfs/unlink")
		return err == nil && len(es) == 0
	})
	w.umount()
}

// TestKeeperKeepsOutOfItsMount: it would wait for itself.
func TestKeeperKeepsOutOfItsMount(t *testing.T) {
	w := newWorld(t)
	w.refuses("is inside the mount point", "mount", w.brick, w.mnt, "--log-file", w.mnt+"/log")
	w.mount()
	s := w.status()
	for _, pid := range []int{s.Keeper.PID, s.Process.PID} {
		if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err != nil || cwd != "/" {
			t.Errorf("%d is in %s, %v", pid, cwd, err)
		}
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, fd := range fds {
			if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, w.mnt) {
				t.Errorf("%s is %s", fd, to)
			}
		}
	}
	score := func(pid int) int {
		n, err := strconv.Atoi(strings.TrimSpace(w.read(fmt.Sprintf("/proc/%d/oom_score_adj", pid))))
		if err != nil {
			t.Error(err)
		}
		return n
	}
	// As far as this process may have it lowered itself.
	want, err := exec.Command("sh", "-c", "echo -900 2>/dev/null >/proc/self/oom_score_adj; cat /proc/self/oom_score_adj").Output()
	if err != nil {
		t.Fatal(err)
	}
	own := score(os.Getpid())
	if got := score(s.Keeper.PID); fmt.Sprintln(got) != string(want) || score(s.Process.PID) != own {
		t.Errorf("oom_score_adj of the keeper %d, want %s, of the worker %d, ours %d", got, want, score(s.Process.PID), own)
	}
	w.umount()
}

func TestKeeperDiesFirst(t *testing.T) {
	w := newWorld(t)
	w.mount()
	a := w.application()
	s := w.status()
	w.refuses(fmt.Sprintf("it has one, process %d", s.Keeper.PID), "mount", "--adopt", w.mnt)
	w.kill(s.Keeper.PID)
	a.goesOn()
	w.until("the worker has noticed", func(s daemon.Status) bool { return s.Keeper.State == "lost" })
	if out := w.must("status", w.mnt); !strings.Contains(out, "mount --adopt") {
		t.Errorf("%s", out)
	}
	w.refuses("mount --adopt", "upgrade", w.mnt)
	if out := w.must("mount", "--adopt", w.mnt); !strings.Contains(out, "has a keeper again") {
		t.Error(out)
	}
	n := w.status()
	if n.Keeper.State != "on" || n.Keeper.PID == s.Keeper.PID || n.Process.PID != s.Process.PID {
		t.Errorf("%+v %+v", n.Keeper, n.Process)
	}
	for range 3 {
		w.kill(w.status().Process.PID)
		a.goesOn()
	}
	w.must("upgrade", w.mnt)
	// Once more, of a worker that the adopted keeper has started.
	w.kill(n.Keeper.PID)
	w.must("mount", "--adopt", w.mnt)
	w.kill(w.status().Process.PID)
	a.goesOn()
	a.finish()
	w.umount()
}

// TestBothDie: in both orders the mount says so, and can be unmounted.
func TestBothDie(t *testing.T) {
	for _, order := range []string{"keeper first", "worker first"} {
		t.Run(order, func(t *testing.T) {
			w := newWorld(t)
			w.mount()
			w.write(w.mnt+"/x", "y")
			f, err := os.Open(w.mnt + "/x")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			s := w.status()
			pids := []int{s.Keeper.PID, s.Process.PID}
			if order == "worker first" {
				if err := unix.Kill(s.Keeper.PID, unix.SIGSTOP); err != nil { // it starts nobody
					t.Fatal(err)
				}
				if err := unix.Kill(s.Process.PID, unix.SIGKILL); err != nil {
					t.Fatal(err)
				}
				pids = pids[:1]
			}
			for _, pid := range pids {
				w.kill(pid)
			}
			if _, err := f.Read(make([]byte, 1)); !errors.Is(err, unix.ENOTCONN) && !errors.Is(err, unix.ECONNABORTED) {
				t.Errorf("read: %v", err)
			}
			w.refuses("its process is gone", "status", w.mnt)
			w.refuses("is gone", "mount", "--adopt", w.mnt)
			w.must("umount", w.mnt)
			w.mount()
			if got := w.read(w.mnt + "/x"); got != "y" {
				t.Errorf("%q", got)
			}
			w.umount()
		})
	}
}

func TestUmountWithoutAKeeper(t *testing.T) {
	w := newWorld(t)
	w.mount()
	w.write(w.mnt+"/x", "y")
	w.kill(w.status().Keeper.PID)
	w.umount()
}

func TestSignalsToTheKeeper(t *testing.T) {
	w := newWorld(t)
	w.mount()
	s := w.status()
	if err := os.Rename(w.log, w.log+".1"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(s.Keeper.PID, unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	w.until("the worker has taken it up", func(s daemon.Status) bool { return s.Reload.By == "SIGHUP" })
	w.kill(s.Process.PID)
	w.write(w.mnt+"/x", "y")
	w.until("both log to the new file", func(daemon.Status) bool {
		b, _ := os.ReadFile(w.log)
		return bytes.Contains(b, []byte("the worker is gone")) && bytes.Contains(b, []byte("serving again"))
	})
	pids := w.processes()
	if err := unix.Kill(s.Keeper.PID, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.waitGone(pids...)
	w.gone()
}

// TestTheSameGraphIsServedAgain: what has become of the volfile meanwhile is
// looked at afterwards, as any change of it.
func TestTheSameGraphIsServedAgain(t *testing.T) {
	w := newWorld(t)
	file := w.mountVolfile(w.volfile(""))
	other := filepath.Join(w.dir, "other.vol")
	w.write(other, w.volfile("volume mid\n    type debug/io-stats\n    subvolumes low\nend-volume\n"))
	w.must("reload", w.mnt, "--volfile", other)
	w.write(file, "rubbish")
	w.write(other, "rubbish too")
	s := w.until("the mistake is seen", func(s daemon.Status) bool { return s.Reload.Error != "" })
	w.kill(s.Process.PID)
	w.write(w.mnt+"/x", "y")
	if out := w.must("graph", w.mnt); !strings.Contains(out, "mid") {
		t.Errorf("another graph:\n%s", out)
	}
	n := w.until("the mistake is seen again", func(s daemon.Status) bool { return s.Reload.Error != "" })
	if n.Mount.Volfile != other || n.Graph.Generation <= s.Graph.Generation || !n.Mount.Since.Equal(s.Mount.Since) {
		t.Errorf("%+v %+v", n.Mount, n.Graph)
	}
	w.write(other, w.volfile(""))
	w.until("the correction is taken up", func(s daemon.Status) bool {
		return s.Reload.Error == "" && !strings.Contains(w.must("graph", w.mnt), "mid")
	})
	w.umount()
}

func TestWithoutAKeeperTheMountDiesWithItsProcess(t *testing.T) {
	w := newWorld(t)
	w.mount("--no-keeper")
	s := w.status()
	if s.Keeper.State != "off" || s.Keeper.PID != 0 || len(w.processes()) != 1 {
		t.Errorf("%+v, processes %v", s.Keeper, w.processes())
	}
	w.refuses("without a keeper", "mount", "--adopt", w.mnt)
	w.refuses("has no keeper", "upgrade", w.mnt)
	w.kill(s.Process.PID)
	if _, err := os.Stat(w.mnt + "/x"); !errors.Is(err, unix.ENOTCONN) {
		t.Errorf("stat: %v", err)
	}
	w.must("umount", w.mnt)
}

// TestNoWorkerInTime: everything is answered with EIO then, so that processes can
// end and the mount can be unmounted, or given a worker again.
func TestNoWorkerInTime(t *testing.T) {
	for _, end := range []string{"unmounted", "revived"} {
		t.Run(end, func(t *testing.T) {
			w := newWorld(t)
			w.mount("-o", "recovery-deadline=2")
			w.write(w.mnt+"/x", "y")
			f, err := os.OpenFile(w.mnt+"/x", os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			s := w.status()
			if err := os.Rename(w.brick, w.brick+".away"); err != nil {
				t.Fatal(err)
			}
			w.kill(s.Process.PID)
			start := time.Now()
			if _, err := os.Stat(w.mnt + "/y"); !errors.Is(err, unix.EIO) {
				t.Errorf("stat: %v", err)
			}
			if d := time.Since(start); d < time.Second || d > 20*time.Second {
				t.Errorf("it took %v", d)
			}
			n := w.status()
			if n.Keeper.State != "failed" || n.Keeper.PID != s.Keeper.PID || !strings.Contains(n.Keeper.Error, w.brick) || n.Worker.Deaths < 2 {
				t.Errorf("%+v %+v", n.Keeper, n.Worker)
			}
			if out := w.must("status", w.mnt); !strings.Contains(out, "EIO") {
				t.Error(out)
			}
			w.refuses("no process serves the mount", "graph", w.mnt)
			if _, err := f.Write([]byte("z")); !errors.Is(err, unix.EIO) {
				t.Errorf("write: %v", err)
			}
			if err := os.Rename(w.brick+".away", w.brick); err != nil {
				t.Fatal(err)
			}
			if end == "revived" {
				w.must("upgrade", w.mnt)
				if _, err := f.WriteAt([]byte("z"), 0); err != nil {
					t.Errorf("write: %v", err)
				}
				if got := w.read(w.mnt + "/x"); got != "z" {
					t.Errorf("%q", got)
				}
				w.kill(w.status().Process.PID)
				if got := w.read(w.mnt + "/x"); got != "z" {
					t.Errorf("%q", got)
				}
			}
			f.Close()
			w.umount()
		})
	}
}

// TestCommandsWaitForTheNextWorker: one that comes in between is answered by it.
func TestCommandsWaitForTheNextWorker(t *testing.T) {
	w := newWorld(t)
	w.mount()
	for i := range 4 {
		pid := w.status().Process.PID
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		w.must("set", w.mnt, "performance.write-behind", []string{"off", "on"}[i%2])
		if s := w.status(); s.Process.PID == pid {
			t.Errorf("the dead process %d answers", pid)
		}
	}
	w.umount()
}

// script writes a program that a keeper can start.
func (w *world) script(name, text string) string {
	w.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		w.Fatal(err)
	}
	return path
}

// pretender makes this test's program a worker that does not serve: see pretend.
const pretender = "HOLDFAST_TEST_WORKER"

// pretend is such a worker. What it does not come to print is its mistake.
func pretend(how string) int {
	layouts := daemon.Layouts()
	if how == "layout" {
		layouts = []uint64{99}
	}
	link, start, err := keeper.Inherit("99.0", layouts)
	if how == "layout" {
		fmt.Fprintln(os.Stderr, "a keeper starts a worker of another layout:", start, err)
		return 3
	}
	if err == nil {
		err = link.Prepared()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, how, err)
		return 4
	}
	if how == "hangs late" {
		select {}
	}
	return 5
}

// pretending is a program that does.
func (w *world) pretending(how string) string {
	w.Helper()
	self, err := os.Executable()
	if err != nil {
		w.Fatal(err)
	}
	return w.script(strings.ReplaceAll(how, " ", "-"), "exec env "+pretender+"='"+how+"' "+self)
}

// TestUpgradeToWhatDoesNotServe: the old program goes on, and no application
// notices.
func TestUpgradeToWhatDoesNotServe(t *testing.T) {
	w := newWorld(t)
	w.mount()
	a := w.application()
	garbage := filepath.Join(w.dir, "garbage")
	w.write(garbage, "not a program")
	if err := os.Chmod(garbage, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		program, why string
		late         bool // the old worker has left by then
	}{
		{w.script("crashes", "kill -9 $$"), "killed", false},
		{w.script("ends", "exit 0"), "exit status 0", false},
		{w.script("hangs", "exec sleep 1000"), "not get ready in time", false},
		{w.script("errs", "exec "+binary+" worker-of-nothing"), "exit status 1", false},
		{w.pretending("layout"), "layouts [99]", false},
		{garbage, "exec format error", false},
		{w.dir, "not an executable file", false},
		{w.log, "not an executable file", false},
		{w.pretending("dies late"), "exit status 5", true},
		{w.pretending("hangs late"), "not ready in time", true},
	} {
		a.goesOn()
		s := w.status()
		out, err := w.hf("upgrade", w.mnt, "--binary", c.program, "--timeout", "2s")
		if err == nil || !strings.Contains(err.Error(), c.why) || !strings.Contains(err.Error(), "the old program goes on") {
			t.Errorf("%s: %q %v", c.program, out, err)
		}
		a.goesOn()
		if n := w.status(); (n.Process.PID == s.Process.PID) == c.late {
			t.Errorf("%s: worker %d is now %d, %+v", c.program, s.Process.PID, n.Process.PID, n.Worker)
		}
	}
	a.finish()
	if strings.Contains(w.read(w.log), "a keeper starts") {
		t.Error("a worker of another layout was started")
	}
	w.umount()
}

// TestKillsDuringUpgrades: whichever of the two workers is hit, and whenever.
func TestKillsDuringUpgrades(t *testing.T) {
	w := newWorld(t)
	w.mount()
	a := w.application()
	k := w.status().Keeper.PID
	stop := make(chan struct{})
	killed := make(chan int, 1)
	go func() {
		n, r := 0, rand.New(rand.NewPCG(1, 2))
		for {
			select {
			case <-stop:
				killed <- n
				return
			case <-time.After(time.Duration(100+r.IntN(900)) * time.Millisecond):
				n += kill.Now(k)
			}
		}
	}()
	const upgrades = 5
	done := 0
	for range upgrades {
		out, err := exec.Command(binary, "upgrade", w.mnt, "--timeout", "20s").CombinedOutput()
		switch {
		case err == nil:
			done++
		case !bytes.Contains(out, []byte("the old program goes on")) && !bytes.Contains(out, []byte("ended meanwhile")):
			t.Errorf("%s", out)
		}
		a.goesOn()
	}
	close(stop)
	t.Logf("%d upgrades of %d with %d kills", done, upgrades, <-killed)
	a.finish()
	w.umount()
}

func TestUpgradeIsReported(t *testing.T) {
	w := newWorld(t)
	w.mount()
	a := w.application()
	pid := w.status().Process.PID
	out := w.must("upgrade", w.mnt)
	s := w.status()
	if s.Process.PID == pid || s.Worker.Generation != 2 || s.Worker.Deaths != 0 || !strings.Contains(out, fmt.Sprint(s.Process.PID)) {
		t.Errorf("%s %+v %+v", out, s.Process, s.Worker)
	}
	if out = w.must("upgrade", w.mnt, "--json"); !strings.Contains(out, `"generation": 3`) || !strings.Contains(out, "pause_ms") {
		t.Error(out)
	}
	a.finish()
	w.umount()
}

// TestCrashingProgramIsLeft: it becomes ready and dies at once; the keeper goes
// back to the program before it.
func TestCrashingProgramIsLeft(t *testing.T) {
	w := newWorld(t)
	w.mount()
	a := w.application()
	starts, crash := filepath.Join(w.dir, "starts"), filepath.Join(w.dir, "crash")
	bad := w.script("bad", "echo >> "+starts+"; [ -e "+crash+" ] && exit 7; exec "+binary+` "$@"`)
	w.must("upgrade", w.mnt, "--binary", bad)
	w.write(crash, "")
	if err := unix.Kill(w.status().Process.PID, unix.SIGABRT); err != nil { // as a crash of its own
		t.Fatal(err)
	}
	a.goesOn()
	w.kill(w.status().Process.PID)
	a.goesOn()
	if n := strings.Count(w.read(starts), "\n"); n != 1 {
		t.Errorf("the program that crashes was started %d times", n)
	}
	a.finish()
	w.umount()
}

// TestCrashLoopIsSlowedDown: a worker that dies before it is ready is not started
// as fast as the machine allows.
func TestCrashLoopIsSlowedDown(t *testing.T) {
	w := newWorld(t)
	w.mount("-o", "recovery-deadline=3")
	starts, crash := filepath.Join(w.dir, "starts"), filepath.Join(w.dir, "crash")
	w.write(starts, "")
	bad := w.script("bad", "echo >> "+starts+"; [ -e "+crash+" ] && exit 7; exec "+binary+` "$@"`)
	w.must("upgrade", w.mnt, "--binary", bad)
	w.kill(w.status().Process.PID) // it may crash from now on
	w.until("it has lived on", func(s daemon.Status) bool { return s.Process.UptimeS > 5.5 })
	w.write(crash, "")
	w.kill(w.status().Process.PID)
	start := time.Now()
	if _, err := os.Stat(w.mnt + "/x"); !errors.Is(err, unix.EIO) {
		t.Errorf("stat: %v", err)
	}
	// 0, 50, 100, 200, 400, 800, 1600 ms: in three seconds there is room for 8.
	if n := strings.Count(w.read(starts), "\n") - 2; n < 4 || n > 9 {
		t.Errorf("%d starts in %v", n, time.Since(start))
	}
	w.must("upgrade", w.mnt)
	w.write(w.mnt+"/x", "y")
	w.umount()
}

// TestWorkerNamesItsMount: people look at the list of processes.
func TestWorkerNamesItsMount(t *testing.T) {
	w := newWorld(t)
	w.mount()
	s := w.status()
	if b := w.read(fmt.Sprintf("/proc/%d/cmdline", s.Process.PID)); b != "holdfast\x00worker\x00"+w.mnt+"\x00" {
		t.Errorf("%q", b)
	}
	if comm := w.read(fmt.Sprintf("/proc/%d/comm", s.Process.PID)); comm != "holdfast-worker\n" {
		t.Errorf("%q", comm)
	}
	if comm := w.read(fmt.Sprintf("/proc/%d/comm", s.Keeper.PID)); comm != "holdfast-keeper\n" {
		t.Errorf("%q", comm)
	}
	if st, err := control.FindState(control.Mount{Mountpoint: w.mnt, Minor: s.Mount.Connection}); err != nil || st.PID != s.Keeper.PID || st.Worker.PID != s.Process.PID {
		t.Errorf("%+v %v", st, err)
	}
	w.umount()
}

// TestDamagedMemoryIsReplaced: what was open is lost, and says so; the mount
// goes on.
func TestDamagedMemoryIsReplaced(t *testing.T) {
	for name, spoil := range map[string][]byte{"magic": []byte("rubbish!"), "arena": nil} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.mount()
			w.write(w.mnt+"/x", "y")
			f, err := os.Open(w.mnt + "/x")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			s := w.status()
			memory := w.memory(s.Keeper.PID)
			defer memory.Close()
			if err := unix.Kill(s.Keeper.PID, unix.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			if err := unix.Kill(s.Process.PID, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			at := int64(0)
			if spoil == nil { // the first unused byte lies beyond the end
				spoil, at = bytes.Repeat([]byte{0xff}, 8), 64
			}
			if _, err := memory.WriteAt(spoil, at); err != nil {
				t.Fatal(err)
			}
			if err := unix.Kill(s.Keeper.PID, unix.SIGCONT); err != nil {
				t.Fatal(err)
			}
			if _, err := f.ReadAt(make([]byte, 1), 0); err == nil {
				t.Error("the old base fd is of use")
			}
			f.Close()
			w.until("a look-up works", func(daemon.Status) bool {
				b, err := os.ReadFile(w.mnt + "/x")
				return err == nil && string(b) == "y"
			})
			if n := w.status(); n.Worker.Generation != s.Worker.Generation+1 || n.Worker.Deaths != s.Worker.Deaths+1 {
				t.Errorf("%+v", n.Worker)
			}
			if !strings.Contains(w.read(w.log), "damaged") {
				t.Error("the log does not say so")
			}
			w.kill(w.status().Process.PID)
			if got := w.read(w.mnt + "/x"); got != "y" {
				t.Errorf("%q", got)
			}
			w.umount()
		})
	}
}

// memory opens the state memory that a keeper holds.
func (w *world) memory(keeper int) *os.File {
	w.Helper()
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", keeper))
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && strings.Contains(to, "holdfast-state") {
			f, err := os.OpenFile(fd, os.O_RDWR, 0)
			if err != nil {
				w.Fatal(err)
			}
			return f
		}
	}
	w.Fatal("the keeper holds no state memory")
	return nil
}
