package rpc

import (
	"errors"
	"fmt"
	"syscall"
)

// Outcome is what is known about a call without a reply.
type Outcome uint32

const (
	// NotSent: the server has not got the call, or not all of it, and has not
	// carried it out. Nothing is recorded; the same step may be called again.
	NotSent Outcome = 1
	// Unknown: the server may have carried the call out. That is recorded
	// until End: whoever asks for this step again gets the same error. To
	// send it again, use the next step.
	Unknown Outcome = 2
)

func (o Outcome) String() string {
	if o == NotSent {
		return "not sent"
	}
	return "outcome unknown"
}

// LostError is how a call ends when its connection does.
type LostError struct {
	Outcome Outcome
	// Cause is what ended the connection; nil if that was in another process.
	Cause error
}

func (e *LostError) Error() string {
	if e.Cause == nil {
		return fmt.Sprintf("connection lost (%s)", e.Outcome)
	}
	return fmt.Sprintf("connection lost (%s): %v", e.Outcome, e.Cause)
}

// Unwrap gives ENOTCONN before whatever the cause carries.
func (e *LostError) Unwrap() []error {
	if e.Cause == nil {
		return []error{syscall.ENOTCONN}
	}
	return []error{syscall.ENOTCONN, e.Cause}
}

// Reject is why a server accepted a message and refused the call in it
// (RFC 5531 accept_stat).
type Reject uint32

// The values of accept_stat but SUCCESS.
const (
	ProgUnavail  Reject = 1
	ProgMismatch Reject = 2
	ProcUnavail  Reject = 3
	// GarbageArgs is also a 10.3 brick's answer to any fop before SETVOLUME.
	GarbageArgs Reject = 4
	SystemErr   Reject = 5
)

func (r Reject) String() string {
	switch r {
	case ProgUnavail:
		return "the server does not have this program"
	case ProgMismatch:
		return "the server does not have this version of the program"
	case ProcUnavail:
		return "the server does not have this procedure"
	case GarbageArgs:
		return "the server could not decode the arguments"
	case SystemErr:
		return "the server failed"
	}
	return fmt.Sprintf("accept_stat %d", uint32(r))
}

// RejectError is a call that the server refused as a call. The connection goes
// on.
type RejectError struct {
	Prog, Vers, Proc uint32
	Reject           Reject
}

func (e *RejectError) Error() string {
	return fmt.Sprintf("program %d version %d procedure %d: %s", e.Prog, e.Vers, e.Proc, e.Reject)
}

// Unwrap gives EOPNOTSUPP for what the server does not have, else EIO.
func (e *RejectError) Unwrap() error {
	switch e.Reject {
	case ProgUnavail, ProgMismatch, ProcUnavail:
		return syscall.EOPNOTSUPP
	}
	return syscall.EIO
}

// ErrOutstanding is in the error of a Call whose context ended after the call
// had been sent: it still runs on the server, and its reply waits for the same
// step to be called again or for End.
var ErrOutstanding = errors.New("the call is still running on the server")

// ErrClosed is the cause of the loss of a connection that was closed here.
var ErrClosed = errors.New("connection closed")

var (
	errPoison = fmt.Errorf("this request ended every process that handled its reply: %w", syscall.EIO)
	errPing   = fmt.Errorf("the server does not answer: %w", syscall.ETIMEDOUT)
)

// protocolError is something no server may send. It costs the connection.
func protocolError(format string, args ...any) error {
	return fmt.Errorf("protocol error: %s: %w", fmt.Sprintf(format, args...), syscall.EPROTO)
}
