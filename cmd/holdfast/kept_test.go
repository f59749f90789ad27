package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/cmd/holdfast/daemon"
)

// TestFailingWorkerLeavesTheBrickItsLock: a worker whose graph is up and who then
// cannot serve must not tell the brick that the mount is over.
func TestFailingWorkerLeavesTheBrickItsLock(t *testing.T) {
	w := newWorld(t)
	w.mount("-o", "recovery-deadline=600")
	w.write(w.mnt+"/x", "y")
	s := w.status()
	memory := w.memory(s.Keeper.PID)
	defer memory.Close()
	const initOut = 2048 // docs/state-memory.md
	length := make([]byte, 4)
	if _, err := memory.ReadAt(length, initOut); err != nil {
		t.Fatal(err)
	}
	if _, err := memory.WriteAt([]byte{1, 0, 0, 0}, initOut); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(s.Process.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Open(w.brick + "/.glusterfs/holdfast.lock")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	for deadline := time.Now().Add(time.Minute); strings.Count(w.read(w.log), "mount failed") < 4; time.Sleep(time.Millisecond) {
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != unix.EWOULDBLOCK {
			t.Fatalf("another mount could have taken the directory: %v", err)
		}
		if time.Now().After(deadline) {
			t.Fatal("no worker fails")
		}
	}
	if _, err := memory.WriteAt(length, initOut); err != nil {
		t.Fatal(err)
	}
	if got := w.read(w.mnt + "/x"); got != "y" {
		t.Errorf("%q", got)
	}
	w.umount()
}

// TestForgottenBrickIsLetGo: a worker dies in the middle of a switch to another
// directory, whose lock the keeper has then, and no later worker asks for it.
func TestForgottenBrickIsLetGo(t *testing.T) {
	w := newWorld(t)
	gate, other := w.dir+"/gate", w.dir+"/other"
	if err := os.Mkdir(other, 0o755); err != nil {
		t.Fatal(err)
	}
	text := w.volfile("volume slow\n    type debug/delay-gen\n    option gate " + gate + "\n    option enable WRITE\n    subvolumes low\nend-volume\n" +
		"volume mid\n    type performance/write-behind\n    subvolumes slow\nend-volume\n")
	file := filepath.Join(w.dir, "graph.vol")
	w.write(file, text)
	w.must("mount", "-o", "recovery-deadline=4,drain-timeout=20", "--log-file", w.log, file, w.mnt)
	id := make([]byte, 16)
	const volume = "trusted.glusterfs.volume-id"
	if _, err := unix.Getxattr(w.brick, volume, id); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{volume, "trusted.holdfast.volume"} {
		if err := unix.Setxattr(other, name, id, 0); err != nil {
			t.Fatal(err)
		}
	}
	w.write(gate, "")
	// Of another process: a fork of this one would close its copy, and wait.
	writer := exec.Command("python3", "-c", `import os, sys
fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
os.write(fd, b"y")
print("written", flush=True)
sys.stdin.read()`, w.mnt+"/x")
	stdin, err := writer.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := writer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "written\n" {
		t.Fatalf("%q, %v", line, err)
	}
	next := filepath.Join(w.dir, "next.vol")
	w.write(next, strings.Replace(text, w.brick, other, 1))
	switching := exec.Command(binary, "reload", w.mnt, "--volfile", next)
	if err := switching.Start(); err != nil {
		t.Fatal(err)
	}
	free := func() bool {
		lock, err := os.Open(other + "/.glusterfs/holdfast.lock")
		if err != nil {
			return true // not taken yet
		}
		defer lock.Close()
		return unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB) == nil
	}
	w.until("the other directory is in use", func(daemon.Status) bool { return !free() })
	// It would ask the next worker again.
	if err := switching.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	w.kill(w.status().Process.PID)
	if free() {
		t.Error("the other directory is let go before anybody can have asked for it")
	}
	if err := os.Remove(gate); err != nil {
		t.Fatal(err)
	}
	stdin.Close()
	if err := writer.Wait(); err != nil {
		t.Error(err)
	}
	w.until("the other directory is let go", func(daemon.Status) bool { return free() })
	if err := switching.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = switching.Wait() // killed
	if got := w.read(w.mnt + "/x"); got != "y" {
		t.Errorf("%q", got)
	}
	w.umount()
}
