package fuse

import (
	"log/slog"
	"runtime"
	"time"

	"github.com/holdfast/holdfast/xlator"
)

// Options describe a mount.
type Options struct {
	// Source is shown as the mounted device.
	Source     string
	Mountpoint string
	// Subtype makes the type of the file system "fuse.<Subtype>".
	Subtype string
	// Flags are mount(2)'s MS_ flags.
	Flags uintptr
	// Data are further options for the kernel, such as "allow_other".
	Data []string

	// How long the kernel may keep what it was told; zero: not at all.
	// Negative entries are not kept unless NegativeTimeout is set.
	AttrTimeout, EntryTimeout, NegativeTimeout time.Duration

	// MaxWrite is the largest payload of a READ or WRITE in bytes; 0: 1 MiB.
	MaxWrite int
	// MaxBackground bounds the kernel's readahead, write-back and
	// asynchronous direct requests in flight; 0: 64.
	MaxBackground int
	// ReadAhead is the kernel's readahead window in bytes; 0: 1 MiB.
	ReadAhead int

	ReadOnly bool
	// ACL makes the kernel check POSIX ACLs. Without it they cannot be read
	// or set.
	ACL bool
	// DirectIO bypasses the page cache for all files.
	DirectIO bool
	// KeepCache keeps a file's pages from one open to the next; changes made
	// elsewhere are then seen by size or mtime only.
	KeepCache bool

	// LargeWrites bounds the bytes of large writes (over 8 KiB) in flight,
	// and EarlyWrites the bytes of writes that were answered before their
	// data had reached a brick; 0: 128 MiB and 64 MiB.
	LargeWrites, EarlyWrites int64
	// DrainTimeout is how long new requests wait for what an earlier process
	// has acknowledged to be written; files that take longer are held. 0: 5 s.
	DrainTimeout time.Duration
	// RecoveryDeadline is how long it is tried to open such a file; 0: 60 s.
	RecoveryDeadline time.Duration
	// Resend says that the memory is new and the mount is not: the kernel has
	// sent requests to a process that has died, and is asked for them again.
	Resend bool
	// Notify, if not nil, has another process write notifications to the kernel
	// (WriteNotifications), and returns when that is done, or quit is closed; done is
	// false if nobody does it. messages is the caller's again then. The kernel waits in
	// that write for requests of the mount, and the process cannot be killed meanwhile: one
	// that serves them would keep its successor waiting.
	Notify func(messages []byte, quit <-chan struct{}) (done bool, err error) `json:"-"`
	// Descriptors keep, where names are kept by the kernel for longer than a second,
	// which it was told, for the next process to take them back; nil: nobody does.
	Descriptors xlator.Descriptors
	// Linger is how long Serve waits, after the mount has ended, for requests
	// that hang; 0: 5 s.
	Linger time.Duration

	Log *slog.Logger // nil: slog's default
}

const (
	defaultMaxWrite      = 1 << 20
	defaultMaxBackground = 64
	defaultReadAhead     = 1 << 20
	defaultLargeWrites   = 128 << 20
	defaultEarlyWrites   = 64 << 20
	defaultLinger        = 5 * time.Second
	defaultDrainTimeout  = 5 * time.Second
	defaultDeadline      = 60 * time.Second
)

func (o *Options) setDefaults() {
	setDefault(&o.MaxWrite, defaultMaxWrite)
	setDefault(&o.MaxBackground, defaultMaxBackground)
	setDefault(&o.ReadAhead, defaultReadAhead)
	setDefault(&o.LargeWrites, defaultLargeWrites)
	setDefault(&o.EarlyWrites, defaultEarlyWrites)
	setDefault(&o.Linger, defaultLinger)
	setDefault(&o.DrainTimeout, defaultDrainTimeout)
	setDefault(&o.RecoveryDeadline, defaultDeadline)
	setDefault(&o.Subtype, "holdfast")
	// The kernel's limits: at least a page, at most 256 of them.
	o.MaxWrite = min(max(o.MaxWrite, pageSize), defaultMaxWrite)
	if o.Log == nil {
		o.Log = slog.Default()
	}
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// idleReaders is how many goroutines may wait in read(2). Each holds one of the
// Go scheduler's processors while it does; more of them than processors have
// the scheduler take processors away and give them back all the time.
func idleReaders() int32 {
	return int32(min(max(min(runtime.NumCPU(), runtime.GOMAXPROCS(0)), 2), 16))
}
