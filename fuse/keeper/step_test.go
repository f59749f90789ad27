package keeper

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// run takes a mount through events and returns what was done.
func steps(t *testing.T, s State, es ...Event) (State, []Action) {
	t.Helper()
	var all []Action
	for _, e := range es {
		var did []Action
		s, did = Step(s, e)
		all = append(all, did...)
	}
	return s, all
}

func ev(what int) Event    { return Event{What: what} }
func died(d Death) Event   { return Event{What: EvDied, Death: d} }
func steady(d Death) Event { return Event{What: EvDied, Death: d, Steady: true} }

var serving = State{Phase: Serving, Served: true}

func TestStepsOfALife(t *testing.T) {
	for name, c := range map[string]struct {
		from  State
		es    []Event
		phase Phase
		did   []Action
	}{
		"a new mount":             {State{}, []Event{ev(EvReady)}, Serving, []Action{ActStopClock}},
		"the first worker cannot": {State{}, []Event{died(Refused)}, Ended, []Action{ActFinish}},
		"unmounted":               {serving, []Event{died(Unmounted)}, Ended, []Action{ActFinish}},
		"killed":                  {serving, []Event{died(Killed), ev(EvReady)}, Serving, []Action{ActClock, ActStart, ActStopClock}},
		"crashed twice": {serving, []Event{died(Crashed), died(Crashed), ev(EvPaused), ev(EvReady)}, Serving,
			[]Action{ActClock, ActStart, ActClock, ActPause, ActStart, ActStopClock}},
		"too late while waiting": {serving, []Event{died(Crashed), died(Crashed), ev(EvDeadline), ev(EvPaused), ev(EvGone)}, Ended,
			[]Action{ActClock, ActStart, ActClock, ActPause, ActAnswer, ActFinish}},
		"too late while a worker hangs": {serving, []Event{died(Killed), ev(EvDeadline), died(Crashed)}, Dead,
			[]Action{ActClock, ActStart, ActKill, ActAnswer}},
		"an upgrade": {serving, []Event{ev(EvUpgrade), ev(EvPrepared), died(Left), ev(EvReady)}, Serving,
			[]Action{ActStartNew, ActDrain, ActClock, ActGoNew, ActStopClock, ActDone}},
		"an upgrade to what does not start": {serving, []Event{ev(EvUpgrade), ev(EvNewDied)}, Serving, []Action{ActStartNew, ActKillNew, ActUndone}},
		"an upgrade to what hangs at first": {serving, []Event{ev(EvUpgrade), ev(EvTooLate)}, Serving, []Action{ActStartNew, ActKillNew, ActUndone}},
		"an upgrade to what hangs at last": {serving, []Event{ev(EvUpgrade), ev(EvPrepared), died(Left), ev(EvTooLate), died(Crashed), ev(EvReady)}, Serving,
			[]Action{ActStartNew, ActDrain, ActClock, ActGoNew, ActKill, ActUndone, ActStopClock, ActClock, ActStart, ActStopClock}},
		"an upgrade whose worker dies while the old one drains": {serving, []Event{ev(EvUpgrade), ev(EvPrepared), ev(EvNewDied), died(Left), ev(EvReady)}, Serving,
			[]Action{ActStartNew, ActDrain, ActUndone, ActClock, ActStart, ActStopClock}},
		"a drain that hangs": {serving, []Event{ev(EvUpgrade), ev(EvPrepared), ev(EvTooLate), died(Crashed), ev(EvReady)}, Serving,
			[]Action{ActStartNew, ActDrain, ActKill, ActClock, ActGoNew, ActStopClock, ActDone}},
		"killed while an upgrade gets ready": {serving, []Event{ev(EvUpgrade), died(Killed), ev(EvNewDied), ev(EvReady)}, Serving,
			[]Action{ActStartNew, ActKillNew, ActUndone, ActClock, ActStart, ActStopClock}},
		"unmounted during an upgrade": {serving, []Event{ev(EvUpgrade), ev(EvPrepared), died(Unmounted)}, Ended,
			[]Action{ActStartNew, ActDrain, ActKillNew, ActUndone, ActFinish}},
		"an upgrade at the wrong time": {serving, []Event{died(Killed), ev(EvUpgrade)}, Starting, []Action{ActClock, ActStart, ActRefuse}},
		"a new program that crashes when it serves": {serving, []Event{ev(EvUpgrade), ev(EvPrepared), died(Left), ev(EvReady), died(Crashed)}, Starting,
			[]Action{ActStartNew, ActDrain, ActClock, ActGoNew, ActStopClock, ActDone, ActClock, ActRollBack, ActStart}},
		"a new program that crashes later": {serving, []Event{ev(EvUpgrade), ev(EvPrepared), died(Left), ev(EvReady), steady(Crashed)}, Starting,
			[]Action{ActStartNew, ActDrain, ActClock, ActGoNew, ActStopClock, ActDone, ActClock, ActStart}},
		"revived": {State{Phase: Dead, Served: true, Late: true}, []Event{ev(EvUpgrade), ev(EvPrepared), ev(EvReady)}, Serving,
			[]Action{ActStartNew, ActStopAnswer, ActGoNew, ActStopClock, ActDone}},
		"not revived": {State{Phase: Dead, Served: true, Late: true}, []Event{ev(EvUpgrade), ev(EvPrepared), died(Crashed)}, Dead,
			[]Action{ActStartNew, ActStopAnswer, ActGoNew, ActUndone, ActAnswer}},
		"unmounted when dead": {State{Phase: Dead, Served: true, Late: true}, []Event{ev(EvUpgrade), ev(EvGone)}, Ended,
			[]Action{ActStartNew, ActKillNew, ActUndone, ActFinish}},
	} {
		s, did := steps(t, c.from, c.es...)
		if s.Phase != c.phase || !slices.Equal(did, c.did) {
			t.Errorf("%s: %v %v, want %v %v", name, s.Phase, did, c.phase, c.did)
		}
	}
}

