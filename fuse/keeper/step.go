package keeper

import "time"

// Phase is where a mount stands.
type Phase uint8

// Phases.
const (
	Starting  Phase = iota // a worker has been started and is not ready
	Serving                // a worker serves
	Preparing              // one serves, and one of an upgrade gets ready beside it
	Draining               // that one is ready; the old one finishes what it has
	Leaving                // that one died: the old one ends, and its program is started again
	Waiting                // no worker lives; the next is started after a pause
	Dead                   // there will be none: everything is answered with EIO
	Reviving               // that, and an upgrade gets a worker ready
	Ended
)

func (p Phase) String() string {
	return [...]string{"starting", "serving", "preparing", "draining", "leaving", "waiting", "failed", "reviving", "ended"}[p]
}

// Death is how a worker ended.
type Death uint8

// Deaths.
const (
	Crashed   Death = iota // by itself
	Killed                 // by a signal from outside
	Refused                // it said that it cannot serve the mount
	Left                   // asked to, with everything finished
	Unmounted              // the mount is gone
)

// What can happen.
const (
	EvReady    = iota // the worker serves
	EvDied            // the worker is gone
	EvPaused          // the pause before a start is over
	EvDeadline        // there has been no ready worker for too long
	EvUpgrade         // asked for
	EvPrepared        // the worker of the upgrade has come so far
	EvNewDied         // it is gone
	EvTooLate         // a step of the upgrade takes too long
	EvGone            // there is nothing to answer with EIO any more
)

// Event is one thing that happened. Death and Steady belong to EvDied; a worker
// was steady if it lived long enough as a ready one for its death not to be the
// next of a series.
type Event struct {
	What   int
	Death  Death
	Steady bool
}

// Action is what the keeper has to do.
type Action uint8

// Actions.
const (
	ActStart      Action = iota // a worker, of the program in use
	ActPause                    // for State.Wait, then EvPaused
	ActKill                     // the worker; EvDied follows
	ActClock                    // start the clock of the recovery deadline, if it does not run
	ActStopClock                //
	ActAnswer                   // answer everything with EIO until EvGone
	ActStopAnswer               //
	ActStartNew                 // a worker of the upgrade's program, beside the other
	ActKillNew                  // it; nothing follows
	ActDrain                    // the worker; EvDied follows
	ActGoNew                    // the upgrade's worker is the worker from now on
	ActDone                     // the upgrade: its program is the one in use
	ActUndone                   // the upgrade: it is not
	ActRollBack                 // the program before the last upgrade is the one in use
	ActRefuse                   // the upgrade: not now
	ActFinish                   // all of it
)

// Pauses before a start after a crash: none at first.
const (
	firstPause = 50 * time.Millisecond
	mostPause  = 2 * time.Second
)

// State is what Step knows of a mount.
type State struct {
	Phase  Phase
	Served bool // a worker has been ready: the mount stands
	// Trial says that the worker which starts is of an upgrade.
	Trial bool
	// Fresh says that nothing is known of the program in use but that it has
	// become ready after an upgrade.
	Fresh bool
	Late  bool          // the deadline has passed
	Pause time.Duration // before the start after the next crash
	Wait  time.Duration // of ActPause
}

// Step is the life of a mount. It is a function of its arguments alone.
func Step(s State, e Event) (State, []Action) {
	switch {
	case s.Phase == Ended:
		return s, nil
	case e.What == EvUpgrade && s.Phase != Serving && s.Phase != Dead:
		return s, []Action{ActRefuse}
	case e.What == EvDied:
		return s.died(e)
	}
	switch s.Phase {
	case Starting:
		return s.starting(e)
	case Serving:
		if e.What == EvUpgrade {
			s.Phase = Preparing
			return s, []Action{ActStartNew}
		}
	case Preparing:
		switch e.What {
		case EvPrepared:
			s.Phase = Draining
			return s, []Action{ActDrain}
		case EvNewDied, EvTooLate:
			s.Phase = Serving
			return s, []Action{ActKillNew, ActUndone}
		}
	case Draining:
		switch e.What {
		case EvNewDied:
			s.Phase = Leaving
			return s, []Action{ActUndone}
		case EvTooLate: // what it has not finished, the next one does
			return s, []Action{ActKill}
		}
	case Leaving:
		if e.What == EvTooLate {
			return s, []Action{ActKill}
		}
	case Waiting:
		switch e.What {
		case EvPaused:
			s.Phase = Starting
			return s, []Action{ActStart}
		case EvDeadline:
			s.Phase, s.Late = Dead, true
			return s, []Action{ActAnswer}
		}
	case Dead, Reviving:
		return s.dead(e)
	}
	return s, nil
}

