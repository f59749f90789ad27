package hint

// Phase is one of the four states of the road.
type Phase uint8

// States of a Ref.
const (
	Closed Phase = iota
	Reopening
	Open
	Lost
)

func (p Phase) String() string { return [...]string{"closed", "reopening", "open", "lost"}[p] }

// State is what Step works on.
type State struct {
	Phase Phase
	// Have is the key of the published result; 0 when there is none.
	Have uint64
	// Backoff says that the last attempt failed and its pause is not over.
	Backoff bool
}

// EventKind is what happened.
type EventKind uint8

// Events.
const (
	// Use: a request wants a result that is fresh for Key.
	Use EventKind = iota
	// Opened: the attempt made a result with Key, or has Put it itself if Key
	// is Published.
	Opened
	// Failed: the attempt failed, but a later one may not.
	Failed
	// Gone: the attempt found that what is named is gone for ever.
	Gone
	// Put: a result with Key was made elsewhere.
	Put
	// Drop: the result is given up; the next use opens again.
	Drop
	// PauseOver: the pause after a failed attempt is over.
	PauseOver
	// UsePatiently: as Use, by a request that waits for a later attempt when
	// one has failed and there is nothing to use.
	UsePatiently
)

// Published is the key of an attempt that has published its result itself, with
// Put: because something else had to change in the same moment.
const Published = 0

// Event is one thing that happened.
type Event struct {
	Kind EventKind
	Key  uint64
}

// Action is what to do about it.
type Action uint8

// Actions.
const (
	Nothing Action = iota
	// Hit: use the published result, it is fresh.
	Hit
	// UseOld: use the published result though it is stale.
	UseOld
	// Start: start the attempt, then wait for it.
	Start
	// Join: wait for the attempt in flight.
	Join
	// Refuse: there is nothing to use; report the last error.
	Refuse
	// Publish: the new result replaces the old one, which is let go.
	Publish
	// Discard: the new result is not needed; let it go.
	Discard
	// Release: let the published result go.
	Release
	// Pause: wait for the pause to be over, or for a result that is made
	// elsewhere, then ask again.
	Pause
)

// Step is the state machine of a Ref.
func Step(s State, e Event) (State, Action) {
	switch e.Kind {
	case Use:
		return use(s, e.Key, false)
	case UsePatiently:
		return use(s, e.Key, true)
	case Opened, Put:
		if s.Phase == Lost || s.Have > e.Key || e.Key == Published {
			if e.Kind == Opened && s.Phase == Reopening {
				s.Phase = rest(s)
			}
			return s, Discard
		}
		if e.Kind == Opened || s.Phase != Reopening {
			s.Phase = Open
		}
		s.Have, s.Backoff = e.Key, false
		return s, Publish
	case Failed:
		if s.Phase == Reopening {
			s.Phase, s.Backoff = rest(s), true
		}
		return s, Nothing
	case Gone:
		had := s.Have != 0
		s = State{Phase: Lost}
		if had {
			return s, Release
		}
		return s, Nothing
	case Drop:
		if s.Phase == Lost {
			return s, Nothing
		}
		had := s.Have != 0
		s.Have = 0
		if s.Phase == Open {
			s.Phase = Closed
		}
		if had {
			return s, Release
		}
		return s, Nothing
	case PauseOver:
		s.Backoff = false
		return s, Nothing
	}
	panic("hint: unknown event")
}

func use(s State, want uint64, patient bool) (State, Action) {
	switch {
	case s.Phase == Lost:
		return s, Refuse
	case s.Have != 0 && s.Have >= want:
		return s, Hit
	case s.Phase == Reopening:
		return s, Join
	case s.Backoff && s.Have != 0:
		return s, UseOld
	case s.Backoff && patient:
		return s, Pause
	case s.Backoff:
		return s, Refuse
	}
	s.Phase = Reopening
	return s, Start
}

func rest(s State) Phase {
	if s.Have != 0 {
		return Open
	}
	return Closed
}
