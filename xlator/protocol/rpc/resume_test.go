package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"syscall"
	"testing"
)

// begun is a Conn with one call sent and not answered, its arrival at the
// server, and where further arrivals come.
func begun(t *testing.T, r *Request, o Options) (*Conn, *served, chan *served) {
	t.Helper()
	arrived := make(chan *served, 64)
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) { arrived <- r })
	c := connect(t, s, small(), o)
	go func() { _, _ = c.Call(context.Background(), r) }() // its process will be gone
	return c, <-arrived, arrived
}

func TestNextProcessGetsTheReplyOfTheCallThatWasSent(t *testing.T) {
	r := &Request{Unique: 10, Step: 1, Prog: 7, Proc: 3}
	for _, when := range []string{"before the take-over", "after it"} {
		t.Run(when, func(t *testing.T) {
			c, call, arrived := begun(t, r, Options{})
			mem, sock := vanish(t, c)
			if when == "before the take-over" {
				call.reply([]byte("made"))
			}
			next := resume(t, mem, sock, Options{})
			if when != "before the take-over" {
				call.reply([]byte("made"))
			}
			rep, err := next.Call(within(t), r)
			if err != nil || string(rep.Body) != "made" {
				t.Fatalf("got %q, %v", rep.Body, err)
			}
			rep.Release()
			next.Settle()
			next.End(10)
			empty(t, next)
			if len(arrived) != 0 {
				t.Error("the call was sent again")
			}
		})
	}
}

func TestNextProcessRefusesAnotherCallUnderTheSameStep(t *testing.T) {
	c, call, _ := begun(t, &Request{Unique: 10, Step: 1, Prog: 7, Proc: 3}, Options{})
	mem, sock := vanish(t, c)
	next := resume(t, mem, sock, Options{})
	_, err := next.Call(within(t), &Request{Unique: 10, Step: 1, Prog: 7, Proc: 4})
	if !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v", err)
	}
	call.reply()
}

func TestRequestThatDoesNotComeBackIsAnOrphan(t *testing.T) {
	c, call, _ := begun(t, &Request{Unique: 10, Step: 1, Prog: 7, Proc: 3, Args: []byte("file")}, Options{})
	mem, sock := vanish(t, c)
	orphans := make(chan Orphan, 1)
	next := resume(t, mem, sock, Options{OnOrphan: func(o Orphan) {
		o.Args, o.Reply = bytes.Clone(o.Args), bytes.Clone(o.Reply)
		orphans <- o
	}})
	next.Settle()
	call.reply([]byte("opened!!"))
	if o := <-orphans; o.Unique != 10 || o.Step != 1 || o.Proc != 3 || o.Seen || string(o.Args) != "file" || string(o.Reply) != "opened!!" {
		t.Errorf("orphan %+v", o)
	}
	waitFor(t, next, func() bool { return len(next.free) == len(next.calls) })
	empty(t, next)
}

// TestOrphanIsUndoneOnceWhoeverDies: the process that undoes dies after having
// sent that; the next one does not send it again.
func TestOrphanIsUndoneOnceWhoeverDies(t *testing.T) {
	c, call, arrived := begun(t, &Request{Unique: 10, Step: 1, Prog: 7, Proc: 3}, Options{})
	mem, sock := vanish(t, c)
	undo := func(c **Conn, done chan error) func(Orphan) {
		return func(o Orphan) {
			rep, err := (*c).Call(context.Background(), &Request{Unique: o.Unique, Step: o.Step | UndoStep, Prog: 7, Proc: 4})
			rep.Release()
			if done != nil {
				done <- err
			}
		}
	}
	var second, third *Conn
	second = resume(t, mem, sock, Options{OnOrphan: undo(&second, nil)})
	second.Settle()
	call.reply()
	undone := <-arrived
	if undone.proc != 4 {
		t.Fatalf("procedure %d", undone.proc)
	}
	mem, sock = vanish(t, second)
	undone.reply()
	done := make(chan error, 2)
	third = resume(t, mem, sock, Options{OnOrphan: undo(&third, done)})
	third.Settle()
	if err := <-done; err != nil {
		t.Error(err)
	}
	waitFor(t, third, func() bool { return len(third.free) == len(third.calls) })
	empty(t, third)
	if len(arrived)+len(done) != 0 {
		t.Error("the orphan was undone twice")
	}
}

