package client

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

// A record is an open object of the brick, for the process after this one:
//
//	 0  u32  state                       0 free, 1 open, 2 being closed
//	 4  u32  generation                  grows with every use of the record
//	 8  u64  session
//	16  i64  number
//	24  u64  base fd
//	32  16   gfid
//	48  u32  flags
//	52  u32  1 for a directory
//	56  u64  the kernel's request that has opened it, 0 for the client's own work
//
// It is there before anybody can close the object, and before the reply to its open
// is forgotten, which is before it is marked. It is marked before the close is sent,
// under a name of its own (closeName): so the next process knows whether it was, and
// what it closes is closed once. A number that is closed twice may be another file's
// by then.
const (
	recordSize = 64
	maxRecords = 1 << 18

	recordFree    = 0
	recordOpen    = 1
	recordClosing = 2

	offState      = 0
	offGeneration = 4
	offSession    = 8
	offNumber     = 16
	offBase       = 24
	offGFID       = 32
	offFlags      = 48
	offDir        = 52
	offUnique     = 56
)

// closeNames is the bit of the names under which objects are closed. The kernel
// does not come that far.
const closeNames = 1 << 62

type place struct {
	session uint64
	number  int64
}

// records are the open objects of a session.
type records struct {
	mem []byte // constant after construction

	mu   sync.Mutex
	at   map[place]int32 // guarded by mu; those that are not being closed
	free []int32         // guarded by mu; below used
	used *uint32         // guarded by mu
	// closing are those that the process before was closing. Guarded by mu.
	closing []int32
}

func (t *records) init(mem []byte) { t.mem, t.at = mem, map[place]int32{} }

func (t *records) rec(i int32) []byte { return t.mem[int(i)*recordSize:][:recordSize:recordSize] }

func stateOf(r []byte) *uint32 { return (*uint32)(unsafe.Pointer(&r[offState])) }

// load reads what there is.
func (t *records) load(c *kept) {
	t.used = c.half(offKeptUsed)
	*t.used = min(*t.used, maxRecords)
	for i := int32(*t.used) - 1; i >= 0; i-- {
		r := t.rec(i)
		switch atomic.LoadUint32(stateOf(r)) {
		case recordFree:
			t.free = append(t.free, i)
		case recordClosing:
			t.closing = append(t.closing, i)
		default:
			t.at[placeOf(r)] = i
		}
	}
}

func placeOf(r []byte) place {
	return place{le.Uint64(r[offSession:]), int64(le.Uint64(r[offNumber:]))}
}

// found is a record as it was found.
type found struct {
	place
	record int32
	key    remoteKey
	dir    bool
	unique uint64
}

// all lists the objects of a session, and forgets those of others. closing are
// those that the process before was closing.
func (t *records) all(session uint64) (open, closing []found) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p, i := range t.at {
		if p.session == session {
			open = append(open, t.read(i))
			continue
		}
		delete(t.at, p)
		t.drop(i)
	}
	for _, i := range t.closing {
		if f := t.read(i); f.session == session {
			closing = append(closing, f)
			continue
		}
		t.drop(i)
	}
	t.closing = nil
	return open, closing
}

// read reads a record. mu is held.
func (t *records) read(i int32) found {
	r := t.rec(i)
	f := found{place: placeOf(r), record: i, dir: le.Uint32(r[offDir:]) != 0, unique: le.Uint64(r[offUnique:])}
	f.key = remoteKey{base: le.Uint64(r[offBase:]), flags: le.Uint32(r[offFlags:])}
	copy(f.key.gfid[:], r[offGFID:])
	return f
}

// reset forgets everything: there is another session.
func (c *kept) reset() {
	if c == nil {
		return
	}
	t := &c.open
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, i := range t.at {
		t.drop(i)
	}
	clear(t.at)
	for _, i := range t.closing {
		t.drop(i)
	}
	t.closing = nil
}

// opened records an object that the brick has just opened for that request; one
// that is there already gets another base fd: the request came back.
func (c *kept) opened(p place, k remoteKey, dir bool, unique uint64) {
	if c == nil {
		return
	}
	t := &c.open
	t.mu.Lock()
	defer t.mu.Unlock()
	if i, ok := t.at[p]; ok {
		atomic.StoreUint64(word(t.rec(i), offBase), k.base)
		return
	}
	i, ok := t.take(c)
	if !ok {
		return // it is opened again by the next process
	}
	r := t.rec(i)
	le.PutUint32(r[offGeneration:], le.Uint32(r[offGeneration:])+1)
	le.PutUint64(r[offSession:], p.session)
	le.PutUint64(r[offNumber:], uint64(p.number))
	le.PutUint64(r[offBase:], k.base)
	copy(r[offGFID:], k.gfid[:])
	le.PutUint32(r[offFlags:], k.flags)
	le.PutUint32(r[offDir:], flag(dir))
	le.PutUint64(r[offUnique:], unique)
	atomic.StoreUint32(stateOf(r), recordOpen)
	t.at[p] = i
}

// take finds a free record. mu is held.
func (t *records) take(c *kept) (i int32, ok bool) {
	if n := len(t.free); n > 0 {
		i = t.free[n-1]
		t.free = t.free[:n-1]
		return i, true
	}
	if t.used == nil {
		t.used = c.half(offKeptUsed)
	}
	if *t.used >= maxRecords {
		return 0, false
	}
	atomic.AddUint32(t.used, 1)
	return int32(*t.used) - 1, true
}

// drop frees a record. mu is held.
func (t *records) drop(i int32) {
	atomic.StoreUint32(stateOf(t.rec(i)), recordFree)
	t.free = append(t.free, i)
}

// closing marks an object as being closed: from now on the record is the caller's,
// since the brick may give the number out again before it has answered the close.
func (c *kept) closing(p place) (f found, ok bool) {
	if c == nil {
		return f, false
	}
	t := &c.open
	t.mu.Lock()
	defer t.mu.Unlock()
	i, ok := t.at[p]
	if !ok {
		return f, false
	}
	atomic.StoreUint32(stateOf(t.rec(i)), recordClosing)
	delete(t.at, p)
	return t.read(i), true
}

// closeName is what the close of an object is sent under.
func (c *kept) closeName(i int32) uint64 {
	return closeNames | uint64(le.Uint32(c.open.rec(i)[offGeneration:]))<<20 | uint64(i)
}

// closed forgets an object that was being closed.
func (c *kept) closed(i int32) {
	t := &c.open
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.own != nil {
		t.drop(i)
	}
}

// has reports whether an object is recorded that is not being closed.
func (c *kept) has(p place) bool {
	c.open.mu.Lock()
	defer c.open.mu.Unlock()
	_, ok := c.open.at[p]
	return ok
}

// uniqueOf is the request that has opened an object, or 0.
func (c *kept) uniqueOf(p place) uint64 {
	if c == nil {
		return 0
	}
	t := &c.open
	t.mu.Lock()
	defer t.mu.Unlock()
	i, ok := t.at[p]
	if !ok {
		return 0
	}
	return t.read(i).unique
}
