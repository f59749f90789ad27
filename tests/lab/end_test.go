package lab_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/tests/lab"
)

func isErrno(err error, want syscall.Errno) bool { return errors.Is(err, want) }

const victimMark = "HOLDFAST_LAB_VICTIM"

// TestVictim is the test that others look at from outside; on its own it does
// nothing.
func TestVictim(t *testing.T) {
	what := os.Getenv(victimMark)
	if what == "" {
		return
	}
	l := lab.Start(t)
	v := l.Volume("one")
	m := l.MountStock(v)
	fmt.Printf("\nrunning %d %d %d %s\n", l.Glusterd.PID(), v.Bricks[0].PID(), m.PID(), m.Dir)
	f, err := os.Create(filepath.Join(m.Dir, "open"))
	if err != nil {
		t.Fatal(err)
	}
	switch what {
	case "killed":
		bufio.NewReader(os.Stdin).ReadString('\n') // never comes
	case "failed":
		f.Close()
		t.Fatal("something went wrong")
	case "busy":
		return // with the file open
	case "brick":
		f.Close()
		syscall.Kill(v.Bricks[0].PID(), syscall.SIGSEGV)
		bufio.NewReader(os.Stdin).ReadString('\n')
	}
}

// victim is a run of TestVictim.
type victim struct {
	t         *testing.T
	cmd       *exec.Cmd
	stdin     io.Closer
	out       bytes.Buffer
	processes [3]int // glusterd, brick, stock client
	dir       string // the mount point
	read      chan struct{}
}

func startVictim(t *testing.T, what string) *victim {
	t.Helper()
	v := &victim{t: t, cmd: exec.Command("/proc/self/exe", "-test.run=^TestVictim$"), read: make(chan struct{})}
	v.cmd.Env = append(os.Environ(), victimMark+"="+what, "TMPDIR="+t.TempDir())
	stdin, err := v.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	v.stdin = stdin
	pipe, err := v.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	v.cmd.Stderr = os.Stderr
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(pipe)
	for {
		line, err := r.ReadString('\n')
		v.out.WriteString(line)
		if err != nil {
			t.Fatalf("the victim does not run: %v:\n%s", err, v.out.String())
		}
		p := &v.processes
		if n, _ := fmt.Sscanf(line, "running %d %d %d %s", &p[0], &p[1], &p[2], &v.dir); n == 4 {
			break
		}
	}
	go func() { // ends with the victim; end waits for it
		io.Copy(&v.out, r)
		close(v.read)
	}()
	return v
}

// end waits for the victim's end and returns what it printed.
func (v *victim) end() (string, error) {
	v.stdin.Close()
	<-v.read
	return v.out.String(), v.cmd.Wait()
}

// wantNothing waits until nothing of the victim is left.
func (v *victim) wantNothing() {
	v.t.Helper()
	base := filepath.Dir(v.dir)
	left := func() (all []string) {
		for _, pid := range v.processes {
			if alive(pid) {
				all = append(all, fmt.Sprintf("process %d", pid))
			}
		}
		b, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			v.t.Fatal(err)
		}
		if strings.Contains(string(b), base) {
			all = append(all, "a mount below "+base)
		}
		if _, err := os.Lstat(base); err == nil {
			all = append(all, base)
		}
		loops, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
		for _, f := range loops {
			if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), filepath.Base(base)) {
				all = append(all, f)
			}
		}
		return all
	}
	end := time.Now().Add(30 * time.Second)
	for all := left(); len(all) > 0; all = left() {
		if time.Now().After(end) {
			v.t.Fatalf("left behind: %q", all)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func alive(pid int) bool {
	b, err := os.ReadFile(filepath.Join("/proc", itoa(pid), "stat"))
	return err == nil && !strings.Contains(string(b), ") Z ")
}

// TestNothingStaysOfAKilledTest: nobody is left to run cleanups.
func TestNothingStaysOfAKilledTest(t *testing.T) {
	v := startVictim(t, "killed")
	for _, pid := range v.processes {
		if !alive(pid) {
			t.Errorf("process %d does not run", pid)
		}
	}
	if err := v.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	v.end()
	v.wantNothing()
}

func TestNothingStaysOfAFailedTest(t *testing.T) {
	v := startVictim(t, "failed")
	if out, err := v.end(); err == nil || !strings.Contains(out, "something went wrong") || !strings.Contains(out, "glusterd.log") {
		t.Errorf("%v, with:\n%s", err, out)
	}
	v.wantNothing()
}

func TestBusyMountFailsItsTest(t *testing.T) {
	v := startVictim(t, "busy")
	if out, err := v.end(); err == nil || !strings.Contains(out, "device or resource busy") {
		t.Errorf("%v, with:\n%s", err, out)
	}
	v.wantNothing()
}

func TestBrickThatDiesByItselfFailsItsTest(t *testing.T) {
	v := startVictim(t, "brick")
	end := time.Now().Add(30 * time.Second)
	for alive(v.processes[1]) {
		if time.Now().After(end) {
			t.Fatal("the brick survives SIGSEGV")
		}
		time.Sleep(time.Millisecond)
	}
	if out, err := v.end(); err == nil || !strings.Contains(out, "brick /bricks/one-0, process") || !strings.Contains(out, "has died by itself") ||
		!strings.Contains(out, "bricks-one-0.log tells of a crash") {
		t.Errorf("%v, with:\n%s", err, out)
	}
	v.wantNothing()
}
