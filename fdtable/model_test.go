package fdtable

import (
	"fmt"
	"testing"

	"github.com/holdfast/holdfast/graph"
	"github.com/holdfast/holdfast/xlator/hint"
)

// This test explores every interleaving of a small mount: up to 3 graphs, 2 fds
// of 1 or 2 files, 2 requests, 1 failed move, 1 held file, and the death of the
// process at any moment: everything that it had open is CLOSED, its graphs are
// no more, and the requests that it had not answered begin anew. The decisions are
// those of the product (StepSwitch, StepSettle, StepRetire, hint.Step, fresh,
// mayUse); only what lies between them is modelled.

const (
	rIdle = iota // has requests left to make
	rLoaded
	rWaiting
	rEntered
	rUsing
	rPaused // waits for the pause after a failure to be over
	rDone
)

const (
	aNone = iota
	aHeld // waits for the file not to be held
	aRead // has read which graph is current
	aEntered
	aOpening // n fds opened
	aPublished
)

type mReq struct {
	stage, fd uint8
	cur, r    uint8 // what it read: current graph, binding
	left      uint8 // operations to go
}

type mAttempt struct {
	stage, gen uint8
}

type mFile struct {
	ref          hint.State
	att          mAttempt
	astray, held bool
}

type mGraph struct {
	exists, stopped bool
	retire          graph.RetireState
	in              int8
	// The retirer: asked to wait; waiting for those of the mask to leave.
	asked, waiting bool
	first          bool // has reported quiet
	mask           uint8
	// Files came home from it: quiet is reported when those of the mask left.
	left     uint8
	leftMask uint8
}

type mState struct {
	sw       graph.SwitchState
	wants    uint8
	busy     graph.SwitchAction // the step in progress
	isBusy   bool
	built    bool // a new graph exists that does not serve yet
	cur, gen uint8
	g        [4]mGraph
	settle   graph.SettleState
	file     [2]mFile
	fdFile   [2]uint8
	fdBound  [2]uint8
	req      [2]mReq
	failures uint8
	holds    uint8
	deaths   uint8
}

type model struct {
	t    *testing.T
	seen map[mState]struct{}
	todo []mState
}

func (m *model) push(s mState) {
	if _, ok := m.seen[s]; !ok {
		m.seen[s] = struct{}{}
		m.todo = append(m.todo, s)
	}
}

func (s *mState) settled() bool { return s.settle.Older == 0 && s.settle.Astray == 0 }

func (s *mState) stepSettle(e graph.SettleEvent) { s.settle, _ = graph.StepSettle(s.settle, e) }

func (s *mState) stepRetire(g uint8, e graph.RetireEvent) (retire bool) {
	var await bool
	s.g[g].retire, retire, await = graph.StepRetire(s.g[g].retire, e)
	if await {
		s.g[g].asked = true
	}
	return retire
}

// inside says which requests (bits 0, 1) and attempts (bits 2, 3) are in g.
func (s *mState) inside(g uint8) (mask uint8) {
	for i, r := range s.req {
		if (r.stage == rEntered || r.stage == rUsing) && r.r == g {
			mask |= 1 << i
		}
	}
	for i, f := range s.file {
		if f.att.stage >= aEntered && f.att.gen == g {
			mask |= 4 << i
		}
	}
	return mask
}

func (m *model) failf(s mState, format string, a ...any) {
	m.t.Helper()
	m.t.Fatalf("%s\nin state %+v", fmt.Sprintf(format, a...), s)
}

// event feeds the switch and carries out what it says.
func (m *model) event(s mState, e graph.SwitchEvent) mState {
	s.isBusy = false
	if e == graph.EvWant {
		s.isBusy = s.busy != 0 || s.sw.Stage != graph.StageIdle
	}
	var acts []graph.SwitchAction
	s.sw, acts = graph.StepSwitch(s.sw, e)
	for _, a := range acts {
		switch a {
		case graph.ActBuild, graph.ActConnect, graph.ActDrain:
			s.busy, s.isBusy = a, true
		case graph.ActDiscard:
			s.built = false
		case graph.ActHold:
			for i := range s.file {
				if s.holds > 0 && !s.file[i].held {
					s.holds--
					s.file[i].held = true
					s.stepSettle(graph.SettleAstray)
				}
			}
		case graph.ActSwap:
			old := s.cur
			s.gen++
			s.cur = s.gen
			s.built = false
			s.g[s.cur].exists = true
			s.stepSettle(graph.SettleSwapped)
			s.stepRetire(old, graph.RetireOut)
		}
	}
	return s
}

