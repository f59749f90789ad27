package nlcache

import (
	"container/list"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// directory is what is known of one directory. Guarded by translator.mu.
type directory struct {
	names map[string]*list.Element // of *name
	// flights are the requests on names that are under way.
	flights []*flight
	// complete says that every name is in names, as far as known at asked;
	// INVARIANT: then only names that are there are in it as such.
	complete bool
	asked    asked
}

// asked is the moment before the child was asked.
type asked struct {
	view  xlator.PhaseView
	epoch uint64
	until time.Duration // when the answer will be too old
}

// name is a name known to be absent, or, in a complete directory, one that may be
// there.
type name struct {
	dir   *directory
	text  string
	there bool
	asked asked // of one that is absent
}

// nameCost is what a name takes beyond its text: itself, its place in the list and
// its share of the directory's map.
const nameCost = 192

func (n *name) cost() int64 { return nameCost + int64(len(n.text)) }

// flight is a request on a name that is under way.
type flight struct {
	dir     *directory
	text    string // the request's own
	change  bool   // may make or remove the name
	spoiled bool   // overlapped something that may have changed the name
	asked   asked
	keep    bool
}

// outcome is what a change says of its name.
type outcome uint8

const (
	unclear outcome = iota // or there
	gone
)

// dirOf is what is known of i, made if there is nothing.
func (t *translator) dirOf(i *xlator.Inode) *directory {
	if d := t.dirs.Get(i); d != nil {
		return d
	}
	return t.dirs.GetOrSet(i, &directory{})
}

// moment notes the moment before the child is asked. keep says whether its answer
// may be kept at all. mu is held.
func (t *translator) moment() (a asked, keep bool) {
	s := t.settings.Load()
	a.view = t.phase.Load()
	if a.view.Transparent() || s.timeout == 0 {
		return a, false
	}
	a.epoch, a.until = t.epoch, t.now()+s.timeout
	return a, true
}

// usable reports whether what was asked for then counts now. mu is held.
func (t *translator) usable(a *asked) bool {
	return a.view == t.phase.Load() && !a.view.Transparent() && a.epoch == t.epoch && t.now() < a.until
}

// ask begins a lookup, unless the name is known to be absent.
func (t *translator) ask(parent *xlator.Inode, text string) (f *flight, absent bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a, keep := t.moment()
	if !keep {
		return nil, false
	}
	d := t.dirOf(parent)
	changing := slices.ContainsFunc(d.flights, func(g *flight) bool { return g.change && g.text == text })
	if !changing && t.absent(d, text) {
		return nil, true
	}
	f = &flight{dir: d, text: text, spoiled: changing, asked: a, keep: true}
	d.flights = append(d.flights, f)
	return f, false
}

// absent reports whether the name is known not to be there. mu is held.
func (t *translator) absent(d *directory, text string) bool {
	if d.complete && !t.usable(&d.asked) {
		t.incomplete(d)
	}
	e := d.names[text]
	if e == nil {
		return d.complete && possible(text)
	}
	n := e.Value.(*name)
	if n.there {
		return false
	}
	if !t.usable(&n.asked) {
		t.drop(e)
		return false
	}
	t.list.MoveToFront(e)
	return true
}

// possible reports whether a name may be there at all: of others the child says
// what is wrong with them.
func possible(text string) bool {
	return text != "" && len(text) <= unix.NAME_MAX && !strings.ContainsRune(text, '/')
}

// answered ends a lookup. absent is what the child said.
func (t *translator) answered(f *flight, absent bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.land()
	switch {
	case !absent:
		t.mayBeThere(f.dir, f.text)
	case f.spoiled || !t.usable(&f.asked):
		t.refused.Add(1)
	case !f.dir.complete:
		t.kept.Add(1)
		t.put(&name{dir: f.dir, text: f.text, asked: f.asked})
	}
}

// begin begins a change of a name.
func (t *translator) begin(parent *xlator.Inode, text string) *flight {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.dirOf(parent)
	f := &flight{dir: d, text: text, change: true}
	f.asked, f.keep = t.moment()
	for _, g := range d.flights {
		if g.text == text {
			g.spoiled = true
			f.spoiled = f.spoiled || g.change
		}
	}
	d.flights = append(d.flights, f)
	if e := d.names[text]; e != nil {
		t.drop(e)
	}
	return f
}

// end ends a change.
func (t *translator) end(f *flight, o outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.land()
	if o != gone || f.spoiled {
		t.mayBeThere(f.dir, f.text)
		return
	}
	if f.keep && t.usable(&f.asked) && !f.dir.complete {
		t.kept.Add(1)
		t.put(&name{dir: f.dir, text: f.text, asked: f.asked})
	}
}

// land takes the flight out of its directory's list. mu is held.
func (f *flight) land() {
	d := f.dir
	n := slices.Index(d.flights, f)
	last := len(d.flights) - 1
	d.flights[n], d.flights[last] = d.flights[last], nil
	d.flights = d.flights[:last]
}

// mayBeThere takes back that the name is absent. mu is held.
func (t *translator) mayBeThere(d *directory, text string) {
	if e := d.names[text]; e != nil {
		if e.Value.(*name).there {
			return
		}
		t.drop(e)
	}
	if d.complete {
		t.put(&name{dir: d, text: text, there: true})
	}
}

// put adds a name and drops others beyond the limit. mu is held.
func (t *translator) put(n *name) {
	if e := n.dir.names[n.text]; e != nil {
		t.drop(e)
	}
	if n.dir.names == nil {
		n.dir.names = map[string]*list.Element{}
	}
	n.text = strings.Clone(n.text) // it may be the request's memory
	n.dir.names[n.text] = t.list.PushFront(n)
	t.bytes += n.cost()
	for limit := t.settings.Load().limit; t.bytes > limit; {
		last := t.list.Back()
		if old := last.Value.(*name); old.there {
			t.incomplete(old.dir)
		} else {
			t.drop(last)
		}
	}
}

// drop removes a name. mu is held.
func (t *translator) drop(e *list.Element) {
	n := t.list.Remove(e).(*name)
	t.bytes -= n.cost()
	delete(n.dir.names, n.text)
	if len(n.dir.names) == 0 {
		n.dir.names = nil // a map does not shrink
	}
}

// incomplete says that the directory is not known completely any more. mu is held.
func (t *translator) incomplete(d *directory) {
	d.complete = false
	for _, e := range d.names {
		if e.Value.(*name).there {
			t.drop(e)
		}
	}
}

// made says that a directory has just been made, at a moment when unknown was so.
func (t *translator) made(i *xlator.Inode, f *flight, unknown uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.settings.Load().complete || !f.keep || f.spoiled || !t.usable(&f.asked) || unknown != t.unknown {
		return
	}
	d := &directory{complete: true, asked: f.asked}
	t.dirs.GetOrSet(i, d) // of one that somebody has seen already nothing is known
}

// invalidated drops what is known of a directory that somebody else has changed.
func (t *translator) invalidated(g xlator.GFID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.forget(g) {
		t.unknown++
	}
}

// removed drops what is known of a directory that is gone: the child says
// something else of each name in it.
func (t *translator) removed(g xlator.GFID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(g)
}

// forget drops what is known of a directory, if anything is. mu is held.
func (t *translator) forget(g xlator.GFID) bool {
	i := t.inodes.Find(g)
	if i == nil {
		return false
	}
	d := t.dirs.Get(i)
	if d == nil {
		return false
	}
	d.complete = false
	for _, e := range d.names {
		t.drop(e)
	}
	for _, f := range d.flights {
		f.spoiled = true
	}
	return true
}

// forgetAll drops everything, and what is being asked for.
func (t *translator) forgetAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.epoch++
	for e := t.list.Front(); e != nil; e = t.list.Front() {
		t.drop(e)
	}
}
