package posix

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// childMark in the environment makes a test process a second process.
const childMark = "HOLDFAST_POSIX_CHILD"

// ask is one system call for the second process to make.
type ask struct {
	Op               string
	Path, To         string
	FD, Flags, Cmd   int
	Mode             uint32
	Off, Len         int64
	Typ              int16
	Data             []byte
	UID, GID         int
	Groups           []int
	AtimeNS, MtimeNS int64
}

// answer is what came back.
type answer struct {
	N     int64
	Errno syscall.Errno
	Data  []byte
	Lock  unix.Flock_t
	Stat  unix.Stat_t
}

// Child turns the process into a second process if it was started as one, and
// does not return then. Call it first thing in TestMain.
func Child() {
	if os.Getenv(childMark) == "" {
		return
	}
	runtime.LockOSThread()
	noRestart()
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var a ask
		if err := in.Decode(&a); err != nil {
			os.Exit(0)
		}
		if err := out.Encode(obey(&a)); err != nil {
			os.Exit(1)
		}
	}
}

// sigaction is the kernel's struct on 64-bit Linux.
type sigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

const saRestart = 0x10000000

// noRestart lets SIGUSR1 interrupt a system call: the Go runtime's handler
// stays, but the kernel is told not to begin the call again.
func noRestart() {
	sig := uintptr(unix.SIGUSR1)
	var s sigaction
	_, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, 0, uintptr(unsafe.Pointer(&s)), 8, 0, 0)
	if e == 0 {
		s.flags &^= saRestart
		_, _, e = unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&s)), 0, 8, 0, 0)
	}
	if e != 0 {
		fmt.Fprintln(os.Stderr, "rt_sigaction:", e)
		os.Exit(1)
	}
}

// child is a second process.
type child struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	dec *json.Decoder
	tid int
}

// start makes a second process, root's, in dir.
func start(t *testing.T, dir string) *child {
	t.Helper()
	c := &child{t: t, cmd: exec.Command("/proc/self/exe", "-test.run=^$")}
	// By itself the race detector sleeps for a second at the end.
	c.cmd.Env = append(os.Environ(), childMark+"=1", "GORACE=atexit_sleep_ms=10")
	c.cmd.Dir = dir
	c.cmd.Stderr = os.Stderr
	c.cmd.WaitDelay = 5 * time.Second
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.dec = json.NewDecoder(out)
	t.Cleanup(c.end)
	r := c.call(ask{Op: "gettid"})
	c.tid = int(r.N)
	return c
}

// as makes a second process of another user.
func as(t *testing.T, dir string, uid, gid int, groups ...int) *child {
	t.Helper()
	c := start(t, dir)
	if r := c.call(ask{Op: "become", UID: uid, GID: gid, Groups: groups}); r.Errno != 0 {
		t.Fatalf("become user %d: %v", uid, r.Errno)
	}
	return c
}

// end closes everything the process has open.
func (c *child) end() {
	c.in.Close()
	timer := time.AfterFunc(20*time.Second, func() { c.cmd.Process.Kill() })
	defer timer.Stop()
	c.cmd.Wait()
}

// begin sends a call that may wait; wait gives its answer.
func (c *child) begin(a ask) {
	c.t.Helper()
	b, err := json.Marshal(a)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.in.Write(append(b, '\n')); err != nil {
		c.t.Fatalf("second process: %v", err)
	}
}

func (c *child) wait() answer {
	c.t.Helper()
	got := make(chan answer, 1)
	go func() {
		defer close(got)
		var r answer
		if c.dec.Decode(&r) == nil {
			got <- r
		}
	}()
	select {
	case r, ok := <-got:
		if !ok {
			c.t.Fatal("the second process is gone (does TestMain call posix.Child?)")
		}
		return r
	case <-time.After(60 * time.Second):
		c.cmd.Process.Kill()
		c.t.Fatal("the second process does not answer")
	}
	return answer{}
}

func (c *child) call(a ask) answer {
	c.t.Helper()
	c.begin(a)
	return c.wait()
}

// err makes a call of which only the error counts.
func (c *child) err(a ask) error {
	c.t.Helper()
	if e := c.call(a).Errno; e != 0 {
		return e
	}
	return nil
}

// open returns the descriptor's number in the second process.
func (c *child) open(path string, flags int, mode uint32) (int, error) {
	c.t.Helper()
	r := c.call(ask{Op: "open", Path: path, Flags: flags, Mode: mode})
	if r.Errno != 0 {
		return -1, r.Errno
	}
	return int(r.N), nil
}

// blocked waits until the process sleeps in the system call nr.
func (c *child) blocked(nr int) {
	c.t.Helper()
	end := time.Now().Add(30 * time.Second)
	for {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/syscall", c.cmd.Process.Pid, c.tid))
		if err == nil && strings.HasPrefix(string(b), strconv.Itoa(nr)+" ") {
			return
		}
		if time.Now().After(end) {
			c.t.Fatalf("the second process does not wait in system call %d: %q, %v", nr, b, err)
		}
		time.Sleep(time.Millisecond)
	}
}

// interrupt signals the thread that makes the calls.
func (c *child) interrupt() {
	c.t.Helper()
	if err := unix.Tgkill(c.cmd.Process.Pid, c.tid, unix.SIGUSR1); err != nil {
		c.t.Fatal(err)
	}
}