// use is a request's or the sweeper's Use of a file's Ref.
func (m *model) use(s mState, f uint8) (mState, hint.Action) {
	var a hint.Action
	s.file[f].ref, a = hint.Step(s.file[f].ref, hint.Event{Kind: hint.UsePatiently, Key: uint64(s.cur)})
	if a == hint.Start {
		s.file[f].att = mAttempt{stage: aHeld}
	}
	return s, a
}

func (m *model) next(s mState) (moves int) {
	go1 := func(n mState) { moves++; m.push(n) }
	if s.deaths > 0 {
		go1(s.die())
	}
	m.nextSwitch(s, go1)
	for i := range s.req {
		m.nextRequest(s, uint8(i), go1)
	}
	for i := range s.file {
		m.nextFile(s, uint8(i), go1)
	}
	for g := uint8(1); g <= s.gen; g++ {
		m.nextRetirer(s, g, go1)
	}
	return moves
}

// die ends the process and begins the next one, with one new graph. A file that
// was held still is: what was acknowledged is written out first.
func (s mState) die() mState {
	n := mState{wants: s.wants, gen: s.gen + 1, cur: s.gen + 1, fdFile: s.fdFile, failures: s.failures, holds: s.holds, deaths: s.deaths - 1}
	for g := uint8(1); g <= s.gen; g++ {
		n.g[g].stopped = true
	}
	n.g[n.cur].exists = true
	for i, r := range s.req {
		if n.req[i] = (mReq{fd: r.fd, left: r.left}); r.stage == rDone {
			n.req[i].stage = rDone
		}
	}
	for i, f := range s.file {
		if n.file[i].held = f.held; f.held {
			n.stepSettle(graph.SettleAstray)
		}
	}
	return n
}

func (m *model) nextSwitch(s mState, go1 func(mState)) {
	if s.wants > 0 {
		n := s
		n.wants--
		go1(m.event(n, graph.EvWant))
	}
	if !s.isBusy {
		return
	}
	switch s.busy {
	case graph.ActBuild:
		n := s
		n.built = true
		go1(m.event(n, graph.EvBuilt))
		if s.failures > 0 {
			n = s
			n.failures--
			go1(m.event(n, graph.EvFailed))
		}
	case graph.ActConnect:
		go1(m.event(s, graph.EvConnected))
		if s.failures > 0 {
			n := s
			n.failures--
			go1(m.event(n, graph.EvFailed))
		}
	case graph.ActDrain:
		go1(m.event(s, graph.EvDrained))
		if s.holds > 0 {
			go1(m.event(s, graph.EvDrainDeadline))
		}
	}
}

func (m *model) nextRequest(s mState, i uint8, go1 func(mState)) {
	r := s.req[i]
	f := s.fdFile[r.fd]
	switch r.stage {
	case rIdle:
		n := s
		if r.left == 0 {
			n.req[i] = mReq{stage: rDone, fd: r.fd}
		} else {
			n.req[i].stage, n.req[i].cur, n.req[i].r = rLoaded, s.cur, s.fdBound[r.fd]
		}
		go1(n)
	case rLoaded:
		n := s
		if fresh(uint64(r.r), uint64(r.cur)) {
			n.g[r.r].in++
			n.req[i].stage = rEntered
			go1(n)
			return
		}
		n, a := m.use(n, f)
		switch a {
		case hint.Start, hint.Join:
			n.req[i].stage = rWaiting
		case hint.Pause:
			n.req[i].stage = rPaused
		case hint.Hit, hint.UseOld:
			// The fd follows its file: bound to where the file is.
			n.req[i].r = s.fdBound[r.fd]
			if uint64(n.req[i].r) != n.file[f].ref.Have {
				n.req[i] = mReq{stage: rIdle, fd: r.fd, left: r.left} // look again
				break
			}
			n.g[n.req[i].r].in++
			n.req[i].stage = rEntered
		default:
			m.failf(s, "request %d was refused by %v", i, a)
		}
		go1(n)
	case rWaiting:
		if s.file[f].att.stage == aNone {
			n := s
			n.req[i] = mReq{stage: rIdle, fd: r.fd, left: r.left}
			go1(n)
		}
	case rPaused:
		if ref := s.file[f].ref; !ref.Backoff || ref.Have != 0 {
			n := s
			n.req[i] = mReq{stage: rIdle, fd: r.fd, left: r.left}
			go1(n)
		}
	case rEntered:
		n := s
		if mayUse(s.fdBound[r.fd] == r.r, r.r == r.cur, r.r == s.cur) {
			n.req[i].stage = rUsing
			if s.g[r.r].stopped {
				m.failf(s, "request %d uses graph %d, which is stopped", i, r.r)
			}
			if r.r != s.cur && !s.file[f].astray {
				m.failf(s, "request %d begins on graph %d though %d is current and the file is not pinned", i, r.r, s.cur)
			}
		} else {
			n.g[r.r].in--
			n.req[i] = mReq{stage: rIdle, fd: r.fd, left: r.left}
		}
		go1(n)
	case rUsing:
		if s.g[r.r].stopped {
			m.failf(s, "graph %d was stopped under request %d", r.r, i)
		}
		if s.settled() && r.r != s.cur {
			m.failf(s, "caches are on while request %d runs on graph %d", i, r.r)
		}
		n := s
		n.g[r.r].in--
		n.req[i] = mReq{stage: rIdle, fd: r.fd, left: r.left - 1}
		go1(n)
	}
}

