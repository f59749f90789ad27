package keeper

import (
	"encoding/json"
	"log/slog"
	"os"
	"time"

	"github.com/holdfast/holdfast/fuse"
)

// Config is what a Keeper needs. The functions are called by its loop, one at a
// time, but for Mount and Tend.
type Config struct {
	Log *slog.Logger
	// Program is what workers run; the Keeper's from then on.
	Program *Program
	Args    []string // of workers
	Output  *os.File // their standard output and error
	// Job is what is mounted; workers get it as it is.
	Job json.RawMessage
	// Deadline is how long everything may wait for a worker before it is
	// answered with EIO; 0: 60 s.
	Deadline time.Duration

	// Mount makes the mount and whatever else each worker gets, by name.
	Mount func() (*fuse.Device, map[string]int, error)
	// Unmount takes away a mount that nobody has served.
	Unmount func()
	// Ready is told when the mount serves, for the first time, and what it does
	// not promise.
	Ready func(missing []string)
	// Answer takes the commands over while there is no worker and will be
	// none. stop returns when it has let go of them.
	Answer func(Trouble) (stop func())
	// Reply answers an upgrade on the connection of who asked, and closes it.
	Reply func(client int, o Outcome)
	// Reopen opens the log again.
	Reopen func()
	// Tend is called again and again from the end of a worker until the next one
	// has what is kept, also while everything is answered with EIO. Not by the
	// loop. nil: what is kept needs nothing.
	Tend Tend
}

// Trouble is why there is no worker.
type Trouble struct {
	Since   time.Time
	Workers uint64 // so far
	Deaths  uint64
	Error   string // of the last
	Control int    // the listening control socket; the keeper's
}

// Outcome is how an upgrade ended.
type Outcome struct {
	// Old and New are versions; New serves if there is no Error, else Old.
	Old        string  `json:"old"`
	New        string  `json:"new,omitempty"`
	Generation uint64  `json:"generation"` // of the worker that serves
	Worker     int     `json:"worker,omitempty"`
	MS         float64 `json:"ms"`       // all of it
	PauseMS    float64 `json:"pause_ms"` // from the drain's beginning to its end, and to the new worker
	Error      string  `json:"error,omitempty"`
}
