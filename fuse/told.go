package fuse

import (
	"sync"
	"sync/atomic"
	"time"
)

// A name that the kernel keeps for long must be taken back when somebody else gives
// it to another file, and to take it back one has to know it: the brick says only
// which directory has changed.

// moment is how long a name may be kept that nobody takes back.
const moment = time.Second

// maxTold is of how many names of a directory is known that the kernel has them;
// what is told beyond is kept for a moment.
const maxTold = 1 << 16

// told is which names the kernel was told, by directory. It is nil where names are
// not kept for longer than a moment.
type told struct {
	changes atomic.Uint64 // how often names were taken back

	mu     sync.Mutex
	dirs   map[uint64]map[string]struct{} // guarded by mu
	live   int                            // guarded by mu; bytes of records of what is in dirs
	taken  map[string]struct{}            // guarded by mu; the last that were taken back, or are about to be
	from   uint64                         // guarded by mu; the directory that they are in
	record *nameLog                       // guarded by mu; nil: names are forgotten with the process
}

func newTold(o *Options) *told {
	if o.EntryTimeout <= moment && o.NegativeTimeout <= moment {
		return nil
	}
	d := &told{dirs: map[uint64]map[string]struct{}{}}
	if o.Descriptors == nil {
		return d
	}
	n, damaged, err := openNames(o.Descriptors)
	if err != nil || damaged {
		o.Log.Error("names that the kernel has been told by an earlier process stay for as long as was said", "damaged", damaged, "err", err)
	}
	d.record = n
	return d
}

// note records a name for the next process. If it is false there is no room. mu is
// held.
func (d *told) note(dir uint64, name string) bool {
	switch {
	case d.record == nil:
		return true
	case d.live+recordSize(name) > namesHalf/2:
		return false
	case d.record.add(dir, name):
		return true
	case d.record.inherited > 0: // the other half has no room for that
		return false
	}
	d.record.rewrite(d.each)
	return d.record.add(dir, name)
}

// each calls do for every name that the kernel may have from this process. mu is
// held.
func (d *told) each(do func(dir uint64, name string)) {
	for name := range d.taken {
		do(d.from, name)
	}
	for dir, names := range d.dirs {
		for name := range names {
			do(dir, name)
		}
	}
}

// forget has names of a directory be told anew. mu is held.
func (d *told) forget(dir uint64) (names map[string]struct{}) {
	names = d.dirs[dir]
	for name := range names {
		d.live -= recordSize(name)
	}
	delete(d.dirs, dir)
	return names
}

// inherited calls do for what earlier processes have told the kernel, all of which
// is to be taken back. When done returns that has been done.
func (d *told) inherited(do func(dir uint64, name string), done func()) {
	if d == nil {
		return
	}
	d.mu.Lock()
	d.changes.Add(1)
	r, used := d.record, 0
	if r != nil {
		used = r.inherited
	}
	d.mu.Unlock()
	if used == 0 {
		return
	}
	r.each(used, do)
	done()
	d.mu.Lock()
	defer d.mu.Unlock()
	r.rewrite(d.each)
}

// tell notes a name that the kernel is going to be told. It comes before the brick
// is asked, so that a change after the brick's answer finds it; until the kernel
// has the answer it has the directory locked, and taking back waits for that. If it
// is false the name must not be kept for longer than a moment.
func (d *told) tell(dir uint64, name string) bool {
	if d == nil || name == "" {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	names := d.dirs[dir]
	if names == nil {
		names = map[string]struct{}{}
		d.dirs[dir] = names
	}
	if _, ok := names[name]; ok {
		return true
	}
	if len(names) >= maxTold || !d.note(dir, name) {
		return false
	}
	names[name] = struct{}{}
	d.live += recordSize(name)
	return true
}

// seen is for tellSince.
func (d *told) seen() uint64 {
	if d == nil {
		return 0
	}
	return d.changes.Load()
}

// tellSince is tell for a name that was found in a list, after the brick was asked;
// seen is from before that.
func (d *told) tellSince(dir uint64, name string, seen uint64) bool {
	return d.tell(dir, name) && d.seen() == seen
}

// untell forgets a name that the kernel does not have any more.
func (d *told) untell(dir uint64, name string) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.dirs[dir][name]; ok {
		delete(d.dirs[dir], name)
		d.live -= recordSize(name)
	}
}

// take returns what the kernel was told of a directory, and forgets it. What it
// returned before must have been taken back by then.
func (d *told) take(dir uint64) map[string]struct{} {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changes.Add(1)
	d.from, d.taken = dir, d.forget(dir)
	return d.taken
}

// drop forgets a directory that the kernel has forgotten.
func (d *told) drop(dir uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(dir)
}

// all are the directories of which the kernel was told names.
func (d *told) all() (dirs []uint64) {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for dir := range d.dirs {
		dirs = append(dirs, dir)
	}
	return dirs
}

// close is for the end of the session.
func (d *told) close() error {
	if d == nil || d.record == nil {
		return nil
	}
	return d.record.close()
}
