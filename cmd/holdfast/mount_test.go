package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/cmd/holdfast/daemon"
)

func TestMountServesADirectory(t *testing.T) {
	w := newWorld(t)
	w.write(w.brick+"/before", "was there")
	out := w.must("mount", w.brick, w.mnt, "--log-file", w.log, "-o", "acl,attribute-timeout=0.5,x-whatever")
	if want := fmt.Sprintf("mounted %s on %s; log %s\n", w.brick, w.mnt, w.log); out != want {
		t.Errorf("got %q, want %q", out, want)
	}
	if got := w.read(w.mnt + "/before"); got != "was there" {
		t.Errorf("%q", got)
	}
	w.write(w.mnt+"/after", "new")
	if got := w.read(w.brick + "/after"); got != "new" {
		t.Errorf("%q", got)
	}
	s := w.status()
	if s.Mount.Source != w.brick || s.Mount.Mountpoint != w.mnt || s.Graph.Generation != 1 || s.Graph.State != "serving" || s.Graphs.Live != 1 ||
		s.Process.PID == 0 || s.Process.RSSBytes == 0 || s.Process.Goroutines == 0 || s.Fops["WRITEV"].Count == 0 || s.Fops["LOOKUP"].MaxUS == 0 {
		t.Errorf("%+v", s)
	}
	if m, err := control.FindMount(w.mnt); err != nil || m.Source != w.brick {
		t.Errorf("%+v %v", m, err)
	}
	if out := w.must("status", w.mnt); !strings.Contains(out, "generation 1, serving") {
		t.Error(out)
	}
	if out := w.must("graph", w.mnt); !strings.Contains(out, "storage/posix") {
		t.Error(out)
	}
	var dump daemon.Dump
	if err := json.Unmarshal([]byte(w.must("dump", w.mnt)), &dump); err != nil || len(dump.Nodes) == 0 || len(dump.Pool) == 0 {
		t.Errorf("%+v %v", dump, err)
	}
	w.umount()
	// Again at once: nothing of the old one is in the way.
	w.mount()
	if got := w.read(w.mnt + "/after"); got != "new" {
		t.Errorf("%q", got)
	}
	w.umount()
}

func TestPlainUmountEndsTheProcess(t *testing.T) {
	w := newWorld(t)
	w.mount()
	pids := w.processes()
	if err := unix.Unmount(w.mnt, 0); err != nil {
		t.Fatal(err)
	}
	w.mount() // waits for the processes that are just ending
	w.waitGone(pids...)
	w.umount()
}

func TestMountPointsMayHaveOddNames(t *testing.T) {
	for _, name := range []string{"with space", "tab\tand\nnewline", `back\slash`, "é\xff", "comma,name", `quo"te`} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.mnt = filepath.Join(w.dir, name)
			if err := os.Mkdir(w.mnt, 0o755); err != nil {
				t.Fatal(err)
			}
			w.mount()
			w.write(w.mnt+"/x", "y")
			if err := exec.Command("mountpoint", "-q", w.mnt).Run(); err != nil {
				t.Error(err)
			}
			if s := w.status(); s.Mount.Mountpoint != strings.ToValidUTF8(w.mnt, "\ufffd") { // as JSON has it
				t.Errorf("%q", s.Mount.Mountpoint)
			}
			link := filepath.Join(w.dir, "link")
			if err := os.Symlink(w.mnt, link); err != nil {
				t.Fatal(err)
			}
			w.must("status", link)
			w.umount()
		})
	}
}

func TestMountFlagsReachTheKernel(t *testing.T) {
	w := newWorld(t)
	w.mount("-o", "ro,nosuid,nodev,noexec,noatime")
	mounts := w.read("/proc/self/mounts")
	for l := range strings.Lines(mounts) {
		if f := strings.Fields(l); f[1] == w.mnt {
			for _, want := range []string{"ro", "nosuid", "nodev", "noexec", "noatime", "default_permissions", "allow_other"} {
				if !strings.Contains(","+f[3]+",", ","+want+",") {
					t.Errorf("no %s in %s", want, f[3])
				}
			}
		}
	}
	if err := os.WriteFile(w.mnt+"/x", nil, 0o600); err == nil {
		t.Error("a read-only mount was written to")
	}
	w.umount()
}

