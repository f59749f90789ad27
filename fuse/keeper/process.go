package keeper

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable/state"
)

// LinkEnv names the descriptor of a worker's connection to its keeper.
const LinkEnv = "HOLDFAST_KEEPER_FD"

// Program is an executable file, held open: what becomes of its name does not
// change what is started.
type Program struct {
	fd int
	// Version is what a process of it has said, for people; "" before.
	Version string
}

// OpenProgram opens an executable file.
func OpenProgram(path string) (*Program, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("program %s: %w", path, err)
	}
	return NewProgram(fd)
}

// NewProgram takes over the descriptor of an executable file.
func NewProgram(fd int) (*Program, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	if err == nil && (st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o111 == 0) {
		err = unix.EACCES
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("program: not an executable file: %w", err)
	}
	return &Program{fd: fd}, nil
}

// path is a name of the file that a child can execute. It leads through the
// keeper: the child's own descriptors are closed by then.
func (p *Program) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), p.fd) }

func (p *Program) close() {
	if p != nil {
		_ = unix.Close(p.fd)
	}
}

// worker is a process that serves the mount, or gets ready to.
type worker struct {
	// Constant after construction.
	pid     int
	conn    *Conn
	cmd     *exec.Cmd // of a child
	pidfd   int       // of another process; else -1
	program *Program
	ooms    uint64 // of the machine, when it began

	// Of the keeper's loop.
	readyAt time.Time
	ended   *Message // its End
	drained bool
	killed  bool   // by the keeper
	why     string // it was killed
}

// spawn starts a worker. Its messages and its end come as events.
func (k *Keeper) spawn(p *Program) (*worker, error) {
	conn, far, err := Pair()
	if err != nil {
		return nil, err
	}
	defer far.Close()
	c := &exec.Cmd{
		Path: p.path(), Args: k.cfg.Args, Dir: "/",
		Env:    append(os.Environ(), LinkEnv+"=3"),
		Stdout: k.cfg.Output, Stderr: k.cfg.Output, ExtraFiles: []*os.File{far},
		// ^C is for the keeper.
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	w := &worker{conn: conn, cmd: c, program: p, ooms: oomKills(), pidfd: -1}
	if err := c.Start(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("start a worker: %w", err)
	}
	w.pid = c.Process.Pid
	k.attend(w)
	return w, nil
}

// attend listens to a worker until it is gone.
func (k *Keeper) attend(w *worker) {
	k.wg.Go(func() {
		err := k.listen(w)
		// Its end of the socket is closed when its last thread has left the
		// kernel; then it only remains to be reaped.
		state := w.wait()
		k.post(happening{worker: w, gone: true, exit: state, err: err})
	})
}

// listen passes the messages of a worker on.
func (k *Keeper) listen(w *worker) error {
	for {
		m, fds, err := w.conn.Receive()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			// A worker that cannot be understood is none.
			_ = w.signal(unix.SIGKILL)
			return err
		}
		k.post(happening{worker: w, msg: m, fds: fds})
	}
}

// wait waits for the end of the process; nil if it is not ours to know how.
func (w *worker) wait() *os.ProcessState {
	if w.cmd != nil {
		_ = w.cmd.Wait()
		return w.cmd.ProcessState
	}
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(w.pidfd), Events: unix.POLLIN}}, -1)
		if n > 0 || err != nil && err != unix.EINTR {
			return nil
		}
	}
}

func (w *worker) signal(s unix.Signal) error {
	if w.cmd != nil {
		return w.cmd.Process.Signal(s)
	}
	return unix.PidfdSendSignal(w.pidfd, s, nil, 0)
}

// kill ends it; the keeper's own doing.
func (w *worker) kill(why string) {
	if !w.killed {
		w.killed, w.why = true, why
	}
	_ = w.signal(unix.SIGKILL)
}

func (w *worker) close() {
	w.conn.Close()
	if w.pidfd >= 0 {
		_ = unix.Close(w.pidfd)
	}
}

// death says how a worker ended, and in words.
func (w *worker) death(state *os.ProcessState, err error) (Death, string) {
	switch {
	case w.ended != nil && w.ended.Error == "":
		return Unmounted, "unmounted"
	case w.ended != nil:
		return Refused, w.ended.Error
	case w.drained:
		return Left, "asked to"
	case w.killed:
		return Crashed, w.why
	case err != nil:
		return Crashed, err.Error()
	case state == nil:
		return Killed, "gone"
	}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signal() == syscall.SIGKILL {
		if oomKills() == w.ooms {
			return Killed, state.String()
		}
		return Crashed, state.String() + ", perhaps for want of memory"
	}
	return Crashed, state.String()
}

// blame is what a death says about the requests that the worker has left.
func blame(d Death, exit *os.ProcessState) state.Death {
	switch {
	case d == Crashed:
		return state.Crash
	case d == Killed && exit == nil:
		return state.Unseen
	}
	return state.Blameless
}

// oomKills counts the processes that the kernel has killed for want of memory.
func oomKills() (n uint64) {
	b, _ := os.ReadFile("/proc/vmstat")
	for l := range bytes.Lines(b) {
		if v, ok := bytes.CutPrefix(l, []byte("oom_kill ")); ok {
			n, _ = strconv.ParseUint(string(bytes.TrimSpace(v)), 10, 64)
		}
	}
	return n
}

// oomScore is the keeper's: the last to be killed for want of memory, but for
// those that the administrator exempts.
const oomScore = "-900"

// lowerOOMScore makes the keeper a process that is killed late, and returns what
// the worker, which has the memory, is to have.
func lowerOOMScore() (before string) {
	const path = "/proc/self/oom_score_adj"
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	if n, err := strconv.Atoi(string(bytes.TrimSpace(b))); err != nil || n <= -900 {
		return ""
	}
	if os.WriteFile(path, []byte(oomScore), 0) != nil {
		return ""
	}
	return string(bytes.TrimSpace(b))
}
