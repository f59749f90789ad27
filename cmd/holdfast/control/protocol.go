package control

import (
	"encoding/json"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
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
	// Limit is for OpUpgrade: how long a new program may take to get ready.
	Limit time.Duration `json:"limit_ns,omitempty"`

	// FDs are descriptors that go with it. A client's stay the client's; a
	// handler's are closed after it unless it takes them out.
	FDs []int `json:"-"`

	conn  *net.UnixConn // of a handler
	taken bool
}

// TakeConn gives a handler the connection of who asked, for somebody else to
// answer (WriteReply). What the handler returns is not sent.
func (r *Request) TakeConn() (fd int, err error) {
	raw, err := r.conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	var derr error
	err = raw.Control(func(c uintptr) { fd, derr = unix.FcntlInt(c, unix.F_DUPFD_CLOEXEC, 3) })
	if err == nil {
		err = derr
	}
	if err != nil {
		return -1, fmt.Errorf("pass on the connection: %w", err)
	}
	r.taken = true
	return fd, nil
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
	OpUpgrade  = "upgrade" // with the program's descriptor
	OpAdopt    = "adopt"   // with one end of a connection to a new keeper
)

// Reply is the answer.
type Reply struct {
	// Error is one readable line; empty if it went well.
	Error string `json:"error,omitempty"`
	// Body is what was asked for.
	Body json.RawMessage `json:"body,omitempty"`
}

// Untake undoes TakeConn: the handler answers after all.
func (r *Request) Untake() { r.taken = false }

// Process is one that a number alone does not name: numbers are used again.
type Process struct {
	PID int `json:"pid"`
	// Started is its start time in clock ticks since boot.
	Started uint64 `json:"started_ticks"`
}

// State is what stands in the file beside the socket: who is behind the mount.
type State struct {
	// Process is who ends last: the keeper, or the only one there is.
	Process
	// Worker is who serves, beside a keeper. It may just be another.
	Worker     Process `json:"worker,omitzero"`
	Mountpoint string  `json:"mountpoint"`
	Source     string  `json:"source"`
	LogFile    string  `json:"log_file,omitempty"`
	Minor      int     `json:"minor"`
	// Service keeps the mount while no process serves it.
	Service string `json:"service,omitempty"`
}
