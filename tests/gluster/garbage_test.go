package gluster_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast/holdfast/tests/lab"
	"github.com/holdfast/holdfast/tests/mnt"
)

// liar stands before a brick and changes what it says.
type liar struct {
	t      testing.TB
	ln     net.Listener
	target string
	wg     sync.WaitGroup
	lies   atomic.Int64 // told so far

	mu    sync.Mutex
	tell  func(record []byte, r *rand.Rand) (wire []byte, end bool) // guarded by mu; nil: the truth
	hear  func(record []byte)                                       // guarded by mu; what the client says; nil: nobody wants to know
	reply func(proc uint32, record []byte)                          // guarded by mu; changes replies to fops; nil: none
	conns map[net.Conn]struct{}                                     // guarded by mu
	n     uint64                                                    // guarded by mu; connections so far
}

func newLiar(t testing.TB, target string) *liar {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	l := &liar{t: t, ln: ln, target: target, conns: map[net.Conn]struct{}{}}
	l.wg.Go(l.accept)
	t.Cleanup(func() {
		ln.Close()
		l.cut()
		l.wg.Wait()
	})
	return l
}

func (l *liar) port() int { return l.ln.Addr().(*net.TCPAddr).Port }

// lie has records changed from now on; nil ends that. What was said before in open
// connections stands.
func (l *liar) lie(tell func([]byte, *rand.Rand) ([]byte, bool)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell = tell
}

func (l *liar) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.Close()
	}
}

func (l *liar) accept() {
	for {
		c, err := l.ln.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("tcp", l.target)
		if err != nil {
			c.Close()
			continue
		}
		l.mu.Lock()
		l.conns[c], l.conns[s] = struct{}{}, struct{}{}
		l.n++
		r := rand.New(rand.NewPCG(7, l.n))
		l.mu.Unlock()
		var asked sync.Map // procedures by xid
		l.wg.Go(func() {
			l.pass(s, c, func(record []byte) ([]byte, bool) {
				l.listen(record, &asked)
				return record, false
			})
			l.end(c, s)
		})
		l.wg.Go(func() {
			l.pass(c, s, func(record []byte) ([]byte, bool) { return l.change(record, &asked, r) })
			l.end(c, s)
		})
	}
}

func (l *liar) end(c, s net.Conn) {
	c.Close()
	s.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	delete(l.conns, s)
}

// pass passes records on, as change makes them.
func (l *liar) pass(to, from net.Conn, change func(record []byte) (wire []byte, end bool)) {
	for {
		var mark [4]byte
		if _, err := io.ReadFull(from, mark[:]); err != nil {
			return
		}
		record := make([]byte, 4+binary.BigEndian.Uint32(mark[:])&^(1<<31))
		copy(record, mark[:])
		if _, err := io.ReadFull(from, record[4:]); err != nil {
			return
		}
		wire, end := change(record)
		if _, err := to.Write(wire); err != nil || end {
			return
		}
	}
}

