package workload

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// The locker is two processes that count in one file under a lock, once with
// record locks and once with flock. Beside that the first holds one lock of
// each kind for the whole run, and the second must never get it.

const (
	heldStart = 1 << 40 // the range that the first process holds
	heldLen   = 100
)

type lockFiles struct {
	w      *worker
	pid    int
	counts [2]*file // for record locks, for flock
	held   [2]*file
	wins   [2]int64
}

func (w *worker) openLocks(flags int) (*lockFiles, error) {
	l := &lockFiles{w: w, pid: os.Getpid()}
	for i, name := range []string{"record", "flock"} {
		var err error
		if l.counts[i], err = w.open(w.path("count.%s", name), unix.O_RDWR|flags); err == nil {
			l.held[i], err = w.open(w.path("held.%s", name), unix.O_RDWR|flags)
		}
		if err != nil {
			l.drop()
			return nil, err
		}
	}
	return l, nil
}

func (l *lockFiles) drop() {
	for i := range l.counts {
		l.counts[i].drop()
		l.held[i].drop()
	}
}

func locker(w *worker) error {
	l, err := w.openLocks(unix.O_CREAT)
	if err != nil {
		return err
	}
	defer l.drop()
	for _, f := range l.counts {
		if err := f.pwrite(make([]byte, 16), 0); err != nil {
			return err
		}
	}
	if err := l.held[0].setlk(unix.F_SETLK, unix.F_WRLCK, heldStart, heldLen); err != nil {
		return err
	}
	if err := l.held[1].flock(unix.LOCK_EX | unix.LOCK_NB); err != nil {
		return err
	}
	if err := l.held[0].pwrite([]byte(fmt.Sprintf("%-10d", l.pid)), 0); err != nil {
		return err
	}
	p, err := w.startPartner()
	if err != nil {
		return err
	}
	defer p.kill()
	w.begin()
	// With an error we may hold the lock that the partner waits for.
	if err := l.count(); err != nil {
		return err
	}
	r, err := p.stop(w)
	if err != nil {
		return err
	}
	return l.sum(r)
}

func lockerPartner(w *worker) error {
	l, err := w.openLocks(0)
	if err != nil {
		return err
	}
	defer l.drop()
	b := make([]byte, 10)
	if err := l.held[0].pread(b, 0); err != nil {
		return err
	}
	var owner int
	if _, err := fmt.Sscan(string(b), &owner); err != nil {
		return fmt.Errorf("read the holder's pid from %q: %w", b, err)
	}
	w.begin()
	for w.running() {
		if err := l.knock(owner); err != nil {
			return err
		}
		if err := l.turn(); err != nil {
			return err
		}
	}
	w.set("record", l.wins[0])
	w.set("flock", l.wins[1])
	return nil
}

func (l *lockFiles) count() error {
	for l.w.running() {
		if err := l.turn(); err != nil {
			return err
		}
	}
	return nil
}

func (l *lockFiles) turn() error {
	if l.w.rng.IntN(2) == 0 {
		return l.recordTurn()
	}
	return l.flockTurn()
}

func (l *lockFiles) recordTurn() error {
	f, wait := l.counts[0], l.w.rng.IntN(4) > 0
	cmd := unix.F_SETLK
	if wait {
		cmd = unix.F_SETLKW
	}
	// Sometimes in two halves, as databases do.
	err := f.setlk(cmd, unix.F_WRLCK, 0, 16)
	if err == unix.EAGAIN && !wait {
		return nil
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", f.name, err)
	}
	if err := l.add(f); err != nil {
		return err
	}
	l.wins[0]++
	if l.w.rng.IntN(3) == 0 {
		if err := f.setlk(unix.F_SETLK, unix.F_UNLCK, 8, 8); err != nil {
			return fmt.Errorf("unlock the second half of %s: %w", f.name, err)
		}
	}
	if err := f.setlk(unix.F_SETLK, unix.F_UNLCK, 0, 16); err != nil {
		return fmt.Errorf("unlock %s: %w", f.name, err)
	}
	return nil
}

