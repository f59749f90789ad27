package fuse

import (
	"sync"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/holdfast/holdfast/fdtable/state"
)

// carryOut carries out what is not answered: in goroutines, since any of them
// may wait for another. Those that wait for a lock take their places in the
// queue one after the other, in the order in which they came, and all of them
// before new requests are read.
func (r *recovery) carryOut() {
	queues := map[uint64][]*request{} // waits for locks, by file
	start := func(q *request) {
		if q.op == opSetlkw {
			queues[q.node] = append(queues[q.node], q)
			return
		}
		r.s.readers.Go(func() { r.s.carryOut(q) })
	}
	r.uncount()
	for _, f := range r.again {
		if q := r.take(f); q != nil {
			start(q)
		}
	}
	for _, f := range r.read {
		if q := r.admit(f); q != nil {
			start(q)
		}
	}
	placed := make(chan struct{})
	var wg sync.WaitGroup
	for _, queue := range queues {
		wg.Add(1)
		r.s.readers.Go(func() {
			defer wg.Done()
			for _, q := range queue {
				r.s.placeInQueue(q)
			}
		})
	}
	r.s.readers.Go(func() { wg.Wait(); close(placed) })
	select {
	case <-placed:
	case <-r.s.gone:
	case <-time.After(r.s.opts.DrainTimeout):
		r.s.log.Warn("waits for locks begin late: others may come first")
	}
}

// uncount takes back the lookups that were counted for requests whose answer
// nobody has recorded: they are going to be counted again.
func (r *recovery) uncount() {
	var all []state.Counted
	add := func(c state.Counted) {
		if c.Node() != 0 {
			all = append(all, c)
		}
	}
	for _, f := range r.again {
		switch op := f.header().Opcode; {
		case op == opReaddirplus:
			f.sl.entry.EachCounted(f.sl.mem, add)
		case op < opCount && entryOps[op]:
			add(f.sl.entry.Counted())
		}
	}
	r.t.Uncount(all)
}

// placeInQueue starts a wait for a lock and returns when it has its place, or
// has ended.
func (s *Session) placeInQueue(q *request) {
	placed := make(chan struct{})
	once := sync.OnceFunc(func() { close(placed) })
	q.call.OnPark = func() {
		q.onPark()
		once()
	}
	s.readers.Go(func() {
		s.carryOut(q)
		once()
	})
	<-placed
}

// take makes a request of one that an earlier process has begun; nil if it is
// not to be carried out again.
func (r *recovery) take(f *found) *request {
	deaths, crashes := f.sl.entry.Try(r.s.mem.Death())
	if crashes >= maxCrashes || deaths >= maxDeaths {
		r.s.log.Error("a request is answered EIO: process after process has died while it was carried out",
			"op", opName(f.header().Opcode), "node", f.header().NodeId, "deaths", deaths, "crashes", crashes)
		r.s.answerStatus(f.header().Unique, gofuse.EIO)
		for _, e := range r.t.Enders(f.header().Unique &^ resent) {
			e.EndCall(f.header().Unique &^ resent)
		}
		r.count(&r.rec.Poison, f)
		f.sl.drop()
		return nil
	}
	q := r.s.take()
	q.begin(f.sl, f.in)
	r.s.again(q)
	q.back = true // no reader carries it out
	if f.interrupted {
		q.interrupt()
	}
	r.count(&r.rec.Again, f)
	return q
}

// again sees to it that those hear of the end of a request who know it from an
// earlier process: this time it may not come to them.
func (s *Session) again(q *request) {
	for _, e := range s.bridge.t.Enders(q.call.Unique) {
		q.call.AtEnd(e)
	}
}

// admit makes a request of one that was read and not begun; nil if there is
// nothing more to do.
func (r *recovery) admit(f *found) *request {
	if r.s.inline(f.in) {
		r.rec.Forgets++
		f.sl.drop()
		return nil
	}
	q := r.s.admit(f.sl, f.in)
	r.s.again(q)
	q.back = true
	if f.interrupted {
		q.interrupt()
	}
	r.count(&r.rec.Begun, f)
	return q
}
