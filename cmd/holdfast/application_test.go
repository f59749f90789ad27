package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// applicationDir makes this test's program the application of the world: where
// it works.
const applicationDir = "HOLDFAST_TEST_APPLICATION"

// application is a program that works in the mount all the time: it replaces a
// file, appends to one, and reads both back. It is a process of its own: a
// process with files open in a mount that nobody serves cannot start others,
// since what these close is flushed.
type application struct {
	w     *world
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{} // closed when it has
	steps atomic.Int64
	said  string // its error; after ended
}

func (w *world) application() *application {
	w.Helper()
	self, err := os.Executable()
	if err != nil {
		w.Fatal(err)
	}
	dir := filepath.Join(w.mnt, "application")
	if err := os.Mkdir(dir, 0o755); err != nil {
		w.Fatal(err)
	}
	a := &application{w: w, cmd: exec.Command(self), ended: make(chan struct{})}
	a.cmd.Env = append(os.Environ(), applicationDir+"="+dir, "GORACE=atexit_sleep_ms=0")
	if a.stdin, err = a.cmd.StdinPipe(); err != nil {
		w.Fatal(err)
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		w.Fatal(err)
	}
	if err := a.cmd.Start(); err != nil {
		w.Fatal(err)
	}
	go a.listen(out)
	w.Cleanup(func() { // before the mount is looked for
		a.cmd.Process.Kill()
		<-a.ended
	})
	return a
}

func (a *application) listen(out io.Reader) {
	defer close(a.ended)
	for s := bufio.NewScanner(out); s.Scan(); {
		if s.Text() != "." {
			a.said += s.Text()
			continue
		}
		a.steps.Add(1)
	}
	if err := a.cmd.Wait(); err != nil {
		a.said += " " + err.Error()
	}
}

// goesOn waits until it has made some steps more, or has failed.
func (a *application) goesOn() {
	a.w.Helper()
	from := a.steps.Load()
	for end := time.Now().Add(time.Minute); a.steps.Load() < from+3; time.Sleep(time.Millisecond) {
		select {
		case <-a.ended:
			a.w.Fatalf("the application failed: %s", a.said)
		default:
		}
		if time.Now().After(end) {
			a.w.Fatal("the application hangs")
		}
	}
}

// finish ends it; it must have had no error.
func (a *application) finish() {
	a.w.Helper()
	a.stdin.Close()
	select {
	case <-a.ended:
	case <-time.After(time.Minute):
		a.w.Fatal("the application hangs")
	}
	if a.said != "" {
		a.w.Errorf("the application failed: %s", a.said)
	}
}

// apply is the program. It prints a point for each step.
func apply(dir string) int {
	stop := make(chan struct{})
	go func() { // ends with the process
		io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	if err := work(dir, stop); err != nil {
		fmt.Println(strings.ReplaceAll(err.Error(), "\n", " "))
		return 1
	}
	return 0
}

func work(dir string, stop <-chan struct{}) error {
	log, err := os.OpenFile(dir+"/log", os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		select {
		case <-stop:
			return log.Close()
		default:
		}
		if err := step(dir, log, i); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
		fmt.Println(".")
	}
}

func step(dir string, log *os.File, i int) error {
	text := fmt.Sprintf("%08d\n", i)
	if _, err := log.WriteString(text); err != nil {
		return err
	}
	got := make([]byte, 9)
	if _, err := log.ReadAt(got, int64(i)*9); err != nil {
		return err
	}
	if string(got) != text {
		return fmt.Errorf("line %d is %q", i, got)
	}
	next := dir + "/next"
	if err := os.WriteFile(next, []byte(text), 0o644); err != nil {
		return err
	}
	if err := os.Rename(next, dir+"/current"); err != nil {
		return err
	}
	b, err := os.ReadFile(dir + "/current")
	if err == nil && string(b) != text {
		err = errors.New("current is " + string(b))
	}
	return err
}