func (l *lockFiles) flockTurn() error {
	f, how := l.counts[1], unix.LOCK_EX
	if l.w.rng.IntN(4) == 0 {
		how |= unix.LOCK_NB
	}
	err := f.flock(how)
	if err == unix.EAGAIN && how&unix.LOCK_NB != 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("flock %s: %w", f.name, err)
	}
	if err := l.add(f); err != nil {
		return err
	}
	l.wins[1]++
	if err := f.flock(unix.LOCK_UN); err != nil {
		return fmt.Errorf("flock %s, unlock: %w", f.name, err)
	}
	return nil
}

// add counts one up. The second word says who is at it.
func (l *lockFiles) add(f *file) error {
	b := make([]byte, 16)
	if err := f.pread(b, 0); err != nil {
		return err
	}
	n, who := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	if who != 0 {
		return fmt.Errorf("%s: process %d is at it while %d holds the lock", f.name, who, l.pid)
	}
	binary.LittleEndian.PutUint64(b[8:], uint64(l.pid))
	if err := f.pwrite(b, 0); err != nil {
		return err
	}
	again := make([]byte, 16)
	if err := f.pread(again, 0); err != nil {
		return err
	}
	if string(again) != string(b) {
		return fmt.Errorf("%s: %x became %x under the lock", f.name, b, again)
	}
	binary.LittleEndian.PutUint64(b, n+1)
	binary.LittleEndian.PutUint64(b[8:], 0)
	return f.pwrite(b, 0)
}

// knock asks for what the other process holds.
func (l *lockFiles) knock(owner int) error {
	off := int64(heldStart + l.w.rng.IntN(heldLen))
	if err := l.held[0].setlk(unix.F_SETLK, unix.F_WRLCK, off, 1); err != unix.EAGAIN {
		return fmt.Errorf("%s is locked by %d, but a lock gave %v", l.held[0].name, owner, err)
	}
	lk := unix.Flock_t{Type: unix.F_RDLCK, Start: off, Len: 1}
	err := l.w.timed(func() error { return unix.FcntlFlock(uintptr(l.held[0].fd), unix.F_GETLK, &lk) })
	if err != nil {
		return fmt.Errorf("getlk %s: %w", l.held[0].name, err)
	}
	if lk.Type != unix.F_WRLCK || int(lk.Pid) != owner || lk.Start != heldStart || lk.Len != heldLen {
		return fmt.Errorf("%s: getlk says type %d, process %d, %d+%d; process %d holds it", l.held[0].name, lk.Type, lk.Pid, lk.Start, lk.Len, owner)
	}
	how := []int{unix.LOCK_EX, unix.LOCK_SH}[l.w.rng.IntN(2)]
	if err := l.held[1].flock(how | unix.LOCK_NB); err != unix.EAGAIN {
		return fmt.Errorf("%s is locked by %d, but flock gave %v", l.held[1].name, owner, err)
	}
	return nil
}

func (l *lockFiles) sum(partner Result) error {
	for i, name := range []string{"record", "flock"} {
		b := make([]byte, 8)
		if err := l.counts[i].pread(b, 0); err != nil {
			return err
		}
		got, want := int64(binary.LittleEndian.Uint64(b)), l.wins[i]+partner.Values[name]
		if got != want {
			return fmt.Errorf("%s: counted %d under the lock, the file says %d", l.counts[i].name, want, got)
		}
		l.w.set(name, got)
	}
	return nil
}

// setlk does not count waits among the pauses.
func (f *file) setlk(cmd int, typ int16, start, n int64) error {
	lk := unix.Flock_t{Type: typ, Start: start, Len: n}
	call := func() error { return unix.FcntlFlock(uintptr(f.fd), cmd, &lk) }
	if cmd == unix.F_SETLKW {
		return patient(call)
	}
	return f.w.timed(call)
}

func (f *file) flock(how int) error {
	call := func() error { return unix.Flock(f.fd, how) }
	if how&(unix.LOCK_NB|unix.LOCK_UN) == 0 {
		return patient(call)
	}
	return f.w.timed(call)
}

// patient repeats a wait that a signal interrupted; only waits may be.
func patient(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