func (s State) starting(e Event) (State, []Action) {
	switch e.What {
	case EvReady:
		did := []Action{ActStopClock}
		if s.Trial {
			did = append(did, ActDone)
			s.Fresh = true
		}
		s.Phase, s.Served, s.Trial, s.Late = Serving, true, false, false
		return s, did
	case EvDeadline:
		s.Late = s.Late || !s.Trial // another program gets its time
		return s, []Action{ActKill}
	case EvTooLate:
		if s.Trial {
			return s, []Action{ActKill}
		}
	}
	return s, nil
}

func (s State) dead(e Event) (State, []Action) {
	switch {
	case e.What == EvGone:
		did := []Action{ActFinish}
		if s.Phase == Reviving {
			did = []Action{ActKillNew, ActUndone, ActFinish}
		}
		s.Phase = Ended
		return s, did
	case s.Phase == Dead && e.What == EvUpgrade:
		s.Phase = Reviving
		return s, []Action{ActStartNew}
	case s.Phase == Reviving && e.What == EvPrepared:
		s.Phase, s.Trial = Starting, true
		return s, []Action{ActStopAnswer, ActGoNew}
	case s.Phase == Reviving && (e.What == EvNewDied || e.What == EvTooLate):
		s.Phase = Dead
		return s, []Action{ActKillNew, ActUndone}
	}
	return s, nil
}

// died is the end of the worker.
func (s State) died(e Event) (State, []Action) {
	beside := s.Phase == Preparing || s.Phase == Draining // a worker of an upgrade lives
	if e.Death == Unmounted || !s.Served {
		var did []Action
		if beside {
			did = []Action{ActKillNew, ActUndone}
		} else if s.Trial {
			did = []Action{ActUndone}
		}
		s.Phase = Ended
		return s, append(did, ActFinish)
	}
	switch s.Phase {
	case Draining:
		s.Phase, s.Trial = Starting, true
		return s, []Action{ActClock, ActGoNew}
	case Leaving:
		s.Phase = Starting
		return s, []Action{ActClock, ActStart}
	case Preparing:
		s, did := s.again(e)
		return s, append([]Action{ActKillNew, ActUndone}, did...)
	case Starting, Serving:
		return s.again(e)
	}
	return s, nil
}

// again starts the next worker, now or a little later.
func (s State) again(e Event) (State, []Action) {
	switch {
	case s.Trial && s.Late: // it was dead before, and is again
		s.Phase, s.Trial = Dead, false
		return s, []Action{ActUndone, ActAnswer}
	case s.Trial:
		s.Phase, s.Trial = Starting, false
		return s, []Action{ActUndone, ActStopClock, ActClock, ActStart}
	case s.Late:
		s.Phase = Dead
		return s, []Action{ActAnswer}
	}
	did := []Action{ActClock}
	if s.Fresh && e.Death != Killed && !e.Steady {
		did = append(did, ActRollBack)
		s.Pause = 0
	}
	s.Fresh = s.Fresh && e.Death == Killed && !e.Steady
	s.Wait = s.pause(e)
	if s.Wait == 0 {
		s.Phase = Starting
		return s, append(did, ActStart)
	}
	s.Phase = Waiting
	return s, append(did, ActPause)
}

// pause is how long to wait before the next start. Who is killed from outside is
// started at once: whoever does that has a reason, and it was not us.
func (s *State) pause(e Event) (now time.Duration) {
	switch {
	case e.Death == Killed || e.Death == Left:
		return 0
	case e.Steady:
		s.Pause = 0
	}
	now = s.Pause
	s.Pause = min(max(2*s.Pause, firstPause), mostPause)
	return now
}
