package rpc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	inFlight   = 64
	bufferSize = 1 << 20 // of each request

	workerEnv = "HOLDFAST_RPC_TEST_WORKER"
)

func killLayout() Layout { return Layout{Slots: 256, Ring: 3 << 19} }

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(workerEnv) != "":
		work()
		return
	case os.Getenv(serverEnv) != "":
		serveBench()
		return
	}
	os.Exit(m.Run())
}

// What the kernel asks for, and what else passes between it and a worker.
const (
	opAdd = iota + 1
	opAppend
	opRead
	opDirectory // make and remove: two steps
	opLocked    // lock, add, unlock: three steps
	opWait      // waiting lock, unlock: two steps

	msgSettle   // to the worker: everything that comes back has come back
	msgAnswer   // of the worker
	msgCallback // the server's callback number A
	msgProblem
	msgResumed
)

// message is what passes between kernel and worker.
type message struct {
	Kind, Slot uint32
	Unique     uint64
	A, B, C    uint64
	Text       string
}

func (m *message) encode() []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, m.Kind)
	b = le.AppendUint32(b, m.Slot)
	for _, v := range []uint64{m.Unique, m.A, m.B, m.C} {
		b = le.AppendUint64(b, v)
	}
	return append(b, m.Text...)
}

func decodeMessage(b []byte) (m message) {
	le := binary.LittleEndian
	m.Kind, m.Slot, m.Unique = le.Uint32(b), le.Uint32(b[4:]), le.Uint64(b[8:])
	m.A, m.B, m.C, m.Text = le.Uint64(b[16:]), le.Uint64(b[24:]), le.Uint64(b[32:]), string(b[40:])
	return m
}

// pattern fills p with what belongs to seed.
func pattern(p []byte, seed uint64) {
	for i := 0; i < len(p); i += 8 {
		var w [8]byte
		seed = seed*6364136223846793005 + 1442695040888963407
		binary.LittleEndian.PutUint64(w[:], seed)
		copy(p[i:], w[:])
	}
}

var crcTable = crc64.MakeTable(crc64.ECMA)

// world is the kernel, the keeper and the server of a kill test.
type world struct {
	t       *testing.T
	srv     *killServer
	sock    *os.File
	memory  *os.File
	buffers *os.File
	mapped  []byte // buffers
	control bool
	kills   int
	alone   bool // one request after the other, so that workers receive in the thread of the call

	mu       sync.Mutex
	pending  [inFlight]*message // guarded by mu
	unique   uint64
	added    [inFlight]uint64 // what each counter must be at
	appended [inFlight]uint64
	sums     [inFlight]uint64
	callback uint64
	answers  int
	own      int // calls that were answered where they were made
	problems []string
	stopping bool
	drained  int // bytes
	resumed  struct{ times, halfSent, halfReceived, outstanding int }
	progress chan struct{} // an answer came
	idle     chan struct{} // stopping, and nothing is pending
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, srv: newKillServer(t), unique: 2, progress: make(chan struct{}, 1), idle: make(chan struct{})}
	conn, err := Dial(t.Context(), "tcp", w.srv.Addr().String(), SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tcp := conn.(*net.TCPConn)
	if err := tcp.SetReadBuffer(128 << 10); err != nil {
		t.Fatal(err)
	}
	if err := tcp.SetWriteBuffer(128 << 10); err != nil {
		t.Fatal(err)
	}
	if w.sock, err = tcp.File(); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	w.memory = memfd(t, killLayout().Size())
	w.buffers = memfd(t, inFlight*bufferSize)
	if w.mapped, err = unix.Mmap(int(w.buffers.Fd()), 0, inFlight*bufferSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.sock.Close()
		if err := unix.Munmap(w.mapped); err != nil {
			t.Error(err)
		}
	})
	return w
}

func memfd(t *testing.T, size int) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("holdfast-rpc-test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "memfd")
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(int64(size)); err != nil {
		t.Fatal(err)
	}
	return f
}

// request makes the next request of a slot. mu is held.
func (w *world) request(slot int) *message {
	m := &message{Kind: opAdd, Slot: uint32(slot), Unique: w.unique, A: uint64(slot)}
	w.unique += 2
	size := 4096
	switch kind := slot % 8; kind {
	case 1, 5:
		m.Kind = opAppend
		if kind == 5 {
			size = []int{20003, bufferSize}[slot/8%2]
		}
		m.B = uint64(size)
		pattern(w.buffer(slot)[:size], m.Unique)
	case 2, 6:
		m.Kind = opRead
		if kind == 6 {
			size = []int{30001, bufferSize}[slot/8%2]
		}
		m.A, m.B = m.Unique, uint64(size)
		clear(w.buffer(slot)[:size])
	case 3:
		m.Kind = opDirectory
	case 4:
		m.Kind = opLocked
	case 7:
		if slot < 32 {
			m.Kind = opWait
		}
	}
	w.pending[slot] = m
	return m
}