func TestFailedMountLeavesNothing(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(w.dir, "file")
	w.write(file, "")
	bad := filepath.Join(w.dir, "bad.vol")
	w.write(bad, "volume x\n    type storage/posix\n    option directory\nend-volume\n")
	unknown := filepath.Join(w.dir, "unknown.vol")
	w.write(unknown, w.volfile("volume mid\n    type performance/nonsense\n    subvolumes low\nend-volume\n"))
	for _, d := range []string{"brick/inside", "mnt/inside"} {
		if err := os.Mkdir(filepath.Join(w.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	log := []string{"--log-file", w.log}
	for _, c := range []struct {
		want string
		args []string
	}{
		{"no such file or directory", []string{w.dir + "/nope", w.mnt}},
		{"does not exist", []string{w.brick, w.dir + "/nope"}},
		{"is not a directory", []string{w.brick, file}},
		{"does not end in .vol", []string{file, w.mnt}},
		{"cannot be mounted on itself", []string{w.brick, w.brick}},
		{"is inside the brick", []string{w.brick, w.brick + "/inside"}},
		{"which would hide it", []string{w.mnt + "/inside", w.mnt}},
		{"bad.vol:", []string{bad, w.mnt}},
		{"unknown translator type performance/nonsense", []string{unknown, w.mnt}},
		{"host server.invalid is unknown", []string{"server.invalid:/volume", w.mnt}},
		{"unknown mount option bogus", []string{w.brick, w.mnt, "-o", "bogus"}},
		{"address already in use", []string{w.brick, w.mnt, "--metrics", busy.Addr().String()}},
	} {
		w.refuses(c.want, append(append([]string{"mount"}, log...), c.args...)...)
		w.gone()
	}
	w.refuses("log:", "mount", w.brick, w.mnt, "--log-file", file+"/x.log")
	w.gone()
	w.mount() // all is as it was
	w.umount()
}

func TestSecondMountIsRefused(t *testing.T) {
	w := newWorld(t)
	w.mount()
	pid := w.status().Process.PID
	other := filepath.Join(w.dir, "other")
	for _, d := range []string{other, w.dir + "/brick2"} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.refuses(fmt.Sprint(pid), "mount", w.brick, other, "--log-file", w.log+"2")
	w.refuses(w.brick+" is mounted there already", "mount", w.dir+"/brick2", w.mnt, "--log-file", w.log+"2")
	w.write(w.mnt+"/x", "goes on")
	w.umount()
}

func TestForegroundEndsWithTheMount(t *testing.T) {
	w := newWorld(t)
	c := exec.Command(binary, "mount", w.brick, w.mnt, "--foreground")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	logged, err := os.Create(w.log)
	if err != nil {
		t.Fatal(err)
	}
	defer logged.Close()
	c.Stderr = logged
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 4096)
	n, err := out.Read(line)
	if want := fmt.Sprintf("mounted %s on %s\n", w.brick, w.mnt); err != nil || string(line[:n]) != want {
		t.Errorf("%q %v, want %q", line[:n], err, want)
	}
	w.write(w.mnt+"/x", "y")
	c.Process.Signal(unix.SIGINT)
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	w.gone()
}

func TestHelperOfMount8(t *testing.T) {
	w := newWorld(t)
	root := filepath.Join(w.dir, "root")
	make := exec.Command("make", "-C", "../..", "install", "DESTDIR="+root, "PREFIX=/usr")
	if out, err := make.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if to, err := os.Readlink(root + "/sbin/mount.holdfast"); err != nil || to != "/usr/bin/holdfast" {
		t.Errorf("%s %v", to, err)
	}
	if _, err := os.Stat(root + to(t, root+"/sbin/mount.holdfast")); err != nil {
		t.Error(err)
	}
	// What the link would do, with the program under test.
	helper := filepath.Join(w.dir, "mount.holdfast")
	if err := os.Symlink(binary, helper); err != nil {
		t.Fatal(err)
	}
	out, err := w.run(exec.Command(helper, w.brick, w.mnt, "-v", "-o", `rw,_netdev,nofail,x-systemd.automount,log-file=`+w.log))
	if err != nil || !strings.HasPrefix(out, "mounted ") {
		t.Fatalf("%q %v", out, err)
	}
	w.write(w.mnt+"/x", "y")
	w.umount()
	_, err = w.run(exec.Command(helper, w.dir+"/nope", w.mnt, "-o", "rw"))
	if err == nil || !strings.Contains(err.Error(), "exit status 32") {
		t.Error(err)
	}
	_, err = w.run(exec.Command(helper, w.brick, w.mnt, "-o", "bogus"))
	if err == nil || !strings.Contains(err.Error(), "exit status 1)") {
		t.Error(err)
	}
	out, err = w.run(exec.Command(helper, w.brick, w.mnt, "-s", "-o", "bogus,log-file="+w.log))
	if err != nil || out != "" {
		t.Errorf("%q %v", out, err)
	}
	w.umount()
}

// TestIdleFilesAreClosedBelow: with -o idle-timeout, and nobody who has them open
// notices.
func TestIdleFilesAreClosedBelow(t *testing.T) {
	w := newWorld(t)
	w.mount("-o", "idle-timeout=0.05")
	f, err := os.Create(w.mnt + "/x")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("before "); err != nil {
		t.Fatal(err)
	}
	worker := w.status().Process.PID
	below, err := os.Stat(w.brick + "/x")
	if err != nil {
		t.Fatal(err)
	}
	isOpen := func() bool {
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", worker))
		return slices.ContainsFunc(fds, func(fd string) bool {
			to, err := os.Stat(fd)
			info, ierr := os.ReadFile(strings.Replace(fd, "/fd/", "/fdinfo/", 1))
			var pos int64
			var flags int
			_, serr := fmt.Sscanf(string(info), "pos: %d\nflags: %o", &pos, &flags)
			return errors.Join(err, ierr, serr) == nil && os.SameFile(to, below) && flags&unix.O_PATH == 0
		})
	}
	// No command is run meanwhile: between fork and exec it would close its copy of
	// the file, which is a use.
	for deadline := time.Now().Add(30 * time.Second); isOpen(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the worker keeps the file open")
		}
	}
	if _, err := f.WriteString("after"); err != nil {
		t.Error(err)
	}
	if got := w.read(w.mnt + "/x"); got != "before after" {
		t.Errorf("%q", got)
	}
	if s := w.status(); s.Files.Open != 1 {
		t.Errorf("%+v", s.Files)
	}
	f.Close()
	w.umount()
}

// TestMount8AndFstab: what `make install` puts in place is what mount(8) calls, with
// the words of a command line and of fstab(5), in a mount namespace where it is
// in its place.
func TestMount8AndFstab(t *testing.T) {
	w := newWorld(t)
	root := filepath.Join(w.dir, "root")
	make := exec.Command("make", "-C", "../..", "install", "DESTDIR="+root)
	if out, err := make.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	w.write(w.dir+"/fstab", w.brick+" "+w.mnt+" holdfast defaults,ro,nofail,log-file="+w.log+" 0 0\n")
	c := exec.CommandContext(t.Context(), "unshare", "--mount", "--propagation", "private", "sh", "-ec", `
		mount --bind "$1/root/sbin" "$(readlink -f /sbin)"
		mount --bind "$1/root/usr/local/bin" /usr/local/bin
		mount -t holdfast -o "noatime,log-file=$1/log" "$1/brick" "$1/mnt"
		echo y >"$1/mnt/x"
		umount "$1/mnt"
		mount --fstab "$1/fstab" "$1/mnt"
		cat "$1/mnt/x"
		! touch "$1/mnt/z" 2>&1
		grep "$1/mnt" /proc/self/mounts
		holdfast umount "$1/mnt"`, "sh", w.dir)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"\ny\n", "Read-only file system", w.brick + " " + w.mnt + " fuse.holdfast ro,"} {
		if !strings.Contains("\n"+string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	w.gone()
}

func to(t *testing.T, link string) string {
	t.Helper()
	s, err := os.Readlink(link)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMetricsAreServed(t *testing.T) {
	w := newWorld(t)
	socket := filepath.Join(w.dir, "m.sock")
	w.mount("--metrics", "unix:"+socket)
	w.write(w.mnt+"/x", "y")
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}, Timeout: 30 * time.Second}
	rep, err := client.Get("http://holdfast/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(rep.Body)
	rep.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`holdfast_fop_total{fop="WRITEV"} 1`, "holdfast_graph_generation 1", "holdfast_graphs_live 1", "holdfast_files_open", "process_resident_memory_bytes",
		`holdfast_fop_latency_seconds{fop="WRITEV",quantile="0.99"}`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	rep, err = client.Get("http://holdfast/debug/pprof/heap?debug=1")
	if err != nil || rep.StatusCode != http.StatusOK {
		t.Errorf("the heap's profile: %v %v", rep, err)
	} else {
		rep.Body.Close()
	}
	w.umount()
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket is left")
	}
}