// listen looks at what the client says.
func (l *liar) listen(record []byte, asked *sync.Map) {
	if len(record) >= 28 {
		asked.Store(binary.BigEndian.Uint32(record[4:]), binary.BigEndian.Uint32(record[24:]))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hear != nil {
		l.hear(record)
	}
}

// change changes what the brick says.
func (l *liar) change(record []byte, asked *sync.Map, r *rand.Rand) (wire []byte, end bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if proc, ok := asked.Load(binary.BigEndian.Uint32(record[4:])); ok && l.reply != nil {
		l.reply(proc.(uint32), record)
	}
	if l.tell == nil || r.IntN(4) > 0 { // so that it gets somewhere
		return record, false
	}
	l.lies.Add(1)
	return l.tell(record, r)
}

// results is where the results of a fop begin in a record, behind the mark and the
// header of a reply.
const results = 4 + 24

// lies are what a broken or malicious brick may say.
var lies = []struct {
	name string
	says string // what the log says of it; empty: it may be believed
	tell func(b []byte, r *rand.Rand) ([]byte, bool)
}{
	{"record cut off", "", func(b []byte, r *rand.Rand) ([]byte, bool) { return b[:r.IntN(len(b))], true }},
	{"absurd length", "record of", func(b []byte, r *rand.Rand) ([]byte, bool) {
		binary.BigEndian.PutUint32(b, 1<<31|uint32(64<<20+r.IntN(1<<30)))
		return b, false
	}},
	{"fragments", "fragments", func(b []byte, r *rand.Rand) ([]byte, bool) { b[0] &^= 0x80; return b, false }},
	{"wrong xid", "not outstanding", func(b []byte, r *rand.Rand) ([]byte, bool) {
		binary.BigEndian.PutUint32(b[4:], r.Uint32())
		return b, false
	}},
	{"wrong type", "message type", func(b []byte, r *rand.Rand) ([]byte, bool) {
		binary.BigEndian.PutUint32(b[8:], 2+r.Uint32N(1000))
		return b, false
	}},
	{"every reply twice", "not outstanding", func(b []byte, r *rand.Rand) ([]byte, bool) { return append(b, b...), false }},
	{"results of noise", "makes no sense", func(b []byte, r *rand.Rand) ([]byte, bool) {
		for i := min(results, len(b)); i < len(b); i++ {
			b[i] = byte(r.Uint32())
		}
		return b, false
	}},
	{"results cut short", "makes no sense", func(b []byte, r *rand.Rand) ([]byte, bool) {
		b = b[:min(len(b), results+4*r.IntN(8))]
		binary.BigEndian.PutUint32(b, 1<<31|uint32(len(b)-4))
		return b, false
	}},
	{"a word that is another", "", func(b []byte, r *rand.Rand) ([]byte, bool) {
		i := 4 * r.IntN(len(b)/4)
		binary.BigEndian.PutUint32(b[i:], []uint32{0, 1, 0x7fffffff, 0x80000000, 0xffffffff, r.Uint32()}[r.IntN(6)])
		return b, false
	}},
	{"bits that are others", "", func(b []byte, r *rand.Rand) ([]byte, bool) {
		for range 1 + r.IntN(8) {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
		return b, false
	}},
	{"noise", "", func(_ []byte, r *rand.Rand) ([]byte, bool) {
		b := make([]byte, r.IntN(1<<16))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b, false
	}},
	{"callbacks of noise", "", func(b []byte, r *rand.Rand) ([]byte, bool) {
		// Not that its file system is ill: that may be true, and is waited for.
		call := []uint32{1, 0, 2, 52743234, 1, []uint32{0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 0x7fffffff}[r.IntN(13)], 0, 0, 0, 0}
		for range r.IntN(64) {
			call = append(call, r.Uint32())
		}
		out := binary.BigEndian.AppendUint32(nil, 1<<31|uint32(4*len(call)))
		for _, w := range call {
			out = binary.BigEndian.AppendUint32(out, w)
		}
		return append(out, b...), false
	}},
}

// resident is how much memory a process has, and had at most, in bytes.
func resident(t testing.TB, pid int) (most int64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	ok(t, err)
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmHWM:" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			ok(t, err)
			return kb << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

// TestBrickThatSpeaksNonsenseIsSurvived: whatever comes from it costs at most the
// connection, and the operations that it was about. The process goes on, its memory
// stays within bounds, another brick's mount knows nothing of it, and when the brick
// is well again it is used as before.
func TestBrickThatSpeaksNonsenseIsSurvived(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	v := l.Volume("one")
	liar := newLiar(t, v.Bricks[0].Addr())
	options := fmt.Sprintf("    option remote-port %d\n    option recovery-deadline 1\n    option frame-timeout 2\n    option ping-timeout 1\n", liar.port())
	m := mnt.Mount(t, writeVolfile(t, volfile("127.0.0.1", v.Bricks[0], options)), mnt.O("attribute-timeout=0", "entry-timeout=0"), mnt.LogLevel("info"))
	before := resident(t, m.PID())
	for i, lie := range lies {
		t.Run(lie.name, func(t *testing.T) {
			logged := len(m.Log())
			liar.lie(lie.tell)
			told := liar.lies.Load()
			rng := rand.New(rand.NewPCG(3, uint64(i)))
			dir := filepath.Join(m.Dir, fmt.Sprint("d", i))
			for end := time.Now().Add(20 * time.Second); liar.lies.Load() < told+int64(asked(t, "HOLDFAST_TEST_LIES", 8)); {
				if time.Now().After(end) {
					t.Fatalf("only %d lies were told", liar.lies.Load()-told)
				}
				nonsense(dir, rng)
			}
			liar.lie(nil)
			liar.cut() // what it believes may be wrong in any way
			sane := filepath.Join(m.Dir, fmt.Sprint("sane", i))
			eventually(t, 20*time.Second, "a file can be made", func() bool { return os.WriteFile(sane, []byte(lie.name), 0o644) == nil })
			if b, err := os.ReadFile(sane); err != nil || string(b) != lie.name {
				t.Errorf("%q, %v", b, err)
			}
			if _, err := os.ReadDir(m.Dir); err != nil {
				t.Error(err)
			}
			log := m.Log()[logged:]
			if !strings.Contains(log, lie.says) {
				t.Errorf("the log does not say %q:\n%s", lie.says, log)
			}
			for _, bad := range []string{"panic", "runtime error", "goroutine "} {
				if strings.Contains(log, bad) {
					t.Errorf("the log says %q:\n%s", bad, log)
				}
			}
			t.Logf("%d KiB of log", len(log)>>10)
		})
	}
	most := resident(t, m.PID())
	t.Logf("%d lies, %d sessions, %d MiB at most, %d before", liar.lies.Load(), sessions(t, m)[0].Sessions, most>>20, before>>20)
	if most > before+512<<20 {
		t.Errorf("it needed %d MiB, and %d before", most>>20, before>>20)
	}
}

// nonsense does some of everything; errors are to be expected.
func nonsense(dir string, r *rand.Rand) {
	name := filepath.Join(dir, fmt.Sprint("f", r.IntN(20)))
	switch r.IntN(8) {
	case 0:
		os.Mkdir(dir, 0o755)
	case 1:
		os.WriteFile(name, make([]byte, r.IntN(1<<17)), 0o644)
	case 2:
		os.ReadFile(name)
	case 3:
		os.ReadDir(dir)
	case 4:
		os.Stat(name)
	case 5:
		os.Remove(name)
	case 6:
		os.Symlink("to", name)
	case 7:
		os.Readlink(name)
	}
}
