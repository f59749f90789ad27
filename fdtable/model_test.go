package fdtable

import (
	"fmt"
	"testing"

	"github.com/holdfast/holdfast/graph"
	"github.com/holdfast/holdfast/xlator/hint"
)

// This test explores every interleaving of a small mount: up to 3 graphs, 2 fds
// of 1 or 2 files, 2 requests, 1 failed move, 1 held file, an idle base fd that is
// closed, and the death of the process at any moment: everything that it had open
// is CLOSED, its graphs are no more, and the requests that it had not answered
// begin anew. The decisions are
// those of the product (StepSwitch, StepSettle, StepRetire, hint.Step, fresh,
// mayUse); only what lies between them is modelled.

const (
	rIdle = iota // has requests left to make
	rLoaded
	rPlace     // wants to know where the file lives
	rWaitFile  // waits for the file's move
	rPauseFile // waits for the pause after a failed one to be over
	rBind      // wants the base fd to be there
	rWaitFD
	rPauseFD
	rEntered
	rUsing
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
	cur, p, r uint8 // what it read: current graph, file's place, binding
	left      uint8 // operations to go
}

type mAttempt struct {
	stage, gen uint8
	fds        uint8 // of a file: those that are being opened
}

type mFile struct {
	ref    hint.State
	att    mAttempt
	astray uint8 // graph that it is pinned to
	held   bool
}

