package rpc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// notice is a callback's record of about 6 KiB that says which one it is.
func notice(n uint64) []byte {
	body := make([]byte, 6<<10)
	pattern(body, n)
	return framed(append(words32(uint32(n), msgCall, rpcVersion, 1, 1, 5, 0, 0, 0, 0), body...))
}

// notices collects them in the next process, which gets them in order and whole.
func notices(t *testing.T, n int) (Options, func()) {
	t.Helper()
	got := make(chan error, n)
	next := uint64(0)
	heard := func(cb Callback) {
		want := make([]byte, 6<<10)
		next++
		if pattern(want, next); !bytes.Equal(cb.Args, want) {
			got <- fmt.Errorf("notice %d is another, or damaged", next)
			return
		}
		got <- nil
	}
	return Options{OnCallback: heard}, func() {
		t.Helper()
		for ctx := within(t); n > 0; n-- {
			select {
			case err := <-got:
				if err != nil {
					t.Fatal(err)
				}
			case <-ctx.Done():
				t.Fatalf("%d notices are missing", n)
			}
		}
	}
}

// drained drains until that many bytes have come, and looks that it is all.
func drained(t *testing.T, mem Memory, sock net.Conn, want int) {
	t.Helper()
	total := 0
	for ctx := within(t); total < want && ctx.Err() == nil; {
		n, err := Drain(mem, sock)
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
	if n, err := Drain(mem, sock); n != 0 || err != nil || total != want {
		t.Fatalf("drained %d bytes, want %d; then %d, %v", total, want, n, err)
	}
}

func TestDrainMakesRoomWithoutLosingAnything(t *testing.T) {
	r := &Request{Unique: 10, Step: 1, Prog: 7, MaxReply: 300004}
	c, call, _ := begun(t, r, Options{})
	mem, sock := vanish(t, c)
	want := make([]byte, 300000)
	pattern(want, 5)
	sent := make(chan struct{})
	go func() { call.reply(want); close(sent) }()
	drained(t, mem, sock, len(want)+28)
	<-sent
	next := resume(t, mem, sock, Options{})
	if got := binary.BigEndian.Uint32(mem.Ring()); got != lastFragment|uint32(len(want)+24) {
		t.Errorf("the ring begins with %#x", got)
	}
	rep, err := next.Call(within(t), r)
	if err != nil || !bytes.Equal(rep.Body, want) {
		t.Fatalf("got %d bytes, %v", len(rep.Body), err)
	}
	rep.Release()
	next.End(10)
	empty(t, next)
}

// TestDrainStopsWhenTheRingIsFull: what does not fit stays in the socket, and
// comes when there is room.
func TestDrainStopsWhenTheRingIsFull(t *testing.T) {
	const n = 250 // more than the ring takes
	r := &Request{Unique: 10, Step: 1, Prog: 7}
	c, call, _ := begun(t, r, Options{})
	mem, sock := vanish(t, c)
	go func() {
		for i := range n {
			call.conn.send(notice(uint64(i + 1)))
		}
		call.reply([]byte("at last!"))
	}()
	drained(t, mem, sock, small().Ring)
	o, all := notices(t, n)
	next := resume(t, mem, sock, o)
	rep, err := next.Call(within(t), r)
	if err != nil || string(rep.Body) != "at last!" {
		t.Fatalf("got %q, %v", rep.Body, err)
	}
	rep.Release()
	all()
	next.End(10)
	waitFor(t, next, func() bool { return next.done == next.consumed })
	empty(t, next)
}

// TestDrainGoesOverTheEndOfTheRing, and spares what is still needed before it.
func TestDrainGoesOverTheEndOfTheRing(t *testing.T) {
	const n = 80
	arrived := make(chan *served, 4)
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) { arrived <- r })
	c := connect(t, s, small(), Options{})
	long := make([]byte, 300000)
	conn := make(chan *serverConn, 3)
	kept := &Request{Unique: 12, Step: 1, Prog: 7, MaxReply: len(long) + 4}
	pattern(long, 5)
	var replies []Reply
	for i, r := range []*Request{{Unique: 8, Step: 1, Prog: 7, MaxReply: len(long) + 4}, {Unique: 10, Step: 1, Prog: 7, MaxReply: len(long) + 4}, kept} {
		go func() { call := <-arrived; call.reply(long); conn <- call.conn }()
		rep, err := c.Call(within(t), r)
		if err != nil {
			t.Fatal(err)
		}
		replies = append(replies, rep)
		if i == 0 {
			rep.Release() // the empty ring begins again with the next
		}
	}
	replies[1].Release() // the last is behind it in the ring
	c.End(8)
	c.End(10)
	half, server := notice(1), <-conn
	server.send(half[:1000])
	waitFor(t, c, func() bool { return c.consumed-c.parsed == 1000 })
	mem, sock := vanish(t, c)
	h := header(mem.Control())
	begin := (c.consumed - h.load(hdrOrigin)) % uint64(small().Ring)
	want := min(small().Ring-int(c.consumed-h.load(hdrDone)), n*len(half)-1000)
	if h.load(hdrOrigin) == 0 || int(begin)+want <= small().Ring {
		t.Fatalf("%d bytes at %d do not go over the ring's end", want, begin)
	}
	go func() {
		server.send(half[1000:])
		for i := range n - 1 {
			server.send(notice(uint64(i + 2)))
		}
	}()
	drained(t, mem, sock, want)
	o, all := notices(t, n)
	next := resume(t, mem, sock, o)
	rep, err := next.Call(within(t), kept)
	if err != nil || !bytes.Equal(rep.Body, long) {
		t.Fatalf("got %d bytes, %v", len(rep.Body), err)
	}
	rep.Release()
	next.End(12)
	next.Settle()
	all()
	waitFor(t, next, func() bool { return next.done == next.consumed })
}

