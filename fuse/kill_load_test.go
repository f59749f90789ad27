package fuse_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/fdtable/state"
)

// loadEnv makes the test binary the applications on a mount.
const loadEnv = "HOLDFAST_FUSE_TEST_LOAD"

// load is a process with applications.
type load struct {
	m     *mortal
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   bytes.Buffer
	ended chan struct{}
}

// loadConfig says what the applications are to do: names of appKinds.
type loadConfig struct {
	Dir   string
	Kinds []string
}

type loadResult struct {
	Ops    map[string]int64
	Errors []string
}

func (m *mortal) load(kinds []string) *load {
	m.Helper()
	text, err := json.Marshal(loadConfig{m.mnt, kinds})
	check(m.TB, err)
	l := &load{m: m, ended: make(chan struct{})}
	l.cmd = exec.Command(m.bin)
	l.cmd.Env = append(os.Environ(), loadEnv+"="+string(text))
	l.cmd.Stdout, l.cmd.Stderr = &l.out, m.log
	l.in, err = l.cmd.StdinPipe()
	check(m.TB, err)
	check(m.TB, l.cmd.Start())
	go func() { l.cmd.Wait(); close(l.ended) }()
	return l
}

// stop ends the load and says what it saw.
func (l *load) stop() {
	l.m.Helper()
	l.in.Close()
	<-l.ended
	var r loadResult
	if err := json.Unmarshal(l.out.Bytes(), &r); err != nil {
		l.m.Errorf("the load: %v: %q, %v", err, l.out.String(), l.cmd.ProcessState)
		return
	}
	for _, e := range r.Errors {
		l.m.Error(e)
	}
	l.m.verify(r)
	l.m.Logf("%d kills; operations %v; recovered %+v", l.m.kills, r.Ops, l.m.sum)
}

// appKinds work until they are told to stop; an error ends all.
var appKinds = map[string]func(a *apps, rnd *rand.Rand) error{
	"pread-pwrite": (*apps).pwrites, "direct": (*apps).directs, "append": (*apps).appends, "names": (*apps).names,
	"unlinked": (*apps).unlinked, "locks": (*apps).locks, "map": (*apps).maps, "listing": (*apps).listing,
}

// allKinds is everything; those that compete with each other are there twice.
var allKinds = []string{"pread-pwrite", "direct", "append", "names", "names", "unlinked", "locks", "locks", "map", "listing"}

type apps struct {
	dir    string
	number int
	ops    atomic.Int64
	stop   atomic.Bool
}

func (a *apps) path(format string, args ...any) string {
	return filepath.Join(a.dir, fmt.Sprintf("%d-", a.number)+fmt.Sprintf(format, args...))
}

// applications runs in a process of its own.
func applications(text string) error {
	var cfg loadConfig
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		return err
	}
	var mu sync.Mutex
	r := loadResult{Ops: map[string]int64{}}
	var wg sync.WaitGroup
	all := make([]*apps, len(cfg.Kinds))
	stopAll := func() {
		for _, a := range all {
			a.stop.Store(true)
		}
	}
	for i := range all {
		all[i] = &apps{dir: cfg.Dir, number: i}
	}
	for i, k := range cfg.Kinds {
		a := all[i]
		wg.Go(func() {
			err := appKinds[k](a, rand.New(rand.NewSource(int64(i))))
			mu.Lock()
			defer mu.Unlock()
			r.Ops[k] += a.ops.Load()
			if err != nil {
				r.Errors = append(r.Errors, fmt.Sprintf("%s, after %d operations: %v", k, a.ops.Load(), err))
				stopAll()
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	go func() {
		bufio.NewReader(os.Stdin).ReadByte()
		stopAll()
	}()
	<-done
	return json.NewEncoder(os.Stdout).Encode(r)
}

// verify looks at what is left when nobody works any more: the brick has what was
// counted under locks, files without a name are gone, and no slot is in use.
func (m *mortal) verify(r loadResult) {
	m.Helper()
	b, err := os.ReadFile(filepath.Join(m.dir, "counter"))
	if _, counted := r.Ops["locks"]; !counted {
		b, err = make([]byte, 8), nil
	}
	if err != nil || len(b) != 8 {
		m.Errorf("counter: %v, %v", b, err)
	} else if n := int64(binary.LittleEndian.Uint64(b)); n != r.Ops["locks"] {
		m.Errorf("%d were counted under a lock, the file says %d", r.Ops["locks"], n)
	}
	m.await("unlinked files to go", func() bool {
		left, err := os.ReadDir(filepath.Join(m.dir, ".glusterfs", "unlink"))
		return len(left) == 0 && (err == nil || os.IsNotExist(err))
	})
	m.await("slots to be free", func() bool { return m.slotsInUse() == 0 })
}

func (m *mortal) await(what string, cond func() bool) {
	m.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			m.Fatalf("waited in vain for %s", what)
		}
	}
}

const opSetlkw = 33

// slotsInUse counts the slots that hold a request.
func (m *mortal) slotsInUse() int { return m.inSlots(0) }

// inSlots counts those with an opcode; 0 is any.
func (m *mortal) inSlots(op uint32) (n int) {
	m.Helper()
	mem, err := state.Open(os.NewFile(uintptr(dup(m.TB, int(m.mem.File().Fd()))), "state"))
	check(m.TB, err)
	defer mem.Close()
	for c := range mem.Chunks() {
		for i := range c.Slots {
			e := state.EntryOf(c.Slot(i))
			if k, ok := e.Kind(); ok && (k == state.Free || k == state.Reading && e.Unread(c.Slot(i))) {
				continue
			}
			if in := e.Request(c.Slot(i)); op == 0 || len(in) >= 8 && binary.NativeEndian.Uint32(in[4:]) == op {
				n++
			}
		}
	}
	return n
}
