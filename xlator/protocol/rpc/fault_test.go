package rpc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
)

func words32(vs ...uint32) (b []byte) {
	for _, v := range vs {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// framed is a record with its mark.
func framed(b []byte) []byte { return append(words32(lastFragment|uint32(len(b))), b...) }

func TestWhatNoServerMaySendCostsTheConnectionAndSaysWhy(t *testing.T) {
	const auth = 13
	for _, c := range []struct {
		name, says string
		send       func(xid uint32) []byte
	}{
		{"fragments", "in fragments", func(xid uint32) []byte { return words32(100, 1, 2, 3) }},
		{"tiny record", "record of 8 bytes", func(xid uint32) []byte { return framed(words32(xid, 1)) }},
		{"empty record", "record of 0 bytes", func(xid uint32) []byte { return framed(nil) }},
		{"record larger than the ring", "the receive ring has", func(xid uint32) []byte { return words32(lastFragment|1<<30, xid, 1) }},
		{"largest length", "record of 2147483647 bytes", func(xid uint32) []byte { return words32(0xffffffff) }},
		{"unknown xid", "not outstanding", func(xid uint32) []byte { return replyTo(xid+1, 0) }},
		{"second answer", "not outstanding", func(xid uint32) []byte { return append(replyTo(xid, 0), replyTo(xid, 0)...) }},
		{"message type", "message type 2", func(xid uint32) []byte { return framed(words32(xid, 2, 0, 0)) }},
		{"reply status", "reply status 7", func(xid uint32) []byte { return framed(words32(xid, 1, 7, 0, 0, 0)) }},
		{"accept status", "accept_stat 6", func(xid uint32) []byte { return replyTo(xid, 6) }},
		{"RPC version", "versions 3 to 4", func(xid uint32) []byte { return framed(words32(xid, 1, 1, 0, 3, 4)) }},
		{"credential", "credential (auth_stat 13)", func(xid uint32) []byte { return framed(words32(xid, 1, 1, 1, auth)) }},
		{"reject status", "reject status 9", func(xid uint32) []byte { return framed(words32(xid, 1, 1, 9)) }},
		{"cut denial", "denial is cut off", func(xid uint32) []byte { return framed(words32(xid, 1, 1)) }},
		{"no verifier", "header is cut off", func(xid uint32) []byte { return framed(words32(xid, 1, 0)) }},
		{"no status", "header is cut off", func(xid uint32) []byte { return framed(words32(xid, 1, 0, 0, 0)) }},
		{"long verifier", "header is cut off", func(xid uint32) []byte { return framed(words32(xid, 1, 0, 0, 1<<31, 0, 0)) }},
		{"verifier beyond the record", "header is cut off", func(xid uint32) []byte { return framed(words32(xid, 1, 0, 0, 12, 0, 0)) }},
		{"callback version", "RPC version 3", func(xid uint32) []byte { return framed(words32(1, 0, 3, 1, 1, 1, 0, 0, 0, 0)) }},
		{"cut callback", "callback's header is cut off", func(xid uint32) []byte { return framed(words32(1, 0, 2, 1, 1, 1, 0, 0, 0)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, "tcp", "127.0.0.1:0", func(r *served) { r.conn.send(c.send(r.xid)) })
			var log bytes.Buffer
			conn := connect(t, s, small(), Options{Name: "brick one", Log: slog.New(slog.NewTextHandler(&log, nil))})
			_, err := conn.Call(within(t), &Request{Prog: 7})
			if c.name != "second answer" { // there the first answer is good
				if errno, _ := errors.AsType[syscall.Errno](err); errno != syscall.ENOTCONN {
					t.Errorf("the call ended with %v", err)
				}
			}
			<-conn.Lost()
			if err := conn.Err(); !errors.Is(err, syscall.EPROTO) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("lost because of %q, want one with %q", err, c.says)
			}
			if line := log.String(); strings.Count(line, "\n") != 1 || !strings.Contains(line, c.says) || !strings.Contains(line, "brick one") {
				t.Errorf("logged %q", line)
			}
		})
	}
}

// TestReplyToWhatWasNotSentCostsTheConnection: a server that guesses xids does
// not get slots freed whose bytes are still to be sent.
func TestReplyToWhatWasNotSentCostsTheConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	mem, err := Private(small())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := Dial(t.Context(), "tcp", l.Addr().String(), SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(mem, conn, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, c, mem)
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	ended := make(chan error, 2)
	for i := range 2 { // the first fills the socket, the second waits behind it
		go func() {
			_, err := c.Call(within(t), &Request{Prog: 7, Payload: make([]byte, 32<<20)})
			ended <- err
		}()
		waitFor(t, c, func() bool { return c.outstanding == i+1 && c.written > 0 && !c.sock.flying })
	}
	if _, err := server.Write(replyTo(2, 0)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-ended; !errors.Is(err, syscall.EPROTO) {
			t.Errorf("ended with %v", err)
		}
	}
}

// TestRecordCutOffByTheEndIsNoReply: half a reply is none.
func TestRecordCutOffByTheEndIsNoReply(t *testing.T) {
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) {
		whole := replyTo(r.xid, 0, make([]byte, 100))
		r.conn.send(whole[:len(whole)-1])
		r.conn.Close()
	})
	c := connect(t, s, small(), Options{})
	_, err := c.Call(within(t), &Request{Prog: 7})
	if lost, ok := errors.AsType[*LostError](err); !ok || lost.Outcome != Unknown {
		t.Errorf("got %v", err)
	}
}

