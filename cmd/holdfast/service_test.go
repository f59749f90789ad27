package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/cmd/holdfast/daemon"
	"github.com/holdfast/holdfast/fuse/keeper"
)

// service is a keeper service, started by the test.
type service struct {
	w      *world
	cmd    *exec.Cmd
	ended  chan error
	socket string
}

// serviceAt starts one; env and files are for those that a service manager
// starts.
func (w *world) serviceAt(socket string, env []string, files ...*os.File) *service {
	w.Helper()
	// The shell is the process that LISTEN_PID has to name.
	c := exec.Command("sh", "-c", `export LISTEN_PID=$$; exec "$@"`, "sh", binary, "keeper", "--listen", "unix:"+socket)
	c.Env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=0"), env...)
	c.ExtraFiles = files
	log, err := os.OpenFile(w.dir+"/service.log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		w.Fatal(err)
	}
	defer log.Close()
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		w.Fatal(err)
	}
	s := &service{w: w, cmd: c, ended: make(chan error, 1), socket: socket}
	go func() { s.ended <- c.Wait() }()
	w.Cleanup(func() {
		s.cmd.Process.Kill()
		<-s.ended
		if b, err := os.ReadFile(w.dir + "/service.log"); err == nil && (w.Failed() || bytes.Contains(b, []byte("DATA RACE"))) {
			w.Errorf("log of the service:\n%s", b)
		}
	})
	return s
}

func (w *world) service() *service {
	w.Helper()
	s := w.serviceAt(w.dir+"/keeper.sock", nil)
	s.answers()
	return s
}

// answers waits until it does.
func (s *service) answers() {
	s.w.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := keeper.Mounts(s.w.Context(), s.socket); err == nil {
			return
		} else if time.Now().After(end) {
			s.w.Fatalf("the service does not answer: %v", err)
		}
	}
}

// kill ends it with SIGKILL.
func (s *service) kill() {
	s.w.Helper()
	s.cmd.Process.Kill()
	s.ended <- <-s.ended
}

func (s *service) mounts() (ms []keeper.MountInfo) {
	s.w.Helper()
	if err := json.Unmarshal([]byte(s.w.must("keeper", "--list", "unix:"+s.socket, "--json")), &ms); err != nil {
		s.w.Fatal(err)
	}
	return ms
}

// becomes waits until it has one mount in that state, or none.
func (s *service) becomes(state string) {
	s.w.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		ms, err := keeper.Mounts(s.w.Context(), s.socket)
		if err != nil {
			s.w.Fatal(err)
		}
		if len(ms) == 1 && ms[0].State == state && ms[0].Mountpoint == s.w.mnt || len(ms) == 0 && state == "" {
			return
		}
		if time.Now().After(end) {
			s.w.Fatalf("not %q: %+v", state, ms)
		}
	}
}

// join has a worker serve the mount.
func (s *service) join(args ...string) {
	s.w.Helper()
	s.w.mount(append([]string{"--keeper", "unix:" + s.socket}, args...)...)
}

