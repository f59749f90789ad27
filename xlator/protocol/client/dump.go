package client

import (
	"time"

	"github.com/google/uuid"
)

// Dump is what there is to know about a session.
type Dump struct {
	Brick    string    `json:"brick"`
	State    string    `json:"state"` // up, away, sick, not started
	Error    string    `json:"error,omitempty"`
	Session  uint64    `json:"session"` // its number; how many there have been
	VolumeID uuid.UUID `json:"volume_id"`
	Address  string    `json:"address,omitempty"`
	// AwaySeconds is for how long the brick has been away.
	AwaySeconds float64 `json:"away_seconds,omitempty"`
	Graphs      int     `json:"graphs"` // that use the session
	Requests    int     `json:"requests"`
	// Unanswered calls of the brick, and how many of their bytes have not gone out.
	Unanswered  int    `json:"unanswered"`
	UnsentBytes uint64 `json:"unsent_bytes"`

	Open         int   `json:"open"`
	LocksHeld    int64 `json:"locks_held"`
	LocksWaiting int   `json:"locks_waiting"`

	// Since the mount: sessions made, open objects adopted by another graph
	// without a call to the brick, opened again, locks taken again, locks taken over
	// from another connection to the brick, open files and locks lost, lost replies
	// whose outcome was found out.
	Sessions uint64 `json:"sessions"`
	// Sessions taken over from an earlier process, with open objects.
	Resumed   uint64 `json:"resumed"`
	Inherited uint64 `json:"inherited"`
	Adopted   uint64 `json:"adopted"`
	Reopened  uint64 `json:"reopened"`
	Relocked  uint64 `json:"relocked"`
	Moved     uint64 `json:"moved"`
	FilesLost uint64 `json:"files_lost"`
	LocksLost uint64 `json:"locks_lost"`
	Resolved  uint64 `json:"resolved"`
}

func (s *session) dump() Dump {
	d := Dump{
		Brick: s.key.brick(), State: "up", LocksHeld: s.locksHeld.Load(),
		Sessions: s.counts.sessions.Load(), Resumed: s.counts.resumed.Load(), Inherited: s.counts.inherited.Load(), Adopted: s.counts.adopted.Load(), Reopened: s.counts.reopened.Load(),
		Relocked: s.counts.relocked.Load(), Moved: s.counts.moved.Load(), FilesLost: s.counts.lost.Load(), LocksLost: s.counts.locksLost.Load(), Resolved: s.counts.resolved.Load(),
	}
	s.mu.Lock()
	d.Session, d.VolumeID, d.Requests = s.number, s.volume, s.inside
	if !s.up {
		d.State, d.AwaySeconds = "away", time.Since(s.since).Seconds()
		if s.sick {
			d.State = "sick"
		}
		if s.cause != nil {
			d.Error = s.cause.Error()
		}
	} else if a := s.conn.RemoteAddr(); a != nil {
		d.Address = a.String()
		d.Unanswered, d.UnsentBytes = s.conn.Unanswered()
	}
	s.mu.Unlock()
	s.tellMu.Lock()
	d.Graphs = len(s.told)
	s.tellMu.Unlock()
	s.opened.mu.Lock()
	for _, f := range s.opened.files {
		d.Open += len(f.remotes)
	}
	s.opened.mu.Unlock()
	d.LocksWaiting = s.waiting()
	return d
}
