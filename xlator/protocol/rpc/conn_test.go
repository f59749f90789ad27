package rpc

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestRepliesFindTheirCallsInAnyOrder(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			address := "127.0.0.1:0"
			if network == "unix" {
				address = filepath.Join(t.TempDir(), "s")
			}
			var held []*served
			s := serve(t, network, address, func(r *served) {
				held = append(held, r)
				if len(held) < 16 {
					return
				}
				for i := len(held) - 1; i >= 0; i-- {
					held[i].reply(held[i].args)
				}
				held = nil
			})
			c := connect(t, s, small(), Options{})
			var wg sync.WaitGroup
			for g := range 16 {
				wg.Go(func() {
					for i := range 200 {
						args := fmt.Appendf(nil, "%08d%08d", g, i)
						rep, err := c.Call(within(t), &Request{Prog: 7, Vers: 1, Proc: 3, Args: args})
						if err != nil {
							t.Error(err)
							return
						}
						if !bytes.Equal(rep.Body, args) {
							t.Errorf("got %q, want %q", rep.Body, args)
						}
						rep.Release()
					}
				})
			}
			wg.Wait()
		})
	}
}

func TestPayloadsAndLongArgumentsArriveWhole(t *testing.T) {
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) { r.reply(r.args) })
	c := connect(t, s, Layout{Slots: 512, Ring: 8 << 20}, Options{})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 20 {
				args := bytes.Repeat([]byte{byte(g), byte(i)}, []int{10, 1700, 1900, 1960, 2000, 4000, 40000}[i%7])
				payload := bytes.Repeat([]byte{byte(i), byte(g), 3}, []int{0, 1, 1000, 300000}[i%4])
				rep, err := c.Call(within(t), &Request{Prog: 7, Vers: 1, Proc: 3, Args: args, Payload: payload, MaxReply: 4 + len(args) + len(payload)})
				if err != nil {
					t.Error(err)
					return
				}
				if !bytes.Equal(rep.Body, append(args, payload...)) {
					t.Errorf("%d bytes of arguments and %d of payload came back different", len(args), len(payload))
				}
				rep.Release()
			}
		})
	}
	wg.Wait()
}

func TestLostConnectionEndsEveryCall(t *testing.T) {
	arrived := make(chan *served, 8)
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) { arrived <- r })
	c := connect(t, s, small(), Options{})
	errs := make(chan error, 8)
	for range 8 {
		go func() {
			_, err := c.Call(t.Context(), &Request{Prog: 7})
			errs <- err
		}()
	}
	var last *served
	for range 8 {
		last = <-arrived
	}
	last.conn.Close()
	for range 8 {
		err := <-errs
		lost, ok := errors.AsType[*LostError](err)
		if !ok || lost.Outcome != Unknown {
			t.Errorf("got %v, want a lost connection and an unknown outcome", err)
		}
		if errno, _ := errors.AsType[syscall.Errno](err); errno != syscall.ENOTCONN {
			t.Errorf("errno of %v is %v", err, errno)
		}
	}
	<-c.Lost()
	_, err := c.Call(t.Context(), &Request{Prog: 7})
	if lost, ok := errors.AsType[*LostError](err); !ok || lost.Outcome != NotSent {
		t.Errorf("a call without connection: %v", err)
	}
	if err := c.Reconnect(dial(t, s)); err != nil {
		t.Fatal(err)
	}
	go func() { (<-arrived).reply(nil) }()
	rep, err := c.Call(within(t), &Request{Prog: 7})
	if err != nil {
		t.Fatal(err)
	}
	rep.Release()
	if c.Epoch() != 2 {
		t.Errorf("epoch %d after the second connection", c.Epoch())
	}
}

// TestRecordIsTheOneOfTheFacts compares a STAT of the root with the bytes in
// the facts about the wire (section 18).
func TestRecordIsTheOneOfTheFacts(t *testing.T) {
	want, err := hex.DecodeString(strings.ReplaceAll("80000078 00000004 00000000 00000002 0013d005 00000190 00000001 0005f398 00000034 "+
		"00001092 00000000 00000000 00000003 00000007 000000006553f100 00000002 0000000a 00000014 00000008 0102030405060708 00000000 00000000 "+
		"00000000000000000000000000000001 00000000 ffffffff 00000000", " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan *served, 1)
	s := serve(t, "tcp", "127.0.0.1:0", func(r *served) { got <- r; r.reply(nil) })
	c := connect(t, s, small(), Options{})
	cred := Cred{
		V3: true, PID: 4242, Groups: []uint32{10, 20}, LockOwner: []byte{1, 2, 3, 4, 5, 6, 7, 8},
		Flags: Ctime | Mtime, Time: time.Unix(1700000000, 7),
	}
	var r *served
	for range 4 { // the bytes in the facts are of the fourth call
		rep, err := c.Call(within(t), &Request{Prog: 1298437, Vers: 400, Proc: 1, Cred: cred, Args: want[len(want)-28:]})
		if err != nil {
			t.Fatal(err)
		}
		rep.Release()
		r = <-got
	}
	if !bytes.Equal(r.record, want) {
		t.Errorf("sent\n%x, want\n%x", r.record, want)
	}
}

func TestCredentialNeverExceedsItsLimit(t *testing.T) {
	for _, v3 := range []bool{false, true} {
		for owner := range 92 {
			c := Cred{V3: v3, Groups: make([]uint32, 200), LockOwner: make([]byte, owner)}
			b := c.append(nil)
			if n := int(binary.BigEndian.Uint32(b[4:])); n > maxCred || n != len(b)-8 || n%4 != 0 {
				t.Errorf("owner of %d bytes: body of %d bytes, says %d", owner, len(b)-8, n)
			}
		}
	}
}
