package rpc

import (
	"math/rand/v2"
	"testing"
	"time"
)

// The kill test: this process plays the kernel and the keeper. It holds the
// socket and the memory, has requests carried out by a worker process, kills
// that, and gives every unanswered request to the next one, again and again.
// The server, too, runs here and would see whatever is done twice, or not.

func TestEverythingHappensOnceWhateverIsKilled(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	w := newWorld(t)
	begin := time.Now()
	r := &w.resumed
	enough := func() bool {
		return r.times >= killCount/2 && r.halfSent > 0 && r.halfReceived > 0 && w.answers >= 5*killCount && w.callback > 0 && w.srv.granted > 0 && w.drained > 0
	}
	w.storm(killCount, enough, rand.New(rand.NewPCG(seed, 1)))
	t.Logf("seed %d: %d kills in %v, %d requests; %d take-overs, %d inside a record to be sent, %d inside one received, %d calls outstanding; %d callbacks, %d waits granted; %d bytes received in between",
		seed, w.kills, time.Since(begin).Round(time.Millisecond), w.answers, r.times, r.halfSent, r.halfReceived, r.outstanding, w.callback, w.srv.granted, w.drained)
	for _, p := range w.problems {
		t.Error(p)
	}
	if !w.so(enough) {
		t.Error("that is too little to have shown anything")
	}
}

// TestEverythingHappensOnceWithOneRequestAfterTheOther: the thread of a call is
// killed while it receives.
func TestEverythingHappensOnceWithOneRequestAfterTheOther(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	w := newWorld(t)
	w.alone = true
	r := &w.resumed
	enough := func() bool {
		return r.times >= killCount/2 && r.outstanding > 0 && w.answers >= 5*killCount && w.own >= killCount/4
	}
	w.storm(killCount, enough, rand.New(rand.NewPCG(seed, 1)))
	t.Logf("seed %d: %d kills, %d requests, %d by workers that received in the thread of the call; %d take-overs, %d calls outstanding, %d inside a record received",
		seed, w.kills, w.answers, w.own, r.times, r.outstanding, r.halfReceived)
	for _, p := range w.problems {
		t.Error(p)
	}
	if !w.so(enough) {
		t.Error("that is too little to have shown anything")
	}
}

// TestWithoutMemoryOfWhatWasSentThingsHappenTwice is the control: the same
// worker, but it does not find the calls of the one before.
func TestWithoutMemoryOfWhatWasSentThingsHappenTwice(t *testing.T) {
	w := newWorld(t)
	w.control = true
	w.storm(6, func() bool { return len(w.problems) > 0 }, rand.New(rand.NewPCG(1, 1)))
	if len(w.problems) == 0 {
		t.Error("nothing was seen to happen twice: the kill test sees nothing")
	}
	t.Logf("%d problems, as it must be; the first: %q", len(w.problems), w.problems[:min(3, len(w.problems))])
}
