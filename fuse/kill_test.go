package fuse_test

import (
	"errors"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/fuse"
)

func TestApplicationsDoNotNoticeKills(t *testing.T) {
	for name, graph := range map[string]string{
		"plain":  plain,
		"client": layers("features/locks", "performance/write-behind", "performance/md-cache"),
		"slow":   layers("features/locks", "debug/delay-gen enable=write delay-duration=3000 delay-percentage=100", "performance/write-behind"),
	} {
		t.Run(name, func(t *testing.T) {
			m := mountMortal(t, graph, nil)
			m.start()
			m.killings(allKinds, 120, 5*time.Millisecond, 150*time.Millisecond, nil)
		})
	}
}

func TestApplicationsDoNotNoticeUpgrades(t *testing.T) {
	m := mountMortal(t, layers("features/locks", "performance/write-behind"), nil)
	m.start()
	l := m.load(allKinds)
	for range 40 {
		m.serving()
		select {
		case <-l.ended: // it has something to say
		case <-time.After(20 * time.Millisecond):
			m.drain()
			m.start()
			continue
		}
		break
	}
	m.serving()
	l.stop()
}

// TestDamagedMemoryLosesNothing: slots that cannot be trusted are not used, and
// the kernel sends again what it had sent. Data is what it should be; what makes
// and removes names may be told that it has been done already, so nothing here
// does that.
func TestDamagedMemoryLosesNothing(t *testing.T) {
	m := mountMortal(t, plain, nil)
	m.start()
	rnd := rand.New(rand.NewSource(1))
	m.killings([]string{"pread-pwrite", "direct", "append", "map", "listing", "locks", "locks"}, 40, 5*time.Millisecond, 100*time.Millisecond, func() {
		if rnd.Intn(2) > 0 {
			m.damage(rnd)
		}
	})
	if m.sum.Damaged == 0 || !m.sum.Resent {
		t.Errorf("no damage was found: %+v", m.sum)
	}
}

// damage overwrites the beginning of a slot.
func (m *mortal) damage(rnd *rand.Rand) {
	m.Helper()
	mem, err := state.Open(os.NewFile(uintptr(dup(m.TB, int(m.mem.File().Fd()))), "state"))
	check(m.TB, err)
	defer mem.Close()
	var slots [][]byte
	for c := range mem.Chunks() {
		for i := range c.Slots {
			slots = append(slots, c.Slot(i))
		}
	}
	if len(slots) > 0 {
		rnd.Read(slots[rnd.Intn(len(slots))][:8])
	}
}

// TestMountThatNobodyServesCanBeLeft: when no process can be brought up any more,
// everything is answered, so that applications go on with an error.
func TestMountThatNobodyServesCanBeLeft(t *testing.T) {
	m := mountMortal(t, plain, nil)
	m.start()
	m.serving()
	name := filepath.Join(m.mnt, "f")
	check(t, os.WriteFile(name, []byte("text"), 0o644))
	m.kill()
	read := make(chan error)
	go func() {
		_, err := os.ReadFile(name)
		read <- err
	}()
	stop, answered := make(chan struct{}), make(chan error)
	go func() {
		gone, err := fuse.AnswerAll(m.dev, m.mem, unix.EIO, stop)
		if err == nil && gone {
			err = errors.New("the mount is said to be gone")
		}
		answered <- err
	}()
	if err := <-read; !errors.Is(err, unix.EIO) {
		t.Errorf("read: %v", err)
	}
	close(stop)
	check(t, <-answered)
	// And if one comes up after all, it serves.
	m.start()
	m.serving()
	if b, err := os.ReadFile(name); string(b) != "text" {
		t.Errorf("%q, %v", b, err)
	}
	m.kill()
	go func() {
		gone, err := fuse.AnswerAll(m.dev, m.mem, unix.EIO, make(chan struct{}))
		if err == nil && !gone {
			err = errors.New("the mount is said to be there")
		}
		answered <- err
	}()
	check(t, unix.Unmount(m.mnt, 0))
	check(t, <-answered)
}

// TestWaiterThatIsKilledMeanwhileLeavesNoLock: its process dies while nobody
// serves the mount.
func TestWaiterThatIsKilledMeanwhileLeavesNoLock(t *testing.T) {
	m := mountMortal(t, plain, nil)
	m.start()
	m.serving()
	name := filepath.Join(m.mnt, "f")
	holder := exec.Command("flock", name, "sh", "-c", "echo held; read line")
	hold, err := holder.StdinPipe()
	check(t, err)
	said, err := holder.StdoutPipe()
	check(t, err)
	check(t, holder.Start())
	_, err = said.Read(make([]byte, 5))
	check(t, err)
	m.await("the request to end", func() bool { return m.slotsInUse() == 0 })
	waiter := exec.Command("flock", name, "true")
	check(t, waiter.Start())
	m.await("the wait", func() bool { return m.inSlots(opSetlkw) == 1 })
	m.kill()
	check(t, waiter.Process.Kill())
	m.start()
	waiter.Wait()
	m.serving()
	hold.Close()
	holder.Wait()
	if out, err := exec.Command("flock", "-n", name, "true").CombinedOutput(); err != nil {
		t.Errorf("a ghost holds the lock: %v: %s", err, out)
	}
}

// TestForgottenFilesAreFoundAgain: the kernel forgets files all the time, while
// who has to know of it dies.
func TestForgottenFilesAreFoundAgain(t *testing.T) {
	m := mountMortal(t, plain, func(o *fuse.Options) { o.EntryTimeout, o.AttrTimeout = time.Minute, time.Minute })
	m.start()
	m.serving()
	const files = 200
	path := func(i int) string { return filepath.Join(m.mnt, fmt.Sprint("f", i)) }
	for i := range files {
		check(t, os.WriteFile(path(i), []byte(fmt.Sprint("text ", i)), 0o644))
	}
	for range 10 {
		forgotten := make(chan error)
		go func() { forgotten <- os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0) }()
		m.kill()
		m.start()
		m.serving()
		check(t, <-forgotten)
		for i := range files {
			if b, err := os.ReadFile(path(i)); err != nil || string(b) != fmt.Sprint("text ", i) {
				t.Fatalf("%s is %q, %v", path(i), b, err)
			}
		}
	}
}
