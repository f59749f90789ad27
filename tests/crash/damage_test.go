package crash

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable/state"
	"github.com/holdfast/holdfast/tests/kill"
	"github.com/holdfast/holdfast/tests/mnt"
)

// stateFile is the state memory of a mount, as its keeper holds it.
func stateFile(t *testing.T, keeper int) *os.File {
	t.Helper()
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", keeper))
	must(t, err)
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && strings.Contains(to, "holdfast-state") {
			f, err := os.OpenFile(fd, os.O_RDWR, 0)
			must(t, err)
			return f
		}
	}
	t.Fatal("the keeper holds no state memory")
	return nil
}

// TestDamagedSlotsAreNotTrusted: the requests in the slots cannot be told from
// garbage; the kernel is asked to send what it waits for again. Nobody may read
// a wrong byte, and no call may hang.
func TestDamagedSlotsAreNotTrusted(t *testing.T) {
	m := mnt.Mount(t, brick(t), mnt.Plain())
	k := keeper(t, m)
	const n = 64
	for i := range n {
		must(t, os.WriteFile(in(m.Dir, fmt.Sprint(i)), content(i), 0o644))
	}
	stop := make(chan struct{})
	results := make(chan error, 8)
	for c := range 4 {
		go func() { results <- readAndReplace(m.Dir, c, n, stop) }()
	}
	r := rand.New(rand.NewPCG(11, 11))
	for range 15 {
		time.Sleep(50 * time.Millisecond)
		must(t, unix.Kill(k, unix.SIGSTOP))
		killAndWait(t, k)
		spoilSlots(t, k, r)
		must(t, unix.Kill(k, unix.SIGCONT))
		eventually(t, 20*time.Second, "the next worker serves", func() bool { return len(kill.Children(k)) > 0 && answers(m.Dir) })
	}
	close(stop)
	for range 4 {
		select {
		case err := <-results:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("a call hangs")
		}
	}
	if log := m.Log(); !strings.Contains(log, "damaged") {
		t.Error("the log does not say that the memory was damaged")
	}
}

func content(i int) []byte { return []byte(strings.Repeat(fmt.Sprintf("file %d ", i), 1000)) }

// readAndReplace reads whole files and replaces some by the same content. Only
// the errors that the documentation names for a damaged memory may come.
func readAndReplace(dir string, client, n int, stop <-chan struct{}) error {
	r := rand.New(rand.NewPCG(12, uint64(client)))
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		i := r.IntN(n)
		path := in(dir, fmt.Sprint(i))
		if r.IntN(4) == 0 {
			tmp := in(dir, fmt.Sprintf("tmp-%d-%d", client, r.Uint64()))
			err := os.WriteFile(tmp, content(i), 0o644)
			if err == nil {
				err = os.Rename(tmp, path)
			}
			if err != nil && !documented(err) {
				return err
			}
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			if !documented(err) {
				return err
			}
			continue
		}
		if string(b) != string(content(i)) {
			return fmt.Errorf("%s holds %d wrong bytes", path, len(b))
		}
	}
}

// documented are the errors of docs/operations.md for a damaged state memory.
func documented(err error) bool {
	for _, e := range []error{syscall.EEXIST, syscall.ENOENT, syscall.ESTALE, syscall.EBADF, syscall.EIO} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// spoilSlots overwrites the journal entries of all slots.
func spoilSlots(t *testing.T, keeper int, r *rand.Rand) {
	t.Helper()
	mem, err := state.Open(stateFile(t, keeper))
	must(t, err)
	defer mem.Close()
	for c := range mem.Chunks() {
		for i := range c.Slots {
			s := c.Slot(i)[:64]
			for j := range s {
				s[j] = byte(r.Uint32()) | 1
			}
		}
	}
}

// answers reports whether the mount answers soon.
func answers(dir string) bool {
	done := make(chan bool, 1)
	go func() {
		var st unix.Statfs_t
		done <- unix.Statfs(dir, &st) == nil
	}()
	select {
	case ok := <-done:
		return ok
	case <-time.After(2 * time.Second):
		return false
	}
}
