package gluster_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/tests/hfcount/counter"
	"github.com/holdfast/holdfast/tests/lab"
	"github.com/holdfast/holdfast/tests/mnt"
)

// mountCounting mounts with a keeper and, above the brick, tests/counter.
func mountCounting(t *testing.T, l *lab.Lab, v *lab.Volume, options string) (m *mnt.M, keeper int) {
	t.Helper()
	text := volfile(l.Host, v.Bricks[0], "", layer{"one-counter", "tests/counter", options})
	m = mnt.Mount(t, writeVolfile(t, text), mnt.Plain(), mnt.Program("tests/hfcount"))
	if keeper = m.Status().Keeper.PID; keeper == 0 {
		t.Fatal("the mount has no keeper")
	}
	return m, keeper
}

// counters count, each on a file of its own, until they are stopped or a reply is
// wrong.
type counters struct {
	t    *testing.T
	all  []*count
	stop chan struct{}
	wg   sync.WaitGroup
	// failed has room for what each ends with.
	failed chan error
}

// count is one file, and how often 1 was added to it.
type count struct {
	f         *os.File
	name, how string // how is counter.Next or NextLocked
	n         uint64 // constant after the end
}

// startCounters has them count in a new folder.
func startCounters(t *testing.T, m *mnt.M, folder string) *counters {
	t.Helper()
	ok(t, os.Mkdir(filepath.Join(m.Dir, folder), 0o755))
	c := &counters{t: t, stop: make(chan struct{}), failed: make(chan error, 16)}
	for i := range cap(c.failed) {
		x := &count{name: fmt.Sprintf("%s/%d", folder, i), how: counter.Next}
		if i%2 == 1 {
			x.how = counter.NextLocked
		}
		var err error
		x.f, err = os.Create(filepath.Join(m.Dir, x.name))
		ok(t, err)
		t.Cleanup(func() { x.f.Close() })
		c.all = append(c.all, x)
	}
	for _, x := range c.all {
		c.wg.Go(func() { c.run(x) })
	}
	t.Cleanup(c.end)
	return c
}

func (c *counters) run(x *count) {
	for {
		select {
		case <-c.stop:
			return
		default:
		}
		if err := unix.Fsetxattr(int(x.f.Fd()), x.how, strconv.AppendUint(nil, x.n+1, 10), 0); err != nil {
			c.failed <- fmt.Errorf("%s of %s to %d: %w", x.how, x.name, x.n+1, err)
			return
		}
		x.n++
	}
}

// wrong is what one of them ended with, or nil.
func (c *counters) wrong() error {
	select {
	case err := <-c.failed:
		return err
	default:
		return nil
	}
}

// end stops them. A second call does nothing.
func (c *counters) end() {
	select {
	case <-c.stop:
	default:
		close(c.stop)
	}
	c.wg.Wait()
}

// sums are what the brick has, as its disk and as the mount says.
func (x *count) sums(t *testing.T, v *lab.Volume) (disk, mount uint64) {
	t.Helper()
	read := func(get func(b []byte) (int, error)) uint64 {
		var b [8]byte
		n, err := get(b[:])
		if err == unix.ENODATA {
			return 0
		}
		if ok(t, err); n != len(b) {
			t.Fatalf("the sum of %s has %d bytes", x.name, n)
		}
		return binary.BigEndian.Uint64(b[:])
	}
	disk = read(func(b []byte) (int, error) {
		return unix.Getxattr(filepath.Join(v.Bricks[0].Dir, x.name), counter.Sum, b)
	})
	mount = read(func(b []byte) (int, error) { return unix.Fgetxattr(int(x.f.Fd()), counter.Sum, b) })
	return disk, mount
}

// TestEveryAdditionIsMadeOnceWhateverDies: XATTROP, which adds to what the brick
// has, and locks of translators. Each addition must give the next number.
func TestEveryAdditionIsMadeOnceWhateverDies(t *testing.T) {
	l := lab.Start(t)
	v := l.Volume("one")
	m, keeper := mountCounting(t, l, v, "")
	ps := load(t, m.Dir, "writer", "appender", "xattr")
	c := startCounters(t, m, "counters")
	storm(t, keeper, asked(t, "HOLDFAST_TEST_KILLS", 100), 200*time.Millisecond, ps, func(killed int) {
		if err := c.wrong(); err != nil {
			t.Fatalf("after %d deaths: %v", killed, err)
		}
	})
	c.end()
	if err := c.wrong(); err != nil {
		t.Fatal(err)
	}
	finish(t, ps)
	var plain, locked uint64
	for _, x := range c.all {
		if disk, mount := x.sums(t, v); disk != x.n || mount != x.n || x.n == 0 {
			t.Errorf("%s of %s was done %d times; on the brick's disk %d, through the mount %d", x.how, x.name, x.n, disk, mount)
		}
		if x.how == counter.Next {
			plain += x.n
		} else {
			locked += x.n
		}
	}
	t.Logf("%d additions, %d with a lock", plain, locked)
	if d := sessions(t, m)[0]; d.Session != 1 {
		t.Errorf("the session: %+v", d)
	}
}

// TestDeathIsSeenInWhatNobodyRecords is the control: what was sent is not remembered
// over the death of the process, and is sent again.
func TestDeathIsSeenInWhatNobodyRecords(t *testing.T) {
	l := lab.Start(t)
	v := l.Volume("one")
	for _, c := range []struct {
		what string
		is   []error
	}{
		{"additions", []error{unix.EILSEQ}},         // the sum is too high
		{"locks", []error{unix.EBUSY, unix.EINVAL}}, // one was left, or there is none to unlock
	} {
		t.Run(c.what, func(t *testing.T) { seenAfterDeaths(t, l, v, c.what, c.is) })
	}
}

// seenAfterDeaths kills until a counter sees an error, which has to be one of these.
func seenAfterDeaths(t *testing.T, l *lab.Lab, v *lab.Volume, unrecorded string, want []error) {
	t.Helper()
	m, keeper := mountCounting(t, l, v, "    option unrecorded "+unrecorded+"\n")
	c := startCounters(t, m, unrecorded)
	var seen error
	for kills := 0; seen == nil && kills < 200; kills++ {
		storm(t, keeper, 1, 100*time.Millisecond, nil, nil)
		seen = c.wrong()
	}
	c.end()
	if t.Log(seen); !slices.ContainsFunc(want, func(e error) bool { return errors.Is(seen, e) }) {
		t.Fatalf("nothing was seen of what was done twice: %v", seen)
	}
	twice := false
	for _, x := range c.all {
		disk, _ := x.sums(t, v)
		twice = twice || disk > x.n+1 // the one that failed has been done
	}
	if unrecorded == "additions" && !twice {
		t.Error("what was seen twice is not on the brick's disk")
	}
}
