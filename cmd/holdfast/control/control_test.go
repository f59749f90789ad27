package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

const mountinfoText = `22 28 0:20 / /sys rw,nosuid - sysfs sysfs rw
40 28 0:45 / /mnt/a\040b rw,relatime shared:2 - fuse.holdfast /data/one\134x rw,user_id=0,group_id=0
41 28 0:46 / /mnt/tab\011new\012line rw,relatime - fuse.holdfast /data/two rw
42 28 8:1 / /mnt/disk rw - ext4 /dev/sda1 rw
43 28 0:47 / /mnt/a\040b rw,relatime master:3 propagate_from:1 - fuse.holdfast /data/three rw
44 28 0:48 / /mnt/other rw - fuse.bindfs /data/one rw
` + "45 28 0:49 / /mnt/\xc3\xa9\xff rw - fuse.holdfast /data/four rw\n" +
	"46 45 0:50 / /mnt/\xc3\xa9\xff rw - tmpfs tmpfs rw\n"

func TestMountsAreReadWithTheirEscapes(t *testing.T) {
	got, err := readMounts(strings.NewReader(mountinfoText))
	if err != nil {
		t.Fatal(err)
	}
	want := []Mount{
		{"/mnt/a b", `/data/one\x`, 45, true},
		{"/mnt/tab\tnew\nline", "/data/two", 46, false},
		{"/mnt/a b", "/data/three", 47, false},
		{"/mnt/\303\251\377", "/data/four", 49, true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if m, ok := mountAt(got, "/mnt/a b"); !ok || m.Minor != 47 {
		t.Errorf("the topmost mount is %v", m)
	}
}

func TestPathThatIsNoMountIsRefused(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "loop")
	if err := os.Symlink("loop", link); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"/", dir, link, filepath.Join(dir, "missing", "deeper")} {
		if _, err := FindMount(p); !errors.Is(err, ErrNotMounted) {
			t.Errorf("%s: %v", p, err)
		}
	}
}

// served is a server with its files.
type served struct {
	*Server
	files *Files
}

func (s served) Close() {
	s.Server.Close()
	s.files.Remove()
}

func serveTest(t *testing.T, dir string, minor int, h Handler) (served, *Client) {
	t.Helper()
	f, lis, err := makeIn(dir, State{Mountpoint: "/mnt/x", Source: "/data/x", Minor: minor})
	if err != nil {
		t.Fatal(err)
	}
	s := served{Serve(lis, h, slog.New(slog.DiscardHandler)), f}
	t.Cleanup(s.Close)
	return s, &Client{dir: dir, mount: Mount{Mountpoint: "/mnt/x", Minor: minor}}
}

func TestQuestionAndAnswer(t *testing.T) {
	_, c := serveTest(t, t.TempDir(), 7, func(_ context.Context, r *Request) (any, error) {
		if r.Op == "bad" {
			return nil, errors.New("not like this")
		}
		return map[string]any{"op": r.Op, "pairs": r.Pairs}, nil
	})
	var body struct {
		Op    string
		Pairs [][2]string
	}
	if err := c.Ask(t.Context(), Request{Op: OpSet, Pairs: [][2]string{{"a", "b"}}}, &body); err != nil {
		t.Fatal(err)
	}
	if body.Op != OpSet || len(body.Pairs) != 1 || body.Pairs[0] != [2]string{"a", "b"} {
		t.Errorf("%+v", body)
	}
	if err := c.Ask(t.Context(), Request{Op: "bad"}, nil); err == nil || err.Error() != "not like this" {
		t.Error(err)
	}
}

