package rpc

import (
	"bytes"
	"encoding/binary"
)

// phase is where a call is.
type phase uint8

const (
	free        phase = iota
	building          // has its slot, not published
	outstanding       // published, not answered
	answered          // its reply is in the ring
	kept              // its reply is in the slot
	lost              // its connection was lost
)

// call is one slot's RPC. Constant: index, slot, mem, wake. While building it
// is its caller's; otherwise guarded by Conn.mu.
type call struct {
	index int32
	slot  slot
	mem   Memory
	wake  chan struct{} // one token when phase leaves outstanding and waiting

	gen     uint32 // changes when the slot is freed
	phase   phase
	waiting bool // somebody is in Call
	taken   bool // the reply was handed out by this process
	orphan  bool // nobody will ask for it
	resumed bool // of the process before, and not yet claimed by this one
	before  bool // of the process before
	// recorded says that a process before, which was handed the reply, has recorded
	// what it acquired.
	recorded bool
	asked    bool // for, by this process
	own      bool // the client's own work: in no list until it is an orphan
	listed   bool // in Conn.requests
	ping     bool
	waits    bool

	unique  uint64
	step    uint32
	xid     uint32
	end     uint64
	head    int     // bytes of the record in the slots
	chain   chain   // where they are
	links   []int32 // the slots of chain
	payload []byte
	expect  int
	same    int32 // next call of the same unique, or -1

	rec    uint64 // seq of its record in the ring, 0 if it is not there
	result []byte // the reply from accept_stat on
	err    *LostError
}

func (k *call) init(i int32, m Memory) {
	k.index, k.slot, k.mem, k.same = i, slotAt(m, int(i)), m, -1
	k.wake = make(chan struct{}, 1)
}

// length of the record, mark included.
func (k *call) length() int { return k.head + len(k.payload) }

// notify wakes whoever waits for the call. Conn.mu is held.
func (k *call) notify() {
	if k.waiting {
		k.wake <- struct{}{}
	}
}

// find returns the call of that name, or nil. mu is held.
func (c *Conn) find(unique uint64, step uint32) *call {
	if unique == 0 {
		return nil
	}
	i, ok := c.requests[unique]
	for ok && i >= 0 {
		k := &c.calls[i]
		if k.step == step {
			return k
		}
		i = k.same
	}
	return nil
}

// same returns the call that a request without a step means, or nil. mu is held.
func (c *Conn) same(r *Request) *call {
	if r.Unique == 0 {
		return nil
	}
	var first *call
	i, ok := c.requests[r.Unique]
	for ok && i >= 0 {
		k := &c.calls[i]
		if !k.asked && !k.orphan && k.phase != building && k.step&UndoStep == 0 && k.asks(r) && (first == nil || k.step < first.step) {
			first = k
		}
		i = k.same
	}
	return first
}

// asks reports whether the call is what r asks for.
func (k *call) asks(r *Request) bool {
	prog, vers, proc, args := k.request()
	return prog == r.Prog && vers == r.Vers && proc == r.Proc && int(k.slot.u32(offPayload)) == len(r.Payload) && bytes.Equal(args, r.Args)
}

// request is what the call has asked for.
func (k *call) request() (prog, vers, proc uint32, args []byte) {
	head := k.chain.read(0, k.head)
	be := binary.BigEndian
	w := words{b: head[recCred:]}
	w.auth()
	w.auth()
	return be.Uint32(head[recProg:]), be.Uint32(head[recVers:]), be.Uint32(head[recProc:]), w.b
}

// nextStep is a step that no call of the request has. mu is held.
func (c *Conn) nextStep(unique uint64) uint32 {
	var last uint32
	i, ok := c.requests[unique]
	for ok && i >= 0 {
		last = max(last, c.calls[i].step&^UndoStep)
		i = c.calls[i].same
	}
	return last + 1
}

// link makes the call the newest of its request. mu is held.
func (c *Conn) link(k *call) {
	k.same, k.listed = -1, true
	if i, ok := c.requests[k.unique]; ok {
		k.same = i
	}
	c.requests[k.unique] = k.index
}

