package graph

// This file is the logic of a switch: pure step functions that are explored
// exhaustively by a test. Nothing here waits, locks or calls out.

// Stage is how far a switch is.
type Stage uint8

// Stages of a switch.
const (
	StageIdle Stage = iota
	StageBuilding
	StageConnecting
	StageDraining
	StageClosed
)

func (s Stage) String() string {
	return [...]string{"serving", "building", "connecting", "draining", "closed"}[s]
}

// SwitchState is what StepSwitch works on.
type SwitchState struct {
	Stage Stage
	// Newer says that a later request waits: the one in progress gives way
	// as soon as it can.
	Newer bool
	// Abandoned says that the one in progress was told to give way.
	Abandoned bool
}

// SwitchEvent is what happened.
type SwitchEvent uint8

// Events of a switch.
const (
	// EvWant: somebody wants another volfile served.
	EvWant SwitchEvent = iota
	// EvSame: the volfile is the one in service.
	EvSame
	// EvReconfigured: only live options differed; they are in force.
	EvReconfigured
	// EvBuilt: a graph was built.
	EvBuilt
	// EvConnected: the new graph is up and of the same volume.
	EvConnected
	// EvFailed: the step in progress failed; the old graph never noticed.
	EvFailed
	// EvDrained: the old graph holds no acknowledged data any more.
	EvDrained
	// EvDrainDeadline: some files are still dirty.
	EvDrainDeadline
	// EvClose: the mount ends.
	EvClose
)

// SwitchAction is what to do about it.
type SwitchAction uint8

// Actions of a switch.
const (
	// ActBuild: diff, reconfigure or build; report EvSame, EvReconfigured,
	// EvBuilt or EvFailed.
	ActBuild SwitchAction = iota
	// ActConnect: start the new graph; report EvConnected or EvFailed.
	ActConnect
	// ActCancel: cut the building or connecting in progress short; it
	// reports EvFailed (or its success, when that came first).
	ActCancel
	// ActDiscard: stop the graph that will not serve.
	ActDiscard
	// ActDrain: make the old graph transparent and flush it; report
	// EvDrained or EvDrainDeadline.
	ActDrain
	// ActUndrain: the old graph serves again.
	ActUndrain
	// ActHold: hold the files that are still dirty.
	ActHold
	// ActSwap: the new graph is the current one.
	ActSwap
	// ActReport: tell who asked how it ended.
	ActReport
)

// StepSwitch is the state machine of the switch. The latest request wins, those
// between are skipped.
func StepSwitch(s SwitchState, e SwitchEvent) (SwitchState, []SwitchAction) {
	if s.Stage == StageClosed {
		if e == EvBuilt || e == EvConnected {
			return s, []SwitchAction{ActDiscard, ActReport}
		}
		if e == EvDrained || e == EvDrainDeadline {
			return s, []SwitchAction{ActUndrain, ActDiscard, ActReport}
		}
		return s, []SwitchAction{ActReport}
	}
	switch e {
	case EvWant:
		switch s.Stage {
		case StageIdle:
			return SwitchState{Stage: StageBuilding}, []SwitchAction{ActBuild}
		case StageBuilding, StageConnecting:
			first := !s.Abandoned
			s.Newer, s.Abandoned = true, true
			if first {
				return s, []SwitchAction{ActCancel}
			}
			return s, nil
		default: // draining ends within its deadline: let it
			s.Newer = true
			return s, nil
		}
	case EvClose:
		old := s.Stage
		s = SwitchState{Stage: StageClosed}
		if old == StageBuilding || old == StageConnecting || old == StageDraining {
			return s, []SwitchAction{ActCancel}
		}
		return s, nil
	case EvSame, EvReconfigured:
		return finish(s, ActReport)
	case EvBuilt:
		if s.Abandoned {
			return finish(s, ActDiscard, ActReport)
		}
		s.Stage = StageConnecting
		return s, []SwitchAction{ActConnect}
	case EvConnected:
		if s.Abandoned {
			return finish(s, ActDiscard, ActReport)
		}
		s.Stage = StageDraining
		return s, []SwitchAction{ActDrain}
	case EvFailed:
		switch s.Stage {
		case StageConnecting:
			return finish(s, ActDiscard, ActReport)
		case StageDraining:
			return finish(s, ActUndrain, ActDiscard, ActReport)
		}
		return finish(s, ActReport)
	case EvDrained:
		return finish(s, ActSwap, ActReport)
	case EvDrainDeadline:
		return finish(s, ActHold, ActSwap, ActReport)
	}
	panic("graph: unknown switch event")
}

