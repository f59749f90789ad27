package rpc

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The benchmarks put a Conn beside what one would write without any of this: a
// net.TCPConn, a buffered reader, pooled buffers, one writev per call. Both talk
// to the same server process in the same run:
//
//	go test ./xlator/protocol/rpc -run '^$' -bench .
//
// cpu-us/op is what this process spends, the server's time not counted. Medians
// of six runs in turn on two busy processors, CPU of the Conn to that of the
// plain client: 64 small calls in flight 0.45, 64 writes of 4 KiB 0.53; one
// small call 0.9 to 1.0, one or four transfers of 1 MiB 0.9 to 1.15, which is
// the noise of that machine. A reader that waits in poll(2) in a thread of its
// own, instead of in the runtime's poller, took twice as long for small calls.

const serverEnv = "HOLDFAST_RPC_TEST_SERVER"

const benchSize = 1 << 20

// Procedures of the benchmark's server.
const (
	benchSmall = iota + 1 // 4 KiB or less there and 200 bytes back
	benchRead             // as much back as is asked for
)

// serveBench is the server process; it ends with its standard input.
func serveBench() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go answerBench(conn)
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func answerBench(conn net.Conn) {
	r, w := bufio.NewReaderSize(conn, 256<<10), bufio.NewWriterSize(conn, 256<<10)
	data := make([]byte, benchSize+64)
	for {
		head, err := r.Peek(44)
		if err != nil {
			return
		}
		n := int(binary.BigEndian.Uint32(head) &^ lastFragment)
		xid, proc := binary.BigEndian.Uint32(head[recXid:]), binary.BigEndian.Uint32(head[recProc:])
		size := 200
		if proc == benchRead {
			size = benchSize
		}
		if _, err := r.Discard(4 + n); err != nil {
			return
		}
		b := replyTo(xid, 0)
		binary.BigEndian.PutUint32(b, lastFragment|uint32(len(b)-4+size))
		_, _ = w.Write(b)
		_, _ = w.Write(data[:size])
		if r.Buffered() < 44 {
			if err := w.Flush(); err != nil {
				return
			}
		}
	}
}

func benchServer(b *testing.B) string {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), serverEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// caller does one call and is finished with its reply.
type caller func(r *Request) error

func BenchmarkCalls(b *testing.B) {
	address := benchServer(b)
	clients := map[string]func(b *testing.B) caller{
		"conn":  func(b *testing.B) caller { return connCaller(b, address) },
		"plain": func(b *testing.B) caller { return plainCaller(b, address) },
	}
	args := make([]byte, 40)
	for _, c := range []struct {
		name     string
		inFlight int
		request  Request
	}{
		{"small-1", 1, Request{Proc: benchSmall}},
		{"small-64", 64, Request{Proc: benchSmall}},
		{"write4K-1", 1, Request{Proc: benchSmall, Payload: make([]byte, 4096)}},
		{"write4K-64", 64, Request{Proc: benchSmall, Payload: make([]byte, 4096)}},
		{"write1M-1", 1, Request{Proc: benchSmall, Payload: make([]byte, benchSize)}},
		{"write1M-4", 4, Request{Proc: benchSmall, Payload: make([]byte, benchSize)}},
		{"read1M-1", 1, Request{Proc: benchRead, MaxReply: benchSize + 4}},
		{"read1M-4", 4, Request{Proc: benchRead, MaxReply: benchSize + 4}},
	} {
		for _, name := range []string{"conn", "plain"} {
			b.Run(c.name+"/"+name, func(b *testing.B) {
				call := clients[name](b)
				c.request.Prog, c.request.Vers, c.request.Args = 7, 1, args
				c.request.Cred = Cred{V3: true, PID: 1, LockOwner: make([]byte, 8)}
				runBench(b, call, c.request, c.inFlight)
			})
		}
	}
}

func runBench(b *testing.B, call caller, r Request, inFlight int) {
	b.SetBytes(int64(len(r.Payload) + r.MaxReply))
	b.ReportAllocs()
	before := cpu(b)
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for range inFlight {
		wg.Go(func() {
			own := r
			for left.Add(-1) >= 0 {
				if err := call(&own); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
}

// cpu is what this process has used so far.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func connCaller(b *testing.B, address string) caller {
	conn, err := Dial(b.Context(), "tcp", address, SocketOptions{})
	if err != nil {
		b.Fatal(err)
	}
	mem, err := Private(DefaultLayout())
	if err != nil {
		b.Fatal(err)
	}
	c, err := Open(mem, conn, Options{PingTimeout: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { closeAll(b, c, mem) })
	var unique atomic.Uint64
	return func(r *Request) error {
		r.Unique, r.Step = unique.Add(2), 1
		rep, err := c.Call(b.Context(), r)
		if err != nil {
			return err
		}
		if r.MaxReply > 0 { // as a READ: ended when the data is where it belongs
			c.End(r.Unique)
			rep.Release()
			return nil
		}
		rep.Release()
		c.End(r.Unique)
		return nil
	}
}

// plainClient is the ordinary way.
type plainClient struct {
	conn    net.Conn
	mu      sync.Mutex
	xid     uint32
	pending map[uint32]chan []byte
	buffers sync.Pool
}

func plainCaller(b *testing.B, address string) caller {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	p := &plainClient{conn: conn, pending: map[uint32]chan []byte{}}
	p.buffers.New = func() any { return new(make([]byte, benchSize+4096)) }
	done := make(chan struct{})
	go p.read(done)
	b.Cleanup(func() { conn.Close(); <-done })
	return p.call
}

func (p *plainClient) read(done chan struct{}) {
	defer close(done)
	r := bufio.NewReaderSize(p.conn, 64<<10)
	for {
		var head [8]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint32(head[:])&^lastFragment) - 4
		body := (*p.buffers.Get().(*[]byte))[:n]
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		xid := binary.BigEndian.Uint32(head[4:])
		p.mu.Lock()
		ch := p.pending[xid]
		delete(p.pending, xid)
		p.mu.Unlock()
		ch <- body
	}
}

func (p *plainClient) call(r *Request) error {
	head := (*p.buffers.Get().(*[]byte))[:0]
	head = append(appendCall(head, r), r.Args...)
	binary.BigEndian.PutUint32(head, lastFragment|uint32(len(head)+len(r.Payload)-4))
	ch := make(chan []byte, 1)
	p.mu.Lock()
	p.xid++
	binary.BigEndian.PutUint32(head[recXid:], p.xid)
	p.pending[p.xid] = ch
	whole := net.Buffers{head, r.Payload}
	_, err := whole.WriteTo(p.conn)
	p.mu.Unlock()
	if err != nil {
		return err
	}
	head = head[:cap(head)]
	p.buffers.Put(&head)
	body := <-ch
	if _, err := parseReply(body[4:]); err != nil {
		return err
	}
	body = body[:cap(body)]
	p.buffers.Put(&body)
	return nil
}
