package gluster_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/cmd/holdfast/control"
	"github.com/holdfast/holdfast/fuse/keeper"
	"github.com/holdfast/holdfast/tests/kill"
	"github.com/holdfast/holdfast/tests/lab"
	"github.com/holdfast/holdfast/tests/mnt"
)

// What a brick sends while no process serves must be received, or it gives the
// connection up after server.tcp-user-timeout, which is as short here as a test
// wants it. These tests do not run beside others, whose forks would wait for them.

const (
	userTimeout = 4 * time.Second
	gap         = userTimeout + 3*time.Second // the kernel looks at it now and then
)

// gapped is a mount whose process dies while more is on its way to it than the
// sockets take.
type gapped struct {
	*testing.T
	l      *lab.Lab
	v      *lab.Volume
	m      *mnt.M
	file   string
	want   []byte
	c      *contest
	f      *os.File
	answer chan error // of each read
	reads  int
}

const (
	readSize    = 1 << 20
	tooMuch     = 4 * readSize // for a socket
	receivedMsg = "received for the next worker"
)

func newGapped(t *testing.T, opts ...mnt.Option) *gapped {
	t.Helper()
	g := &gapped{T: t, l: lab.Start(t), reads: 16}
	g.v = g.l.Volume("one", lab.Set("server.tcp-user-timeout", fmt.Sprint(int(userTimeout.Seconds()))))
	// Nobody is to ask for attributes before he reads.
	opts = append(opts, mnt.Plain(), mnt.O("attribute-timeout=600"))
	g.m = mnt.Mount(t, writeVolfile(t, volfile(g.l.Host, g.v.Bricks[0], "")), opts...)
	g.file, g.want = filepath.Join(g.m.Dir, "data"), make([]byte, g.reads*readSize)
	for i := range g.want {
		g.want[i] = byte(i>>12 + i*7)
	}
	ok(t, os.WriteFile(g.file, g.want, 0o644))
	g.c = newContest(t, g.m, g.l.MountStock(g.v).Dir)
	g.f = nameless(t, g.m)
	return g
}

// read has all of the file asked for, while the brick does not answer. hold sees
// to it that no process serves; then the brick answers. Until one serves again no
// program may be started from here: the fork would close its copies of the open
// files, and wait.
func (g *gapped) read(hold func()) {
	g.Helper()
	g.answer = make(chan error, g.reads)
	f, err := os.OpenFile(g.file, os.O_RDONLY|unix.O_DIRECT, 0)
	ok(g.T, err)
	_, err = f.Stat()
	ok(g.T, err)
	g.Cleanup(func() { f.Close() })
	g.v.Bricks[0].Stop()
	g.Cleanup(g.v.Bricks[0].Continue) // should the test end before
	for i := range g.reads {
		go func() { g.answer <- g.part(f, i) }()
	}
	// Some of them wait for room for the replies.
	eventually(g.T, 20*time.Second, "the brick is asked for what it cannot send", func() bool {
		var dump json.RawMessage
		g.m.Ask(control.OpDump, &dump)
		d := sessionsIn(g.T, dump)[0]
		return d.Requests >= g.reads && d.Unanswered*readSize > tooMuch && d.UnsentBytes == 0
	})
	hold()
	g.v.Bricks[0].Continue()
}

func (g *gapped) part(f *os.File, i int) error {
	b, err := unix.Mmap(-1, 0, readSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON) // O_DIRECT wants whole pages
	if err != nil {
		return err
	}
	defer unix.Munmap(b)
	n, err := f.ReadAt(b, int64(i*readSize))
	if err == nil && !bytes.Equal(b[:n], g.want[i*readSize:][:readSize]) {
		err = errors.New("other bytes")
	}
	return err
}

// readsEnd waits for the reads.
func (g *gapped) readsEnd(want error) {
	g.Helper()
	for range g.reads {
		select {
		case err := <-g.answer:
			if !errors.Is(err, want) {
				g.Errorf("read: %v, want %v", err, want)
			}
		case <-time.After(30 * time.Second):
			g.Fatal("a read does not end")
		}
	}
}

// kept checks that the connection outlived it all, with what belongs to it, and
// by the keeper's log that it was not for want of something to receive.
func (g *gapped) kept(log string) {
	g.Helper()
	received := 0
	for line := range strings.Lines(log) {
		if _, n, ok := strings.Cut(line, " bytes="); ok && strings.Contains(line, receivedMsg) {
			_, _ = fmt.Sscan(n, &received)
		}
	}
	if received < tooMuch {
		g.Errorf("%d bytes were received for the next worker", received)
	}
	d := sessions(g.T, g.m)[0]
	g.Logf("%+v", d)
	if d.Session != 1 || d.Resumed != 1 || d.Sessions != 0 || d.FilesLost != 0 || d.LocksLost != 0 {
		g.Errorf("the session: %+v", d)
	}
	ok(g.T, stillThere(g.T, g.f))
	g.c.end()
}

