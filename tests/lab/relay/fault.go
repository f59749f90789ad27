package relay

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// Direction is the way that a record goes.
type Direction int

// The two directions.
const (
	ToServer Direction = iota
	ToClient
)

func (d Direction) reverse() Direction { return 1 - d }

func (d Direction) String() string {
	if d == ToServer {
		return "to the server"
	}
	return "to the client"
}

// Stage is a moment in the life of one call.
type Stage int

// The stages, in their order. "Request" and "reply" are those of the call: for
// a call that the server makes, the request goes to the client.
const (
	// BeforeRequest: nothing of the request has been passed on.
	BeforeRequest Stage = iota
	// InRequest: a part of the request has been passed on (Fault.Bytes).
	InRequest
	// AfterRequest: all of the request has been passed on, nothing of its reply
	// has, nor will be. Whether it is carried out is open.
	AfterRequest
	// BeforeReply: the reply has come, so the request has been carried out, and
	// nothing of the reply has been passed on.
	BeforeReply
	// InReply: a part of the reply has been passed on (Fault.Bytes).
	InReply
	// AfterReply: all of the reply has been passed on, nothing that came later.
	AfterReply
)

// Action is what happens at a stage.
type Action int

const (
	// Cut ends the connection on both sides as close(2) does, with FIN, behind
	// what has been passed on.
	Cut Action = iota
	// Reset ends the connection on both sides with RST. What had been passed on
	// and not yet been read may be lost with it.
	Reset
	// Hold keeps the record back, at BeforeRequest or BeforeReply; all others
	// pass it by. Release passes it on; until then it is a lost one.
	Hold
)

// Fault is something that happens once, to one call.
type Fault struct {
	Call Call
	// Nth is which such call from now on, on any connection; 0 is 1, the next.
	Nth int
	At  Stage
	// Bytes is how much of the record, its mark of 4 bytes included, is passed
	// on at InRequest and InReply; 0 is half of it.
	Bytes int
	Do    Action
}

// Armed is a Fault that waits for its call, or has met it.
type Armed struct {
	// Constant.
	fault Fault
	done  chan struct{} // closed when it has happened
	free  chan struct{} // closed by Release; of Hold

	seen  int  // calls so far; guarded by Gate.mu
	freed bool // guarded by Gate.mu
	gate  *Gate
}

// Arm has f happen. A fault that cannot happen fails the test.
func (g *Gate) Arm(t testing.TB, f Fault) *Armed {
	t.Helper()
	if err := f.check(); err != nil {
		t.Fatal(err)
	}
	f.Nth = max(f.Nth, 1)
	a := &Armed{fault: f, gate: g, done: make(chan struct{}), free: make(chan struct{})}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.armed = append(g.armed, a)
	return a
}

// meet counts a call against what is armed and returns what happens to it.
func (g *Gate) meet(c Call) *Armed {
	g.mu.Lock()
	defer g.mu.Unlock()
	var hit *Armed
	rest := g.armed[:0:0]
	for _, a := range g.armed {
		if a.fault.Call == c {
			a.seen++
		}
		if hit == nil && a.fault.Call == c && a.seen >= a.fault.Nth {
			hit = a
			continue
		}
		rest = append(rest, a)
	}
	g.armed = rest
	return hit
}

// Disarm takes the fault back, if it has not met its call.
func (a *Armed) Disarm() {
	a.gate.mu.Lock()
	defer a.gate.mu.Unlock()
	rest := a.gate.armed[:0:0]
	for _, other := range a.gate.armed {
		if other != a {
			rest = append(rest, other)
		}
	}
	a.gate.armed = rest
}

// Done is closed when it has happened: both connections are shut down, or the
// record is held.
func (a *Armed) Done() <-chan struct{} { return a.done }

// waitTimeout is for what a test waits for; nothing takes that long.
const waitTimeout = 30 * time.Second

// Wait waits until it has happened, and fails the test if it does not.
func (a *Armed) Wait(t testing.TB) {
	t.Helper()
	select {
	case <-a.done:
	case <-time.After(waitTimeout):
		t.Fatalf("after %v there was no %d. %v to break; passed:\n%s", waitTimeout, a.fault.Nth, a.fault.Call, a.gate.Table())
	}
}

// Release passes on what Hold keeps back, or will keep back.
func (a *Armed) Release() {
	a.gate.mu.Lock()
	defer a.gate.mu.Unlock()
	if !a.freed {
		a.freed = true
		close(a.free)
	}
}

// upTo is how much of the record is passed on.
func (f Fault) upTo(wire []byte) int {
	switch f.At {
	case BeforeRequest, BeforeReply:
		return 0
	case InRequest, InReply:
		if f.Bytes > 0 {
			return min(f.Bytes, len(wire))
		}
		return len(wire) / 2
	}
	return len(wire)
}

// ofReply says that the fault is in the reply, not in the request.
func (f Fault) ofReply() bool { return f.At >= BeforeReply }

func (f Fault) check() error {
	if f.Do == Hold && f.At != BeforeRequest && f.At != BeforeReply {
		return errors.New("only a whole record can be held: BeforeRequest or BeforeReply")
	}
	if f.At < BeforeRequest || f.At > AfterReply || f.Do < Cut || f.Do > Hold {
		return fmt.Errorf("no such stage %d or action %d", f.At, f.Do)
	}
	return nil
}
