package posix

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/xlatortest"
)

const (
	holdEnv   = "HOLDFAST_TEST_HOLD_BRICK"
	keeperEnv = "HOLDFAST_TEST_KEEPER" // its socket is descriptor 3
)

// TestMain is also the second process that some tests need: it holds a brick
// until its standard input ends.
func TestMain(m *testing.M) {
	dir := os.Getenv(holdEnv)
	if dir == "" {
		os.Exit(m.Run())
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		panic(err)
	}
	c := claim{limit: 4, log: discard, name: identity(&st)}
	if os.Getenv(keeperEnv) != "" {
		c.keeper = &farKeeper{conn(os.NewFile(3, "keeper"))}
	}
	rt, err := openRuntime(dir, c)
	fmt.Println(err)
	_, _ = io.Copy(io.Discard, os.Stdin)
	if rt != nil {
		rt.Close()
	}
}

// holder is another process that has the brick.
func holder(t *testing.T, dir string) (pid int, letGo func()) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), holdEnv+"="+dir)
	in := hold(t, cmd)
	return cmd.Process.Pid, func() { in.Close(); _ = cmd.Wait() }
}

// holderWith is holder with a keeper, to be killed.
func holderWith(t *testing.T, dir string, k *keeper) (pid int, kill func()) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), holdEnv+"="+dir, keeperEnv+"=3")
	socket, done := k.pair(t)
	cmd.ExtraFiles = []*os.File{socket}
	in := hold(t, cmd)
	socket.Close()
	return cmd.Process.Pid, func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait()
		in.Close()
		done()
	}
}

// hold starts such a process.
func hold(t *testing.T, cmd *exec.Cmd) (in io.Closer) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "<nil>\n" {
		t.Fatal(line, err)
	}
	return in
}

func TestSecondProcessIsToldWhoHasTheBrick(t *testing.T) {
	dir := newDir(t)
	pid, letGo := holder(t, dir)
	said := refuse(t, map[string]string{"directory": dir}, xlator.MountOptions{})
	letGo()
	if !strings.Contains(said, "process "+strconv.Itoa(pid)) || !strings.Contains(said, "unmount") || !strings.Contains(said, dir) {
		t.Fatal(said)
	}
	b := mount(t, dir, nil) // the lock ended with the process
	// Two mounts in one process are two owners as well.
	said = refuse(t, map[string]string{"directory": dir}, xlator.MountOptions{})
	if !strings.Contains(said, "process "+strconv.Itoa(os.Getpid())) {
		t.Fatal(said)
	}
	if got, err := os.ReadFile(b.path(metaName, lockName)); err != nil || strings.TrimSpace(string(got)) != strconv.Itoa(os.Getpid()) {
		t.Fatalf("lock file %q %v", got, err)
	}
}

func TestBrickOfAnotherMakingIsRefused(t *testing.T) {
	id, other := uuid.New(), uuid.New()
	for _, c := range []struct {
		name    string
		prepare func(dir string) error
		option  uuid.UUID
		foreign bool // may be taken with allow-foreign-brick
		says    string
	}{
		{"volume-id without our mark", func(d string) error { return unix.Setxattr(d, xattrVolume, id[:], 0) }, uuid.Nil, true, "allow-foreign-brick"},
		{"the same, asked for by name", func(d string) error { return unix.Setxattr(d, xattrVolume, id[:], 0) }, id, true, "allow-foreign-brick"},
		{"replica", func(d string) error { return unix.Setxattr(d, "trusted.afr.v-client-1", make([]byte, 12), 0) }, uuid.Nil, true, "allow-foreign-brick"},
		{"another volume", func(d string) error {
			if err := unix.Setxattr(d, xattrMark, id[:], 0); err != nil {
				return err
			}
			return unix.Setxattr(d, xattrVolume, id[:], 0)
		}, other, false, "belongs to volume " + id.String()},
		{"directory inside a brick", func(d string) error { return unix.Setxattr(d, xattrGFID, id[:], 0) }, uuid.Nil, false, "inside a brick"},
		{"volume-id of a wrong size", func(d string) error { return unix.Setxattr(d, xattrVolume, id[:3], 0) }, uuid.Nil, false, "16 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := newDir(t)
			if err := c.prepare(dir); err != nil {
				t.Fatal(err)
			}
			opts := map[string]string{"directory": dir}
			if c.option != uuid.Nil {
				opts["volume-id"] = c.option.String()
			}
			if said := refuse(t, opts, xlator.MountOptions{}); !strings.Contains(said, c.says) || !strings.Contains(said, dir) {
				t.Fatal(said)
			}
			if exists(filepath.Join(dir, metaName)) {
				t.Fatal("refused, but changed")
			}
			if !c.foreign {
				refuse(t, opts, xlator.MountOptions{AllowForeignBrick: true})
				return
			}
			w := xlatortest.NewWorld(t, nil)
			w.Mount.AllowForeignBrick = true
			w.Add(Type(), opts)
			w.Start()
		})
	}
}