// withoutWorkers is when no worker of the keeper gets as far as to be given what
// the keeper holds: none can open the log.
func (g *gapped) withoutWorkers(keeper int, meanwhile func()) {
	g.Helper()
	log := g.m.LogFile()
	g.read(func() {
		ok(g.T, os.Rename(log, log+".1"))
		ok(g.T, os.Mkdir(log, 0o755))
		ok(g.T, kill.AndWait(keeper))
	})
	meanwhile()
	ok(g.T, os.Remove(log))
	ok(g.T, os.Rename(log+".1", log))
}

// TestBrickIsReadWhileWorkersDoNotStart.
func TestBrickIsReadWhileWorkersDoNotStart(t *testing.T) {
	g := newGapped(t)
	g.withoutWorkers(g.m.Status().Keeper.PID, func() { time.Sleep(gap) })
	g.readsEnd(nil)
	g.kept(g.m.Log())
}

// TestBrickIsReadWhileEverythingIsAnsweredWithEIO.
func TestBrickIsReadWhileEverythingIsAnsweredWithEIO(t *testing.T) {
	g := newGapped(t, mnt.O("recovery-deadline=1"))
	g.withoutWorkers(g.m.Status().Keeper.PID, func() {
		g.readsEnd(unix.EIO)
		time.Sleep(gap)
		if s := g.m.Status(); s.Keeper.State != "failed" {
			t.Errorf("%s", s.Raw)
		}
	})
	if _, err := g.m.Run("upgrade", g.m.Dir); err != nil {
		t.Fatal(err)
	}
	g.kept(g.m.Log())
}

// TestBrickIsReadByAServiceWithoutAWorker.
func TestBrickIsReadByAServiceWithoutAWorker(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "keeper")
	log := service(t, socket)
	g := newGapped(t, mnt.Args("--keeper", "unix:"+socket))
	next := later(t, "mount", g.m.Source, g.m.Dir, "--log-file", g.m.LogFile(), "--keeper", "unix:"+socket)
	g.read(func() {
		pidfd, err := unix.PidfdOpen(g.m.PID(), 0)
		ok(t, err)
		defer unix.Close(pidfd)
		ok(t, unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0))
		eventually(t, 20*time.Second, "the service knows it", func() bool {
			ms, err := keeper.Mounts(t.Context(), socket)
			return err == nil && len(ms) == 1 && ms[0].State == "waiting"
		})
	})
	time.Sleep(gap)
	ok(t, next())
	g.readsEnd(nil)
	b, err := os.ReadFile(log)
	ok(t, err)
	g.kept(string(b))
}

// service is a keeper of many mounts; it logs to a file.
func service(t *testing.T, socket string) (log string) {
	t.Helper()
	log = socket + ".log"
	c := exec.Command(mnt.BuildPlain(t, "cmd/holdfast"), "keeper", "--listen", "unix:"+socket, "--log-file", log)
	ok(t, c.Start())
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait() // killed
		if b, err := os.ReadFile(log); err == nil && t.Failed() {
			t.Logf("log of the service:\n%s", b)
		}
	})
	eventually(t, 20*time.Second, "it answers", func() bool { _, err := keeper.Mounts(t.Context(), socket); return err == nil })
	return log
}

// later prepares to start a program when it is called.
func later(t *testing.T, args ...string) func() error {
	t.Helper()
	c := exec.Command("sh", append([]string{"-c", `read -r line && exec "$@"`, "sh", mnt.BuildPlain(t, "cmd/holdfast")}, args...)...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	stdin, err := c.StdinPipe()
	ok(t, err)
	ok(t, c.Start())
	t.Cleanup(func() { stdin.Close() })
	return func() error {
		if _, err := stdin.Write([]byte("\n")); err != nil {
			return err
		}
		if err := c.Wait(); err != nil {
			return fmt.Errorf("%w: %s", err, out.String())
		}
		return nil
	}
}

// TestBrickHangsUpOnWhoDoesNotRead is the control: the keeper does not run
// meanwhile.
func TestBrickHangsUpOnWhoDoesNotRead(t *testing.T) {
	g := newGapped(t)
	k := g.m.Status().Keeper.PID
	g.read(func() {
		ok(t, unix.Kill(k, unix.SIGSTOP))
		t.Cleanup(func() { _ = unix.Kill(k, unix.SIGCONT) }) // should the test end before
		ok(t, kill.AndWait(k))
	})
	time.Sleep(gap)
	ok(t, unix.Kill(k, unix.SIGCONT))
	g.readsEnd(nil) // over another connection
	if d := sessions(t, g.m)[0]; d.Session == 1 || stillThere(t, g.f) == nil {
		t.Errorf("nothing was lost: these tests would not see it: %+v", d)
	}
	close(g.c.stop)
	g.c.thief.Wait()
	ok(t, setlk(g.c.others[0], unix.F_SETLK, unix.F_UNLCK))
	select {
	case err := <-g.c.granted: // one of the two had it
		ok(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("who waits was not granted the lock")
	}
	if log := g.m.Log(); strings.Contains(log, receivedMsg) {
		t.Error("the keeper has received something")
	}
}
