package rpc

import (
	"context"
	"errors"
	"net"
	"testing"
)

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
	sock, err := net.FileConn(c.sock.file)
	c.mu.Unlock()
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
