package posix

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// journal is a request's xlator.Journal in a file that processes share, as the
// state memory of a mount is.
type journal struct{ *journalPage }

type journalPage struct {
	gfid   xlator.GFID
	intent xlator.Intent
}

func (j journal) GFID() xlator.GFID         { return j.gfid }
func (j journal) SetGFID(g xlator.GFID)     { j.gfid = g }
func (j journal) Intent() xlator.Intent     { return j.intent }
func (j journal) SetIntent(i xlator.Intent) { j.intent = i }
func (j journal) reset()                    { *j.journalPage = journalPage{gfid: fixed(200)} }
func journalIn(mem []byte) journal          { return journal{(*journalPage)(unsafe.Pointer(&mem[0]))} }
func fixed(n byte) xlator.GFID              { return xlator.GFID{0: n, 1: 1, 15: n} }
func mapJournal(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(4096); err != nil {
		return nil, err
	}
	return unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

// newJournal is a fresh request's journal, and the file that it is in.
func newJournal(t testing.TB) (journal, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal")
	mem, err := mapJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(mem) })
	j := journalIn(mem)
	j.reset()
	return j, path
}

const (
	requestEnv = "HOLDFAST_TEST_REQUEST" // the name of the request that a worker carries out
	journalEnv = "HOLDFAST_TEST_JOURNAL"
	brickEnv   = "HOLDFAST_TEST_BRICK"
)

// Marks of a worker (see tracer).
const (
	markStart = 1 + iota // before it takes the brick into use
	markRequest
	markReply
)

// TestCarryOutARequest is the worker that TestKilledAtAnySystemCall kills: it
// takes a brick into use and carries one request out. Without being asked to it
// does nothing.
func TestCarryOutARequest(t *testing.T) {
	c := requestNamed(os.Getenv(requestEnv))
	if c == nil {
		return
	}
	mem, err := mapJournal(os.Getenv(journalEnv))
	if err != nil {
		t.Fatal(err)
	}
	onThread(func() {
		fmt.Printf("\nthread %d\n", unix.Gettid())
		if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
			t.Error(err)
			return
		}
		unix.Getppid()
		w := c.worker(t, os.Getenv(brickEnv), journalIn(mem))
		if c.open != nil {
			c.open(w)
		}
		unix.Getppid()
		c.act(w)
		unix.Getppid()
		os.Exit(0) // no last words: as a kill after the reply
	})
}

// onThread runs f on a thread of its own that is not the process's first: whose
// end is the end of the process, for those who wait.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			onThread(f) // this one being locked, it is another
			return
		}
		f()
	}()
	<-done
}

// killWorker has a worker carry the request out on the brick and kills it at the
// n-th system call after that mark. done: it came to its end before.
func (c *request) killWorker(t testing.TB, dir, journal string, from, n int) (at uint64, done bool) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestCarryOutARequest$")
	cmd.Env = append(os.Environ(), requestEnv+"="+c.name, journalEnv+"="+journal, brickEnv+"="+dir,
		"GORACE=atexit_sleep_ms=0") // the race detector's second at the end of a process
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
	var said string
	tr := tracer{pid: cmd.Process.Pid}
	lines := bufio.NewScanner(out)
	for tr.tid == 0 && lines.Scan() {
		said += lines.Text() + "\n"
		_, _ = fmt.Sscanf(lines.Text(), "thread %d", &tr.tid)
	}
	if tr.tid == 0 {
		t.Fatalf("%s: the worker said %s", c.name, said)
	}
	at, err = tr.kill(func() error { _, err := in.Write([]byte{1}); return err }, from, markReply, n)
	for lines.Scan() {
		said += lines.Text() + "\n"
	}
	end := cmd.Wait()
	if err != nil {
		t.Fatalf("%s: trace a worker: %v", c.name, err)
	}
	ws, _ := cmd.ProcessState.Sys().(interface{ Signaled() bool })
	if killed := ws != nil && ws.Signaled(); killed != (at != 0) || !killed && end != nil {
		t.Fatalf("%s: the worker ended with %v at system call %d, and said %s", c.name, end, at, said)
	}
	return at, at == 0
}