type mFD struct {
	file uint8
	ref  hint.State // Have is the graph that it is bound to; CLOSED: 0
	att  mAttempt
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
	fd       [2]mFD
	req      [2]mReq
	failures uint8
	holds    uint8
	deaths   uint8
	idles    uint8
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

// inside says which requests (bits 0, 1) and attempts for files (bits 2, 3) and
// base fds (bits 4, 5) are in g.
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
	for i, f := range s.fd {
		if f.att.stage >= aEntered && f.att.gen == g {
			mask |= 16 << i
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

// bound reports whether something of the file is open or being opened.
func (s *mState) bound(f uint8) bool {
	for _, d := range s.fd {
		if d.file == f && (d.ref.Have != 0 || d.ref.Phase == hint.Reopening) {
			return true
		}
	}
	return false
}

// useFile is a request's or the sweeper's Use of a file's Ref.
func (s *mState) useFile(f, want uint8) (a hint.Action) {
	s.file[f].ref, a = hint.Step(s.file[f].ref, hint.Event{Kind: hint.UsePatiently, Key: uint64(want)})
	if a == hint.Start {
		s.file[f].att = mAttempt{stage: aHeld}
	}
	return a
}

// useFD is a request's or the sweeper's Use of a base fd's Ref.
func (s *mState) useFD(d, want uint8) (a hint.Action) {
	s.fd[d].ref, a = hint.Step(s.fd[d].ref, hint.Event{Kind: hint.UsePatiently, Key: uint64(want)})
	if a == hint.Start {
		s.fd[d].att = mAttempt{stage: aRead}
	}
	return a
}

// bind publishes on graph gen what was opened for a base fd, unless it comes too
// late.
func (s *mState) bind(d, gen uint8, kind hint.EventKind) {
	old := uint8(s.fd[d].ref.Have)
	var a hint.Action
	s.fd[d].ref, a = hint.Step(s.fd[d].ref, hint.Event{Kind: kind, Key: uint64(gen)})
	s.stepRetire(gen, graph.RetireBind)
	switch {
	case a == hint.Discard:
		s.stepRetire(gen, graph.RetireUnbind)
	case old != 0:
		s.stepRetire(old, graph.RetireUnbind)
	}
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
	for i := range s.fd {
		m.nextFD(s, uint8(i), go1)
	}
	for g := uint8(1); g <= s.gen; g++ {
		m.nextRetirer(s, g, go1)
	}
	return moves
}

// die ends the process and begins the next one, with one new graph. A file that
// was held still is: what was acknowledged is written out first.
func (s mState) die() mState {
	n := mState{wants: s.wants, gen: s.gen + 1, cur: s.gen + 1, failures: s.failures, holds: s.holds, deaths: s.deaths - 1, idles: s.idles}
	for g := uint8(1); g <= s.gen; g++ {
		n.g[g].stopped = true
	}
	n.g[n.cur].exists = true
	for i, r := range s.req {
		if n.req[i] = (mReq{fd: r.fd, left: r.left}); r.stage == rDone {
			n.req[i].stage = rDone
		}
	}
	for i, d := range s.fd {
		n.fd[i].file = d.file
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
	f := s.fd[r.fd].file
	again := mReq{stage: rIdle, fd: r.fd, left: r.left}
	n := s
	q := &n.req[i]
	enter := func(gen uint64) {
		q.p, q.r, q.stage = 0, uint8(gen), rEntered // what matters no more is 0: fewer states
		n.g[q.r].in++
	}
	switch r.stage {
	case rIdle:
		if r.left == 0 {
			*q = mReq{stage: rDone, fd: r.fd}
		} else {
			q.stage, q.cur, q.r = rLoaded, s.cur, uint8(s.fd[r.fd].ref.Have)
		}
		go1(n)
	case rLoaded:
		if fresh(uint64(r.r), uint64(r.cur)) {
			enter(uint64(r.r))
		} else {
			q.r, q.stage = 0, rPlace
		}
		go1(n)
	case rPlace:
		m.nextPlace(s, i, go1)
	case rWaitFile:
		if s.file[f].att.stage == aNone {
			q.stage = rPlace
			go1(n)
		}
	case rPauseFile:
		if ref := s.file[f].ref; !ref.Backoff || ref.Have != 0 {
			q.stage = rPlace
			go1(n)
		}
	case rBind:
		switch a := n.useFD(r.fd, r.p); a {
		case hint.Hit, hint.UseOld:
			enter(s.fd[r.fd].ref.Have)
		case hint.Start, hint.Join:
			q.stage = rWaitFD
		case hint.Pause:
			q.stage = rPauseFD
		default:
			m.failf(s, "request %d was refused by %v", i, a)
		}
		go1(n)
	case rWaitFD:
		if s.fd[r.fd].att.stage == aNone {
			q.stage = rBind
			go1(n)
		}
	case rPauseFD:
		if ref := s.fd[r.fd].ref; !ref.Backoff || ref.Have != 0 {
			q.stage = rBind
			go1(n)
		}
	case rEntered:
		if mayUse(s.fd[r.fd].ref.Have == uint64(r.r), r.r == s.cur, r.cur == s.cur) {
			q.cur, q.stage = 0, rUsing
			if s.g[r.r].stopped {
				m.failf(s, "request %d uses graph %d, which is stopped", i, r.r)
			}
			if r.r != s.cur && s.file[f].astray == 0 {
				m.failf(s, "request %d begins on graph %d though %d is current and the file is not pinned", i, r.r, s.cur)
			}
		} else {
			n.g[r.r].in--
			*q = again
		}
		go1(n)
	case rUsing:
		if s.g[r.r].stopped {
			m.failf(s, "graph %d was stopped under request %d", r.r, i)
		}
		if s.settled() && r.r != s.cur {
			m.failf(s, "caches are on while request %d runs on graph %d", i, r.r)
		}
		n.g[r.r].in--
		again.left--
		*q = again
		go1(n)
	}
}

// nextPlace resolves the file of a request.
func (m *model) nextPlace(s mState, i uint8, go1 func(mState)) {
	n := s
	q := &n.req[i]
	f := s.fd[q.fd].file
	ref := &n.file[f].ref
	switch {
	case ref.Have != 0 && ref.Have >= uint64(q.cur):
	case s.file[f].held:
		return
	case !s.bound(f):
		if *ref, _ = hint.Step(*ref, hint.Event{Kind: hint.Put, Key: uint64(q.cur)}); ref.Have < uint64(q.cur) {
			m.failf(s, "a file that is not open is not where it was put")
		}
	default:
		switch a := n.useFile(f, q.cur); a {
		case hint.Hit, hint.UseOld:
		case hint.Start, hint.Join:
			q.stage = rWaitFile
		case hint.Pause:
			q.stage = rPauseFile
		default:
			m.failf(s, "request %d was refused by %v", i, a)
		}
	}
	if q.stage == rPlace {
		q.p, q.stage = uint8(ref.Have), rBind
	}
	go1(n)
}

func (m *model) nextFile(s mState, f uint8, go1 func(mState)) {
	fl := s.file[f]
	if s.fd[0].file != f && s.fd[1].file != f {
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
	gen := fl.att.gen
	n := s
	att := &n.file[f].att
	switch fl.att.stage {
	case aNone: // the sweeper
		switch {
		case fl.ref.Have >= uint64(s.cur):
		case !s.bound(f):
			if fl.ref.Have != 0 {
				n.file[f].ref, _ = hint.Step(fl.ref, hint.Event{Kind: hint.Drop})
				go1(n)
			}
		case !fl.ref.Backoff:
			n.useFile(f, s.cur)
			go1(n)
		}
	case aHeld:
		if !fl.held {
			*att = mAttempt{stage: aRead, gen: s.cur}
			go1(n)
		}
	case aRead:
		n.g[gen].in++
		att.stage = aEntered
		go1(n)
	case aEntered:
		if gen == s.cur {
			att.stage, att.fds = aOpening, s.behind(f, gen)
		} else {
			n.g[gen].in--
			*att = mAttempt{stage: aRead, gen: s.cur}
		}
		go1(n)
	case aOpening:
		if s.g[gen].stopped {
			m.failf(s, "a move opens on graph %d, which is stopped", gen)
		}
		if s.failures > 0 && att.fds != 0 {
			n := s
			n.failures--
			if fl.ref.Have != 0 && fl.ref.Have < uint64(gen) {
				n.setAstray(f, uint8(fl.ref.Have))
			}
			n.g[gen].in--
			n.file[f].att = mAttempt{}
			n.file[f].ref, _ = hint.Step(fl.ref, hint.Event{Kind: hint.Failed})
			go1(n)
		}
		if more := s.behind(f, gen); more&^att.fds != 0 {
			att.fds |= more
			go1(n)
			return
		}
		for i := range s.fd {
			if att.fds&(1<<i) != 0 {
				n.bind(uint8(i), gen, hint.Put)
			}
		}
		n.file[f].ref, _ = hint.Step(fl.ref, hint.Event{Kind: hint.Put, Key: uint64(gen)})
		n.setAstray(f, 0)
		att.stage, att.fds = aPublished, 0
		go1(n)
	case aPublished:
		n.file[f].ref, _ = hint.Step(fl.ref, hint.Event{Kind: hint.Opened, Key: hint.Published})
		n.g[gen].in--
		*att = mAttempt{}
		go1(n)
	}
}

// behind says which base fds of a file have to come along to a graph.
func (s *mState) behind(f, gen uint8) (mask uint8) {
	for i, d := range s.fd {
		if d.file == f && d.ref.Have < uint64(gen) && (d.ref.Have != 0 || d.ref.Phase == hint.Reopening) {
			mask |= 1 << i
		}
	}
	return mask
}

// nextFD is what happens to a base fd: the pause after a failed attempt ends, it
// is gathered in, or its attempt goes on.
func (m *model) nextFD(s mState, d uint8, go1 func(mState)) {
	fd := s.fd[d]
	place := uint8(s.file[fd.file].ref.Have)
	if fd.ref.Backoff {
		n := s
		n.fd[d].ref, _ = hint.Step(fd.ref, hint.Event{Kind: hint.PauseOver})
		go1(n)
	}
	gen := fd.att.gen
	n := s
	att := &n.fd[d].att
	if s.idles > 0 && fd.ref.Phase == hint.Open && fd.ref.Have == uint64(s.cur) && s.file[fd.file].astray == 0 && !s.inUse(d) {
		n := s
		n.idles--
		n.fd[d].ref, _ = hint.Step(fd.ref, hint.Event{Kind: hint.Drop})
		n.stepRetire(s.cur, graph.RetireUnbind)
		go1(n)
	}
	switch fd.att.stage {
	case aNone:
		if fd.ref.Have != 0 && fd.ref.Have < uint64(place) && !fd.ref.Backoff {
			n.useFD(d, place)
			go1(n)
		}
	case aRead:
		if *att = (mAttempt{stage: aEntered, gen: place}); place == 0 {
			att.gen = s.cur
		}
		n.g[att.gen].in++
		go1(n)
	case aEntered:
		serves := gen == s.cur
		for _, d := range s.fd {
			serves = serves || d.file == fd.file && d.ref.Have == uint64(gen)
		}
		if serves {
			att.stage = aOpening
		} else {
			n.g[gen].in--
			att.gen = s.cur
			n.g[s.cur].in++
		}
		go1(n)
	case aOpening:
		if s.g[gen].stopped {
			m.failf(s, "a base fd is opened on graph %d, which is stopped", gen)
		}
		n.g[gen].in--
		*att = mAttempt{}
		if s.failures > 0 {
			n := n
			n.failures--
			if fd.ref.Have != 0 && fd.ref.Have < uint64(gen) {
				n.setAstray(fd.file, uint8(fd.ref.Have))
			}
			n.fd[d].ref, _ = hint.Step(fd.ref, hint.Event{Kind: hint.Failed})
			go1(n)
		}
		n.bind(d, gen, hint.Put)
		n.fd[d].ref, _ = hint.Step(n.fd[d].ref, hint.Event{Kind: hint.Opened, Key: hint.Published})
		if gen == s.cur && n.behind(fd.file, gen) == 0 {
			n.setAstray(fd.file, 0)
		}
		go1(n)
	}
}

// inUse reports whether a request has counted itself into a base fd.
func (s *mState) inUse(d uint8) bool {
	for _, r := range s.req {
		if r.fd == d && (r.stage == rEntered || r.stage == rUsing) {
			return true
		}
	}
	return false
}

// setAstray pins a file to a graph, or to none.
func (s *mState) setAstray(f, on uint8) {
	from := s.file[f].astray
	if from == on {
		return
	}
	s.file[f].astray = on
	if from != 0 {
		s.stepSettle(graph.SettleLeft)
		s.g[from].left++
		s.g[from].leftMask |= s.inside(from)
	}
	if on != 0 {
		s.stepSettle(graph.SettleAstray)
	}
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
	for i, d := range s.fd {
		if d.ref.Have != uint64(s.cur) && d.ref != (hint.State{}) {
			m.failf(s, "fd %d is left on graph %d", i, d.ref.Have)
		}
	}
}

func explore(t *testing.T, fdFile [2]uint8, wants, failures, holds, deaths, idles, ops uint8) int {
	s := mState{wants: wants, cur: 1, gen: 1, failures: failures, holds: holds, deaths: deaths, idles: idles}
	s.g[1].exists = true
	for i := range s.req {
		s.req[i] = mReq{fd: uint8(i), left: ops}
		s.fd[i] = mFD{file: fdFile[i], ref: hint.State{Phase: hint.Open, Have: 1}}
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
		name                                       string
		files                                      [2]uint8
		wants, failures, holds, deaths, idles, ops uint8
	}{
		{"one file", [2]uint8{0, 0}, 2, 1, 0, 0, 0, 1},
		{"two files", [2]uint8{0, 1}, 1, 1, 0, 0, 0, 1},
		{"held", [2]uint8{0, 1}, 1, 0, 1, 0, 0, 1},
		{"one file, held, failure", [2]uint8{0, 0}, 1, 1, 1, 0, 0, 1},
		{"deaths without a switch", [2]uint8{0, 1}, 0, 2, 0, 2, 0, 2},
		{"death in a switch", [2]uint8{0, 0}, 1, 1, 0, 1, 0, 1},
		{"death in a switch, held", [2]uint8{0, 1}, 1, 0, 1, 1, 0, 1},
		{"idle files closed in a switch", [2]uint8{0, 0}, 1, 1, 0, 0, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Logf("%d states", explore(t, c.files, c.wants, c.failures, c.holds, c.deaths, c.idles, c.ops))
		})
	}
}
