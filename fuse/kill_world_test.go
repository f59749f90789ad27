package fuse_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable"
	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/fuse"
	"github.com/holdfast/holdfast/graph"
	"github.com/holdfast/holdfast/graph/volfile"
	"github.com/holdfast/holdfast/xlator"
	"github.com/holdfast/holdfast/xlator/all"
)

// workerEnv makes the test binary the process that serves a mount of the test's:
// descriptor 3 is /dev/fuse, 4 the state memory. It is killed all the time.
const workerEnv = "HOLDFAST_FUSE_TEST_WORKER"

type workerConfig struct {
	Volfile         string
	Opts            fuse.Options
	Minor           int
	InitIn, InitOut []byte
	Plain           bool // nothing is kept for the next process
}

// worker serves the mount until it is gone. It says when it serves, with what it
// has recovered, and drains when its input says so.
func worker(text string) error {
	var cfg workerConfig
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	cfg.Opts.Log = log
	mem := state.Plain()
	if !cfg.Plain {
		var err error
		if mem, err = state.Open(os.NewFile(4, "state")); err != nil {
			return err
		}
	}
	mem.NextWorker()
	table := fdtable.New(log, mem)
	mgr := graph.NewManager(graph.Config{
		Types: all.Find, Refused: all.Refused, Pool: xlator.NewPool(), Errors: table, Opens: table, Log: log, Tenant: table,
		Generation: mem.Worker(),
	})
	table.Attach(mgr)
	f, err := volfile.Parse("test.vol", []byte(cfg.Volfile))
	if err != nil {
		return err
	}
	if err := mgr.Start(context.Background(), f); err != nil {
		return err
	}
	if err := table.RestoreLocks(); err != nil {
		return err
	}
	s, err := fuse.NewSession(cfg.Opts, &fuse.Device{FD: 3, Minor: cfg.Minor, InitIn: cfg.InitIn, InitOut: cfg.InitOut}, mem)
	if err != nil {
		return err
	}
	rec, err := s.Recover(table)
	if err != nil {
		return err
	}
	b, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n", b)
	go func() {
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			if in.Text() == "drain" {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				if err := s.Drain(ctx); err != nil {
					fmt.Fprintln(os.Stderr, "drain:", err)
					os.Exit(3)
				}
				cancel()
				os.Exit(0)
			}
		}
	}()
	err = s.Serve(table)
	mgr.Close()
	table.Close()
	return err
}

// mortal is a mount whose serving process is killed; the test holds what has to
// outlive it.
type mortal struct {
	testing.TB
	dir, mnt string
	bin      string
	dev      *fuse.Device
	mem      *state.Memory
	config   workerConfig
	log      *os.File

	cmd   *exec.Cmd
	out   *bufio.Reader
	in    io.WriteCloser
	kills int
	sum   fuse.Recovered // of all workers
}

// plainBinary is the test binary without the race detector, whose slowness would
// leave a worker no time to live.
func plainBinary(t testing.TB) string {
	t.Helper()
	if !raceEnabled {
		return os.Args[0]
	}
	bin := filepath.Join(t.TempDir(), "fuse.test")
	if out, err := exec.Command("go", "test", "-c", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the worker: %v: %s", err, out)
	}
	return bin
}

// mountMortal mounts; nobody serves yet. The test itself must have nothing open
// in the mount while nobody serves it: a process that it starts then would wait,
// before its execve(2), for the close of that.
func mountMortal(t testing.TB, graph string, change func(*fuse.Options)) *mortal {
	t.Helper()
	m := &mortal{TB: t, dir: filepath.Join(t.TempDir(), "brick"), mnt: filepath.Join(t.TempDir(), "mnt"), bin: plainBinary(t)}
	for _, d := range []string{m.dir, m.mnt} {
		check(t, os.Mkdir(d, 0o755))
	}
	var err error
	m.log, err = os.Create(filepath.Join(t.TempDir(), "log"))
	check(t, err)
	opts := fuse.Options{
		Source: "test", Mountpoint: m.mnt, Data: []string{"allow_other", "default_permissions"}, ACL: true,
		AttrTimeout: time.Second, EntryTimeout: time.Second,
	}
	if change != nil {
		change(&opts)
	}
	m.mem, err = state.Create()
	check(t, err)
	m.dev, err = fuse.Mount(opts)
	check(t, err)
	m.config = workerConfig{Volfile: strings.ReplaceAll(graph, "%DIR%", m.dir), Opts: opts, Minor: m.dev.Minor, InitIn: m.dev.InitIn, InitOut: m.dev.InitOut}
	watchdog := time.AfterFunc(3*time.Minute, func() {
		m.Error("the test hangs; its connection is ended")
		_ = m.dev.Abort()
	})
	// Children die with the thread that started them, should the test.
	runtime.LockOSThread()
	t.Cleanup(func() {
		watchdog.Stop()
		m.end()
		runtime.UnlockOSThread()
	})
	return m
}