func TestServiceKeepsTheMountForTheNextWorker(t *testing.T) {
	w := newWorld(t)
	s := w.service()
	s.join()
	s.becomes("serving")
	a := w.application()
	a.goesOn()
	st := w.status()
	if st.Keeper.State != "on" || st.Keeper.Service != s.socket || st.Keeper.PID != s.cmd.Process.Pid {
		t.Errorf("%+v", st.Keeper)
	}
	w.refuses(fmt.Sprintf("process %d serves it", st.Process.PID), "mount", w.brick, w.mnt, "--log-file", w.log, "--keeper", "unix:"+s.socket)
	w.refuses("--replace", "upgrade", w.mnt)

	// As the end of a container is: its whole process group.
	pgid, err := unix.Getpgid(st.Process.PID)
	if err != nil || pgid == unix.Getpgrp() {
		t.Fatalf("group %d of %d, %v", pgid, st.Process.PID, err)
	}
	if err := unix.Kill(-pgid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.becomes("waiting")
	w.refuses("the keeper service at "+s.socket, "status", w.mnt)
	w.refuses("the keeper service at "+s.socket, "mount", w.brick, w.mnt, "--log-file", w.log)
	// The next one has another mount namespace.
	c := exec.Command("unshare", "-m", binary, "mount", w.brick, w.mnt, "--log-file", w.log, "--keeper", "unix:"+s.socket)
	if out, err := w.run(c); err != nil {
		t.Fatalf("%s %v", out, err)
	}
	a.goesOn()
	if n := w.status(); n.Worker.Generation != 2 || n.Worker.Deaths != 1 || n.Process.PID == st.Process.PID {
		t.Errorf("%+v", n.Worker)
	}
	// A planned change.
	s.join("--replace")
	a.goesOn()
	if n := w.status(); n.Worker.Generation != 3 || n.Worker.Deaths != 1 {
		t.Errorf("%+v", n.Worker)
	}
	// A container is stopped: the mount is not.
	pid := w.status().Process.PID
	if err := unix.Kill(pid, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.waitGone(pid)
	s.becomes("waiting")
	s.join()
	a.goesOn()
	if n := w.status(); n.Worker.Generation != 4 || n.Worker.Deaths != 1 {
		t.Errorf("%+v", n.Worker)
	}
	a.finish()
	w.umount()
	s.becomes("")
}

// TestServiceDiesFirst: its workers serve on, and give the next one everything.
func TestServiceDiesFirst(t *testing.T) {
	w := newWorld(t)
	s := w.service()
	s.join()
	a := w.application()
	s.kill()
	w.until("the worker has noticed", func(st daemon.Status) bool { return st.Keeper.State == "lost" })
	a.goesOn()
	s = w.service()
	s.becomes("serving")
	w.kill(w.status().Process.PID)
	s.becomes("waiting")
	s.join()
	a.goesOn()
	// And both: then the mount is gone.
	pid := w.status().Process.PID
	a.finish()
	s.kill()
	w.kill(pid)
	if _, err := os.Stat(w.mnt + "/x"); !errors.Is(err, unix.ENOTCONN) {
		t.Errorf("stat: %v", err)
	}
	w.must("umount", w.mnt)
}

// TestServiceAnswersForAMissingWorker: within the deadline requests wait, then
// they get EIO, and a worker that comes after all serves.
func TestServiceAnswersForAMissingWorker(t *testing.T) {
	w := newWorld(t)
	s := w.service()
	s.join("-o", "recovery-deadline=1")
	w.write(w.mnt+"/x", "y")
	w.kill(w.status().Process.PID)
	if _, err := os.ReadFile(w.mnt + "/x"); !errors.Is(err, unix.EIO) {
		t.Errorf("read: %v", err)
	}
	s.becomes("failed")
	s.join("-o", "recovery-deadline=1")
	if got := w.read(w.mnt + "/x"); got != "y" {
		t.Errorf("%q", got)
	}
	// Unmounted while nobody serves it.
	w.kill(w.status().Process.PID)
	s.becomes("waiting")
	w.must("umount", w.mnt)
	s.becomes("")
	w.mount()
	w.umount()
}

func TestServiceKeepsManyMounts(t *testing.T) {
	first, second := newWorld(t), newWorld(t)
	s := first.service()
	s.join()
	(&service{w: second, socket: s.socket}).join()
	if ms := s.mounts(); len(ms) != 2 {
		t.Errorf("%+v", ms)
	}
	a, b := first.application(), second.application()
	for range 3 {
		first.kill(first.status().Process.PID)
		second.kill(second.status().Process.PID)
		(&service{w: second, socket: s.socket}).join()
		s.join()
		a.goesOn()
		b.goesOn()
	}
	a.finish()
	b.finish()
	first.umount()
	second.umount()
	s.becomes("")
}

// manager plays a service manager with a descriptor store.
type manager struct {
	t     *testing.T
	conn  *net.UnixConn
	ready chan struct{}
	done  chan struct{}

	mu    sync.Mutex
	fds   map[string]*os.File
	lines []string
}

func newManager(t *testing.T, path string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{t: t, conn: conn, ready: make(chan struct{}, 8), done: make(chan struct{}), fds: map[string]*os.File{}}
	go m.serve()
	t.Cleanup(func() {
		conn.Close()
		<-m.done
		for _, f := range m.fds {
			f.Close()
		}
	})
	return m
}

func (m *manager) serve() {
	defer close(m.done)
	buf, oob := make([]byte, 4096), make([]byte, 4096)
	for {
		n, oobn, _, _, err := m.conn.ReadMsgUnix(buf, oob)
		if err != nil {
			return
		}
		var fds []int
		if msgs, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil {
			for i := range msgs {
				got, _ := unix.ParseUnixRights(&msgs[i])
				fds = append(fds, got...)
			}
		}
		m.take(string(buf[:n]), fds)
	}
}

func (m *manager) take(text string, fds []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines = append(m.lines, text)
	var name string
	for l := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(l), "FDNAME="); ok {
			name = v
		}
	}
	switch {
	case strings.Contains(text, "READY=1"):
		m.ready <- struct{}{}
	case strings.Contains(text, "FDSTOREREMOVE=1"):
		if f := m.fds[name]; f != nil {
			f.Close()
			delete(m.fds, name)
		}
	case strings.Contains(text, "FDSTORE=1"):
		if len(fds) != 1 || name == "" || strings.ContainsAny(name, ":\n\x7f ") || len(name) > 255 || m.fds[name] != nil {
			m.t.Errorf("FDSTORE of %q with %d descriptors", name, len(fds))
			return
		}
		m.fds[name] = os.NewFile(uintptr(fds[0]), name)
	}
}

