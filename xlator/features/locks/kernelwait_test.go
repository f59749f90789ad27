package locks

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/xlator"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// process is an owner of POSIX locks in the kernel: a thread with a table of
// descriptors of its own, which is what the kernel goes by.
type process struct {
	owner uint64
	todo  chan func()
	fds   []int
	ended chan error // what became of its F_SETLKW
	busy  bool       // in the kernel, its result not yet taken
	waits *wait      // the machine's view of it, nil if it does not wait
}

// arena is some files and the processes that lock them, in the kernel and in
// the machine.
type arena struct {
	ids       []string // of the files, as in /proc/locks
	processes []*process
	m         *machine
}

func newArena(t *testing.T, files, owners int) *arena {
	t.Helper()
	a := &arena{}
	dir := t.TempDir()
	var paths []string
	for i := range files {
		path := filepath.Join(dir, string(rune('a'+i)))
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		a.ids = append(a.ids, procLocksID(&st))
	}
	for o := range owners {
		p := &process{owner: uint64(o + 1), todo: make(chan func()), ended: make(chan error, 1)}
		ready, gone := make(chan error), make(chan struct{})
		go p.run(paths, ready, gone)
		if err := <-ready; err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { close(p.todo); <-gone })
		a.processes = append(a.processes, p)
	}
	return a
}

// run never unlocks its thread: thread and descriptors end with it. The main
// thread stays as it is, for /proc/self/fd is what that one has open.
func (p *process) run(paths []string, ready chan<- error, gone chan<- struct{}) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		defer runtime.UnlockOSThread()
		other := make(chan struct{})
		go func() {
			defer close(other)
			p.run(paths, ready, gone)
		}()
		<-other
		return
	}
	defer close(gone)
	err := unix.Unshare(unix.CLONE_FILES)
	for _, path := range paths {
		var fd int
		if err == nil {
			fd, err = unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
			p.fds = append(p.fds, fd)
		}
	}
	ready <- err
	for f := range p.todo {
		f()
	}
	for _, fd := range p.fds {
		unix.Close(fd)
	}
}

// fcntl locks a whole file in the process's name; with F_SETLKW it may wait.
func (p *process) fcntl(file, cmd int, m mode) {
	p.busy = true
	p.todo <- func() {
		lk := kernelLock(claim{mode: m, end: endOfFile})
		p.ended <- unix.FcntlFlock(uintptr(p.fds[file]), cmd, &lk)
	}
}

// eventually waits for the kernel, which wakes whom it wakes in its own time.
func eventually(t *rapid.T, what string, is func() bool) {
	for end := time.Now().Add(10 * time.Second); !is(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// result is the outcome of the process's fcntl.
func (p *process) result(t *rapid.T) syscall.Errno {
	select {
	case err := <-p.ended:
		p.busy = false
		errno, _ := errors.AsType[syscall.Errno](err)
		return errno
	case <-time.After(10 * time.Second):
		t.Fatalf("the kernel keeps owner %d waiting", p.owner)
	}
	return 0
}

// blocked counts the waits that the kernel has on the files.
func (a *arena) blocked(t *rapid.T) (n int) {
	b, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		// 1: -> POSIX  ADVISORY  WRITE 1234 fd:00:1234 0 EOF
		if f := strings.Fields(line); len(f) == 9 && f[1] == "->" && slices.Contains(a.ids, f[6]) {
			n++
		}
	}
	return n
}

// settled takes the machine's grants, demands the same of the kernel, and that
// it keeps everybody else waiting.
func (a *arena) settled(t *rapid.T, woken []*wait) {
	for _, w := range woken {
		a.m.leave(w)
		p := a.processes[w.want.owner-1]
		p.waits = nil
		if e := p.result(t); e != 0 {
			t.Fatalf("owner %d is granted, kernel: %v", p.owner, e)
		}
	}
	waiting := 0
	for _, p := range a.processes {
		if p.waits != nil {
			waiting++
		}
	}
	eventually(t, "as many waiters in the kernel", func() bool { return a.blocked(t) == waiting })
	if err := a.m.check(); err != nil {
		t.Fatal(err)
	}
}

func (a *arena) key(file int) spaceKey {
	return spaceKey{file: xlator.GFID{15: byte(file)}, kind: recordLocks}
}

func (a *arena) unlock(t *rapid.T, p *process, file int) {
	_, woken := a.m.unlock(a.key(file), claim{owner: p.owner, end: endOfFile})
	p.fcntl(file, unix.F_SETLK, unlocked)
	if e := p.result(t); e != 0 {
		t.Fatal(e)
	}
	a.settled(t, woken)
}

func (a *arena) request(t *rapid.T, p *process, file int, m mode) {
	o := a.m.request(a.key(file), claim{owner: p.owner, end: endOfFile, mode: m}, true, 0)
	p.fcntl(file, unix.F_SETLKW, m)
	if p.waits = o.wait; o.wait == nil {
		if e := p.result(t); e != o.errno {
			t.Fatalf("owner %d, file %d, %s: %v, kernel: %v", p.owner, file, m, o.errno, e)
		}
	}
	a.settled(t, o.woken)
}

// fresh begins anew, whatever a check that failed left behind.
func (a *arena) fresh(t *rapid.T) {
	a.m = newMachine()
	eventually(t, "everybody has come back", func() bool {
		back := true
		for _, p := range a.processes {
			p.waits = nil
			select {
			case <-p.ended:
				p.busy = false
			default:
			}
			if p.busy {
				back = false
				continue
			}
			for f := range a.ids {
				p.fcntl(f, unix.F_SETLK, unlocked)
				p.result(t)
			}
		}
		return back
	})
}

// idle draws a process that does not wait; there always is one.
func (a *arena) idle(t *rapid.T) *process {
	var free []*process
	for _, p := range a.processes {
		if p.waits == nil {
			free = append(free, p)
		}
	}
	return rapid.SampledFrom(free).Draw(t, "process")
}

// finish lets everybody go on and to the end.
func (a *arena) finish(t *rapid.T) {
	for range a.processes {
		for _, p := range a.processes {
			if p.waits == nil {
				for f := range a.ids {
					a.unlock(t, p, f)
				}
			}
		}
	}
	if len(a.m.spaces) != 0 {
		t.Fatalf("%d spaces left", len(a.m.spaces))
	}
}

// Writers only: with several readers on a lock the kernel looks for a circle
// behind the first of them and finds others later, and whom it wakes together
// run for the lock.
func TestWaitsAndCirclesOfWritersAgreeWithTheKernel(t *testing.T) {
	a := newArena(t, 3, 5)
	rapid.Check(t, func(t *rapid.T) {
		a.fresh(t)
		t.Repeat(map[string]func(*rapid.T){
			"unlock": func(t *rapid.T) { a.unlock(t, a.idle(t), rapid.IntRange(0, 2).Draw(t, "file")) },
			"lock":   func(t *rapid.T) { a.request(t, a.idle(t), rapid.IntRange(0, 2).Draw(t, "file"), exclusive) },
		})
		a.finish(t)
	})
}
