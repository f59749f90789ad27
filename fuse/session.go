package fuse

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable"
	"github.com/holdfast/holdfast/fdtable/state"
)

// Session is one process's service of a mount.
type Session struct {
	// Constant after construction.
	opts       Options
	log        *slog.Logger
	fd         int // /dev/fuse
	minor      int
	mem        *state.Memory
	initIn     []byte // INIT as if the kernel had offered what was agreed
	caps       uint64 // agreed at INIT
	slots      *slots
	large      *semaphore.Weighted // bytes of large writes in flight
	notifier   *notifier
	complaints complaints

	bridge *bridge // set by Recover, before the first request
	found  []*slot // that an earlier process was using; until Recover

	order     atomic.Uint64 // of the last request that was admitted
	early     atomic.Uint32 // last place used in the memory's ring of early INTERRUPTs
	draining  atomic.Bool   // what is read stays in its slot
	recovered atomic.Pointer[Recovered]
	forgiving *time.Timer // set by Recover, if it has something to do
	enosysMu  sync.Mutex  // one note at a time in the memory

	running inflight
	writing writing

	readers sync.WaitGroup // readers and the requests they carry out
	idle    atomic.Int32   // readers that wait for a request, or are about to
	ended   atomic.Bool    // the connection is gone
	gone    chan struct{}  // closed when ended is set
	lastErr atomic.Pointer[error]

	poolMu sync.Mutex
	pool   []*request // guarded by poolMu; objects to be used again

	stats stats
}

// NewSession returns a session that serves the mount behind dev, with mem as
// its memory. It refuses a mount of which it cannot honour what was agreed at
// INIT; then dev remains the caller's, otherwise its descriptor belongs to the
// session. mem stays the caller's: it may be closed when Serve has returned, the
// graphs are closed and no request hangs.
func NewSession(opts Options, dev *Device, mem *state.Memory) (*Session, error) {
	opts.setDefaults()
	s := &Session{opts: opts, log: opts.Log, fd: dev.FD, minor: dev.Minor, mem: mem, gone: make(chan struct{})}
	if err := s.agree(dev); err != nil {
		return nil, err
	}
	s.slots = newSlots(mem, s.log, s.opts.MaxWrite, opts.EarlyWrites)
	s.found = s.slots.takeOver()
	s.running.tick = make(chan struct{}, 1)
	s.large = semaphore.NewWeighted(max(opts.LargeWrites, int64(s.opts.MaxWrite)))
	s.notifier = newNotifier(s)
	return s, nil
}

// Connection is the number of the mount's connection: the minor of its st_dev,
// and its name in /sys/fs/fuse/connections.
func (s *Session) Connection() int { return s.minor }

// Unmount takes the mount away (see the function of that name).
func (s *Session) Unmount() error { return Unmount(s.opts.Mountpoint) }

// Serve carries out the kernel's requests until the mount is gone, and then
// returns nil. When it returns no request is running, or the hanging ones have
// been waited for as long as Options.Linger says.
//
// Recover comes before, and is called if it has not been.
func (s *Session) Serve(t *fdtable.Table) error {
	if s.bridge == nil {
		if _, err := s.Recover(t); err != nil {
			return err
		}
	}
	s.notifier.start()
	s.readers.Add(1)
	s.idle.Add(1)
	go s.read()

	done := make(chan struct{})
	go func() { s.readers.Wait(); close(done) }()
	left := s.waitForEnd(done)
	s.notifier.stop()
	if left > 0 {
		// They may still use the memory and the device.
		s.log.Warn("the mount has ended, and requests hang", "requests", left)
		return s.failure()
	}
	if s.forgiving != nil {
		s.forgiving.Stop()
	}
	s.slots.close()
	if err := s.bridge.told.close(); err != nil {
		s.log.Debug("names that the kernel was told", "err", err)
	}
	if err := unix.Close(s.fd); err != nil {
		s.log.Debug("close "+device, "err", err)
	}
	return s.failure()
}

// waitForEnd waits for the end of the mount and then, for a while, for what is
// still running. It returns how many requests hang.
func (s *Session) waitForEnd(done <-chan struct{}) int {
	select {
	case <-done:
		return 0
	case <-s.gone:
	}
	select {
	case <-done:
		return 0
	case <-time.After(s.opts.Linger):
		return max(s.running.len(), 1)
	}
}

// end notes that the connection is gone, and why if that was not an unmount.
func (s *Session) end(err error) {
	if err != nil {
		s.lastErr.CompareAndSwap(nil, &err)
	}
	if !s.ended.Swap(true) {
		close(s.gone)
		s.running.interruptAll()
	}
}

func (s *Session) failure() error {
	if e := s.lastErr.Load(); e != nil {
		return fmt.Errorf("read %s: %w", device, *e)
	}
	return nil
}

// take returns a request object.
func (s *Session) take() *request {
	s.poolMu.Lock()
	defer s.poolMu.Unlock()
	n := len(s.pool)
	if n == 0 {
		return &request{s: s}
	}
	r := s.pool[n-1]
	s.pool[n-1] = nil
	s.pool = s.pool[:n-1]
	return r
}

// spareRequests bounds the request objects that are kept.
const spareRequests = 256

func (s *Session) giveBack(r *request) {
	s.poolMu.Lock()
	defer s.poolMu.Unlock()
	if len(s.pool) < spareRequests {
		s.pool = append(s.pool, r)
	}
}

// debugging reports whether anybody reads the debug log.
func (s *Session) debugging() bool {
	return s.log.Enabled(context.Background(), slog.LevelDebug)
}
