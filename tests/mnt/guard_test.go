package mnt_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/tests/mnt"
)

const victimMark = "HOLDFAST_MNT_VICTIM"

// TestVictim is the test process that TestGuardCleansUpAfterAKilledTest kills;
// on its own it does nothing.
func TestVictim(t *testing.T) {
	if os.Getenv(victimMark) == "" {
		return
	}
	m := mnt.Mount(t, t.TempDir())
	f, err := os.Create(filepath.Join(m.Dir, "open"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fmt.Printf("mounted %d %s\n", m.PID(), m.Dir)
	bufio.NewReader(os.Stdin).ReadString('\n') // never comes
}

// TestGuardCleansUpAfterAKilledTest: nobody is left to run cleanups, and still
// neither mount nor process stays.
func TestGuardCleansUpAfterAKilledTest(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestVictim$")
	cmd.Env = append(os.Environ(), victimMark+"=1", "TMPDIR="+t.TempDir())
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	var dir string
	if _, err := fmt.Sscanf(line, "mounted %d %s", &pid, &dir); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	if !mounted(t, dir) {
		t.Fatalf("%s is not mounted", dir)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	end := time.Now().Add(time.Minute)
	for mounted(t, dir) || alive(pid) || exists(filepath.Dir(dir)) {
		if time.Now().After(end) {
			t.Fatalf("after a minute: mounted %t, process %d alive %t, folder there %t", mounted(t, dir), pid, alive(pid), exists(filepath.Dir(dir)))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func mounted(t *testing.T, dir string) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(b), " "+dir+" ")
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func alive(pid int) bool {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err == nil && !strings.Contains(string(b), ") Z ")
}
