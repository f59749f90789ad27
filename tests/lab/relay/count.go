package relay

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// Count says how many calls of one kind, and replies to them, have been passed
// on in one direction.
type Count struct{ Calls, Replies int }

// tell wakes those who wait for a change. Gate.mu is held.
func (g *Gate) tell() {
	close(g.changed)
	g.changed = make(chan struct{})
}

func (g *Gate) count(dir Direction, call Call, reply bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.counts[dir][call]
	if reply {
		n.Replies++
	} else {
		n.Calls++
	}
	g.counts[dir][call] = n
	g.tell()
}

// Calls is how many such calls have been passed on in whole.
func (g *Gate) Calls(dir Direction, c Call) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.counts[dir][c].Calls
}

// Replies is how many replies to such calls have been passed on in whole.
func (g *Gate) Replies(dir Direction, c Call) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.counts[dir][c].Replies
}

// Counts is all that has been passed on in one direction.
func (g *Gate) Counts(dir Direction) map[Call]Count {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.counts[dir])
}

// Connections is how many there are.
func (g *Gate) Connections() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.sessions)
}

// WaitCalls waits until at least n such calls have been passed on.
func (g *Gate) WaitCalls(t testing.TB, dir Direction, c Call, n int) {
	t.Helper()
	g.wait(t, fmt.Sprintf("%d calls of %v %v", n, c, dir), func() bool { return g.counts[dir][c].Calls >= n })
}

// WaitConnections waits until there are exactly n.
func (g *Gate) WaitConnections(t testing.TB, n int) {
	t.Helper()
	g.wait(t, fmt.Sprintf("%d connections", n), func() bool { return len(g.sessions) == n })
}

// wait waits for ok, which is called with Gate.mu held.
func (g *Gate) wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.NewTimer(waitTimeout)
	defer end.Stop()
	for {
		g.mu.Lock()
		good, changed := ok(), g.changed
		g.mu.Unlock()
		if good {
			return
		}
		select {
		case <-changed:
		case <-end.C:
			t.Fatalf("after %v there were not %s; passed:\n%s", waitTimeout, what, g.Table())
		}
	}
}

// Table is all counters, for a person.
func (g *Gate) Table() string {
	var b strings.Builder
	for _, dir := range []Direction{ToServer, ToClient} {
		counts := g.Counts(dir)
		for _, c := range slices.Sorted(maps.Keys(counts)) {
			fmt.Fprintf(&b, "%s: %v: %d calls, %d replies\n", dir, c, counts[c].Calls, counts[c].Replies)
		}
	}
	return b.String()
}
