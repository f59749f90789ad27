package switchtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/tests/mnt"
)

// volume is a mounted directory whose volfile the test rewrites.
type volume struct {
	*mnt.M
	t       testing.TB
	brick   string
	volfile string
	next    int
	client  *control.Client
	ctl     string // see fusectl
}

// stacks are graphs above the brick, each different from its neighbours.
var stacks = [][]string{
	{"performance/write-behind", "performance/md-cache", "debug/io-stats"},
	{"debug/io-stats"},
	{"performance/write-behind", "debug/io-stats"},
	{"performance/md-cache", "debug/io-stats"},
	{"performance/write-behind", "performance/io-cache", "performance/quick-read", "performance/open-behind", "performance/md-cache", "performance/io-threads", "debug/io-stats"},
	{},
}

// text writes the volfile of a stack above posix and locks. A layer is a type,
// followed by options as key=value.
func (v *volume) text(stack ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "volume brick\n    type storage/posix\n    option directory %s\nend-volume\n\n", v.brick)
	fmt.Fprintf(&b, "volume locks\n    type features/locks\n    subvolumes brick\nend-volume\n")
	below := "locks"
	for i, layer := range stack {
		words := strings.Fields(layer)
		name := fmt.Sprintf("l%d-%s", i, filepath.Base(words[0]))
		fmt.Fprintf(&b, "\nvolume %s\n    type %s\n", name, words[0])
		for _, o := range words[1:] {
			k, val, _ := strings.Cut(o, "=")
			fmt.Fprintf(&b, "    option %s %s\n", k, val)
		}
		fmt.Fprintf(&b, "    subvolumes %s\nend-volume\n", below)
		below = name
	}
	return b.String()
}

// newVolume mounts a new directory with that stack.
func newVolume(t testing.TB, stack ...string) *volume {
	t.Helper()
	return newVolumeOpts(t, nil, stack...)
}

// newVolumeOpts is newVolume with options of the mount.
func newVolumeOpts(t testing.TB, opts []mnt.Option, stack ...string) *volume {
	t.Helper()
	brick := filepath.Join(t.TempDir(), "brick")
	must(t, os.Mkdir(brick, 0o755))
	return newVolumeOn(t, brick, opts, stack...)
}

// newVolumeOn is newVolumeOpts on a brick that is there.
func newVolumeOn(t testing.TB, brick string, opts []mnt.Option, stack ...string) *volume {
	t.Helper()
	v := &volume{t: t, brick: brick, volfile: filepath.Join(t.TempDir(), "test.vol")}
	v.write(v.volfile, v.text(stack...))
	v.M = mnt.Mount(t, v.volfile, opts...)
	var err error
	v.client, err = control.Open(v.Dir)
	must(t, err)
	return v
}

// TryReload, Reload and Status ask the mounted process directly. Running a
// command would start a process of this one, and what it closes on its way to
// exec would be flushed: a wait for ever where a test holds data back.
func (v *volume) TryReload(volfile string, within time.Duration) (r mnt.Reload, err error) {
	err = v.client.Ask(v.deadline(), control.Request{Op: control.OpReload, Volfile: volfile, Timeout: within}, &r)
	return r, err
}

// Reload is TryReload of what must be taken.
func (v *volume) Reload(volfile string) mnt.Reload {
	v.t.Helper()
	r, err := v.TryReload(volfile, time.Minute)
	if err != nil {
		v.t.Fatal(err)
	}
	return r
}

// Status is the mount's.
func (v *volume) Status() (s mnt.Status) {
	v.t.Helper()
	must(v.t, v.client.Ask(v.deadline(), control.Request{Op: control.OpStatus}, &s.Raw))
	must(v.t, json.Unmarshal(s.Raw, &s))
	return s
}

func (v *volume) deadline() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	v.t.Cleanup(cancel)
	return ctx
}

func (v *volume) write(path, text string) {
	v.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		v.t.Fatal(err)
	}
}

// to switches to that stack and fails the test if it does not.
func (v *volume) to(stack ...string) {
	v.t.Helper()
	v.next++
	path := filepath.Join(filepath.Dir(v.volfile), fmt.Sprintf("v%d.vol", v.next))
	v.write(path, v.text(stack...))
	if r := v.Reload(path); r.Action != "switched" {
		v.t.Fatalf("reload: %+v", r)
	}
}

// step switches to the next of the stacks.
func (v *volume) step() { v.t.Helper(); v.to(stacks[(v.next+1)%len(stacks)]...) }

// path is a name on the mount.
func (v *volume) path(name string) string { return filepath.Join(v.Dir, name) }

// settled waits until one graph is left and every open file lives on it.
func (v *volume) settled() {
	v.t.Helper()
	v.until("one graph is left with every file on it", func() bool {
		s := v.Status()
		return s.Graphs.Live == 1 && s.Files.Pending == 0 && s.Files.Pinned == 0
	})
}

func (v *volume) until(what string, ok func() bool) {
	v.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			v.t.Fatalf("never: %s; status %+v", what, v.Status())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t testing.TB, path string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|flags, 0o644)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func wantRead(t testing.TB, f *os.File, off int64, want string) {
	t.Helper()
	buf := make([]byte, len(want))
	n, err := f.ReadAt(buf, off)
	if string(buf[:n]) != want {
		t.Fatalf("read %q at %d, want %q (%v)", buf[:n], off, want, err)
	}
}

// child runs this test binary again as another process (see TestMain): it obeys
// lines on its standard input and answers each with one line.
type child struct {
	t   testing.TB
	cmd *exec.Cmd
	in  *os.File
	out *bufio.Reader
}

const childEnv = "HOLDFAST_SWITCHTEST_CHILD"

func newChild(t testing.TB, cred *syscall.Credential) *child {
	t.Helper()
	inR, inW, err := os.Pipe()
	must(t, err)
	outR, outW, err := os.Pipe()
	must(t, err)
	c := &child{t: t, cmd: exec.Command("/proc/self/exe"), in: inW, out: bufio.NewReader(outR)}
	c.cmd.Env = append(os.Environ(), childEnv+"=1")
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = inR, outW, os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	must(t, c.cmd.Start())
	inR.Close()
	outW.Close()
	t.Cleanup(func() {
		inW.Close()
		stop := time.AfterFunc(10*time.Second, func() { c.cmd.Process.Kill() })
		c.cmd.Wait()
		stop.Stop()
		outR.Close()
	})
	return c
}

// send gives an order without waiting for the answer.
func (c *child) send(format string, a ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.in, format+"\n", a...); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads one line.
func (c *child) answer() string {
	c.t.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil {
		c.t.Fatalf("child: %v", err)
	}
	return strings.TrimSpace(line)
}

func (c *child) do(format string, a ...any) string {
	c.t.Helper()
	c.send(format, a...)
	return c.answer()
}

func (c *child) want(want, format string, a ...any) {
	c.t.Helper()
	if got := c.do(format, a...); got != want {
		c.t.Fatalf("child: %s: %s, want %s", fmt.Sprintf(format, a...), got, want)
	}
}
