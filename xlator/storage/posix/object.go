package posix

import (
	"runtime"
	"sync"
	"sync/atomic"
	"weak"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// fate is what became of an object's names.
type fate = uint32

const (
	named    fate = iota
	unlinked      // open without a name; its handle is in the unlink folder
	gone          // nothing of it is left on disk
)

// object is an inode of the brick.
type object struct {
	gfid xlator.GFID
	typ  xlator.FileType
	fh   string // rawHandle.key
	ino  uint64

	// handled says that one link is the handle's and does not count.
	handled atomic.Bool
	// mdata says that trusted.glusterfs.mdata is there and overrides times.
	mdata atomic.Bool
	// fate is written with names held for writing.
	fate atomic.Uint32

	names  sync.RWMutex // see the package comment
	xattrs sync.Mutex   // read-modify-write of attributes

	mu     sync.Mutex
	last   xlator.Iatt   // what Stat answers once gone; guarded by mu
	noLink bool          // made with O_TMPFILE|O_EXCL; guarded by mu
	descs  []*descriptor // open ones; guarded by mu

	path pathEntry // guarded by pathCache.mu
}

func (o *object) state() fate { return o.fate.Load() }

// isOpen reports whether an object goes on when its last name goes.
func (rt *Runtime) isOpen(o *object) bool {
	o.mu.Lock()
	here := len(o.descs) > 0
	o.mu.Unlock()
	return here || rt.inUse(o.gfid)
}

// tomb returns the last attributes of an object that is gone.
func (o *object) tomb() (xlator.Iatt, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last, o.state() == gone
}

const tableShards = 64

// weakMap finds objects by a key without keeping them alive.
type weakMap struct {
	shards [tableShards]struct {
		mu sync.RWMutex
		m  map[string]weak.Pointer[object] // guarded by mu
	}
}

func newWeakMap() *weakMap {
	w := &weakMap{}
	for i := range w.shards {
		w.shards[i].m = map[string]weak.Pointer[object]{}
	}
	return w
}

func shardOf(key []byte) uint32 {
	h := uint32(2166136261)
	for _, c := range key {
		h = (h ^ uint32(c)) * 16777619
	}
	return h % tableShards
}

func (w *weakMap) get(key []byte) *object {
	s := &w.shards[shardOf(key)]
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m[string(key)].Value()
}

// add puts o in unless a live object that keep accepts is there already, and
// returns the one that is there then.
func (w *weakMap) add(key string, o *object, keep func(*object) bool) *object {
	s := &w.shards[shardOf([]byte(key))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.m[key].Value(); old != nil && old != o && keep(old) {
		return old
	}
	s.m[key] = weak.Make(o)
	return o
}

// remove takes o out if it is the one there; nil: if what was there is dead.
func (w *weakMap) remove(key string, o *object) {
	s := &w.shards[shardOf([]byte(key))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.m[key]; ok && p.Value() == o {
		delete(s.m, key)
	}
}

// intern returns the table's object of that gfid. Of several at once one wins.
// When the gfid belongs to another inode already, that one is returned: the
// caller compares fh.
func (rt *Runtime) intern(g xlator.GFID, typ xlator.FileType, fh string, ino uint64) *object {
	return rt.enlist(&object{gfid: g, typ: typ, fh: fh, ino: ino})
}

// enlist enters an object under its gfid, unless that is taken, and returns the
// one that has it then.
func (rt *Runtime) enlist(o *object) *object {
	g, fh := o.gfid, o.fh
	won := rt.byGFID.add(string(g[:]), o, func(old *object) bool { return old.state() != gone })
	if won != o {
		return won
	}
	rt.objects.Add(1)
	runtime.AddCleanup(o, func(fh string) {
		rt.objects.Add(-1)
		rt.byGFID.remove(string(g[:]), nil)
		rt.byHandle.remove(fh, nil)
	}, fh)
	return o
}

// publish lets lookups find the object by its file handle.
func (rt *Runtime) publish(o *object) {
	rt.byHandle.add(o.fh, o, func(*object) bool { return false })
}

// forget takes an object out of the table: it is not what the disk has.
func (rt *Runtime) forget(o *object) {
	if o == rt.root {
		return // the descriptor of the root is always there
	}
	rt.byHandle.remove(o.fh, o)
	rt.byGFID.remove(string(o.gfid[:]), o)
	rt.paths.drop(o)
}

// bury records that nothing of the object is left on disk. It stays in the
// table as long as somebody refers to it, and for a while longer, so that an
// open descriptor, a working directory or another graph still gets an answer.
func (rt *Runtime) bury(o *object, last xlator.Iatt) {
	rt.byHandle.remove(o.fh, o)
	rt.paths.drop(o)
	last.Nlink = 0
	o.mu.Lock()
	o.last = last
	o.mu.Unlock()
	o.fate.Store(gone)
	rt.graves.mu.Lock()
	defer rt.graves.mu.Unlock()
	rt.graves.ring[rt.graves.next%len(rt.graves.ring)] = o
	rt.graves.next++
}

// departed is a directory that was removed while an application had it open, by
// a process that has died since: it is empty, and of its attributes nothing is
// known any more. A handle that is there but leads nowhere is another matter:
// somebody moved the directory behind our back.
func (rt *Runtime) departed(g xlator.GFID) (*object, error) {
	var st unix.Statx_t
	if !rt.inUse(g) || statName(rt.meta, handlePath(g), &st) != unix.ENOENT {
		return nil, unix.ESTALE
	}
	o := &object{gfid: g, typ: xlator.TypeDirectory, last: xlator.Iatt{GFID: g, Type: xlator.TypeDirectory}}
	o.fate.Store(gone)
	return rt.enlist(o), nil
}

// graveyard keeps the objects removed last from the garbage collector.
type graveyard struct {
	mu   sync.Mutex
	ring [1024]*object // guarded by mu
	next int           // guarded by mu
}
