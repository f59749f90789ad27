package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/cmd/holdfast/daemon"
	"github.com/holdfast/holdfast/fuse"
)

func TestBusyMountIsNamedAndNotUnmounted(t *testing.T) {
	w := newWorld(t)
	w.mount()
	f, err := os.Create(w.mnt + "/open")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w.refuses(fmt.Sprintf("is busy: used by holdfast.test (%d)", os.Getpid()), "umount", w.mnt)
	if _, err := f.WriteString("goes on"); err != nil {
		t.Error(err)
	}
	pids := w.processes()
	w.must("umount", "-l", w.mnt)
	if _, err := f.WriteString(", still"); err != nil {
		t.Error(err)
	}
	f.Close()
	w.waitGone(pids...)
	w.gone()
	if got := w.read(w.brick + "/open"); got != "goes on, still" {
		t.Errorf("%q", got)
	}
}

func TestTerminateUnmounts(t *testing.T) {
	w := newWorld(t)
	w.mount()
	w.write(w.mnt+"/x", "y")
	pids := w.processes()
	if err := unix.Kill(w.status().Process.PID, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.waitGone(pids...)
	w.gone()
}

func TestTerminateTwiceEndsAMountInUse(t *testing.T) {
	w := newWorld(t)
	w.mount()
	f, err := os.Create(w.mnt + "/open")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	pid, pids := w.status().Process.PID, w.processes()
	if err := unix.Kill(pid, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.untilUnmounted()
	if _, err := f.WriteString("goes on"); err != nil { // the mount is detached, not ended
		t.Error(err)
	}
	if err := unix.Kill(pid, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.waitGone(pids...)
	if _, err := f.WriteString("too late"); err == nil {
		t.Error("a write without a process behind the mount")
	}
	w.gone()
}

func TestStatusAnswersWhileTheMountHangs(t *testing.T) {
	w := newWorld(t)
	gate := w.dir + "/gate"
	w.mountVolfile(w.volfile("volume mid\n    type debug/delay-gen\n    option gate " + gate + "\n    subvolumes low\nend-volume\n"))
	w.write(gate, "")
	hangs := make(chan error, 1)
	go func() {
		_, err := os.Stat(w.mnt + "/whatever")
		hangs <- err
	}()
	s := w.until("a request hangs", func(s daemon.Status) bool { return s.Graph.Requests > 0 })
	if s.Graph.State != "serving" {
		t.Errorf("%+v", s.Graph)
	}
	w.must("dump", w.mnt)
	w.must("graph", w.mnt)
	if err := os.Remove(gate); err != nil {
		t.Fatal(err)
	}
	if err := <-hangs; !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	w.umount()
}

func TestForcedUmountEndsAMountThatHangs(t *testing.T) {
	w := newWorld(t)
	gate := w.dir + "/gate"
	w.mountVolfile(w.volfile("volume mid\n    type debug/delay-gen\n    option gate " + gate + "\n    subvolumes low\nend-volume\n"))
	w.write(gate, "")
	hangs := make(chan error, 1)
	go func() {
		_, err := os.Stat(w.mnt + "/whatever")
		hangs <- err
	}()
	w.until("a request hangs", func(s daemon.Status) bool { return s.Graph.Requests > 0 })
	w.must("umount", "-l", "-f", w.mnt)
	if err := <-hangs; err == nil {
		t.Error("no error")
	}
	w.gone()
}

func TestMountOfADeadProcessIsNamedAndCleanedUp(t *testing.T) {
	w := newWorld(t)
	w.mount("--no-keeper")
	pid := w.status().Process.PID
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.waitGone(pid)
	w.refuses("its process is gone", "status", w.mnt)
	w.refuses("whose process is gone is in the way", "mount", w.brick, w.mnt, "--log-file", w.log)
	w.must("umount", w.mnt)
	w.mount() // what the dead one left in /run is in nobody's way
	if n := len(w.states()); n != 1 {
		t.Errorf("%d state files", n)
	}
	w.umount()
}

func TestAbortedMountIsRemoved(t *testing.T) {
	w := newWorld(t)
	w.mount()
	pids := w.processes()
	if err := fuse.Abort(w.status().Mount.Connection); err != nil {
		t.Fatal(err)
	}
	w.waitGone(pids...)
	w.gone()
}

// untilUnmounted waits until the mount point is free.
func (w *world) untilUnmounted() {
	w.Helper()
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		w.Fatal(err)
	}
	defer f.Close()
	for range 60 {
		if !strings.Contains(w.read("/proc/self/mountinfo"), " "+w.mnt+" ") {
			return
		}
		// The kernel tells of changes of the mount table by POLLPRI.
		unix.Poll([]unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLPRI}}, 1000)
	}
	w.Fatalf("%s stays mounted", w.mnt)
}
