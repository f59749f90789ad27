package fuse_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync"
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

// childEnv makes the test binary the process behind a mount: a process that
// used its own mount would wait for itself.
const childEnv = "HOLDFAST_FUSE_TEST_CHILD"

func TestMain(m *testing.M) {
	if cfg := os.Getenv(childEnv); cfg != "" {
		if err := child(cfg); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	for env, run := range map[string]func(string) error{workerEnv: worker, loadEnv: applications} {
		if cfg := os.Getenv(env); cfg != "" {
			if err := run(cfg); err != nil {
				fmt.Fprintln(os.Stderr, env+":", err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

type childConfig struct {
	Volfile string
	Opts    fuse.Options
	Profile string
	Debug   bool
}

type childStats struct {
	Session    fuse.Stats
	Table      fdtable.Status
	RSS        int64
	Goroutines int
}

// child serves a mount until it is gone. It takes commands from standard input:
// "stats" and "reload <volfile>"; the end of the input ends the mount.
func child(text string) error {
	var cfg childConfig
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		return err
	}
	level := slog.LevelInfo
	if cfg.Debug {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	cfg.Opts.Log = log
	table := fdtable.New(log, nil)
	mgr := graph.NewManager(graph.Config{
		Types: all.Find, Refused: all.Refused, Pool: xlator.NewPool(), Errors: table, Log: log, Tenant: table,
		DrainTimeout: time.Second,
	})
	table.Attach(mgr)
	load := func(text string) error {
		f, err := volfile.Parse("test.vol", []byte(text))
		if err == nil {
			_, err = mgr.Reload(context.Background(), f)
		}
		return err
	}
	if err := load(cfg.Volfile); err != nil {
		return err
	}
	dev, err := fuse.Mount(cfg.Opts)
	if err != nil {
		return err
	}
	mem := state.Plain()
	defer mem.Close()
	s, err := fuse.NewSession(cfg.Opts, dev, mem)
	if err != nil {
		return err
	}
	if cfg.Profile != "" {
		f, err := os.Create(cfg.Profile)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer func() { pprof.StopCPUProfile(); f.Close() }()
	}
	var ending sync.Mutex
	go func() {
		in := bufio.NewScanner(os.Stdin)
		fmt.Printf("ready %d\n", s.Connection())
		for in.Scan() {
			cmd, arg, _ := strings.Cut(in.Text(), " ")
			switch cmd {
			case "stats":
				b, _ := json.Marshal(childStats{s.Stats(), table.Status(), rss(), pprof.Lookup("goroutine").Count()})
				fmt.Printf("%s\n", b)
			case "reload":
				fmt.Printf("reloaded %v\n", load(strings.ReplaceAll(arg, "|", "\n")))
			}
		}
		ending.Lock() // to its end: Abort may have something mounted
		defer ending.Unlock()
		s.Abort()
		if mounted(cfg.Opts.Mountpoint, s.Connection()) {
			unix.Unmount(cfg.Opts.Mountpoint, unix.MNT_DETACH)
		}
	}()
	err = s.Serve(table)
	ending.Lock()
	if cerr := mgr.Close(); err == nil {
		err = cerr
	}
	table.Close()
	return err
}

func rss() int64 {
	b, _ := os.ReadFile("/proc/self/statm")
	var size, pages int64
	fmt.Sscan(string(b), &size, &pages)
	return pages * int64(os.Getpagesize())
}

// world is a mount with its process.
type world struct {
	*testing.T
	dir   string // the brick
	mnt   string
	minor int

	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	log    *bytes.Buffer
	ended  bool
	config childConfig
}

// layers is a volfile: storage/posix on %DIR% with these types above, each
// followed by its options as in "debug/delay-gen enable=read gate=/x".
func layers(types ...string) string {
	text := "volume b\n type storage/posix\n option directory %DIR%\nend-volume\n"
	below := "b"
	for i, typ := range types {
		typ, options, _ := strings.Cut(typ, " ")
		name := fmt.Sprintf("x%d", i)
		text += fmt.Sprintf("volume %s\n type %s\n", name, typ)
		for o := range strings.FieldsSeq(options) {
			if o != "" {
				text += " option " + strings.Replace(o, "=", " ", 1) + "\n"
			}
		}
		text += fmt.Sprintf(" subvolumes %s\nend-volume\n", below)
		below = name
	}
	return text
}

var plain = layers("features/locks")

// mount starts a process that mounts the graph; change may alter its
// configuration. A test that takes longer than a minute loses its mount.
func mount(t *testing.T, graph string, change func(*childConfig)) *world {
	t.Helper()
	w := &world{T: t, dir: filepath.Join(t.TempDir(), "brick"), mnt: filepath.Join(t.TempDir(), "mnt"), log: &bytes.Buffer{}}
	for _, d := range []string{w.dir, w.mnt} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.config = childConfig{
		Volfile: strings.ReplaceAll(graph, "%DIR%", w.dir),
		Opts: fuse.Options{
			Source: "test", Mountpoint: w.mnt, Data: []string{"allow_other", "default_permissions"}, ACL: true,
			AttrTimeout: time.Second, EntryTimeout: time.Second,
		},
	}
	if change != nil {
		change(&w.config)
	}
	text, err := json.Marshal(w.config)
	if err != nil {
		t.Fatal(err)
	}
	w.cmd = exec.Command(os.Args[0])
	w.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	w.cmd.Stderr = w.log
	w.in, err = w.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.out = bufio.NewReader(out)
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := w.out.ReadString('\n')
	if _, err := fmt.Sscanf(line, "ready %d", &w.minor); err != nil {
		w.cmd.Wait()
		t.Fatalf("no mount: %s", w.log)
	}
	watchdog := time.AfterFunc(time.Minute, w.abort)
	t.Cleanup(func() {
		watchdog.Stop()
		w.end()
	})
	return w
}

// mounted reports whether the connection of that number is still the mount's:
// numbers are used again, and an abort would meet somebody else's mount.
func mounted(mnt string, minor int) bool {
	info, err := os.ReadFile("/proc/self/mountinfo")
	return err == nil && strings.Contains(string(info), fmt.Sprintf(" 0:%d / %s ", minor, mnt))
}

// abort ends the mount by force, by the death of its process if it is detached.
func (w *world) abort() {
	if !mounted(w.mnt, w.minor) {
		w.cmd.Process.Kill()
		return
	}
	if err := fuse.Abort(w.minor); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.Error(err)
	}
}

// unmount ends the mount as an operator would, and waits for the process.
func (w *world) unmount() {
	w.Helper()
	if err := unix.Unmount(w.mnt, 0); err != nil {
		w.Errorf("unmount: %v", err)
	}
	w.end()
}

// end sees to it that nothing is left, and fails if the process had anything to
// complain about.
func (w *world) end() {
	if w.ended {
		return
	}
	w.ended = true
	w.in.Close() // unmounts, if it still has to
	killer := time.AfterFunc(20*time.Second, func() {
		w.Errorf("the process does not end")
		w.cmd.Process.Kill()
		w.abort()
	})
	defer killer.Stop()
	if err := w.cmd.Wait(); err != nil {
		w.Errorf("process: %v", err)
	}
	unix.Unmount(w.mnt, unix.MNT_DETACH)
	for _, bad := range []string{"panic", "DATA RACE", "refused a reply"} {
		if strings.Contains(w.log.String(), bad) {
			w.Errorf("the log has %q", bad)
		}
	}
	if w.Failed() {
		w.Logf("log:\n%s", w.log)
	}
}

func (w *world) ask(cmd string) string {
	w.Helper()
	if _, err := fmt.Fprintln(w.in, cmd); err != nil {
		w.Fatal(err)
	}
	line, err := w.out.ReadString('\n')
	if err != nil {
		w.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func (w *world) stats() childStats {
	w.Helper()
	var s childStats
	if err := json.Unmarshal([]byte(w.ask("stats")), &s); err != nil {
		w.Fatal(err)
	}
	return s
}

// reload switches to another graph on the same brick.
func (w *world) reload(graph string) {
	w.Helper()
	graph = strings.ReplaceAll(strings.ReplaceAll(graph, "%DIR%", w.dir), "\n", "|")
	if got := w.ask("reload " + graph); got != "reloaded <nil>" {
		w.Fatal(got)
	}
}

func (w *world) path(name string) string { return filepath.Join(w.mnt, name) }

// await waits until cond holds; what it looks at changes by itself.
func (w *world) await(what string, cond func() bool) {
	w.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("waited in vain for %s", what)
		}
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