func TestReplyThatKillsItsProcessesIsRefused(t *testing.T) {
	r := &Request{Unique: 10, Step: 1, Prog: 7, Proc: 3}
	c, call, _ := begun(t, r, Options{})
	mem, sock := vanish(t, c)
	call.reply()
	for range 3 {
		c = resume(t, mem, sock, Options{})
		if _, err := c.Call(within(t), r); err != nil { // and it dies before it has done anything with it
			t.Fatal(err)
		}
		mem, sock = vanish(t, c)
	}
	c = resume(t, mem, sock, Options{})
	if _, err := c.Call(within(t), r); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v", err)
	}
	c.End(10)
	waitFor(t, c, func() bool { return len(c.free) == len(c.calls) })
}

// TestWaitOutlivesManyProcesses: a call without a reply is nobody's death, nor
// is the step before it.
func TestWaitOutlivesManyProcesses(t *testing.T) {
	first := &Request{Unique: 10, Step: 1, Prog: 7, Proc: 3}
	wait := &Request{Unique: 10, Step: 2, Prog: 7, Proc: 4, Waits: true}
	c, call, arrived := begun(t, first, Options{})
	mem, sock := vanish(t, c)
	call.reply()
	var lock *served
	for range 10 {
		c = resume(t, mem, sock, Options{})
		rep, err := c.Call(within(t), first)
		if err != nil {
			t.Fatal(err)
		}
		rep.Release()
		go func(c *Conn) { _, _ = c.Call(context.Background(), wait) }(c) // its process will be gone
		if lock == nil {
			lock = <-arrived
		}
		waitFor(t, c, func() bool { return c.find(10, 2) != nil && c.find(10, 2).waiting })
		mem, sock = vanish(t, c)
	}
	lock.reply([]byte("locked!!"))
	c = resume(t, mem, sock, Options{})
	if rep, err := c.Call(within(t), first); err != nil {
		t.Error(err)
	} else {
		rep.Release()
	}
	rep, err := c.Call(within(t), wait)
	if err != nil || string(rep.Body) != "locked!!" {
		t.Fatalf("got %q, %v", rep.Body, err)
	}
	rep.Release()
	c.End(10)
	empty(t, c)
	if len(arrived) != 0 {
		t.Error("the wait was sent again")
	}
}

// TestServersEndWhileNobodyWasThere: the FIN counts as a byte, the replies
// before it are there, and what has none is lost.
func TestServersEndWhileNobodyWasThere(t *testing.T) {
	answered, open := &Request{Unique: 10, Step: 1, Prog: 7}, &Request{Unique: 12, Step: 1, Prog: 7}
	c, call, arrived := begun(t, answered, Options{})
	go func() { _, _ = c.Call(context.Background(), open) }()
	<-arrived
	mem, sock := vanish(t, c)
	call.reply([]byte("the last"))
	call.conn.Close()
	waitForFIN(t, sock)
	next := resume(t, mem, sock, Options{})
	rep, err := next.Call(within(t), answered)
	if err != nil || string(rep.Body) != "the last" {
		t.Errorf("got %q, %v", rep.Body, err)
	}
	rep.Release()
	_, err = next.Call(within(t), open)
	if lost, ok := errors.AsType[*LostError](err); !ok || lost.Outcome != Unknown {
		t.Errorf("got %v", err)
	}
	next.End(10)
	next.End(12)
	<-next.Lost()
	empty(t, next)
}

func waitForFIN(t *testing.T, sock net.Conn) {
	t.Helper()
	s, err := newSocket(sock)
	if err != nil {
		t.Fatal(err)
	}
	for ctx := within(t); ctx.Err() == nil; {
		if n, err := s.count(); err == nil && n.state == tcpCloseWait {
			return
		}
	}
	t.Fatal("no FIN")
}

