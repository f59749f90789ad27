package content

import (
	"container/list"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/xlator"
)

// Settings is what a Store goes by.
type Settings struct {
	// On is false for a translator that only forwards.
	On bool
	// Timeout is how long a stamp is trusted.
	Timeout time.Duration
	// Limit bounds what is kept, in bytes.
	Limit int64
	// Min and Max bound the sizes of files that pieces are kept of.
	Min, Max uint64
	// Ctime says that a file with another ctime is another file.
	Ctime bool
	// Priorities of files by name.
	Priorities Priorities
}

// What a record and a piece cost beside its bytes, about.
const (
	recordCost = 512
	pieceCost  = 192
)

// Store keeps pieces of files: bytes that lie at a multiple of the size of a
// piece. They belong to the Store and are never changed.
type Store struct {
	// constant after construction
	changes   *Changes
	pieceSize int64
	now       func() time.Duration
	weights   xlator.InodeSlot[int] // of files whose name has one

	// atomic
	on  atomic.Bool
	seq atomic.Uint64 // counts stamps; raised under mu

	hits, misses, checks, dropped, refused atomic.Uint64

	mu      sync.Mutex
	set     Settings                // guarded by mu
	files   map[xlator.GFID]*record // guarded by mu
	names   map[Name]xlator.GFID    // guarded by mu; of records that were found by a name
	shelves []*list.List            // guarded by mu; by weight, of *piece, what was used last in front
	bytes   int64                   // guarded by mu; INVARIANT: the costs of all pieces on the shelves
}

// Name is an entry of a directory.
type Name struct {
	Parent xlator.GFID
	Name   string
}

// record is what is kept of one file, and since when. All is guarded by Store.mu.
type record struct {
	file    xlator.GFID
	weight  int
	name    Name // "" if not found by name
	stamp   stamp
	since   uint64           // number of the stamp
	view    xlator.PhaseView // of the phase in which the stamp was asked for
	checked time.Duration    // when the stamp was last asked for
	self    *piece           // stands for the record on its shelf; number -1
	pieces  map[int64]*piece
}

// piece is on a shelf as long as its record has it.
type piece struct {
	of     *record
	number int64
	data   []byte // constant
	place  *list.Element
}

// stamp is what tells that nobody else has changed a file.
type stamp struct {
	size         uint64
	mtime, ctime xlator.Time
}

func newStore(e *xlator.Env, c *Changes, pieceSize int64, now func() time.Duration) *Store {
	return &Store{
		changes: c, pieceSize: pieceSize, now: now, weights: xlator.NewInodeSlot[int](e),
		files: map[xlator.GFID]*record{}, names: map[Name]xlator.GFID{},
	}
}

// Reconfigure puts settings in force. What was kept is forgotten.
func (s *Store) Reconfigure(set Settings) {
	s.mu.Lock()
	s.set = set
	s.mu.Unlock()
	s.on.Store(set.On)
	s.ForgetAll()
}

// Asked is the moment before the child is asked.
type Asked struct {
	Moment
	seq uint64
	at  time.Duration
}

// Ask is called before the child is asked. keep says whether its answer may be
// kept, and whether anything that is kept may be used, at all.
func (s *Store) Ask() (a Asked, keep bool) {
	if !s.on.Load() {
		return a, false
	}
	a.at, a.seq = s.now(), s.seq.Load()
	a.Moment, keep = s.changes.Now()
	return a, keep
}

// Weigh gives a file that was found by that name the weight of its name.
func (s *Store) Weigh(i *xlator.Inode, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.set.Priorities) == 0 {
		return
	}
	w := s.set.Priorities.Of(name)
	s.weights.Set(i, &w)
	if r := s.files[i.GFID()]; r != nil && r.weight != w {
		s.drop(r)
	}
}

// Enter notes by which name a file was found, for HasNamed.
func (s *Store) Enter(i *xlator.Inode, n Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.files[i.GFID()]; r != nil {
		s.enter(r, n)
	}
}

func (s *Store) enter(r *record, n Name) {
	if r.name == n {
		return
	}
	s.leave(r)
	r.name = n
	s.names[n] = r.file
}

func (s *Store) leave(r *record) {
	if r.name.Name != "" && s.names[r.name] == r.file {
		delete(s.names, r.name)
	}
}

// Has reports whether some piece of the file is kept.
func (s *Store) Has(g xlator.GFID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.has(g)
}

// HasNamed is Has for the file that had that name when it was last looked up.
func (s *Store) HasNamed(n Name) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.names[n]
	return ok && s.has(g)
}

func (s *Store) has(g xlator.GFID) bool {
	r := s.files[g]
	return r != nil && len(r.pieces) > 0 && s.changes.serves(r.view)
}

func (s *Store) weight(i *xlator.Inode) int {
	if w := s.weights.Get(i); w != nil && len(s.set.Priorities) > 0 {
		return *w
	}
	return defaultWeight
}