// stored duplicates what is stored, for the caller to close, since what is
// stored may be removed at any time; env is the environment of the next process.
func (m *manager) stored() (files []*os.File, env []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := slices.Sorted(maps.Keys(m.fds))
	for _, n := range names {
		fd, err := unix.FcntlInt(m.fds[n].Fd(), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			m.t.Fatalf("duplicate %s: %v", n, err)
		}
		files = append(files, os.NewFile(uintptr(fd), n))
	}
	return files, []string{fmt.Sprintf("LISTEN_FDS=%d", len(files)), "LISTEN_FDNAMES=" + strings.Join(names, ":")}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

func (m *manager) waitReady() {
	m.t.Helper()
	select {
	case <-m.ready:
	case <-time.After(time.Minute):
		m.t.Fatal("the service is not ready")
	}
}

// TestServiceManagerKeepsTheDescriptors: the service and all workers die, and the
// mounts are still there for the next.
func TestServiceManagerKeepsTheDescriptors(t *testing.T) {
	w := newWorld(t)
	m := newManager(t, filepath.Join(w.dir, "notify"))
	socket := w.dir + "/keeper.sock"
	notify := "NOTIFY_SOCKET=" + w.dir + "/notify"
	s := w.serviceAt(socket, []string{notify})
	m.waitReady()
	s.join()
	a := w.application()
	a.goesOn()
	if files, _ := m.stored(); len(files) != 5 { // its socket, the device, the memory, the control socket, the brick's lock
		t.Errorf("%d descriptors are stored", len(files))
	} else {
		closeAll(files)
	}
	for range 2 {
		pid := w.status().Process.PID
		s.kill()
		w.kill(pid)
		files, env := m.stored()
		s = w.serviceAt(socket, append(env, notify), files...)
		closeAll(files)
		m.waitReady()
		s.becomes("waiting")
		s.join()
		a.goesOn()
	}
	if n := w.status(); n.Worker.Generation != 3 {
		t.Errorf("%+v", n.Worker)
	}
	a.finish()
	w.umount()
	s.becomes("")
	if files, env := m.stored(); len(files) != 1 {
		t.Errorf("after the unmount there is still %v", env)
	}
}
