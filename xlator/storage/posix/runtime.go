package posix

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// pathLimit bounds the O_PATH descriptors that a brick keeps.
const pathLimit = 2048

// retries bounds how often an operation looks again because a name changed
// under it.
const retries = 64

// Runtime is one brick directory in use by this process: what all graphs of a
// mount share. It lives in the mount's pool.
type Runtime struct {
	dir      string // as asked for
	identity string // "brick:<dev>:<ino>"
	volume   uuid.UUID
	log      *slog.Logger
	root     *object
	rootFD   *kfd
	meta     int // .glusterfs
	staging  int // .glusterfs/staging
	orphans  int // .glusterfs/unlink
	lock     *lockFile
	users    xlator.Opens // nil: nobody has open what this process has not
	dev      uint64
	mount    int32

	byGFID, byHandle *weakMap
	paths            pathCache
	graves           graveyard

	descMu sync.Mutex
	kept   map[descKey]*descriptor // those of base fds; guarded by descMu
	all    map[*descriptor]bool    // guarded by descMu

	gate   atomic.Pointer[chan struct{}]
	serial atomic.Uint64 // names in staging

	// served says that a graph which had the directory was in service. An
	// inherited lock stays with the keeper otherwise: a worker could not start,
	// the mount lives, and the next worker tries again.
	served atomic.Bool

	objects, opens, adoptions, lookups, learned atomic.Int64
}

// pass is one goroutine's way through the gate, the bound on concurrent system
// calls.
type pass struct{ gate chan struct{} }

func (rt *Runtime) enter() pass {
	p := pass{}
	p.in(rt)
	return p
}

func (p *pass) in(rt *Runtime) {
	p.gate = *rt.gate.Load()
	p.gate <- struct{}{}
}

// out lets the next one in; a second out does nothing.
func (p *pass) out() {
	if p.gate != nil {
		<-p.gate
		p.gate = nil
	}
}

// lockNames takes the object's names lock without being inside the gate
// meanwhile.
func (rt *Runtime) lockNames(p *pass, o *object) {
	p.out()
	o.names.Lock()
	p.in(rt)
}

// unlockNames gives the lock back; the pass stays.
func unlockNames(o *object) { o.names.Unlock() }

func (rt *Runtime) setLimit(n int64) {
	if g := rt.gate.Load(); g != nil && cap(*g) == int(n) {
		return
	}
	g := make(chan struct{}, n)
	rt.gate.Store(&g)
}

