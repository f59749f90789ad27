package switchtest

import (
	"encoding/json"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLocksGoOnExcludingOthers(t *testing.T) {
	v := newVolume(t, stacks[0]...)
	create(t, v.path("p"), 0)
	create(t, v.path("f"), 0)
	a, b := newChild(t, nil), newChild(t, nil)
	for _, c := range []*child{a, b} {
		c.want("ok", "open p %s %d", v.path("p"), unix.O_RDWR)
		c.want("ok", "open f %s %d", v.path("f"), unix.O_RDWR)
	}
	a.want("ok", "lock p wr 10 10")
	a.want("ok", "flock f ex")
	for range 10 {
		v.step()
		b.want("EAGAIN", "lock p wr 15 1")
		b.want("EAGAIN", "flock f sh")
		b.want("ok", "lock p wr 20 5")
		b.want("ok", "lock p un 20 5")
	}
	a.want("ok", "lock p un 0 0")
	a.want("ok", "flock f un")
	b.want("ok", "lock p wr 10 10")
	b.want("ok", "flock f ex")
	if s := v.Status(); s.Locks.Held != 2 || s.Locks.Lost != 0 {
		t.Fatalf("%+v", s.Locks)
	}
}

func TestTwoDescriptorsOfALockedFile(t *testing.T) {
	v := newVolume(t, stacks[0]...)
	create(t, v.path("f"), 0)
	a, b := newChild(t, nil), newChild(t, nil)
	for _, c := range []*child{a, b} {
		c.want("ok", "open one %s %d", v.path("f"), unix.O_RDWR)
		c.want("ok", "open two %s %d", v.path("f"), unix.O_RDWR)
	}
	a.want("ok", "lock one wr 0 10")
	v.step()
	// One fd has not been used since: it must not lock its own process out.
	a.want("ok", "lock two wr 0 10")
	a.want("ok", "lock one wr 5 10")
	b.want("EAGAIN", "lock one wr 0 1")
	v.step()
	// POSIX: closing any descriptor of the file drops the process's locks.
	a.want("ok", "close two")
	b.want("ok", "lock one wr 0 20")
}

func TestWaitingLockIsGrantedInItsTurn(t *testing.T) {
	v := newVolume(t, stacks[0]...)
	create(t, v.path("f"), 0)
	var c [3]*child
	for i := range c {
		c[i] = newChild(t, nil)
		c[i].want("ok", "open f %s %d", v.path("f"), unix.O_RDWR)
	}
	waiting := func(n int) {
		v.until("waits", func() bool { return v.waiting() == n })
	}
	c[0].want("ok", "lock f wr 0 10")
	c[1].send("lock f wr 0 10 wait")
	waiting(1)
	v.step()
	c[2].send("lock f wr 0 10 wait")
	waiting(2)
	for range 5 {
		v.step()
	}
	c[0].want("ok", "lock f un 0 10")
	if got := c[1].answer(); got != "ok" {
		t.Fatal(got)
	}
	if n := v.waiting(); n != 1 {
		t.Fatalf("%d wait", n)
	}
	v.step()
	c[1].want("ok", "lock f un 0 10")
	if got := c[2].answer(); got != "ok" {
		t.Fatal(got)
	}
}

func TestInterruptedWaitLeavesNoGhost(t *testing.T) {
	v := newVolume(t, stacks[0]...)
	create(t, v.path("f"), 0)
	a, b, c := newChild(t, nil), newChild(t, nil), newChild(t, nil)
	for _, x := range []*child{a, b, c} {
		x.want("ok", "open f %s %d", v.path("f"), unix.O_RDWR)
	}
	a.want("ok", "lock f wr 0 10")
	b.send("lock f wr 0 10 wait 1")
	v.until("it waits", func() bool { return v.waiting() == 1 })
	deadline := time.Now().Add(700 * time.Millisecond)
	for time.Now().Before(deadline) {
		v.step()
	}
	if got := b.answer(); got != "EINTR" {
		t.Fatal(got)
	}
	v.step()
	a.want("ok", "lock f un 0 10")
	c.want("free", "getlk f 0 10")
	c.want("ok", "lock f wr 0 10")
}

// TestKilledWaiterLeavesNoGhost: the process that waits is killed.
func TestKilledWaiterLeavesNoGhost(t *testing.T) {
	v := newVolume(t, stacks[0]...)
	create(t, v.path("f"), 0)
	a, b, c := newChild(t, nil), newChild(t, nil), newChild(t, nil)
	for _, x := range []*child{a, b, c} {
		x.want("ok", "open f %s %d", v.path("f"), unix.O_RDWR)
	}
	a.want("ok", "lock f wr 0 10")
	b.send("lock f wr 0 10 wait")
	v.until("it waits", func() bool { return v.waiting() == 1 })
	v.step()
	must(t, b.cmd.Process.Kill())
	v.until("nobody waits", func() bool { return v.waiting() == 0 })
	a.want("ok", "lock f un 0 10")
	c.want("ok", "lock f wr 0 10")
}

// waiting is how many lock waits there are.
func (v *volume) waiting() int {
	v.t.Helper()
	var s struct {
		Locks struct{ Waiting int }
	}
	must(v.t, json.Unmarshal(v.Status().Raw, &s))
	return s.Locks.Waiting
}
