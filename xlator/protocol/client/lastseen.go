package client

import (
	"sync"
	"sync/atomic"

	"github.com/holdfast/holdfast/xlator"
)

// A lastSeen record is a seen, for the process after this one:
//
//	  0  u32  state                     0 free, 1 and 2: which copy counts
//	  4  u32  reserved
//	  8  16   gfid
//	 32  copy 1, 240 bytes
//	272  copy 2
//
//	copy:
//	  0  u32  1 if known
//	  4  u32  number of stamps; more than there is room for: nothing is known
//	  8  u64  size
//	 16  16   mtime: i64, u32
//	 32  16   ctime
//	 48  16   each stamp
//
// It is written beside the old one, and counts from one store on.
const (
	lastSeenSize  = 512
	maxLastSeen   = 4096
	maxStamps     = 12
	lastSeenCopy  = 240
	offLastGFID   = 8
	offLastCopies = 32
)

// lastSeens are the records of the files on which locks are held.
type lastSeens struct {
	mem []byte // constant after construction

	mu   sync.Mutex
	at   map[xlator.GFID]int // guarded by mu
	free []int               // guarded by mu
}

func (t *lastSeens) init(mem []byte) { t.mem, t.at = mem, map[xlator.GFID]int{} }

func (t *lastSeens) rec(i int) []byte { return t.mem[i*lastSeenSize:][:lastSeenSize:lastSeenSize] }

// load reads what there is.
func (t *lastSeens) load() {
	for i := maxLastSeen - 1; i >= 0; i-- {
		r := t.rec(i)
		if atomic.LoadUint32(stateOf(r)) == 0 {
			t.free = append(t.free, i)
			continue
		}
		t.at[xlator.GFID(r[offLastGFID:][:16])] = i
	}
}

func timeAt(b []byte) xlator.Time {
	return xlator.Time{Sec: int64(le.Uint64(b)), Nsec: le.Uint32(b[8:])}
}

func putTime(b []byte, t xlator.Time) {
	le.PutUint64(b, uint64(t.Sec))
	le.PutUint32(b[8:], t.Nsec)
}

// get is how the file was seen.
func (t *lastSeens) get(g xlator.GFID) (n seen) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, ok := t.at[g]
	if !ok {
		return n
	}
	r := t.rec(i)
	b := r[offLastCopies+int(atomic.LoadUint32(stateOf(r))-1)%2*lastSeenCopy:]
	stamps := int(le.Uint32(b[4:]))
	if le.Uint32(b) == 0 || stamps > maxStamps {
		return n
	}
	n = seen{known: true, size: le.Uint64(b[8:]), mtime: timeAt(b[16:]), ctime: timeAt(b[32:])}
	for i := range stamps {
		n.stamps = append(n.stamps, timeAt(b[48+16*i:]))
	}
	return n
}

// put records how the file was seen.
func (t *lastSeens) put(g xlator.GFID, n *seen) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, ok := t.at[g]
	if !ok {
		if len(t.free) == 0 {
			return // nothing is compared then
		}
		i = t.free[len(t.free)-1]
		t.free = t.free[:len(t.free)-1]
		t.at[g] = i
	}
	r := t.rec(i)
	copy(r[offLastGFID:], g[:])
	next := uint32(1)
	if atomic.LoadUint32(stateOf(r)) == 1 {
		next = 2
	}
	b := r[offLastCopies+int(next-1)*lastSeenCopy:]
	le.PutUint32(b, flag(n.known))
	le.PutUint32(b[4:], uint32(len(n.stamps)))
	le.PutUint64(b[8:], n.size)
	putTime(b[16:], n.mtime)
	putTime(b[32:], n.ctime)
	for i, s := range n.stamps[:min(len(n.stamps), maxStamps)] {
		putTime(b[48+16*i:], s)
	}
	atomic.StoreUint32(stateOf(r), next)
}

// drop forgets a file.
func (t *lastSeens) drop(g xlator.GFID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i, ok := t.at[g]; ok {
		atomic.StoreUint32(stateOf(t.rec(i)), 0)
		delete(t.at, g)
		t.free = append(t.free, i)
	}
}

// noteSeen records how a file was seen last, for the next process. f.mu is held.
func (f *file) noteSeen() {
	switch {
	case f.kept == nil:
	case len(f.locks) == 0:
		f.kept.seen.drop(f.gfid)
	default:
		f.kept.seen.put(f.gfid, &f.seen)
	}
}