// next is the slot of the request that follows an answer.
func (w *world) next(slot int) int {
	if w.alone {
		if slot = (slot + 1) % inFlight; slot%8 == 7 && slot < 32 { // a wait for a lock
			slot++
		}
	}
	return slot
}

func (w *world) buffer(slot int) []byte { return w.mapped[slot*bufferSize : (slot+1)*bufferSize] }

// check compares an answer with what it must be. mu is held.
func (w *world) check(m *message, a *message) {
	slot := m.Slot
	bad := func(format string, args ...any) {
		w.problems = append(w.problems, fmt.Sprintf("slot %d op %d: ", slot, m.Kind)+fmt.Sprintf(format, args...))
	}
	if a.Text != "" {
		bad("%s", a.Text)
		return
	}
	switch m.Kind {
	case opAdd, opLocked:
		if w.added[slot]++; a.A != w.added[slot] {
			bad("the counter is %d, must be %d", a.A, w.added[slot])
			w.added[slot] = a.A
		}
	case opAppend:
		w.sums[slot] = crc64.Update(w.sums[slot], crcTable, w.buffer(int(slot))[:m.B])
		if w.appended[slot] += m.B; a.A != w.appended[slot] {
			bad("the file is %d bytes long, must be %d", a.A, w.appended[slot])
			w.appended[slot] = a.A
		}
	case opRead:
		want := make([]byte, m.B)
		pattern(want, m.A)
		if !slices.Equal(want, w.buffer(int(slot))[:m.B]) {
			bad("%d bytes are not what was to be read", m.B)
		}
	}
}

// worker is one worker process.
type worker struct {
	cmd   *exec.Cmd
	conn  net.Conn      // to it
	first chan struct{} // closed at its first answer
	once  sync.Once
	done  chan struct{} // closed when it has nothing more to say
	out   strings.Builder
}

// start starts a worker and gives it everything that is pending. A point makes
// it kill itself there, at the count-th time.
func (w *world) start(fresh bool, at point, count int) *worker {
	w.t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	mine, theirs := os.NewFile(uintptr(fds[0]), "kernel"), os.NewFile(uintptr(fds[1]), "worker")
	p := &worker{done: make(chan struct{}), first: make(chan struct{})}
	if p.conn, err = net.FileConn(mine); err != nil {
		w.t.Fatal(err)
	}
	mine.Close()
	p.cmd = exec.Command(os.Args[0], "-test.run=^$")
	p.cmd.Env = append(os.Environ(), workerEnv+"=1", "FRESH="+strconv.FormatBool(fresh), "CONTROL="+strconv.FormatBool(w.control),
		"POINT="+string(at), "COUNT="+strconv.Itoa(count), "GOMAXPROCS=2")
	p.cmd.ExtraFiles = []*os.File{w.sock, w.memory, w.buffers, theirs}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	theirs.Close()

	w.mu.Lock()
	busy := false
	for slot := range inFlight {
		if m := w.pending[slot]; m != nil {
			p.send(m)
			busy = true
		} else if !w.stopping && !w.alone {
			p.send(w.request(slot))
		}
	}
	if w.alone && !busy && !w.stopping {
		p.send(w.request(0))
	}
	p.send(&message{Kind: msgSettle})
	w.mu.Unlock()
	go w.listen(p)
	return p
}

// send gives the worker a message; a dead one does not mind.
func (p *worker) send(m *message) { _, _ = p.conn.Write(m.encode()) }

// listen hears the worker until it is dead.
func (w *world) listen(p *worker) {
	defer close(p.done)
	b := make([]byte, 4096)
	for {
		n, err := p.conn.Read(b)
		if errors.Is(err, syscall.ECONNRESET) {
			continue // it died with requests unread; what it said comes after that
		}
		if err != nil || n < 40 {
			return
		}
		m := decodeMessage(b[:n])
		w.mu.Lock()
		w.heard(p, &m)
		w.mu.Unlock()
	}
}