// TestKeptRepliesOutliveTheConnection: after loss of process and connection a
// request still finds what it has had, and what is not known stays so.
func TestKeptRepliesOutliveTheConnection(t *testing.T) {
	first, second := &Request{Unique: 10, Step: 1, Prog: 7}, &Request{Unique: 10, Step: 2, Prog: 7}
	arrived := make(chan *served, 4)
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) { arrived <- r })
	c := connect(t, s, small(), Options{})
	go func() { (<-arrived).reply([]byte("locked!!")) }()
	rep, err := c.Call(within(t), first)
	if err != nil {
		t.Fatal(err)
	}
	rep.Release()
	go func() { _, _ = c.Call(context.Background(), second) }()
	<-arrived
	mem, sock := vanish(t, c)
	if err := sock.Close(); err != nil {
		t.Fatal(err)
	}
	c = resume(t, mem, nil, Options{})
	if err := c.Reconnect(dial(t, s)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // another process, and another connection
		if rep, err := c.Call(within(t), first); err != nil || string(rep.Body) != "locked!!" {
			t.Errorf("got %q, %v", rep.Body, err)
		}
		_, err = c.Call(within(t), second)
		if lost, ok := errors.AsType[*LostError](err); !ok || lost.Outcome != Unknown {
			t.Errorf("got %v", err)
		}
		mem, sock = vanish(t, c)
		c = resume(t, mem, sock, Options{})
	}
	third := &Request{Unique: 10, Step: 3, Prog: 7}
	go func() { (<-arrived).reply([]byte("again")) }()
	if rep, err := c.Call(within(t), third); err != nil || string(rep.Body) != "again" {
		t.Errorf("got %q, %v", rep.Body, err)
	}
	if len(arrived) != 0 {
		t.Error("something was sent again")
	}
	c.End(10)
}

// TestOldConnectionsBytesAreNotReadAgain: half a record of the connection
// before lies in the ring, and an unreleased reply before it.
func TestOldConnectionsBytesAreNotReadAgain(t *testing.T) {
	r := &Request{Unique: 10, Step: 1, Prog: 7}
	arrived := make(chan *served, 4)
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) { arrived <- r })
	c := connect(t, s, small(), Options{})
	go func() {
		call := <-arrived
		call.conn.send(append(replyTo(call.xid, 0, []byte("old!")), 0x80, 0, 1, 0, 1, 2, 3))
		call.conn.Close()
	}()
	old, err := c.Call(within(t), r)
	if err != nil {
		t.Fatal(err)
	}
	<-c.Lost()
	if err := c.Reconnect(dial(t, s)); err != nil {
		t.Fatal(err)
	}
	later := &Request{Unique: 12, Step: 1, Prog: 7}
	go func() { (<-arrived).reply([]byte("new!")) }()
	rep, err := c.Call(within(t), later)
	if err != nil || string(rep.Body) != "new!" || string(old.Body) != "old!" {
		t.Fatalf("got %q, %q, %v", rep.Body, old.Body, err)
	}
	mem, sock := vanish(t, c)
	next := resume(t, mem, sock, Options{})
	if err := next.Err(); err != nil {
		t.Fatal(err)
	}
	for r, want := range map[*Request]string{r: "old!", later: "new!"} {
		if rep, err := next.Call(within(t), r); err != nil || string(rep.Body) != want {
			t.Errorf("got %q, %v, want %q", rep.Body, err, want)
		}
	}
	if len(arrived) != 0 {
		t.Error("something was sent again")
	}
}