func TestPausesGrowOnlyInASeriesOfCrashes(t *testing.T) {
	s := serving
	var waits []time.Duration
	crash := func(e Event) {
		var did []Action
		s, did = Step(s, e)
		w := time.Duration(0)
		if slices.Contains(did, ActPause) {
			w = s.Wait
			s, _ = Step(s, ev(EvPaused))
		}
		waits = append(waits, w)
		s, _ = Step(s, ev(EvReady))
	}
	for range 9 {
		crash(died(Crashed))
	}
	crash(died(Killed))
	crash(died(Refused))
	crash(steady(Crashed))
	crash(died(Crashed))
	want := "[0s 50ms 100ms 200ms 400ms 800ms 1.6s 2s 2s 0s 2s 0s 50ms]"
	if got := fmt.Sprint(waits); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestEveryOrderOfEventsEnds explores all that can happen in all orders. At any
// time one worker has the descriptors at most, an upgrade that was begun is
// answered once, and who waits has something to wait for.
func TestEveryOrderOfEventsEnds(t *testing.T) {
	type world struct {
		s                             State
		worker, next                  bool // alive
		clock, pause, answers, asked  bool
		killed, drained, ended, ready bool
	}
	seen := map[world]bool{}
	var explore func(w world, trace []Event)
	apply := func(w world, e Event, trace []Event) {
		s, did := Step(w.s, e)
		w.s = s
		for _, a := range did {
			bad := ""
			switch a {
			case ActStart:
				if w.worker || w.answers {
					bad = "a second worker"
				}
				w.worker, w.ready = true, false
			case ActGoNew:
				if w.worker || !w.next || w.answers {
					bad = "a second worker, or none"
				}
				w.worker, w.next, w.ready = true, false, false
			case ActStartNew:
				w.next, w.asked = true, true
			case ActKillNew:
				w.next = false
			case ActKill:
				if !w.worker {
					bad = "nobody to kill"
				}
				w.killed = true
			case ActDrain:
				if !w.worker {
					bad = "nobody to drain"
				}
				w.drained = true
			case ActPause:
				w.pause = true
			case ActClock:
				w.clock = true
			case ActStopClock:
				w.clock = false
			case ActAnswer:
				if w.worker {
					bad = "a worker reads the device too"
				}
				w.answers, w.clock = true, false
			case ActStopAnswer:
				w.answers = false
			case ActDone, ActUndone:
				if !w.asked {
					bad = "no upgrade was asked for"
				}
				w.asked = false
			case ActFinish:
				if w.worker || w.next || w.asked {
					bad = "something is left"
				}
				w.ended = true
			}
			if bad != "" {
				t.Fatalf("%s after %v %v: %+v", bad, append(trace, e), did, w)
			}
		}
		// Pauses only grow: they are not what is explored.
		w.s.Wait, w.s.Pause = 0, min(w.s.Pause, firstPause)
		explore(w, append(trace[:len(trace):len(trace)], e))
	}
	explore = func(w world, trace []Event) {
		if seen[w] || w.ended {
			return
		}
		seen[w] = true
		moves := 0
		move := func(ok bool, change func(*world), e Event) {
			if !ok {
				return
			}
			moves++
			n := w
			change(&n)
			apply(n, e, trace)
		}
		gone := func(n *world) { n.worker, n.killed, n.drained, n.ready = false, false, false, false }
		for _, d := range []Death{Crashed, Killed, Refused, Unmounted} {
			for _, st := range []bool{false, true} {
				move(w.worker, gone, Event{What: EvDied, Death: d, Steady: st})
			}
		}
		move(w.worker && w.drained, gone, died(Left))
		move(w.worker && !w.ready && !w.killed, func(n *world) { n.ready = true }, ev(EvReady))
		move(w.clock, func(n *world) { n.clock = false }, ev(EvDeadline))
		move(w.pause, func(n *world) { n.pause = false }, ev(EvPaused))
		move(w.next, func(n *world) {}, ev(EvPrepared))
		move(w.next, func(n *world) { n.next = false }, ev(EvNewDied))
		move(w.asked, func(n *world) {}, ev(EvTooLate))
		move(w.answers, func(n *world) { n.answers = false }, ev(EvGone))
		move(!w.asked, func(n *world) {}, ev(EvUpgrade))
		if moves == 0 {
			t.Fatalf("nothing can happen after %v: %+v", trace, w)
		}
		if !w.worker && !w.pause && !w.answers {
			t.Fatalf("nobody serves, and nobody will, after %v: %+v", trace, w)
		}
	}
	explore(world{worker: true}, nil)
	t.Logf("%d states", len(seen))
}