func TestManyAskAtOnce(t *testing.T) {
	_, c := serveTest(t, t.TempDir(), 7, func(_ context.Context, r *Request) (any, error) { return r.Volfile, nil })
	errs := make(chan error, 50)
	for i := range cap(errs) {
		go func() {
			var got string
			want := fmt.Sprint("/", i)
			err := c.Ask(t.Context(), Request{Op: OpReload, Volfile: want}, &got)
			if err == nil && got != want {
				err = fmt.Errorf("got %q, want %q", got, want)
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestClientGivesUpOnASilentProcess(t *testing.T) {
	_, c := serveTest(t, t.TempDir(), 7, func(ctx context.Context, _ *Request) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Ask(ctx, Request{Op: OpStatus}, nil); err == nil || !strings.Contains(err.Error(), "no answer from its process in time") {
		t.Error(err)
	}
}

func TestServerKeepsTheTimeTheClientGave(t *testing.T) {
	_, c := serveTest(t, t.TempDir(), 7, func(ctx context.Context, _ *Request) (any, error) {
		<-ctx.Done()
		return nil, fmt.Errorf("gave up: %w", ctx.Err())
	})
	if err := c.Ask(t.Context(), Request{Op: OpReload, Timeout: time.Millisecond}, nil); err == nil || !strings.Contains(err.Error(), "gave up") {
		t.Error(err)
	}
}

func TestCloseWaitsForAnswersAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	in := make(chan struct{})
	s, c := serveTest(t, dir, 7, func(ctx context.Context, _ *Request) (any, error) {
		close(in)
		<-ctx.Done()
		return "late", nil
	})
	got := make(chan error, 1)
	var body string
	go func() { got <- c.Ask(t.Context(), Request{Op: OpStatus}, &body) }()
	<-in
	s.Close()
	if err := <-got; err != nil || body != "late" {
		t.Errorf("%q %v", body, err)
	}
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		if f.Name() != "lock" {
			t.Errorf("%s is left", f.Name())
		}
	}
	if err := c.Ask(t.Context(), Request{Op: OpStatus}, nil); err == nil || !strings.Contains(err.Error(), "its process is gone") {
		t.Error(err)
	}
}

func TestRubbishOnTheSocketHarmsNobody(t *testing.T) {
	dir := t.TempDir()
	_, c := serveTest(t, dir, 7, func(_ context.Context, r *Request) (any, error) { return "fine", nil })
	for _, text := range []string{"", "\n", "{", "{]\n", "[1,2]\n", strings.Repeat("x", 2<<20), "\x00\xff\n"} {
		conn, err := net.Dial("unix", socketPath(dir, 7))
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte(text)) // may fail: the server hangs up on what is too long
		conn.Close()
	}
	var body string
	if err := c.Ask(t.Context(), Request{Op: OpStatus}, &body); err != nil || body != "fine" {
		t.Errorf("%q %v", body, err)
	}
}

func TestStaleFilesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	stale := State{Process: Process{dead.Process.Pid, 1}, Minor: 3}
	reused := State{Process: Process{os.Getpid(), 1}, Minor: 4} // our id, another process
	for _, s := range []State{stale, reused} {
		b, _ := json.Marshal(s)
		if err := os.WriteFile(statePath(dir, s.Minor), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(socketPath(dir, s.Minor), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(statePath(dir, 5), []byte("{half"), 0o600); err != nil {
		t.Fatal(err)
	}
	serveTest(t, dir, 7, func(context.Context, *Request) (any, error) { return nil, nil })
	for _, minor := range []int{3, 4, 5} {
		for _, p := range []string{statePath(dir, minor), socketPath(dir, minor)} {
			if _, err := os.Lstat(p); err == nil {
				t.Errorf("%s is left", p)
			}
		}
	}
	if _, err := os.Lstat(statePath(dir, 7)); err != nil {
		t.Error(err)
	}
}

func TestEndingServerLeavesItsNumberToOthers(t *testing.T) {
	dir := t.TempDir()
	h := func(context.Context, *Request) (any, error) { return "old", nil }
	old, _ := serveTest(t, dir, 7, h)
	// The number goes to another mount, of a process that lives, before the
	// old one has noticed.
	other := exec.Command("sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { other.Process.Kill(); other.Wait() }()
	started, err := StartTime(other.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	s := State{Process: Process{other.Process.Pid, started}, Minor: 7}
	if err := writeState(statePath(dir, 7), s); err != nil {
		t.Fatal(err)
	}
	old.Close()
	if got, err := readState(statePath(dir, 7)); err != nil || got != s {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := os.Lstat(socketPath(dir, 7)); err != nil {
		t.Error(err)
	}
}

func TestEndingProcessCanBeWaitedFor(t *testing.T) {
	dir := t.TempDir()
	p := exec.Command("cat")
	in, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	started, err := StartTime(p.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	s := State{Process: Process{p.Process.Pid, started}, Source: "/data/x"}
	if err := writeState(endingPath(dir, s.PID), s); err != nil {
		t.Fatal(err)
	}
	if got := ending(dir); len(got) != 1 || got[0] != s {
		t.Fatalf("%+v", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := WaitGone(ctx, s); err == nil {
		t.Error("it lives")
	}
	in.Close()
	if err := WaitGone(t.Context(), s); err != nil {
		t.Error(err)
	}
	p.Wait()
	if err := WaitGone(t.Context(), s); err != nil {
		t.Error(err)
	}
	if got := ending(dir); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// TestTheNextProcessAnswers: a process that takes a request and dies is not the
// end of it while somebody keeps the socket.
func TestTheNextProcessAnswers(t *testing.T) {
	dir := t.TempDir()
	f, lis, err := makeIn(dir, State{Mountpoint: "/mnt/x", Minor: 7})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Remove()
	kept, err := lis.File() // as a keeper holds it
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	c := &Client{dir: dir, mount: Mount{Mountpoint: "/mnt/x", Minor: 7}}
	var body string
	got := make(chan error, 1)
	go func() { got <- c.Ask(t.Context(), Request{Op: OpStatus}, &body) }()
	dies, err := lis.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	dies.Read(make([]byte, 1))
	dies.Close()
	lis.Close()
	next, err := ServeFD(int(kept.Fd()), func(context.Context, *Request) (any, error) { return "the next", nil }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if err := <-got; err != nil || body != "the next" {
		t.Errorf("%q %v", body, err)
	}
}

// TestAnotherProcessAnswers: a request and its descriptors are passed on, with
// the connection.
func TestAnotherProcessAnswers(t *testing.T) {
	passed := make(chan int, 2)
	_, c := serveTest(t, t.TempDir(), 7, func(_ context.Context, r *Request) (any, error) {
		conn, err := r.TakeConn()
		if err != nil || len(r.FDs) != 1 {
			t.Errorf("%v %v", r.FDs, err)
			return nil, err
		}
		passed <- r.FDs[0]
		passed <- conn
		r.FDs = nil
		return "not sent", nil
	})
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	go func() {
		text := os.NewFile(uintptr(<-passed), "passed")
		defer text.Close()
		f := os.NewFile(uintptr(<-passed), "client")
		defer f.Close()
		conn, err := net.FileConn(f)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, err = text.WriteString("it is the same file")
		WriteReply(conn, "another", err)
	}()
	var body string
	if err := c.Ask(t.Context(), Request{Op: OpUpgrade, FDs: []int{int(file.Fd())}}, &body); err != nil || body != "another" {
		t.Errorf("%q %v", body, err)
	}
	if b, err := os.ReadFile(file.Name()); err != nil || string(b) != "it is the same file" {
		t.Errorf("%q %v", b, err)
	}
}