// acquire returns a descriptor of the object, good for everything but reading
// and writing data. The caller is inside the gate and puts it back.
func (rt *Runtime) acquire(o *object) (*kfd, error) {
	if o == rt.root {
		return rt.rootFD.ref(), nil
	}
	if k := rt.paths.get(o); k != nil {
		return k, nil
	}
	if k := o.descriptor(); k != nil {
		return k, nil
	}
	if o.state() == gone {
		return nil, unix.ESTALE
	}
	n, err := rt.openHandle(o, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	return rt.paths.add(o, newKFD(n, false)), nil
}

// openHandle opens an object by its file handle; when descriptors run short the
// path cache gives its own up first.
func (rt *Runtime) openHandle(o *object, flags int) (int, error) {
	n, err := openByHandle(rt.rootFD.n, o.fh, flags)
	if err == unix.EMFILE || err == unix.ENFILE {
		rt.paths.flush()
		n, err = openByHandle(rt.rootFD.n, o.fh, flags)
	}
	return n, err
}

// openRuntime takes the directory into use.
func openRuntime(dir string, c claim) (rt *Runtime, err error) {
	rt = &Runtime{
		dir: dir, identity: c.name, log: c.log, users: c.users, meta: -1, staging: -1, orphans: -1,
		byGFID: newWeakMap(), byHandle: newWeakMap(),
		kept: map[descKey]*descriptor{}, all: map[*descriptor]bool{},
	}
	rt.paths.limit = pathLimit
	rt.setLimit(c.limit)
	defer func() {
		if err != nil {
			_ = rt.giveUpLock()
			rt.close()
			rt = nil
		}
	}()
	fd, err := openat(unix.AT_FDCWD, dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return rt, fmt.Errorf("open brick directory %s: %w", dir, err)
	}
	rt.rootFD = newKFD(fd, true)
	if err = rt.inspect(); err != nil {
		return rt, err
	}
	resumed, err := rt.inheritLock(c)
	if err != nil {
		return rt, err
	}
	if resumed {
		return rt, rt.resume(c)
	}
	// What the directory is gets decided before anything in it is changed.
	for _, step := range []func() error{
		func() error { return rt.judge(c) },
		func() error { return rt.takeLock(c) },
		func() error { return rt.mark(c) },
		rt.prepareRoot,
		rt.openFolders,
		rt.sweep,
	} {
		if err = step(); err != nil {
			return rt, err
		}
	}
	return rt, nil
}

// resume takes a directory into use that is this mount's already: a worker died.
// What a new mount would be refused for is no reason to end one that lives, nor
// is what a disk that is full or has failed keeps from being put in order.
func (rt *Runtime) resume(c claim) error {
	for _, step := range []func() error{
		func() error { return rt.judge(c) },
		rt.signLock,
		rt.prepareRoot,
	} {
		if err := step(); err != nil {
			rt.log.Warn("brick of a mount that goes on is not as a new one should be", "brick", rt.dir, "error", err)
		}
	}
	if err := rt.mark(c); err != nil {
		return err
	}
	if err := rt.openFolders(); err != nil {
		return err
	}
	if err := rt.sweep(); err != nil {
		rt.log.Warn("not all that a crash left could be put in order", "brick", rt.dir, "error", err)
	}
	return nil
}

// Close ends the use of the directory. Nobody uses the runtime any more. A file
// without a name goes, unless applications have it open still: the next start
// decides about those.
func (rt *Runtime) Close() error {
	rt.descMu.Lock()
	var left []*descriptor
	for d := range rt.all {
		left = append(left, d)
	}
	rt.descMu.Unlock()
	for _, d := range left {
		if d.obj.state() == unlinked && !rt.inUse(d.obj.gfid) {
			unix.Unlinkat(rt.orphans, d.obj.gfid.String(), 0)
		}
		d.kfd.put()
	}
	err := rt.giveUpLock()
	return errors.Join(err, rt.close())
}

// inUse reports whether applications have the file open, also where this
// process has not opened it yet.
func (rt *Runtime) inUse(g xlator.GFID) bool { return rt.users != nil && rt.users.HasOpen(g) }

func (rt *Runtime) close() error {
	rt.paths.flush()
	for _, fd := range []int{rt.meta, rt.staging, rt.orphans} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	if rt.rootFD != nil {
		rt.rootFD.put()
	}
	if rt.lock != nil {
		return rt.lock.Close()
	}
	return nil
}

// Stats is the runtime's numbers.
type Stats struct {
	Directory   string    `json:"directory"`
	Identity    string    `json:"identity"`
	Volume      uuid.UUID `json:"volume"`
	Objects     int64     `json:"objects"`     // in the table
	Open        int       `json:"open"`        // kernel descriptors of open files and directories
	Kept        int       `json:"kept"`        // of these, for base fds
	Opens       int64     `json:"opens"`       // opens that made a system call
	Adoptions   int64     `json:"adoptions"`   // opens that found a descriptor
	Lookups     int64     `json:"lookups"`     // names looked up
	Learned     int64     `json:"learned"`     // of these, objects not in the table
	PathCache   int       `json:"path_cache"`  // O_PATH descriptors kept
	SystemCalls int       `json:"io_in_calls"` // inside the gate now
	IOLimit     int       `json:"io_limit"`
}

// Stats reads the numbers.
func (rt *Runtime) Stats() Stats {
	s := Stats{
		Directory: rt.dir, Identity: rt.identity, Volume: rt.volume,
		Objects: rt.objects.Load(), Opens: rt.opens.Load(), Adoptions: rt.adoptions.Load(),
		Lookups: rt.lookups.Load(), Learned: rt.learned.Load(), PathCache: rt.paths.len(),
	}
	g := *rt.gate.Load()
	s.SystemCalls, s.IOLimit = len(g), cap(g)
	rt.descMu.Lock()
	defer rt.descMu.Unlock()
	s.Open, s.Kept = len(rt.all), len(rt.kept)
	return s
}

// errMoved says that a name or an object changed while it was looked at: look
// again.
var errMoved = errors.New("changed meanwhile")