func TestDirectoryInsideABrickIsRefused(t *testing.T) {
	b := fresh(t)
	b.w.Stop()
	in := b.path("plain")
	if err := os.Mkdir(in, 0o755); err != nil {
		t.Fatal(err)
	}
	if said := refuse(t, map[string]string{"directory": in}, xlator.MountOptions{}); !strings.Contains(said, "inside the brick "+b.dir) {
		t.Fatal(said)
	}
}

func TestVolumeIDStays(t *testing.T) {
	dir := newDir(t)
	id := uuid.New()
	w := xlatortest.NewWorld(t, nil)
	top := w.Add(Type(), map[string]string{"directory": dir, "volume-id": id.String()}).(*Brick)
	w.Start()
	if top.VolumeID() != id || top.Identity() == "" {
		t.Fatalf("volume %s, identity %q", top.VolumeID(), top.Identity())
	}
	// Another graph of the mount that wants another volume is refused too.
	w2 := xlatortest.NewWorld(t, w.Pool)
	top2 := w2.Add(Type(), map[string]string{"directory": dir, "volume-id": uuid.NewString()}).(*Brick)
	if err := top2.Start(t.Context()); err == nil {
		t.Fatal("started")
	}
	w.Stop()
	if b := mount(t, dir, nil); b.VolumeID() != id || b.Identity() != top.Identity() {
		t.Fatal("changed by a second mount")
	}
}

func TestMountInsideIsRefusedByName(t *testing.T) {
	dir := newDir(t)
	in := filepath.Join(dir, "a b", "mnt")
	if err := os.MkdirAll(in, 0o755); err != nil {
		t.Fatal(err)
	}
	tmpfs := func() {
		t.Helper()
		if err := unix.Mount("none", in, "tmpfs", 0, "size=64k"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(in, unix.MNT_DETACH) })
	}
	tmpfs()
	if said := refuse(t, map[string]string{"directory": dir}, xlator.MountOptions{}); !strings.Contains(said, in) {
		t.Fatal(said)
	}
	if err := unix.Unmount(in, 0); err != nil {
		t.Fatal(err)
	}
	b := mount(t, dir, nil)
	tmpfs() // behind our back
	_, _, err := b.lookup(b.at("a b"), "mnt")
	want(t, err, unix.EXDEV)
	if !strings.Contains(err.Error(), `"mnt"`) {
		t.Fatal(err)
	}
	if got := b.list(b.at("a b")); strings.Join(got, " ") != ". .. mnt" {
		t.Fatalf("listed %q", got)
	}
	_, err = b.Rmdir(b.ctx, &xlator.RmdirReq{Parent: b.at("a b"), Name: "mnt"})
	want(t, err, unix.EXDEV)
	// The same file system bound in is another mount as well.
	if err := unix.Unmount(in, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(os.TempDir(), in, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	_, _, err = b.lookup(b.at("a b"), "mnt")
	want(t, err, unix.EXDEV)
	if err := unix.Unmount(in, 0); err != nil {
		t.Fatal(err)
	}
	b.at("a b/mnt")
}

func TestBadOptionsAndDirectories(t *testing.T) {
	newWith := func(opts map[string]string) error {
		vs, err := Type().Defaults()
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range opts {
			vs[k] = xlator.Value{Text: v, Set: true}
		}
		_, err = Type().New(&xlator.Env{Volume: "leaf", Options: vs, Slots: &xlator.Slots{}, Log: discard})
		return err
	}
	if err := newWith(nil); err == nil || !strings.Contains(err.Error(), "leaf") || !strings.Contains(err.Error(), "directory") {
		t.Fatal(err)
	}
	if err := newWith(map[string]string{"directory": "/x", "volume-id": "nonsense"}); err == nil {
		t.Fatal("accepted")
	}
	file := filepath.Join(newDir(t), "f")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, file + "/x", "/nonexistent", "/proc/self"} {
		if said := refuse(t, map[string]string{"directory": dir}, xlator.MountOptions{}); !strings.Contains(said, dir) {
			t.Fatal(said)
		}
	}
}
