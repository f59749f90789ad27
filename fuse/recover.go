package fuse

import (
	"cmp"
	"fmt"
	"slices"
	"time"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/fdtable"
	"github.com/holdfast/holdfast/fdtable/state"
)

const (
	// A request that was there at maxCrashes crashes in a row is given up, and so
	// is one that was there at maxDeaths deaths which were crashes or may have
	// been. Deaths by a signal from outside do not count: a request that waits for
	// a brick is there at all of them.
	maxCrashes = 3
	maxDeaths  = 25
	// harmless is how long a process lives on with a request that is not
	// suspected any more.
	harmless = time.Second
)

// Recovered says what a session has found of the process before it.
type Recovered struct {
	Took time.Duration `json:"took"` // until new requests were read
	// Requests by what became of them: their recorded reply was written again;
	// they were carried out again; they had been read and not begun; they were
	// answered EIO because process after process had died of them.
	Answered int `json:"answered"`
	Again    int `json:"again"`
	Begun    int `json:"begun"`
	Poison   int `json:"poison"`
	// Acknowledged writes that were not on their brick, and files that are held
	// because writing them takes longer than Options.DrainTimeout.
	Owed int `json:"owed"`
	Held int `json:"held"`

	Forgets    int `json:"forgets"`
	Interrupts int `json:"interrupts"`
	// Damaged slots: then Resent is true, the kernel was asked to send again
	// what it had sent before, and only Owed was taken from the slots.
	Damaged int  `json:"damaged"`
	Resent  bool `json:"resent"`
	// ByOp counts requests by opcode.
	ByOp map[string]int `json:"by_op"`
}

// Requests is how many requests were found.
func (r *Recovered) Requests() int { return r.Answered + r.Again + r.Begun + r.Poison + r.Owed }

// found is a request in a slot that an earlier process has left.
type found struct {
	sl          *slot
	in          []byte
	interrupted bool
}

func (f *found) header() *gofuse.InHeader {
	return (*gofuse.InHeader)(unsafe.Pointer(unsafe.SliceData(f.in)))
}

// recovery is one Recover.
type recovery struct {
	s   *Session
	t   *fdtable.Table
	rec *Recovered

	read     []*found // by the kernel into a slot, and no further
	again    []*found // not answered
	answered []*found
	owed     []*found
	damaged  []*slot
	unowed   int // Owed, and not answered yet
}

// Recover brings to their end the requests that an earlier process has left in
// the slots. When it returns, what had been answered has been answered again,
// acknowledged writes are on their bricks (or their files are held), and the
// rest is being carried out, waits for locks in the order in which they came.
// It is called once, before Serve, with the graphs up and locks restored. After
// an error the requests that the kernel waits for are lost, and all that helps
// is Abort.
func (s *Session) Recover(t *fdtable.Table) (*Recovered, error) {
	began := time.Now()
	s.bridge = newBridge(s, t)
	r := &recovery{s: s, t: t, rec: &Recovered{ByOp: map[string]int{}}}
	s.recovered.Store(r.rec)
	if !s.mem.Durable() && !s.opts.Resend {
		return r.rec, nil // nobody was there before
	}
	for i, u := range s.mem.Early() {
		s.running.interrupt(u)
		s.early.Store(uint32(i + 1))
	}
	r.sort()
	if err := r.run(); err != nil {
		return nil, err
	}
	if r.rec.Again > 0 {
		s.forgiving = time.AfterFunc(harmless, s.running.forgive)
	}
	r.rec.Took = time.Since(began)
	s.mem.NoteRecovery(uint64(r.rec.Requests()), uint64(r.rec.Took))
	if n := r.rec.Requests(); n > 0 || r.rec.Resent {
		s.log.Info("requests recovered", "answered", r.rec.Answered, "again", r.rec.Again, "begun", r.rec.Begun, "poison", r.rec.Poison,
			"owed", r.rec.Owed, "held", r.rec.Held, "damaged", r.rec.Damaged, "resent", r.rec.Resent, "took", r.rec.Took.Round(time.Microsecond))
	}
	return r.rec, nil
}

// sort sorts what is in the slots.
func (r *recovery) sort() {
	requests := map[uint64]bool{}
	for _, sl := range r.s.found {
		kind, ok := sl.entry.Kind()
		f := &found{sl: sl, in: sl.entry.Request(sl.mem)}
		switch {
		case kind == state.Reading && ok && sl.entry.Unread(sl.mem):
			sl.drop()
		case !ok || f.in == nil || int(f.header().Length) != len(f.in):
			r.damaged = append(r.damaged, sl)
		case kind == state.Reading:
			r.read = append(r.read, f)
		case requests[f.header().Unique]:
			r.damaged = append(r.damaged, sl)
		default:
			requests[f.header().Unique] = true
			r.s.order.Store(max(r.s.order.Load(), sl.entry.Order()))
			r.sortRequest(f, kind)
		}
	}
	r.s.found = nil
	// What had been copied to a small slot, and not yet taken out of the big one.
	r.read = slices.DeleteFunc(r.read, func(f *found) bool {
		twice := requests[f.header().Unique]
		if twice {
			f.sl.drop()
		}
		return twice
	})
	slices.SortFunc(r.again, byOrder)
	slices.SortFunc(r.owed, byOrder)
	// Numbers grow; who read first is not known.
	slices.SortFunc(r.read, func(a, b *found) int {
		return cmp.Compare(a.header().Unique&^resent, b.header().Unique&^resent)
	})
}