// heard deals with one message of a worker. mu is held.
func (w *world) heard(p *worker, m *message) {
	switch m.Kind {
	case msgProblem:
		w.problems = append(w.problems, m.Text)
	case msgResumed:
		w.resumed.times++
		w.resumed.outstanding += int(m.A)
		if m.B > 0 {
			w.resumed.halfSent++
		}
		if m.C > 0 {
			w.resumed.halfReceived++
		}
	case msgCallback: // may come again, but none may be left out
		if m.A > w.callback+1 {
			w.problems = append(w.problems, fmt.Sprintf("callback %d after %d", m.A, w.callback))
		}
		w.callback = max(w.callback, m.A)
	case msgAnswer:
		p.once.Do(func() { close(p.first) })
		asked := w.pending[m.Slot]
		if asked == nil || asked.Unique != m.Unique {
			w.problems = append(w.problems, fmt.Sprintf("an answer to %d, which is not asked for", m.Unique))
			return
		}
		w.check(asked, m)
		w.answers++
		w.own += int(m.B)
		w.pending[m.Slot] = nil
		if !w.stopping {
			p.send(w.request(w.next(int(m.Slot))))
		} else if !slices.ContainsFunc(w.pending[:], func(m *message) bool { return m != nil }) {
			close(w.idle)
		}
		select {
		case w.progress <- struct{}{}:
		default:
		}
	}
}

// reap waits for a worker's end and hears its last words.
func (w *world) reap(p *worker) {
	w.t.Helper()
	err := p.cmd.Wait()
	<-p.done
	p.conn.Close()
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		w.t.Fatalf("a worker ended by itself: %v\n%s", err, p.out.String())
	}
}

// storm kills at least that many workers, and more until it is enough (a busy
// machine gets less done between two deaths), but not for ever. Then it lets one
// finish what is pending.
func (w *world) storm(least int, enough func() bool, rng *rand.Rand) {
	w.t.Helper()
	w.srv.run()
	points := workerPoints()
	takes := 20 * time.Millisecond // for a worker to give its first answer
	for n := 0; n < least || n < 10*least && !w.so(enough); n++ {
		w.kills++
		at, count := point(""), 0
		if n%2 == 1 && len(points) > 0 {
			at, count = points[rng.IntN(len(points))], rng.IntN(60)
		}
		if n%3 == 2 {
			w.drain()
		}
		begin := time.Now()
		p := w.start(n == 0, at, count)
		if n%10 == 2 { // while it starts
			w.killAfter(p, time.Duration(rng.Int64N(int64(takes))))
			continue
		}
		select {
		case <-p.first:
			takes = time.Since(begin)
		case <-p.done:
		}
		longest := 40
		if w.alone { // it takes some calls until a worker receives where they are made
			longest = 100
		}
		w.killAfter(p, time.Duration(rng.IntN(longest))*time.Millisecond)
	}
	w.finish()
}

// so asks without anything going on.
func (w *world) so(is func() bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.srv.mu.Lock()
	defer w.srv.mu.Unlock()
	return is()
}

// killAfter kills a worker, unless it does so itself before.
func (w *world) killAfter(p *worker, d time.Duration) {
	w.t.Helper()
	select {
	case <-p.done: // at its point
	case <-time.After(d):
		_ = p.cmd.Process.Kill() // it may just have done so itself
	}
	w.reap(p)
}

// finish lets a last worker answer everything, and compares the server with
// what was asked of it.
func (w *world) finish() {
	w.t.Helper()
	w.mu.Lock()
	w.stopping = true
	w.mu.Unlock()
	w.srv.grantAll()
	p := w.start(false, "", 0)
	for waiting := true; waiting; {
		select {
		case <-w.progress:
		case <-w.idle:
			waiting = false
		case <-time.After(20 * time.Second):
			_ = p.cmd.Process.Signal(syscall.SIGQUIT) // what do its goroutines wait for?
			<-p.done
			_ = p.cmd.Wait()
			w.t.Fatalf("no answer for 20 s; problems: %q\n%s", w.problems, p.out.String())
		}
	}
	_ = p.cmd.Process.Kill()
	w.reap(p)
	w.compare()
}

func (w *world) compare() {
	s := w.srv
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range inFlight {
		if s.counters[uint64(i)] != w.added[i] {
			w.problems = append(w.problems, fmt.Sprintf("counter %d is %d at the server, must be %d", i, s.counters[uint64(i)], w.added[i]))
		}
		if f := s.files[uint64(i)]; f.length != w.appended[i] || f.sum != w.sums[i] {
			w.problems = append(w.problems, fmt.Sprintf("file %d: %d bytes, sum %x, must be %d, %x", i, f.length, f.sum, w.appended[i], w.sums[i]))
		}
	}
	if len(s.dirs) != 0 || len(s.locks) != 0 || len(s.waits) != 0 {
		w.problems = append(w.problems, fmt.Sprintf("left at the server: %d directories, %d locks, %d waits", len(s.dirs), len(s.locks), len(s.waits)))
	}
	if s.connections != 1 {
		w.problems = append(w.problems, fmt.Sprintf("%d connections", s.connections))
	}
	w.problems = append(w.problems, s.problems...)
}