// start starts the next worker.
func (m *mortal) start() {
	m.Helper()
	text, err := json.Marshal(m.config)
	check(m.TB, err)
	m.cmd = exec.Command(m.bin)
	m.cmd.Env = append(os.Environ(), workerEnv+"="+string(text), "GOTRACEBACK=all")
	m.cmd.Stderr = m.log
	m.cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(dup(m.TB, m.dev.FD)), "fuse"), os.NewFile(uintptr(dup(m.TB, int(m.mem.File().Fd()))), "state")}
	defer func() {
		for _, f := range m.cmd.ExtraFiles {
			f.Close()
		}
	}()
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	m.in, err = m.cmd.StdinPipe()
	check(m.TB, err)
	out, err := m.cmd.StdoutPipe()
	check(m.TB, err)
	m.out = bufio.NewReader(out)
	check(m.TB, m.cmd.Start())
}

func dup(t testing.TB, fd int) int {
	t.Helper()
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 10)
	check(t, err)
	return n
}

// serving waits until the worker serves.
func (m *mortal) serving() {
	m.Helper()
	line, err := m.out.ReadString('\n')
	var r fuse.Recovered
	if err == nil {
		err = json.Unmarshal([]byte(line), &r)
	}
	if err != nil {
		m.cmd.Wait()
		m.Fatalf("the worker does not serve: %v\n%s", err, m.logged())
	}
	m.sum.Answered += r.Answered
	m.sum.Again += r.Again
	m.sum.Begun += r.Begun
	m.sum.Poison += r.Poison
	m.sum.Owed += r.Owed
	m.sum.Held += r.Held
	m.sum.Forgets += r.Forgets
	m.sum.Interrupts += r.Interrupts
	m.sum.Damaged += r.Damaged
	m.sum.Resent = m.sum.Resent || r.Resent
}

// kill kills the worker and waits until nothing of it is left.
func (m *mortal) kill() {
	m.Helper()
	check(m.TB, m.cmd.Process.Kill())
	m.cmd.Wait()
	if !killed(m.cmd) {
		m.Fatalf("the worker ended by itself: %v\n%s", m.cmd.ProcessState, m.logged())
	}
	m.kills++
	m.mem.SetDeath(state.Blameless)
}

func killed(c *exec.Cmd) bool {
	ws, ok := c.ProcessState.Sys().(syscall.WaitStatus)
	return ok && ws.Signaled() && ws.Signal() == syscall.SIGKILL
}

// drain ends the worker as an upgrade does.
func (m *mortal) drain() {
	m.Helper()
	fmt.Fprintln(m.in, "drain")
	if err := m.cmd.Wait(); err != nil {
		m.Fatalf("drain: %v\n%s", err, m.logged())
	}
}

func (m *mortal) logged() string {
	b, _ := os.ReadFile(m.log.Name())
	if len(b) > 8000 {
		b = b[len(b)-8000:]
	}
	return string(b)
}

// end unmounts and waits for the worker.
func (m *mortal) end() {
	if mounted(m.mnt, m.dev.Minor) {
		if err := fuse.Unmount(m.mnt); err != nil {
			m.Error(err)
		}
	}
	if m.cmd != nil && m.cmd.ProcessState == nil {
		killer := time.AfterFunc(20*time.Second, func() {
			m.Error("the worker does not end")
			m.cmd.Process.Kill()
			_ = m.dev.Abort()
		})
		m.cmd.Wait()
		killer.Stop()
	}
	m.dev.Close()
	m.mem.Close()
	m.log.Close()
	for _, bad := range []string{"panic", "refused a reply", "refused a recorded", "will not survive"} {
		if strings.Contains(m.logged(), bad) {
			m.Errorf("the log has %q", bad)
		}
	}
	if m.Failed() {
		m.Logf("log:\n%s", m.logged())
	}
}

// killings kills workers, at random, while applications work on the mount. dead,
// if it is not nil, is called when one has died.
func (m *mortal) killings(kinds []string, n int, shortest, longest time.Duration, dead func()) {
	m.Helper()
	l := m.load(kinds)
	rnd := rand.New(rand.NewSource(time.Now().UnixNano()))
	for range n {
		// Some die before they serve.
		early := rnd.Intn(10) == 0
		if !early {
			m.serving()
		}
		wait := shortest + time.Duration(rnd.Int63n(int64(longest-shortest)))
		select {
		case <-l.ended: // it has something to say
			l.stop()
			return
		case <-time.After(wait):
		}
		m.kill()
		if dead != nil {
			dead()
		}
		m.start()
	}
	m.serving()
	l.stop()
}
