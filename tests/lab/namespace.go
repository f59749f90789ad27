package lab

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

//go:embed init.sh
var initScript string

// setUpTimeout is for the lab's root and disk.
const setUpTimeout = 60 * time.Second

// namespace is where the daemons of a lab live: a PID and a mount namespace with
// a root of its own, held by its first process.
type namespace struct {
	cmd   *exec.Cmd
	stdin io.Closer // its end ends the first process
	out   bytes.Buffer
	disk  string // name of the image; unique, so that its loop device can be found
}

func newNamespace(root, disk string, size int64) (*namespace, error) {
	n := &namespace{disk: disk}
	n.cmd = exec.Command("bash", "-c", initScript, "lab", root, strconv.FormatInt(size, 10), disk)
	n.cmd.Env = environment()
	n.cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Setsid:     true, // no ^C
	}
	n.cmd.Stderr = &n.out
	stdin, err := n.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	n.stdin = stdin
	stdout, err := n.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := n.cmd.Start(); err != nil {
		return nil, fmt.Errorf("make namespaces for a lab (it needs root, with CAP_SYS_ADMIN): %w", err)
	}
	timer := time.AfterFunc(setUpTimeout, func() { n.cmd.Process.Kill() })
	defer timer.Stop()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if line != "ready\n" {
		n.cmd.Process.Kill()
		n.cmd.Wait()
		return nil, fmt.Errorf("set up the root of a lab: %s(%w)", n.out.String(), err)
	}
	return n, nil
}

func (n *namespace) pid() int { return n.cmd.Process.Pid }

// path is a path in the lab as this process can use it.
func (n *namespace) path(p string) string {
	return filepath.Join("/proc", strconv.Itoa(n.pid()), "root", p)
}

// environment of what runs in a lab: sbin may not be in a user's.
func environment() []string {
	return append(os.Environ(), "PATH="+searchPath(), "LC_ALL=C")
}

func searchPath() string { return os.Getenv("PATH") + ":/usr/local/sbin:/usr/sbin:/sbin" }

// run runs a command in the lab and returns its standard output. The error
// holds what it printed on standard error.
func (n *namespace) run(timeout time.Duration, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--target", strconv.Itoa(n.pid()), "--mount", "--pid", "--"}, args...)...)
	cmd.Env = environment()
	// nsenter has a child: both must go.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if ctx.Err() != nil {
		return "", fmt.Errorf("%s: no end after %v: %s", strings.Join(args, " "), timeout, errs.String())
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s%s", strings.Join(args, " "), err, errs.String(), out.String())
	}
	return out.String(), nil
}

// endTimeout is for processes, mounts and the loop device to go.
const endTimeout = 30 * time.Second

// end kills all of it and waits until it is gone.
func (n *namespace) end() error {
	n.cmd.Process.Kill()
	// The kernel lets the first process of a namespace end after all others.
	n.cmd.Wait()
	n.stdin.Close()
	return waitFor(endTimeout, "the loop device of "+n.disk+" is free", func() (bool, error) {
		devices, err := loopDevices(n.disk)
		return len(devices) == 0, err
	})
}

// loopDevices finds the devices of an image by its name.
func loopDevices(image string) ([]string, error) {
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
				continue // freed since
			}
			return nil, err
		}
		if strings.Contains(string(b), image) {
			found = append(found, f)
		}
	}
	return found, nil
}