// TestUnixSocketIsNotGoneOnWith: the kernel does not count its bytes.
func TestUnixSocketIsNotGoneOnWith(t *testing.T) {
	arrived := make(chan *served, 4)
	s := serve(t, "unix", t.TempDir()+"/s", func(r *served) { arrived <- r })
	c := connect(t, s, small(), Options{})
	r := &Request{Unique: 10, Step: 1, Prog: 7}
	go func() { _, _ = c.Call(context.Background(), r) }()
	<-arrived
	mem := newHeapMemory(small())
	c.mu.Lock()
	copy(mem.Control(), c.mem.Control())
	c.mu.Unlock()
	f, err := c.sock.conn.(*net.UnixConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sock, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	next := resume(t, mem, sock, Options{})
	<-next.Lost()
	_, err = next.Call(within(t), r)
	if lost, ok := errors.AsType[*LostError](err); !ok || lost.Outcome != Unknown || next.Err() == nil {
		t.Errorf("got %v; %v", err, next.Err())
	}
}

// TestDamagedMemoryIsNotGoneOnWith: whatever is wrong, the worst is a lost
// connection.
func TestDamagedMemoryIsNotGoneOnWith(t *testing.T) {
	type memory struct {
		Memory
		h header
		s slot // of the call
	}
	for name, damage := range map[string]func(m memory){
		"magic":               func(m memory) { *m.h.half(hdrMagic)++ },
		"version":             func(m memory) { *m.h.half(hdrVersion)++ },
		"slots":               func(m memory) { *m.h.half(hdrSlots)++ },
		"ring":                func(m memory) { m.h.store(hdrRing, 4096) },
		"state":               func(m memory) { m.s.setState(9) },
		"head":                func(m memory) { m.s.put32(offHead, 1<<31) },
		"short head":          func(m memory) { m.s.put32(offHead, 8) },
		"data that ends":      func(m memory) { m.s.put32(offHead, 3*slotRoom) },
		"data in a circle":    func(m memory) { m.s.put32(offHead, 3*slotRoom); m.s.put32(offMore, uint32(lastSlot(m))+1) },
		"expected reply":      func(m memory) { m.s.put32(offExpect, 1<<30) },
		"socket":              func(m memory) { m.h.store(hdrCookie, 1) },
		"more sent":           func(m memory) { m.h.store(hdrPub, 1); m.s.put64(offEnd, 1) },
		"published, no slot":  func(m memory) { m.h.store(hdrPub, 1<<20) },
		"hole":                func(m memory) { m.h.store(hdrPub, 1<<20); m.s.put64(offEnd, 1<<20) },
		"frontier beyond":     func(m memory) { m.h.store(hdrDone, 1<<20) },
		"ring begins beyond":  func(m memory) { m.h.store(hdrOrigin, 1<<20) },
		"frontier far behind": func(m memory) { m.h.store(hdrBaseRecv, m.h.load(hdrBaseRecv)-1<<30) },
		"record in the ring":  func(m memory) { m.Ring()[0] = 0; m.h.store(hdrBaseRecv, m.h.load(hdrBaseRecv)-100) },
		"lost payload": func(m memory) {
			m.s.put32(offPayload, 100)
			m.s.setKind(payloadPrivate)
			m.h.store(hdrPub, m.h.load(hdrPub)+100)
			m.s.put64(offEnd, m.h.load(hdrPub))
		},
		"payload elsewhere": func(m memory) {
			m.s.put32(offPayload, 100)
			m.s.setKind(payloadRegion)
			m.h.store(hdrPub, m.h.load(hdrPub)+100)
			m.s.put64(offEnd, m.h.load(hdrPub))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Request{Unique: 10, Step: 1, Prog: 7}
			c, call, _ := begun(t, r, Options{})
			mem, sock := vanish(t, c)
			damage(memory{mem, header(mem.Control()), slotAt(mem, lastSlot(mem))})
			next, err := Resume(mem, sock, Options{})
			if err == nil {
				<-next.Lost()
				_, err = next.Call(within(t), r)
				if lost, ok := errors.AsType[*LostError](err); !ok || lost.Cause == nil && lost.Outcome != Unknown {
					t.Errorf("the call ended with %v", err)
				}
				err = next.Close()
				if err != nil {
					t.Error(err)
				}
			} else if !errors.Is(err, ErrDamaged) && !errors.Is(err, errNotOurs) {
				t.Errorf("refused with %v", err)
			} else if err := sock.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
			b := make([]byte, 1)
			if _, err := call.conn.Read(b); err == nil {
				t.Error("the server got something")
			}
		})
	}
}

// lastSlot is the slot of a memory's only call.
func lastSlot(m Memory) int {
	for i := range m.Layout().Slots {
		if slotAt(m, i).state() != slotFree {
			return i
		}
	}
	return 0
}

func TestDrainMakesRoomWithoutLosingAnything(t *testing.T) {
	r := &Request{Unique: 10, Step: 1, Prog: 7, MaxReply: 300004}
	c, call, _ := begun(t, r, Options{})
	mem, sock := vanish(t, c)
	want := make([]byte, 300000)
	pattern(want, 5)
	sent := make(chan struct{})
	go func() { call.reply(want); close(sent) }()
	total := 0
	for ctx := within(t); total < len(want)+28 && ctx.Err() == nil; {
		n, err := Drain(mem, sock)
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
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