func (m *model) nextFile(s mState, f uint8, go1 func(mState)) {
	fl := s.file[f]
	hasFD := s.fdFile[0] == f || s.fdFile[1] == f
	if !hasFD {
		return
	}
	if fl.held { // its flush ends
		n := s
		n.file[f].held = false
		n.stepSettle(graph.SettleHome)
		go1(n)
	}
	if fl.ref.Backoff {
		n := s
		n.file[f].ref, _ = hint.Step(fl.ref, hint.Event{Kind: hint.PauseOver})
		go1(n)
	}
	switch fl.att.stage {
	case aNone: // the sweeper
		if fl.ref.Have < uint64(s.cur) && fl.ref.Phase != hint.Closed && !fl.ref.Backoff {
			n, _ := m.use(s, f)
			go1(n)
		}
	case aHeld:
		if !fl.held {
			n := s
			n.file[f].att = mAttempt{stage: aRead, gen: s.cur}
			go1(n)
		}
	case aRead:
		n := s
		n.g[fl.att.gen].in++
		n.file[f].att.stage = aEntered
		go1(n)
	case aEntered:
		n := s
		if fl.att.gen == s.cur {
			n.file[f].att.stage = aOpening
		} else {
			n.g[fl.att.gen].in--
			n.file[f].att = mAttempt{stage: aRead, gen: s.cur}
		}
		go1(n)
	case aOpening:
		if s.g[fl.att.gen].stopped {
			m.failf(s, "a move opens on graph %d, which is stopped", fl.att.gen)
		}
		if s.failures > 0 {
			n := s
			n.failures--
			if fl.ref.Have != 0 {
				n.setAstray(f, true)
			}
			n.g[fl.att.gen].in--
			n.file[f].att = mAttempt{}
			n.file[f].ref, _ = hint.Step(fl.ref, hint.Event{Kind: hint.Failed})
			go1(n)
		}
		n := s
		for i, ff := range s.fdFile {
			if ff == f {
				n.stepRetire(fl.att.gen, graph.RetireBind)
				if s.fdBound[i] != 0 {
					n.stepRetire(s.fdBound[i], graph.RetireUnbind)
				}
				n.fdBound[i] = fl.att.gen
			}
		}
		n.setAstray(f, false)
		n.file[f].att.stage = aPublished
		go1(n)
	case aPublished:
		n := s
		n.file[f].ref, _ = hint.Step(fl.ref, hint.Event{Kind: hint.Opened, Key: uint64(fl.att.gen)})
		n.g[fl.att.gen].in--
		n.file[f].att = mAttempt{}
		go1(n)
	}
}

func (s *mState) setAstray(f uint8, on bool) {
	if s.file[f].astray == on {
		return
	}
	s.file[f].astray = on
	if on {
		s.stepSettle(graph.SettleAstray)
		return
	}
	from := uint8(s.file[f].ref.Have)
	s.stepSettle(graph.SettleLeft)
	s.g[from].left++
	s.g[from].leftMask |= s.inside(from)
}