// See looks at attributes that were asked for at a: where the file has another
// stamp now, all that is kept of it is dropped.
func (s *Store) See(a Asked, i *xlator.Inode, attr *xlator.Iatt) {
	if attr.Type != xlator.TypeRegular {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.see(a, i, attr)
}

// Compare is See for a file of which something is kept; of others nothing is
// noted.
func (s *Store) Compare(a Asked, i *xlator.Inode, attr *xlator.Iatt) {
	if attr.Type != xlator.TypeRegular {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files[i.GFID()] != nil {
		s.see(a, i, attr)
	}
}

// see returns the record of i, or nil if none may be kept. mu is held.
func (s *Store) see(a Asked, i *xlator.Inode, attr *xlator.Iatt) *record {
	g := i.GFID()
	if !s.changes.Holds(g, a.Moment) {
		return nil
	}
	now := stamp{attr.Size, attr.Mtime, attr.Ctime}
	if !s.set.Ctime {
		now.ctime = xlator.Time{}
	}
	r := s.files[g]
	if r != nil && r.stamp == now && s.changes.serves(r.view) {
		r.checked = max(r.checked, a.at)
		s.shelves[r.weight].MoveToFront(r.self.place)
		return r
	}
	name := Name{}
	if r != nil {
		// Answers that are on their way are of a file that was another one.
		s.changes.Changed(g)
		name = r.name
		s.drop(r)
	}
	r = &record{file: g, weight: s.weight(i), stamp: now, view: a.view, checked: a.at, since: s.seq.Add(1), pieces: map[int64]*piece{}}
	r.self = &piece{of: r, number: -1}
	s.files[g] = r
	if name.Name != "" {
		s.enter(r, name)
	}
	s.shelve(r.self)
	s.evict()
	return s.files[g]
}

// Put keeps the pieces that lie whole in data, which was asked for at a: size bytes
// from off on. It copies what it keeps. It reports false if that cannot be the file
// that the stamp is of, or something changed meanwhile.
func (s *Store) Put(a Asked, i *xlator.Inode, off int64, size int, data []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.files[i.GFID()]
	if r == nil || r.since > a.seq || r.view != a.view || !s.changes.Holds(r.file, a.Moment) {
		s.refused.Add(1)
		return false
	}
	if int64(len(data)) != max(0, min(int64(size), int64(r.stamp.size)-off)) {
		s.drop(r) // the file is not as long as its stamp says
		return false
	}
	s.put(r, off, data)
	return true
}

// Take keeps a whole file of one piece that came along with its attributes.
func (s *Store) Take(a Asked, i *xlator.Inode, attr *xlator.Iatt, data []byte) {
	if attr.Type != xlator.TypeRegular {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.see(a, i, attr); r != nil && uint64(len(data)) == r.stamp.size {
		s.put(r, 0, data)
	}
}

// put is Put for a record that stands. mu is held.
func (s *Store) put(r *record, off int64, data []byte) {
	if !s.wants(r) {
		return
	}
	n := (off + s.pieceSize - 1) / s.pieceSize
	data = data[min(n*s.pieceSize-off, int64(len(data))):]
	for ; len(data) > 0; n++ {
		length := min(s.pieceSize, int64(r.stamp.size)-n*s.pieceSize)
		if int64(len(data)) < length {
			break
		}
		if r.pieces[n] == nil {
			p := &piece{of: r, number: n, data: append([]byte(nil), data[:length]...)}
			r.pieces[n] = p
			s.shelve(p)
		}
		data = data[length:]
	}
	s.evict()
}

// wants reports whether pieces of the file are kept. mu is held.
func (s *Store) wants(r *record) bool {
	return r.weight > 0 && r.stamp.size >= s.set.Min && r.stamp.size <= s.set.Max
}

// Found is what Find found.
type Found struct {
	// Known says that the file has a stamp, Fresh that it is trusted still, and
	// Wanted that pieces of the file are kept.
	Known, Fresh, Wanted bool
	// Size is the file's.
	Size int64
	// First is the number of the first of Pieces, which are those of the range,
	// as far as it lies within the file; nil where one is missing.
	First  int64
	Pieces [][]byte
}

// Missing is the range of pieces, by number, from the first that is missing to
// behind the last; ok is false if none is.
func (f *Found) Missing() (from, to int64, ok bool) {
	for n, p := range f.Pieces {
		if p != nil {
			continue
		}
		if !ok {
			from, ok = f.First+int64(n), true
		}
		to = f.First + int64(n) + 1
	}
	return from, to, ok
}

// Never is a time that no stamp was asked for at.
const Never = time.Duration(1<<63 - 1)

// Find looks for the pieces of a range. A stamp that was asked for at or after
// since is trusted whatever the timeout.
func (s *Store) Find(g xlator.GFID, off int64, size int, since time.Duration) (f Found) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.files[g]
	if r == nil || !s.changes.serves(r.view) {
		return f
	}
	f.Known, f.Wanted, f.Size = true, s.wants(r), int64(r.stamp.size)
	f.Fresh = s.now() < r.checked+s.set.Timeout || r.checked >= since
	end := min(off+int64(size), f.Size)
	if end <= off || !f.Wanted {
		return f
	}
	f.First = off / s.pieceSize
	f.Pieces = make([][]byte, (end-1)/s.pieceSize-f.First+1)
	for n := range f.Pieces {
		if p := r.pieces[f.First+int64(n)]; p != nil {
			f.Pieces[n] = p.data
			s.shelves[r.weight].MoveToFront(p.place)
		}
	}
	s.shelves[r.weight].MoveToFront(r.self.place)
	return f
}

// At is when the child was asked.
func (a *Asked) At() time.Duration { return a.at }