func (c *Conn) unlink(k *call) {
	if !k.listed {
		return
	}
	k.listed = false
	i := c.requests[k.unique]
	if i != k.index {
		for c.calls[i].same != k.index {
			i = c.calls[i].same
		}
		c.calls[i].same = k.same
		return
	}
	if k.same < 0 {
		delete(c.requests, k.unique)
	} else {
		c.requests[k.unique] = k.same
	}
}

// release frees the call's slots. mu is held.
func (c *Conn) release(k *call) {
	c.unlink(k)
	k.slot.setState(slotFree)
	c.at(atFreed)
	c.free = append(c.free, k.links...)
	*k = call{index: k.index, slot: k.slot, mem: k.mem, wake: k.wake, gen: k.gen + 1, same: -1, chain: k.chain[:0], links: k.links[:0]}
	c.readmit()
}

// grow gives the call more slots until it has room for n bytes, leaving some
// for requests that are under way. ok is false if there are none.
func (c *Conn) grow(k *call, n int) (ok bool) {
	more := slotsFor(n) - len(k.links)
	if more > 0 && len(c.free)-more < c.layout().Slots/8 {
		return false
	}
	for ; more > 0; more-- {
		i := c.pop()
		c.calls[k.links[len(k.links)-1]].slot.put32(offMore, uint32(i)+1)
		k.links, k.chain = append(k.links, i), append(k.chain, c.calls[i].slot)
	}
	return true
}

func (c *Conn) layout() Layout { return c.mem.Layout() }

func (c *Conn) pop() int32 {
	i := c.free[len(c.free)-1]
	c.free = c.free[:len(c.free)-1]
	return i
}

// fits reports whether a reply of n bytes needs no more slots.
func (k *call) fits(n int) bool { return align8(k.head)+n <= len(k.links)*slotRoom }

// maxKept is the longest reply that is kept.
const maxKept = 128 << 10

// record copies the reply into the call's slots, for the process that might
// have to repeat the request. ok is false if it does not fit. mu is held.
func (c *Conn) record(k *call) (ok bool) {
	at := align8(k.head)
	if len(k.result) > maxKept || !c.grow(k, at+len(k.result)) {
		return false
	}
	k.chain.write(at, k.result)
	k.slot.put32(offReply, uint32(len(k.result)))
	c.at(atCopied)
	k.slot.setState(slotKept)
	c.at(atKept)
	k.phase, k.result = kept, k.chain.read(at, len(k.result))
	return true
}

// build fills the slots of a call that nobody else sees yet.
func (c *Conn) build(k *call, r *Request) {
	s := k.slot
	s.put64(offUnique, k.unique)
	s.put32(offStep, k.step)
	s.put32(offHanded, 0)
	s.put32(offReply, 0)
	s.put32(offExpect, uint32(k.expect))
	if k.waits {
		s.put32(offExpect, uint32(k.expect)|expectWaits)
	}
	for i, l := range k.links[1:] {
		c.calls[k.links[i]].slot.put32(offMore, uint32(l)+1)
	}
	head := appendCall(s.data()[:0], r)
	k.chain.write(len(head), r.Args)
	k.head = len(head) + len(r.Args)
	s.put32(offHead, uint32(k.head))
	c.refer(k, r.Payload)
	binary.BigEndian.PutUint32(s.data(), lastFragment|uint32(k.length()-4))
}

// refer notes where the payload is.
func (c *Conn) refer(k *call, p []byte) {
	k.payload = nil
	k.slot.put32(offPayload, uint32(len(p)))
	k.slot.put64(offWhere, 0)
	if len(p) == 0 {
		k.slot.setKind(payloadNone)
		return
	}
	k.payload = p
	k.slot.setKind(payloadPrivate)
	if c.opts.Regions == nil {
		return
	}
	if off, ok := c.opts.Regions.Offset(p); ok {
		k.slot.put64(offWhere, off)
		k.slot.setKind(payloadRegion)
	}
}