func (m *model) nextRetirer(s mState, g uint8, go1 func(mState)) {
	if s.g[g].left > 0 {
		n := s
		n.g[g].leftMask &= s.inside(g)
		if n.g[g].leftMask == 0 {
			for ; n.g[g].left > 0; n.g[g].left-- {
				n.stepSettle(graph.SettleQuiet)
			}
		}
		if n != s {
			go1(n)
		}
	}
	switch {
	case s.g[g].waiting && s.g[g].mask&s.inside(g) == 0:
		n := s
		n.g[g].waiting, n.g[g].mask = false, 0
		if !n.g[g].first {
			n.g[g].first = true
			n.stepSettle(graph.SettleQuiet)
		}
		if n.stepRetire(g, graph.RetireQuiet) {
			n.g[g].stopped = true
			n.g[g].asked = false
		}
		go1(n)
	case s.g[g].waiting:
		// One of those waited for may leave and another enter meanwhile:
		// only the first matters.
		if mask := s.g[g].mask & s.inside(g); mask != s.g[g].mask {
			n := s
			n.g[g].mask = mask
			go1(n)
		}
	case s.g[g].asked:
		n := s
		n.g[g].asked, n.g[g].waiting, n.g[g].mask = false, true, s.inside(g)
		n.stepRetire(g, graph.RetireWait)
		go1(n)
	}
}

// final checks a state in which nothing can happen any more.
func (m *model) final(s mState) {
	for i, r := range s.req {
		if r.stage != rDone {
			m.failf(s, "request %d is stuck", i)
		}
	}
	if !s.settled() {
		m.failf(s, "never settled")
	}
	for g := uint8(1); g < s.cur; g++ {
		if !s.g[g].stopped {
			m.failf(s, "graph %d is never retired", g)
		}
	}
	if s.g[s.cur].stopped {
		m.failf(s, "the current graph was stopped")
	}
	for i, b := range s.fdBound {
		if closed := s.file[s.fdFile[i]].ref == (hint.State{}); b != s.cur && (b != 0 || !closed) {
			m.failf(s, "fd %d is left on graph %d", i, b)
		}
	}
}

func explore(t *testing.T, fdFile [2]uint8, wants, failures, holds, deaths, ops uint8) int {
	s := mState{wants: wants, cur: 1, gen: 1, fdFile: fdFile, fdBound: [2]uint8{1, 1}, failures: failures, holds: holds, deaths: deaths}
	s.g[1].exists = true
	for i := range s.req {
		s.req[i] = mReq{fd: uint8(i), left: ops}
		s.g[1].retire, _, _ = graph.StepRetire(s.g[1].retire, graph.RetireBind)
		s.file[fdFile[i]].ref = hint.State{Phase: hint.Open, Have: 1}
	}
	m := &model{t: t, seen: map[mState]struct{}{}}
	m.push(s)
	finals := 0
	for len(m.todo) > 0 {
		s := m.todo[len(m.todo)-1]
		m.todo = m.todo[:len(m.todo)-1]
		if m.next(s) == 0 {
			m.final(s)
			finals++
		}
	}
	if finals == 0 {
		t.Fatal("no run ever ends")
	}
	return len(m.seen)
}

// TestEveryInterleavingOfSwitchesAndRequests holds that no request ever uses a
// stopped graph or is refused, that caches are off while an older graph is used,
// that no request gets stuck, and that every old graph is retired in the end.
func TestEveryInterleavingOfSwitchesAndRequests(t *testing.T) {
	for _, c := range []struct {
		name                                string
		files                               [2]uint8
		wants, failures, holds, deaths, ops uint8
	}{
		{"one file", [2]uint8{0, 0}, 2, 1, 0, 0, 1},
		{"two files", [2]uint8{0, 1}, 1, 1, 0, 0, 1},
		{"held", [2]uint8{0, 1}, 1, 0, 1, 0, 1},
		{"one file, held, failure", [2]uint8{0, 0}, 1, 1, 1, 0, 1},
		{"deaths without a switch", [2]uint8{0, 1}, 0, 2, 0, 2, 2},
		{"death in a switch", [2]uint8{0, 0}, 1, 1, 0, 1, 1},
		{"death in a switch, held", [2]uint8{0, 1}, 1, 0, 1, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Logf("%d states", explore(t, c.files, c.wants, c.failures, c.holds, c.deaths, c.ops))
		})
	}
}
