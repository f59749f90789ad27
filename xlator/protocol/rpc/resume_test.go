package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
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
	if o := <-orphans; o.Unique != 10 || o.Step != 1 || o.Proc != 3 || string(o.Args) != "file" || string(o.Reply) != "opened!!" {
		t.Errorf("orphan %+v", o)
	}
	waitFor(t, next, func() bool { return len(next.free) == len(next.calls) })
	empty(t, next)
}

// TestReplyIsUndoneThatItsTakerHasNotRecorded: a process dies after it was handed a
// reply. Its request comes back and does not ask again, or does not come back.
func TestReplyIsUndoneThatItsTakerHasNotRecorded(t *testing.T) {
	for _, recorded := range []bool{true, false} {
		for _, back := range []bool{true, false} {
			t.Run(fmt.Sprintf("recorded %v, back %v", recorded, back), func(t *testing.T) {
				r := &Request{Unique: 10, Step: 1, Prog: 7, Proc: 3, Args: []byte("file")}
				c, call, _ := begun(t, r, Options{})
				call.reply([]byte("opened!!"))
				waitFor(t, c, func() bool { k := c.find(10, 1); return k != nil && k.taken })
				mem, sock := vanish(t, c)
				asked, orphans := 0, make(chan Orphan, 2)
				next := resume(t, mem, sock, Options{
					Recorded: func(o Orphan) bool {
						asked++
						if o.Unique != 10 || o.Step != 1 || o.Proc != 3 || o.Epoch != 1 || string(o.Args) != "file" || string(o.Reply) != "opened!!" {
							t.Errorf("asked of %+v", o)
						}
						return recorded
					},
					OnOrphan: func(o Orphan) { orphans <- o },
				})
				if back {
					next.Claim(10)
				}
				next.Settle()
				if next.End(10); asked != 1 {
					t.Errorf("asked %d times", asked)
				}
				waitFor(t, next, func() bool { return len(next.free) == len(next.calls) })
				if got := len(orphans) == 1; got == recorded {
					t.Errorf("undone: %v", got)
				}
				empty(t, next)
			})
		}
	}
}

func TestCallsOfAnEarlierProcessAreSeenUntilTheyAreTaken(t *testing.T) {
	r := &Request{Unique: 10, Step: 1, Prog: 7, Proc: 3, Args: []byte("file")}
	c, call, _ := begun(t, r, Options{})
	like := func(prog, proc uint32, args []byte) bool { return prog == 7 && proc == 3 && string(args) == "file" }
	if c.Asks(like) {
		t.Error("it is this process's")
	}
	mem, sock := vanish(t, c)
	next := resume(t, mem, sock, Options{})
	next.Claim(10)
	if !next.Asks(like) || next.Asks(func(_, proc uint32, _ []byte) bool { return proc != 3 }) {
		t.Error("it is not known what became of it")
	}
	call.reply([]byte("done"))
	waitFor(t, next, func() bool { return next.find(10, 1).phase == kept })
	if !next.Asks(like) {
		t.Error("nobody has asked for the answer")
	}
	rep, err := next.Call(within(t), r)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Release(); next.Asks(like) {
		t.Error("who asked knows")
	}
	next.End(10)
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
	long := strings.Repeat("old!", 3000) // it stays in the ring
	go func() {
		call := <-arrived
		call.conn.send(append(replyTo(call.xid, 0, []byte(long)), 0x80, 0, 0, 20, 1, 2, 3))
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
	if err != nil || string(rep.Body) != "new!" || string(old.Body) != long {
		t.Fatalf("got %q, %d bytes, %v", rep.Body, len(old.Body), err)
	}
	mem, sock := vanish(t, c)
	next := resume(t, mem, sock, Options{})
	if err := next.Err(); err != nil {
		t.Fatal(err)
	}
	for r, want := range map[*Request]string{r: long, later: "new!"} {
		if rep, err := next.Call(within(t), r); err != nil || string(rep.Body) != want {
			t.Errorf("got %d bytes, %v, want %d", len(rep.Body), err, len(want))
		}
	}
	if len(arrived) != 0 {
		t.Error("something was sent again")
	}
}
