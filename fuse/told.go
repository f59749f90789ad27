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

	mu   sync.Mutex
	dirs map[uint64]map[string]struct{} // guarded by mu
}

func newTold(o *Options) *told {
	if o.EntryTimeout <= moment && o.NegativeTimeout <= moment {
		return nil
	}
	return &told{dirs: map[uint64]map[string]struct{}{}}
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
	if _, ok := names[name]; !ok && len(names) >= maxTold {
		return false
	}
	names[name] = struct{}{}
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
	delete(d.dirs[dir], name)
}

// take returns what the kernel was told of a directory, and forgets it.
func (d *told) take(dir uint64) map[string]struct{} {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changes.Add(1)
	names := d.dirs[dir]
	delete(d.dirs, dir)
	return names
}

// drop forgets a directory that the kernel has forgotten.
func (d *told) drop(dir uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.dirs, dir)
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
