package posix

import (
	"cmp"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// request is one request of an application, and what there is before it.
type request struct {
	name string
	// disk puts on disk what the request meets.
	disk func(b *brick)
	// open opens what the worker has open when the request comes; it is not
	// called for the workers after it. nil: nothing.
	open func(b *brick)
	// users are files that have base fds.
	users []byte
	act   func(b *brick) string
	// from is the mark after which workers are killed; 0: markRequest.
	from int
}

// worker takes the brick into use, as the process that serves the mount.
func (c *request) worker(t testing.TB, dir string, j xlator.Journal) *brick {
	t.Helper()
	u := &users{}
	for _, n := range c.users {
		u.count(fixed(n), 1)
	}
	b := mountWith(t, dir, nil, u)
	call := caller(0, 0)
	call.Journal = j
	b.ctx = call
	return b
}

// prepare is a fresh brick with what the request meets.
func (c *request) prepare(t testing.TB, in string) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp(in, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b := c.worker(t, dir, nil)
	if c.disk != nil {
		c.disk(b)
	}
	b.w.Stop()
	return dir
}

// undisturbed is how the request ends, and the disk afterwards, when nobody dies.
func (c *request) undisturbed(t testing.TB, in string, j xlator.Journal) (answer, disk string) {
	t.Helper()
	b := c.worker(t, c.prepare(t, in), j)
	if c.open != nil {
		c.open(b)
	}
	answer = c.act(b)
	b.die()
	// The worker that comes next finds everything in order as well.
	b = c.worker(t, b.dir, nil)
	disk = b.picture()
	b.w.Stop()
	return answer, disk
}

// TestKilledAtAnySystemCall kills a worker at each system call of a request,
// before it is made, and lets the next one carry the same request out again: the
// answer and the disk must be as if nobody had died. Every other time the next
// one is killed as well, anywhere between its start and its answer.
func TestKilledAtAnySystemCall(t *testing.T) {
	in := memoryDir(t)
	for _, c := range requests {
		from := cmp.Or(c.from, markRequest)
		t.Run(c.name, func(t *testing.T) {
			j, path := newJournal(t)
			answer, disk := c.undisturbed(t, in, j)
			if a, d := c.undisturbed(t, in, nil); a != answer || d != disk {
				t.Fatalf("without a journal\n%s\n%s\nwith one\n%s\n%s", a, d, answer, disk)
			}
			n := 1
			for ; !t.Failed(); n++ {
				j.reset()
				dir := c.prepare(t, in)
				at, done := c.killWorker(t, dir, path, from, n)
				if done {
					break
				}
				deaths := fmt.Sprintf("killed at system call %d (number %d)", n, at)
				if n%2 == 0 {
					again := 1 + n*13%40
					at, _ = c.killWorker(t, dir, path, markStart, again)
					deaths += fmt.Sprintf(", then at %d (number %d)", again, at)
				}
				b := c.worker(t, dir, j)
				if got := c.act(b); got != answer {
					t.Errorf("%s, the answer is\n%s\nnot\n%s", deaths, got, answer)
				}
				b.die()
				b = c.worker(t, dir, nil)
				if now := b.picture(); now != disk {
					t.Errorf("%s, the disk is\n%s\nnot\n%s", deaths, now, disk)
				}
				b.w.Stop()
			}
			if n < 3 {
				t.Errorf("only %d places to be killed at", n-1)
			}
			t.Logf("killed at %d system calls", n-1)
		})
	}
}

// memoryDir is a folder on a file system in memory, where thousands of bricks are
// made soon.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "mode=0755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestAFileIsCutOnce: an open with O_TRUNC that is carried out again does not
// cut what others wrote after the first time.
func TestAFileIsCutOnce(t *testing.T) {
	j, _ := newJournal(t)
	dir := newDir(t)
	b := mount(t, dir, nil)
	f := b.open(b.file(b.root, "f", "before"), unix.O_RDWR)
	c := caller(0, 0)
	c.Journal = j
	cut := func(size uint64) {
		t.Helper()
		_, err := b.Ftruncate(c, &xlator.FtruncateReq{FD: f, Size: size})
		b.must(err)
	}
	cut(0)
	b.write(f, "after", 0)
	cut(0)
	if got := b.read(f, 0, 99); got != "after" {
		t.Fatalf("read %q", got)
	}
	cut(3) // not what was recorded
	if got := b.read(f, 0, 99); got != "aft" {
		t.Fatalf("read %q", got)
	}
}

// TestHandlesThatLeadThroughOneAnotherAreCompleted: two renames were done when
// the process died, and no handle was moved yet; one folder moved into another.
func TestHandlesThatLeadThroughOneAnotherAreCompleted(t *testing.T) {
	for _, order := range [][]string{{"1", "2"}, {"2", "1"}} {
		b := fresh(t)
		outer, inner := b.mkdir(b.root, "outer").GFID(), b.mkdir(b.root, "inner").GFID()
		b.die()
		b.must(unix.Rename(b.path("outer"), b.path("moved")))
		b.must(unix.Rename(b.path("inner"), b.path("moved", "in")))
		staged := func(g xlator.GFID, serial, target string) {
			b.must(unix.Symlink(target, b.path(metaName, stagingName, preparedPrefix+g.String()+"."+serial)))
		}
		staged(outer, order[0], dirTarget(xlator.RootGFID, "moved"))
		staged(inner, order[1], dirTarget(outer, "in"))
		b = mount(t, b.dir, nil)
		b.checkLayout()
		if i := b.at("moved/in"); i.GFID() != inner {
			t.Fatalf("%s", i.GFID())
		}
	}
}
