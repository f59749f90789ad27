package xlator

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
)

// Type describes a kind of translator: what a volfile's `type` line names.
type Type struct {
	// Name is as in the volfile, e.g. "performance/write-behind".
	Name string
	// Summary is one sentence for people.
	Summary string
	// Options it understands. Unknown ones in a volfile are a warning.
	Options []Option
	// MinChildren and MaxChildren bound its subvolumes; MaxChildren -1: any.
	MinChildren, MaxChildren int
	// TooMany says to people why there may not be more than MaxChildren, where
	// GlusterFS's type of that name takes more.
	TooMany string
	// Forwards marks a type that is accepted and only forwards for now.
	Forwards bool
	// New makes a translator. It must not block or touch the outside: that
	// is what Start is for.
	New func(*Env) (Fops, error)
}

// Env is what a translator is given when it is built.
type Env struct {
	// Volume is the name in the volfile; it prefixes logs.
	Volume   string
	Type     *Type
	Options  Values
	Children []Fops
	Inodes   *InodeTable
	Slots    *Slots
	Phase    *Phase
	Pool     *Pool
	Errors   WriteErrors
	// Opens is nil where nothing is open but what this process opens itself.
	Opens Opens
	// Descriptors is nil where nobody keeps any.
	Descriptors Descriptors
	// Recovery is nil where no process was there before, or is going to be.
	Recovery Recovery
	Log      *slog.Logger
	// Notify tells the parents of something that happened. It does not block, and
	// is called without a lock that a fop or Notified takes.
	Notify func(Event)
	// Generation is the number of the graph, from 1.
	Generation uint64
	// Context ends when the graph is retired.
	Context context.Context
	// Mount is the options of the mount that concern translators.
	Mount MountOptions
}

// MountOptions is what a mount tells its translators.
type MountOptions struct {
	// AllowForeignBrick lets storage/posix take a directory that belongs to a
	// volume of another making.
	AllowForeignBrick bool
	ReadOnly          bool
	// RecoveryDeadline is how long requests wait for a brick that is away; 0
	// means 60 s.
	RecoveryDeadline time.Duration
	// LockLoss is what becomes of the locks of a lost session: check, fail or
	// drop; "" means check.
	LockLoss string
}

// WriteErrors records, on the file, that data which had been acknowledged could
// not be written. Each base fd then reports it once.
type WriteErrors interface {
	Record(file GFID, err error)
}

// A translator may also implement these.
type (
	// Starter is started at CONNECT, children first, and must be ready when
	// Start returns nil. The context has the deadline of the switch.
	Starter interface {
		Start(ctx context.Context) error
	}

	// Stopper is stopped at the end of the graph, leaf first, also after a
	// failed Start of another translator. It must not block for long.
	Stopper interface{ Stop() }

	// Reconfigurer takes new values of its live options while it serves.
	Reconfigurer interface{ Reconfigure(Values) error }

	// Drainer holds acknowledged data.
	Drainer interface {
		// Drain writes out what was queued before and returns when nothing
		// is left or ctx ends. The phase is PhaseDraining already.
		Drain(ctx context.Context) error
		// Dirty lists files with data not yet written.
		Dirty() []GFID
		// WaitClean waits until that file has no such data, written or
		// failed (see WriteErrors).
		WaitClean(ctx context.Context, file GFID) error
	}

	// VolumeIdentifier is a leaf that knows, after Start, of which volume it
	// is a brick.
	VolumeIdentifier interface{ VolumeID() uuid.UUID }

	// Identifier knows which brick is below: equal identities share state in
	// the pool. "" means none or several.
	Identifier interface{ Identity() string }

	// AccessStamper has its bricks note when a file was read, or not; it may be
	// told so at any time, before it is started too. All above it pass it on.
	AccessStamper interface{ StampAccess(on bool) }

	// Appender is a brick, or what has one below, that puts the data of an append
	// behind the others by itself, wherever the request says: one that is
	// carried out twice is there twice.
	Appender interface{ Appends() bool }

	// Dumper shows its state as something that encoding/json takes.
	Dumper interface{ Dump() any }

	// LockProvider says that Lk works below; see features/locks.
	LockProvider interface{ ProvidesLocks() }
)

// StatsProvider counts the fops that pass through it; `holdfast status` and the
// metrics show what it says.
type StatsProvider interface{ FopStats() []FopStats }

// FopStats is what became of one kind of fop since the mount began. Latencies
// are zero where they are not measured; quantiles are good to about 6 %.
type FopStats struct {
	Fop           string // upper case, as Fop.String
	Count, Errors uint64
	// Bytes that READV returned or WRITEV wrote; 0 for other fops.
	Bytes              uint64
	P50, P90, P99, Max time.Duration
}