func TestRefusedCallLeavesTheConnectionAlone(t *testing.T) {
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) {
		stat := r.proc
		body := []byte(nil)
		if Reject(stat) == ProgMismatch {
			body = words32(1, 2)
		}
		r.conn.send(replyTo(r.xid, stat, body))
	})
	c := connect(t, s, small(), Options{})
	for stat, want := range map[Reject]syscall.Errno{
		ProgUnavail: syscall.EOPNOTSUPP, ProgMismatch: syscall.EOPNOTSUPP, ProcUnavail: syscall.EOPNOTSUPP, GarbageArgs: syscall.EIO, SystemErr: syscall.EIO,
	} {
		_, err := c.Call(within(t), &Request{Unique: 5, Step: uint32(stat), Prog: 7, Vers: 1, Proc: uint32(stat)})
		refused, ok := errors.AsType[*RejectError](err)
		if !ok || refused.Reject != stat || refused.Prog != 7 || refused.Proc != uint32(stat) || !errors.Is(err, want) {
			t.Errorf("accept_stat %d: %v", stat, err)
		}
	}
	rep, err := c.Call(within(t), &Request{Prog: 7})
	if err != nil {
		t.Fatal(err)
	}
	rep.Release()
	c.End(5)
	empty(t, c)
}

// empty fails the test if a Conn still keeps something of its calls.
func empty(t *testing.T, c *Conn) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.free) != len(c.calls) || len(c.requests) != 0 || len(c.byXid) != 0 || c.outstanding != 0 || c.expected != 0 || c.blocking != 0 || len(c.waiters) != 0 {
		t.Errorf("of %d slots %d are free; %d requests, %d xids, %d outstanding, %d bytes expected, %d blocking, %d waiters",
			len(c.calls), len(c.free), len(c.requests), len(c.byXid), c.outstanding, c.expected, c.blocking, len(c.waiters))
	}
	if c.done != c.consumed || len(c.records.q) != 0 {
		t.Errorf("the ring keeps %d bytes in %d records", c.consumed-c.done, len(c.records.q))
	}
}

func TestImpossibleRequestsAreRefusedBeforeTheyAreSent(t *testing.T) {
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) { r.reply() })
	c := connect(t, s, small(), Options{})
	for want, r := range map[syscall.Errno]*Request{
		syscall.EMSGSIZE: {MaxReply: 1 << 20},
		syscall.E2BIG:    {Args: make([]byte, 1<<20)},
		syscall.EINVAL:   {Cred: Cred{LockOwner: make([]byte, 92)}},
	} {
		if _, err := c.Call(within(t), r); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	empty(t, c)
}