// TestDrainBeforeTheServersEnd: all that was sent before it is there, however
// often somebody has come to the end.
func TestDrainBeforeTheServersEnd(t *testing.T) {
	r := &Request{Unique: 10, Step: 1, Prog: 7}
	c, call, _ := begun(t, r, Options{})
	mem, sock := vanish(t, c)
	call.reply([]byte("the last"))
	call.conn.Close()
	waitForFIN(t, sock)
	drained(t, mem, sock, 28+8)
	drained(t, mem, sock, 0)
	next := resume(t, mem, sock, Options{})
	rep, err := next.Call(within(t), r)
	if err != nil || string(rep.Body) != "the last" {
		t.Errorf("got %q, %v", rep.Body, err)
	}
	rep.Release()
	next.End(10)
	<-next.Lost()
	empty(t, next)
}

// TestDrainAfterAReset: the counts are nothing to go by any more.
func TestDrainAfterAReset(t *testing.T) {
	c, call, _ := begun(t, &Request{Unique: 10, Step: 1, Prog: 7}, Options{})
	mem, sock := vanish(t, c)
	s, err := newSocket(sock)
	if err != nil {
		t.Fatal(err)
	}
	call.reply([]byte("too late"))
	late := time.Now().Add(20 * time.Second)
	for unread(t, s) == 0 && time.Now().Before(late) {
	}
	if err := call.conn.Conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	call.conn.Close()
	for n, err := s.count(); err == nil && n.state == tcpEstablished; n, err = s.count() {
		if time.Now().After(late) {
			t.Fatal("no reset")
		}
	}
	before := bytes.Clone(mem.Ring())
	if n, err := Drain(mem, sock); n != 0 || err != nil || unread(t, s) == 0 || !bytes.Equal(mem.Ring(), before) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// unread is how many bytes are there to be received.
func unread(t *testing.T, s *socket) (n int) {
	t.Helper()
	err := s.control(func(fd int) (err error) {
		n, err = unix.IoctlGetInt(fd, unix.TIOCINQ)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestDrainLeavesAloneWhatIsDoubtful: nothing is taken from the socket.
func TestDrainLeavesAloneWhatIsDoubtful(t *testing.T) {
	for name, damage := range map[string]func(h header){
		"magic":               func(h header) { *h.half(hdrMagic)++ },
		"version":             func(h header) { *h.half(hdrVersion)++ },
		"slots":               func(h header) { *h.half(hdrSlots)++ },
		"ring":                func(h header) { h.store(hdrRing, 4096) },
		"another socket":      func(h header) { h.store(hdrCookie, h.load(hdrCookie)+1) },
		"no socket":           func(h header) { h.store(hdrCookie, 0) },
		"frontier beyond":     func(h header) { h.store(hdrDone, 1<<20) },
		"ring begins beyond":  func(h header) { h.store(hdrOrigin, 1<<20) },
		"frontier far behind": func(h header) { h.store(hdrBaseRecv, h.load(hdrBaseRecv)-1<<30) },
		"base beyond":         func(h header) { h.store(hdrBaseRecv, 1<<40) },
		"all":                 func(h header) { pattern(h, 7) },
		"nothing":             func(h header) { clear(h) },
	} {
		t.Run(name, func(t *testing.T) {
			r := &Request{Unique: 10, Step: 1, Prog: 7}
			c, call, _ := begun(t, r, Options{})
			mem, sock := vanish(t, c)
			call.reply([]byte("still here"), make([]byte, 2))
			s, err := newSocket(sock)
			if err != nil {
				t.Fatal(err)
			}
			h := header(mem.Control())
			good := bytes.Clone(h[:headerSize])
			base := h.load(hdrBaseRecv)
			damage(h[:headerSize])
			before := bytes.Clone(mem.Ring())
			if n, err := Drain(mem, sock); n != 0 || err == nil {
				t.Errorf("%d bytes, %v", n, err)
			}
			if n, err := s.count(); err != nil || n.received != base || !bytes.Equal(mem.Ring(), before) {
				t.Errorf("something was received: %+v, %v", n, err)
			}
			copy(h, good)
			next := resume(t, mem, sock, Options{})
			rep, err := next.Call(within(t), r)
			if err != nil || string(rep.Body[:10]) != "still here" {
				t.Errorf("%q, %v", rep.Body, err)
			}
			rep.Release()
			next.End(10)
			empty(t, next)
		})
	}
}

func TestDrainRefusesWhatIsNoTCPSocket(t *testing.T) {
	mem, err := Private(small())
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	format(mem)
	s := serve(t, "unix", t.TempDir()+"/s", func(*served) {})
	sock := dial(t, s)
	defer sock.Close()
	own, err := newSocket(sock)
	if err != nil {
		t.Fatal(err)
	}
	header(mem.Control()).store(hdrCookie, own.cookie)
	if n, err := Drain(mem, sock); n != 0 || err == nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if n, err := Drain(mem, &net.IPConn{}); n != 0 || err == nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// drain does what a keeper does between two workers.
func (w *world) drain() {
	w.t.Helper()
	mem, err := Map(w.memory, 0, killLayout())
	if err != nil {
		w.t.Fatal(err)
	}
	defer mem.Close()
	sock, err := net.FileConn(w.sock)
	if err != nil {
		w.t.Fatal(err)
	}
	defer sock.Close()
	n, err := Drain(mem, sock)
	if err != nil {
		w.t.Fatal(err)
	}
	w.drained += n
}
