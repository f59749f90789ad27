package fuse

import "sync/atomic"

// stats counts; all fields are atomic.
type stats struct {
	ops      [opCount]atomic.Uint64
	panics   atomic.Uint64
	unwanted atomic.Uint64
	refused  atomic.Uint64
}

func (s *stats) count(op uint32) { s.ops[op%opCount].Add(1) }

// Stats is what a session has done, and is doing.
type Stats struct {
	Connection int               `json:"connection"`
	Features   []string          `json:"features"`
	InFlight   int               `json:"in_flight"` // requests being carried out
	Idle       int               `json:"idle"`      // readers that wait for one
	Requests   map[string]uint64 `json:"requests"`  // by opcode
	Panics     uint64            `json:"panics"`
	// Unwanted replies came after the kernel had given the request up; Refused
	// ones were malformed, and EIO was sent instead.
	Unwanted uint64 `json:"unwanted"`
	Refused  uint64 `json:"refused"`
	// Memory for requests and replies, and early-answered writes in it.
	SlotBytes     int64 `json:"slot_bytes"`
	SlotBytesUsed int64 `json:"slot_bytes_used"`
	EarlyBytes    int64 `json:"early_bytes"`
	// Recovered is what was found of the process before.
	Recovered Recovered `json:"recovered"`
}

// Stats returns them.
func (s *Session) Stats() Stats {
	st := Stats{
		Connection: s.minor, Features: s.Features(), InFlight: s.running.len(), Idle: int(s.idle.Load()),
		Requests: map[string]uint64{}, Panics: s.stats.panics.Load(), Unwanted: s.stats.unwanted.Load(),
		Refused: s.stats.refused.Load(), EarlyBytes: s.slots.early.used.Load(),
	}
	if r := s.recovered.Load(); r != nil {
		st.Recovered = *r
	}
	st.SlotBytes, st.SlotBytesUsed = s.slots.bytes()
	for op := range s.stats.ops {
		if n := s.stats.ops[op].Load(); n > 0 {
			st.Requests[opName(uint32(op))] += n
		}
	}
	return st
}
