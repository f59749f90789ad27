package rpc

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// shared are the requests' buffers as Regions: offsets in one mapping.
type shared []byte

func (s shared) Offset(p []byte) (uint64, bool) {
	for off := 0; off < len(s); off += bufferSize { // payloads begin where a buffer does
		if &s[off] == &p[0] {
			return uint64(off), true
		}
	}
	return 0, false
}

func (s shared) Slice(off uint64, n int) ([]byte, bool) {
	if off > uint64(len(s)) || uint64(len(s))-off < uint64(n) {
		return nil, false
	}
	return s[off : off+uint64(n) : off+uint64(n)], true
}

// testWorker is a worker process.
type testWorker struct {
	c       *Conn
	kernel  net.Conn
	buffers shared
	other   uint64 // control: makes the uniques others than before
	suicide atomic.Int64
	at      point
	own     uint64 // of Conn.mu
}

// The worker's own points, besides those of the package.
const (
	atAnswered point = "answered, slots not freed"
	atEnded    point = "slots freed, ring not"
)

// die kills the process at its point.
func (w *testWorker) die(p point) {
	if p == w.at && w.suicide.Add(-1) < 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // cannot fail
		select {}
	}
}

func (w *testWorker) tell(m *message) { _, _ = w.kernel.Write(m.encode()) }

func (w *testWorker) fail(format string, args ...any) {
	w.tell(&message{Kind: msgProblem, Text: fmt.Sprintf(format, args...)})
}

// work is the worker process; it ends by SIGKILL.
func work() {
	w := &testWorker{at: point(os.Getenv("POINT"))}
	count, _ := strconv.Atoi(os.Getenv("COUNT"))
	w.suicide.Store(int64(count))
	must := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
	}
	sock, err := net.FileConn(os.NewFile(3, "socket"))
	must(err)
	mem, err := Map(os.NewFile(4, "memory"), 0, killLayout())
	must(err)
	w.buffers, err = unix.Mmap(5, 0, inFlight*bufferSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(err)
	w.kernel, err = net.FileConn(os.NewFile(6, "kernel"))
	must(err)
	if os.Getenv("CONTROL") == "true" {
		w.other = uint64(os.Getpid()) << 32
	}
	o := Options{
		Log: slog.New(resumeLog{w}), Regions: w.buffers, MaxDeaths: 1 << 30, at: w.die,
		OnCallback: func(cb Callback) { w.tell(&message{Kind: msgCallback, A: binary.BigEndian.Uint64(cb.Args)}) },
		OnOrphan: func(o Orphan) {
			if w.other == 0 {
				w.fail("the reply to step %d of %d is an orphan", o.Step, o.Unique)
			}
		},
	}
	// A worker of the control, too, must go on with the stream.
	if os.Getenv("FRESH") == "true" || checkHeader(mem) != nil {
		w.c, err = Open(mem, sock, o)
	} else {
		w.c, err = Resume(mem, sock, o)
	}
	must(err)
	w.serve()
}

// resumeLog tells the kernel how a take-over went.
type resumeLog struct{ w *testWorker }

func (l resumeLog) Enabled(context.Context, slog.Level) bool { return true }
func (l resumeLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l resumeLog) WithGroup(string) slog.Handler            { return l }
func (l resumeLog) Handle(_ context.Context, r slog.Record) error {
	m := message{Kind: msgResumed}
	if r.Message != "connection resumed" {
		m.Kind, m.Text = msgProblem, r.Message
	}
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "unanswered":
			m.A = uint64(a.Value.Int64())
		case "unsent":
			m.B = a.Value.Uint64()
		case "unparsed":
			m.C = a.Value.Uint64()
		case "cause":
			m.Text += ": " + a.Value.String()
		}
		return true
	})
	l.w.tell(&m)
	return nil
}

func (w *testWorker) serve() {
	b := make([]byte, 4096)
	for {
		n, err := w.kernel.Read(b)
		if err != nil || n < 40 {
			os.Exit(4) // the kernel never goes first
		}
		m := decodeMessage(b[:n])
		m.Unique += w.other
		if m.Kind == msgSettle {
			w.c.Settle()
			continue
		}
		w.c.Claim(m.Unique)
		go w.carryOut(&m)
	}
}

// received is the number of calls that have received for themselves since it was
// asked last.
func (w *testWorker) received() uint64 {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	if w.c.sock == nil {
		return 0
	}
	n := w.c.sock.turn.own - w.own
	w.own += n
	return n
}

// carryOut is the code of one request: the same steps, whoever runs it.
func (w *testWorker) carryOut(m *message) {
	answer := &message{Kind: msgAnswer, Slot: m.Slot, Unique: m.Unique - w.other}
	var last Reply
	step := uint32(0)
	call := func(proc uint32, payload []byte, more ...uint64) []byte {
		step++
		args := words64(m.A)
		r := &Request{Unique: m.Unique, Step: step, Prog: killProg, Proc: proc, Args: args, Payload: payload, Waits: proc == procWait}
		for _, v := range more {
			r.Args = append(r.Args, words64(v)...)
			r.MaxReply = int(v) + 4
		}
		last.Release() // of the step before
		rep, err := w.c.Call(context.Background(), r)
		if err != nil {
			answer.Text = fmt.Sprintf("step %d: %v", step, err)
			return make([]byte, 8)
		}
		last = rep
		return rep.Body
	}
	errno := func(proc uint32) {
		b := call(proc, nil)
		if e := syscall.Errno(binary.BigEndian.Uint32(b)); e != 0 && answer.Text == "" {
			answer.Text = fmt.Sprintf("step %d: %v", step, e)
		}
	}
	buffer := w.buffers[int(m.Slot)*bufferSize:]
	switch m.Kind {
	case opAdd:
		answer.A = binary.BigEndian.Uint64(call(procAdd, nil))
	case opAppend:
		answer.A = binary.BigEndian.Uint64(call(procAppend, buffer[:m.B]))
	case opRead:
		copy(buffer[:m.B], call(procRead, nil, m.B))
	case opDirectory:
		errno(procMkdir)
		errno(procRmdir)
	case opLocked:
		errno(procLock)
		answer.A = binary.BigEndian.Uint64(call(procAdd, nil))
		errno(procUnlock)
	case opWait:
		errno(procWait)
		errno(procUnlock)
	}
	answer.B = w.received()
	w.tell(answer)
	w.die(atAnswered)
	w.c.End(m.Unique)
	w.die(atEnded)
	last.Release()
}
