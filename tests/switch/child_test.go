package switchtest

import (
	"bufio"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		childMain()
		return
	}
	os.Exit(m.Run())
}

// childMain is the other process: one order a line.
//
//	open NAME PATH FLAGS      write NAME OFFSET TEXT   read NAME OFFSET N
//	lock NAME rd|wr|un START LEN [wait [SECONDS]]      getlk NAME START LEN
//	flock NAME sh|ex|un       close NAME               stat PATH
//
// A wait with SECONDS is interrupted by a signal after that time.
func childMain() {
	runtime.LockOSThread() // signals and credentials of this thread
	files := map[string]int{}
	sc := bufio.NewScanner(os.Stdin)
	for sc.Scan() {
		w := strings.Fields(sc.Text())
		if len(w) == 0 {
			continue
		}
		res, err := obey(files, w)
		if err != nil {
			if e, ok := err.(syscall.Errno); ok {
				res = unix.ErrnoName(e)
			} else {
				res = err.Error()
			}
		}
		fmt.Println(res)
	}
}

func num(s string) int64 {
	n, _ := strconv.ParseInt(s, 0, 64)
	return n
}

func obey(files map[string]int, w []string) (string, error) {
	fd := -1
	if len(w) > 1 {
		if n, ok := files[w[1]]; ok {
			fd = n
		}
	}
	switch w[0] {
	case "open":
		fd, err := unix.Open(w[2], int(num(w[3]))|unix.O_CLOEXEC, 0o644)
		files[w[1]] = fd
		return "ok", err
	case "close":
		delete(files, w[1])
		return "ok", unix.Close(fd)
	case "write":
		_, err := unix.Pwrite(fd, []byte(w[3]), num(w[2]))
		return "ok", err
	case "read":
		buf := make([]byte, num(w[3]))
		n, err := unix.Pread(fd, buf, num(w[2]))
		return string(buf[:max(n, 0)]), err
	case "stat":
		var st unix.Stat_t
		err := unix.Stat(w[1], &st)
		return fmt.Sprint(st.Size), err
	case "lock":
		typ := map[string]int16{"rd": unix.F_RDLCK, "wr": unix.F_WRLCK, "un": unix.F_UNLCK}[w[2]]
		lk := unix.Flock_t{Type: typ, Start: num(w[3]), Len: num(w[4])}
		cmd := unix.F_SETLK
		if len(w) > 5 {
			cmd = unix.F_SETLKW
		}
		if len(w) > 6 {
			return "ok", interruptible(fd, cmd, &lk, time.Duration(num(w[6]))*time.Second)
		}
		for {
			if err := unix.FcntlFlock(uintptr(fd), cmd, &lk); err != unix.EINTR {
				return "ok", err
			}
		}
	case "getlk":
		lk := unix.Flock_t{Type: unix.F_WRLCK, Start: num(w[2]), Len: num(w[3])}
		err := unix.FcntlFlock(uintptr(fd), unix.F_GETLK, &lk)
		if lk.Type == unix.F_UNLCK {
			return "free", err
		}
		return fmt.Sprintf("pid %d", lk.Pid), err
	case "flock":
		op := map[string]int{"sh": unix.LOCK_SH, "ex": unix.LOCK_EX, "un": unix.LOCK_UN}[w[2]]
		return "ok", unix.Flock(fd, op|unix.LOCK_NB)
	}
	return "", fmt.Errorf("unknown order %q", w[0])
}

// interruptible waits for a lock until a signal comes.
func interruptible(fd, cmd int, lk *unix.Flock_t, after time.Duration) error {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, unix.SIGUSR1)
	defer signal.Stop(ch)
	if err := dontRestart(unix.SIGUSR1); err != nil {
		return err
	}
	tid, began := unix.Gettid(), time.Now()
	t := time.AfterFunc(after, func() { unix.Tgkill(os.Getpid(), tid, unix.SIGUSR1) })
	defer t.Stop()
	for {
		err := unix.FcntlFlock(uintptr(fd), cmd, lk)
		if err != unix.EINTR || time.Since(began) >= after {
			return err
		}
	}
}

// dontRestart takes SA_RESTART from the Go runtime's handler, so that a call
// that the signal interrupts says so.
func dontRestart(sig unix.Signal) error {
	var act struct {
		handler, flags, restorer uintptr
		mask                     uint64
	}
	const restart = 0x10000000
	if _, _, e := unix.Syscall6(unix.SYS_RT_SIGACTION, uintptr(sig), 0, uintptr(unsafe.Pointer(&act)), 8, 0, 0); e != 0 {
		return e
	}
	act.flags &^= restart
	if _, _, e := unix.Syscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&act)), 0, 8, 0, 0); e != 0 {
		return e
	}
	return nil
}
