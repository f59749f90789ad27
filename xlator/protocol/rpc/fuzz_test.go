package rpc

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzServersBytes gives the parser what a server might send, in two pieces: it
// may end the connection, and nothing else.
func FuzzServersBytes(f *testing.F) {
	f.Add(replyTo(1, 0, []byte("body")), 3)
	f.Add(append(replyTo(2, 1), replyTo(1, 0)...), 30)
	f.Add(framed(words32(1, msgCall, rpcVersion, 1, 1, 1, 0, 0, 0, 0)), 0)
	f.Add(framed(words32(3, 1, 1, 0, 3, 4)), 9)
	f.Add(words32(0xffffffff), 4)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		mem := newHeapMemory(Layout{Slots: 16, Ring: 1 << 16})
		format(mem)
		c := newConn(mem, Options{})
		defer c.Close()
		for i := 15; i >= 0; i-- {
			c.free = append(c.free, int32(i))
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.sock = &socket{giveUp: make(chan struct{})}
		var calls []*call
		for i := range uint32(4) {
			r := &Request{Unique: uint64(i % 3), Step: i, Prog: 7}
			k := c.enter(r, 1)
			c.build(k, r)
			k.waiting = i%2 == 0
			c.publish(k)
			calls = append(calls, k)
		}
		c.written = c.pub
		b = b[:min(len(b), 1<<16)]
		cut = min(max(cut, 0), len(b))
		var err error
		for _, part := range [][]byte{b[:cut], b[cut:]} {
			n := copy(c.ring[c.consumed:], part)
			c.mem.Arrived(int(c.consumed%c.size), n)
			c.consumed += uint64(n)
			if err == nil {
				err = c.parse()
			}
		}
		if c.done > c.parsed || c.parsed > c.consumed {
			t.Errorf("done %d, parsed %d, consumed %d", c.done, c.parsed, c.consumed)
		}
		for _, k := range calls {
			if k.phase == answered && !bytes.Contains(b, k.result) {
				t.Errorf("a reply that was not sent: %x", k.result)
			}
		}
		c.disconnect(errPing)
		if c.outstanding != 0 || c.expected != 0 {
			t.Errorf("%d outstanding, %d bytes expected after the end", c.outstanding, c.expected)
		}
	})
}

// FuzzMemory loads memories of which anything may be wrong: they may be
// refused, and nothing else.
func FuzzMemory(f *testing.F) {
	f.Add([]byte{}, 0)
	f.Add(words32(1, 2, 3, 4, 5, 6, 7, 8), headerSize)
	f.Add(bytes.Repeat([]byte{1, 0, 0, 0}, 16), headerSize+slotSize)
	f.Add(bytes.Repeat([]byte{2, 0, 0, 0}, 16), headerSize+slotSize)
	f.Add([]byte{255, 255, 0, 0}, headerSize+2*slotSize+offHead)
	f.Fuzz(func(t *testing.T, damage []byte, at int) {
		mem := newHeapMemory(Layout{Slots: 16, Ring: 1 << 16})
		format(mem)
		c := newConn(mem, Options{})
		defer c.Close()
		c.mu.Lock()
		for i := 15; i >= 0; i-- {
			c.free = append(c.free, int32(i))
		}
		c.sock = &socket{giveUp: make(chan struct{})}
		for i := range uint32(4) {
			r := &Request{Unique: 5, Step: i, Prog: 7, Args: make([]byte, i*2000)}
			k := c.enter(r, slotsFor(len(r.Args)+maxHead))
			c.build(k, r)
			c.publish(k)
		}
		c.sock = nil
		c.mu.Unlock()
		control := mem.Control()
		if at >= 0 && at < len(control) {
			copy(control[at:], damage)
		}
		half := newConn(mem, Options{})
		half.mu.Lock()
		if half.load() == nil {
			s := &socket{iovs: make([]unix.Iovec, 0, maxIovec)}
			if half.requeue(s, uint64(max(at, 0))) == nil {
				s.gather()
			}
		}
		half.mu.Unlock()
		if err := half.Close(); err != nil {
			t.Error(err)
		}
		next, err := Resume(mem, nil, Options{})
		if err != nil {
			return
		}
		next.Settle()
		if err := next.Close(); err != nil {
			t.Error(err)
		}
	})
}
