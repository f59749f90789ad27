package locks

import (
	"fmt"
	"slices"
	"testing"

	"github.com/holdfast/holdfast/xlator"
	"pgregory.net/rapid"
)

func TestMachineAgreesWithTheNaiveModel(t *testing.T) {
	for _, k := range []kind{recordLocks, flocks} {
		t.Run(k.String(), func(t *testing.T) {
			for range 20 {
				rapid.Check(t, func(t *rapid.T) { randomDuel(t, k) })
			}
		})
	}
}

func randomDuel(t *rapid.T, k kind) {
	owners := rapid.Uint64Range(2, 6).Draw(t, "owners")
	cells := rapid.IntRange(1, 12).Draw(t, "cells")
	if k == flocks {
		cells = 1
	}
	d := newDuel(k, cells, 2)
	ok := func(t *rapid.T, err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	anyClaim := func(t *rapid.T, ms ...mode) (int, claim) {
		lo := rapid.IntRange(0, cells-1).Draw(t, "lo")
		hi := rapid.IntRange(lo, cells-1).Draw(t, "hi")
		o := rapid.Uint64Range(1, owners).Draw(t, "owner")
		return rapid.IntRange(0, 1).Draw(t, "file"), d.claim(o, rapid.SampledFrom(ms).Draw(t, "mode"), lo, hi)
	}
	one := func(t *rapid.T, ps []*place) *place {
		if len(ps) == 0 {
			t.Skip("nobody")
		}
		return rapid.SampledFrom(ps).Draw(t, "place")
	}
	t.Repeat(map[string]func(*rapid.T){
		"try": func(t *rapid.T) {
			f, c := anyClaim(t, shared, exclusive)
			ok(t, d.request(f, c, false, 0))
		},
		"wait": func(t *rapid.T) {
			f, c := anyClaim(t, shared, exclusive)
			ok(t, d.request(f, c, true, rapid.Uint64Range(0, 2).Draw(t, "ticket")))
		},
		"unlock": func(t *rapid.T) {
			f, c := anyClaim(t, unlocked)
			ok(t, d.unlock(f, c))
		},
		"close": func(t *rapid.T) {
			o := rapid.Uint64Range(1, owners).Draw(t, "owner")
			ok(t, d.unlock(rapid.IntRange(0, 1).Draw(t, "file"), d.claim(o, unlocked, 0, cells-1)))
		},
		"get": func(t *rapid.T) {
			f, c := anyClaim(t, shared, exclusive)
			ok(t, d.get(f, c))
		},
		"interrupt": func(t *rapid.T) { ok(t, d.interrupt(one(t, d.attended()))) },
		"detach":    func(t *rapid.T) { ok(t, d.detach(one(t, d.attended()))) },
		"ask again": func(t *rapid.T) { ok(t, d.ask(one(t, d.unattended()))) },
		"abandon": func(t *rapid.T) {
			p := one(t, d.unattended())
			var keep []claim
			for i := range cells {
				if m := rapid.SampledFrom([]mode{unlocked, shared, exclusive}).Draw(t, "keep"); m != unlocked {
					keep = append(keep, d.claim(p.w.want.owner, m, i, i))
				}
			}
			ok(t, d.abandon(p, keep))
		},
	})
}

// step is something that may happen next in the exhaustive test.
type step struct {
	owner uint64
	name  string
	do    func(*duel) error
}

// steps lists everything that may happen in the state of d: an owner that waits
// does nothing else, except that its file may be closed under it; one whose
// wait was detached comes back, is interrupted, or never comes.
func steps(d *duel, owners uint64) (out []step) {
	var o uint64
	add := func(name string, do func(*duel) error) { out = append(out, step{o, name, do}) }
	for o = 1; o <= owners; o++ {
		o := o
		add("closes", func(d *duel) error { return d.unlock(0, d.claim(o, unlocked, 0, d.md.cells-1)) })
		if i := slices.IndexFunc(d.open, func(p *place) bool { return p.w.want.owner == o }); i >= 0 {
			p := d.open[i]
			if p.w.attached > 0 {
				add("is interrupted", func(d *duel) error { return d.interrupt(d.open[i]) })
				add("detaches", func(d *duel) error { return d.detach(d.open[i]) })
			} else {
				add("asks again", func(d *duel) error { return d.ask(d.open[i]) })
				add("never comes back", func(d *duel) error { return d.abandon(d.open[i], nil) })
			}
			continue
		}
		for lo := range d.md.cells {
			for hi := lo; hi < d.md.cells; hi++ {
				add("unlocks", func(d *duel) error { return d.unlock(0, d.claim(o, unlocked, lo, hi)) })
				for _, m := range []mode{shared, exclusive} {
					c := d.claim(o, m, lo, hi)
					add("tries", func(d *duel) error { return d.request(0, c, false, 0) })
					add("waits", func(d *duel) error { return d.request(0, c, true, o) })
				}
			}
		}
	}
	return out
}

// TestEveryReachableStateAgreesWithTheModel walks through all states that three
// owners can bring a file of two cells into, and takes every step from each.
func TestEveryReachableStateAgreesWithTheModel(t *testing.T) {
	for _, c := range []struct {
		kind   kind
		cells  int
		owners uint64
	}{{recordLocks, 1, 3}, {recordLocks, 2, 2}, {recordLocks, 2, 3}, {flocks, 1, 3}, {flocks, 1, 4}} {
		t.Run(fmt.Sprintf("%s with %d cells and %d owners", c.kind, c.cells, c.owners), func(t *testing.T) {
			t.Logf("%d states", explore(t, c.kind, c.cells, c.owners))
		})
	}
}

// explore counts the states that differ in more than the owners' names.
func explore(t *testing.T, k kind, cells int, owners uint64) int {
	names := permutations(owners)
	id := func(d *duel) string {
		least := d.md.id(names[0])
		for _, n := range names[1:] {
			least = min(least, d.md.id(n))
		}
		return least
	}
	fresh := newDuel(k, cells, 1)
	seen := map[string]bool{id(fresh): true}
	for todo := []*duel{fresh}; len(todo) > 0; {
		d := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, s := range steps(d, owners) {
			next := d.clone()
			if err := s.do(next); err != nil {
				t.Fatalf("from\n%safter %d %s: %v", d.md.show(), s.owner, s.name, err)
			}
			if i := id(next); !seen[i] {
				seen[i] = true
				todo = append(todo, next)
			}
		}
	}
	return len(seen)
}

// permutations lists every way to call owners 0 (nobody) to n.
func permutations(n uint64) (out [][]uint64) {
	if n == 0 {
		return [][]uint64{{0}}
	}
	for _, p := range permutations(n - 1) {
		for i := 1; i <= len(p); i++ {
			out = append(out, slices.Insert(slices.Clone(p), i, n))
		}
	}
	return out
}

// clone copies both sides.
func (d *duel) clone() *duel {
	n := newDuel(d.md.kind, d.md.cells, len(d.files))
	twin := map[*wait]*wait{}
	modelTwin := map[*modelWait]*modelWait{}
	for _, mw := range d.md.waits {
		c := *mw
		modelTwin[mw] = &c
		n.md.waits = append(n.md.waits, &c)
	}
	for f, held := range d.md.held {
		copy(n.md.held[f], held)
	}
	for k, sp := range d.m.spaces {
		c := n.m.space(k)
		for _, h := range sp.records.by {
			c.records.by = append(c.records.by, holding{h.owner, slices.Clone(h.spans)})
		}
		for _, w := range sp.queue {
			x := *w
			twin[w] = &x
			c.queue = append(c.queue, &x)
		}
		for _, w := range sp.parked {
			x := *w
			twin[w] = &x
			c.parked = append(c.parked, &x)
		}
	}
	for tk, w := range d.m.tickets {
		n.m.tickets[tk] = twin[w]
	}
	for o, ws := range d.m.waits {
		for _, w := range ws {
			n.m.waits[o] = append(n.m.waits[o], twin[w])
		}
	}
	for _, p := range d.open {
		n.open = append(n.open, &place{twin[p.w], modelTwin[p.mw]})
	}
	return n
}

func TestInternalLocksAreCountedAndExcludeByNameAndRange(t *testing.T) {
	m := newMachine()
	k := spaceKey{file: xlator.GFID{15: 1}, kind: entryLocks, domain: "d"}
	take := func(owner uint64, name string, md mode, want bool) {
		t.Helper()
		c := claim{owner: owner, end: endOfFile, name: name, mode: md}
		if o := m.request(k, c, false, 0); (o.errno == 0) != want {
			t.Fatalf("%d takes %q: %v", owner, name, o.errno)
		}
		if err := m.check(); err != nil {
			t.Fatal(err)
		}
	}
	give := func(owner uint64, name string, want bool) {
		t.Helper()
		if found, _ := m.unlock(k, claim{owner: owner, end: endOfFile, name: name}); found != want {
			t.Fatalf("%d gives %q back: found %v", owner, name, found)
		}
	}
	take(1, "a", exclusive, true)
	take(2, "b", exclusive, true)
	take(2, "a", shared, false)
	take(3, "", shared, false)
	take(1, "a", exclusive, true)
	give(1, "a", true)
	take(2, "a", exclusive, false)
	give(1, "b", false)
	give(1, "a", true)
	give(1, "a", false)
	take(2, "a", exclusive, true)
	give(2, "a", true)
	give(2, "b", true)
	take(3, "", shared, true)
	take(4, "x", shared, true)
	take(5, "x", exclusive, false)
	give(3, "", true)
	give(4, "x", true)
	if len(m.spaces) != 0 {
		t.Fatalf("%d spaces left", len(m.spaces))
	}
}
