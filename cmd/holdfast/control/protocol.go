package control

import (
	"encoding/json"
	"time"
)

// Request is what a client asks.
type Request struct {
	// Op is one of the Op constants.
	Op string `json:"op"`
	// Timeout bounds the whole answer; 0: the server's own choice.
	Timeout time.Duration `json:"timeout_ns,omitempty"`
	// Volfile is for OpReload: read this file from now on.
	Volfile string `json:"volfile,omitempty"`
	// Pairs are key and value in turn, for OpSet.
	Pairs [][2]string `json:"pairs,omitempty"`
	// Reset is for OpSet: forget these keys first; "all" is all of them.
	Reset []string `json:"reset,omitempty"`
}

// What can be asked.
const (
	OpStatus   = "status"
	OpReload   = "reload"
	OpSet      = "set"
	OpSettings = "settings"
	OpGraph    = "graph"
	OpDump     = "dump"
	OpVersion  = "version"
)

// Reply is the answer.
type Reply struct {
	// Error is one readable line; empty if it went well.
	Error string `json:"error,omitempty"`
	// Body is what was asked for.
	Body json.RawMessage `json:"body,omitempty"`
}

// State is what stands in the file beside the socket.
type State struct {
	PID int `json:"pid"`
	// Started is the process's start time in clock ticks since boot, so that a
	// process id that is used again is not taken for it.
	Started    uint64 `json:"started_ticks"`
	Mountpoint string `json:"mountpoint"`
	Source     string `json:"source"`
	LogFile    string `json:"log_file,omitempty"`
	Minor      int    `json:"minor"`
}