func finish(s SwitchState, acts ...SwitchAction) (SwitchState, []SwitchAction) {
	if s.Newer {
		return SwitchState{Stage: StageBuilding}, append(acts, ActBuild)
	}
	return SwitchState{}, acts
}

// SettleState says whether the current graph's caches may keep things.
type SettleState struct {
	// Older counts older graphs in which requests may still run that
	// entered before the last swap.
	Older int
	// Astray counts files that are served by an older graph: held or pinned.
	Astray int
}

// SettleEvent is what happened.
type SettleEvent uint8

// Events of settling.
const (
	// SettleSwapped: a graph was swapped out, with requests in it.
	SettleSwapped SettleEvent = iota
	// SettleQuiet: every request that had entered such a graph has left it.
	SettleQuiet
	// SettleAstray: a file is going to be served by an older graph.
	SettleAstray
	// SettleHome: such a file has moved, or is closed, and no request runs
	// on the older graph because of it.
	SettleHome
	// SettleLeft: such a file has moved, or is closed, but requests that
	// used it on the older graph may still run there.
	SettleLeft
)

// StepSettle returns whether the current graph is settled. It is called before
// a request of an astray file enters the older graph, so that no cache of the
// current graph keeps what such a request is about to change.
func StepSettle(s SettleState, e SettleEvent) (SettleState, bool) {
	switch e {
	case SettleSwapped:
		s.Older++
	case SettleQuiet:
		s.Older--
	case SettleAstray:
		s.Astray++
	case SettleHome:
		s.Astray--
	case SettleLeft:
		s.Astray--
		s.Older++
	}
	return s, s.Older == 0 && s.Astray == 0
}

// RetireState is one graph on its way out.
type RetireState struct {
	// Out says that it is no longer the current graph.
	Out bool
	// Bound counts open files that are served by it.
	Bound int
	// Changed says that Out or Bound changed since the wait for requests
	// began: requests that it did not wait for may run.
	Changed bool
	// Retired is the end.
	Retired bool
}

// RetireEvent is what happened to it.
type RetireEvent uint8

// Events of retiring.
const (
	// RetireOut: it is no longer the current graph.
	RetireOut RetireEvent = iota
	// RetireBind: an open file is served by it.
	RetireBind
	// RetireUnbind: an open file is not served by it any more.
	RetireUnbind
	// RetireWait: the wait for the requests that are in it begins.
	RetireWait
	// RetireQuiet: every request that was in it at RetireWait has left.
	RetireQuiet
)

// StepRetire returns whether the graph is to be retired now (at most once), and
// whether its requests are to be waited for (again).
func StepRetire(s RetireState, e RetireEvent) (next RetireState, retire, await bool) {
	switch e {
	case RetireOut:
		s.Out, s.Changed = true, true
		await = true
	case RetireBind:
		s.Bound++
		s.Changed = true
	case RetireUnbind:
		s.Bound--
		s.Changed = true
		await = s.Out && s.Bound == 0
	case RetireWait:
		s.Changed = false
	case RetireQuiet:
		if !s.Out || s.Bound > 0 || s.Retired {
			break
		}
		if s.Changed {
			return s, false, true
		}
		s.Retired = true
		return s, true, false
	}
	return s, false, await && !s.Retired
}