func byOrder(a, b *found) int { return cmp.Compare(a.sl.entry.Order(), b.sl.entry.Order()) }

func (r *recovery) sortRequest(f *found, kind state.Kind) {
	f.interrupted = f.sl.entry.Flags()&state.Interrupted != 0
	switch answered := f.sl.entry.Reply(f.sl.mem) != nil; {
	case kind == state.Owed && f.isWrite() && answered:
		r.owed = append(r.owed, f)
		r.answered = append(r.answered, f)
	case kind == state.Owed && !answered: // it was about to be answered early
		f.sl.entry.Settle()
		r.unowed++
		r.again = append(r.again, f)
	case answered:
		r.answered = append(r.answered, f)
	default:
		r.again = append(r.again, f)
	}
}

// run brings everything to its end.
func (r *recovery) run() error {
	if len(r.damaged) > 0 {
		r.distrust()
	}
	r.s.mem.SetOwed(len(r.owed))
	r.interrupts()
	for _, f := range r.answered {
		r.answer(f)
	}
	r.payOwed()
	if r.rec.Resent || r.s.opts.Resend {
		return r.resend()
	}
	r.carryOut()
	return nil
}

// interrupts takes the INTERRUPTs out of what was read, and applies them.
func (r *recovery) interrupts() {
	targets := map[uint64]*found{}
	for _, f := range slices.Concat(r.again, r.read) {
		targets[f.header().Unique&^resent] = f
	}
	r.read = slices.DeleteFunc(r.read, func(f *found) bool {
		if f.header().Opcode != opInterrupt {
			return false
		}
		if len(f.in) >= int(unsafe.Sizeof(gofuse.InterruptIn{})) {
			u := (*gofuse.InterruptIn)(unsafe.Pointer(f.header())).Unique
			if to := targets[u&^resent]; to != nil {
				to.interrupted = true
				to.sl.entry.SetInterrupted() // of what was only read it is lost: see again
			}
			r.s.interrupt(u)
		}
		r.rec.Interrupts++
		f.sl.drop()
		return true
	})
}

// answer writes a recorded reply again. The kernel may have had it: then it says
// ENOENT.
func (r *recovery) answer(f *found) {
	e := f.sl.entry
	if fh, cursor := e.Cursor(); fh != 0 {
		if b := r.t.FD(fh); b != nil {
			b.SetCursor(cursor)
		}
	}
	_, err := unix.Write(r.s.fd, e.Reply(f.sl.mem))
	if err != nil && err != unix.ENOENT && err != unix.ENODEV {
		r.s.log.Error("the kernel refused a recorded reply", "op", opName(f.header().Opcode), "err", err)
		r.s.answerStatus(f.header().Unique, gofuse.EIO)
	}
	r.count(&r.rec.Answered, f)
	if k, _ := e.Kind(); k == state.Request {
		f.sl.drop()
	}
}

// answerStatus answers a request that is known by its number only.
func (s *Session) answerStatus(unique uint64, status gofuse.Status) {
	if err := writeStatus(s.fd, unique, status); err != nil && err != unix.ENOENT && err != unix.ENODEV {
		s.log.Error("answer an error", "status", status, "err", err)
	}
}

func (r *recovery) count(n *int, f *found) {
	*n++
	r.rec.ByOp[opName(f.header().Opcode)]++
}

// distrust forgets all slots but those of acknowledged writes, which nobody
// else has: one of them is damaged, and the others may be. If there should be
// more acknowledged writes than are found, files report an error.
func (r *recovery) distrust() {
	r.rec.Damaged, r.rec.Resent = len(r.damaged), true
	r.s.log.Error("slots of the state memory are damaged; the kernel is asked to send its requests again", "damaged", len(r.damaged))
	missing := r.s.mem.Owed() - len(r.owed) - r.unowed
	for _, sl := range r.damaged {
		if missing > 0 && r.suspect(sl) {
			missing--
		}
		sl.drop()
	}
	if missing > 0 {
		r.t.RecordOpen(fmt.Errorf("the record of what was acknowledged is damaged: %w", unix.EIO))
	}
	for _, f := range slices.Concat(r.answered, r.again, r.read) {
		if k, _ := f.sl.entry.Kind(); k != state.Owed {
			f.sl.drop()
		}
	}
	r.answered, r.again, r.read = nil, nil, nil
}

// suspect records a write error where a damaged slot may have held acknowledged
// data, that of a WRITE with a reply, and reports whether it did.
func (r *recovery) suspect(sl *slot) bool {
	at, n := sl.entry.Place(sl.mem)
	if n < headSize || sl.entry.Reply(sl.mem) == nil {
		return false
	}
	in := (*gofuse.WriteIn)(unsafe.Pointer(&sl.mem[at]))
	if in.Opcode != opWrite {
		return false
	}
	b := r.t.FD(in.Fh)
	if b == nil || b.Node() == nil || b.Node().ID() != in.NodeId {
		return false
	}
	r.t.Record(b.Node().GFID(), fmt.Errorf("the record of a write is damaged, and it may be lost: %w", unix.EIO))
	return true
}

// resend has the kernel send again what it waits for. Before anything is read,
// once: what is read afterwards would come twice.
func (r *recovery) resend() error {
	r.rec.Resent = true
	if err := sendResend(r.s.fd); err != nil {
		return fmt.Errorf("requests in flight are lost; the connection has to be ended: %w", err)
	}
	return nil
}
