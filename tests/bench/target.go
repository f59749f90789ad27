package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// target is a directory to run on, and the process behind it.
type target struct {
	name string
	dir  string
	pid  int // 0: none
	stop func() error
}

// cpu is the processor time that the process behind the target has used.
func (t *target) cpu() time.Duration {
	if t.pid == 0 {
		return 0
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", t.pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	var ticks int
	for _, s := range f[11:13] { // utime, stime; 100 a second
		n, _ := strconv.Atoi(s)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func (b *bench) native() (*target, error) {
	dir := filepath.Join(b.dir, "native")
	return &target{name: "native", dir: dir, stop: func() error { return nil }}, os.MkdirAll(dir, 0o755)
}

// holdfast mounts a new directory of that name.
func (b *bench) holdfast(name string, args ...string) (*target, error) {
	src, mnt := filepath.Join(b.dir, name), filepath.Join(b.dir, name+"-mnt")
	for _, d := range []string{src, mnt} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	return b.mounted(src, mnt, args...)
}

// mounted mounts a source.
func (b *bench) mounted(src, mnt string, args ...string) (*target, error) {
	kept := strconv.FormatFloat(kernelKeeps.Seconds(), 'f', -1, 64)
	args = append([]string{"mount", src, mnt, "--log-file", mnt + ".log", "-o", "attribute-timeout=" + kept + ",entry-timeout=" + kept}, args...)
	if err := b.command(b.bin, args...); err != nil {
		return nil, err
	}
	t := &target{name: "holdfast", dir: mnt, stop: func() error {
		return b.command(b.bin, "umount", mnt)
	}}
	var s struct{ Process struct{ PID int } }
	if err := b.ask(&s, "status", mnt, "--json"); err != nil {
		return nil, err
	}
	t.pid = s.Process.PID
	return t, nil
}

func (b *bench) bindfs() (*target, error) {
	src, mnt := filepath.Join(b.dir, "bound"), filepath.Join(b.dir, "bindfs")
	for _, d := range []string{src, mnt} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	kept := strconv.FormatFloat(kernelKeeps.Seconds(), 'f', -1, 64)
	cmd := exec.Command("bindfs", "-f", "-o", "attr_timeout="+kept+",entry_timeout="+kept, src, mnt)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	t := &target{name: "bindfs", dir: mnt, pid: cmd.Process.Pid, stop: func() error {
		if err := b.command("umount", mnt); err != nil {
			return err
		}
		return cmd.Wait()
	}}
	for range 500 {
		if m, _ := os.ReadFile("/proc/self/mountinfo"); strings.Contains(string(m), " "+mnt+" ") {
			return t, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	cmd.Process.Kill()
	return nil, fmt.Errorf("bindfs does not mount %s", mnt)
}

func (b *bench) command(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

func (b *bench) ask(into any, args ...string) error {
	cmd := exec.Command(b.bin, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("holdfast %s: %w", strings.Join(args, " "), err)
	}
	return json.Unmarshal(out, into)
}

// all starts native, bindfs and holdfast; stop takes them away.
func (b *bench) all() (ts []*target, stop func(), err error) {
	stop = func() {
		for _, t := range ts {
			if err := t.stop(); err != nil {
				fmt.Fprintln(os.Stderr, "bench:", err)
			}
		}
	}
	for _, start := range []func() (*target, error){b.native, b.bindfs, func() (*target, error) { return b.holdfast("brick") }} {
		t, err := start()
		if err != nil {
			stop()
			return nil, nil, err
		}
		ts = append(ts, t)
	}
	return ts, stop, nil
}
