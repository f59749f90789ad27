package fuse

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// maxReadErrors is how many reads in a row may fail in a way that we do not
// know before the session is given up.
const maxReadErrors = 100

// read is a reader: it waits for requests and carries them out, one after the
// other. Before it carries one out it sees to it that another reader waits.
func (s *Session) read() {
	defer s.readers.Done()
	limit := idleReaders()
	errs := 0
	turn := time.Now() // when the scheduler last saw this goroutine
	for {
		big := s.slots.big()
		if big.entry != nil {
			big.entry.BeginRead(big.mem, requestAt)
		}
		n, err := unix.Read(s.fd, big.mem[requestAt:])
		if err == nil && n == 0 { // the device never does; a connection that is gone may
			err = unix.ENODEV
		}
		if err != nil {
			big.drop()
			if errs++; s.mayReadOn(err, errs) {
				continue
			}
			s.idle.Add(-1)
			return
		}
		if s.draining.Load() { // what was read is the next process's, where it lies
			return
		}
		errs = 0
		in := big.mem[requestAt:][:n]
		if n < int(unsafe.Sizeof(gofuse.InHeader{})) || s.inline(in) {
			big.drop()
			continue
		}
		r := s.admit(big, in)
		if s.idle.Add(-1) == 0 {
			s.idle.Add(1)
			s.readers.Add(1)
			go s.read()
		}
		s.carryOut(r)
		if now := time.Now(); now.Sub(turn) > yieldAfter {
			turn = now
			runtime.Gosched()
		}
		if s.tooMany(limit) {
			return
		}
	}
}

// yieldAfter is how often a reader goes through the scheduler. It may do nothing
// but system calls for a long time. After 10 ms the scheduler takes that for one
// that is stuck in Go code, takes its processor away, and looks at all of them
// every 20 us for a while, which costs as much as a request.
const yieldAfter = 4 * time.Millisecond

// tooMany reports whether there are enough readers without the calling one,
// which then ends.
func (s *Session) tooMany(limit int32) bool {
	for {
		n := s.idle.Load()
		if n <= limit {
			return false
		}
		if s.idle.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// backSoon counts the reader of r as idle. It is called before the reply is
// written: that wakes the application, whose next request would otherwise often
// come while the reader is on its way back, and cost another reader.
func (s *Session) backSoon(r *request) {
	if !r.back {
		r.back = true
		s.idle.Add(1)
	}
}

// mayReadOn decides after a failed read whether to read again.
func (s *Session) mayReadOn(err error, errs int) bool {
	switch err {
	case unix.EINTR, unix.EAGAIN, unix.ENOENT: // ENOENT: the request went away while it was read
		return true
	case unix.ENODEV, unix.ECONNABORTED:
		s.end(nil)
		return false
	}
	s.log.Error("read a request", "err", err)
	if errs < maxReadErrors {
		return true
	}
	s.end(err)
	return false
}

// admit makes a request of what was read into a big slot. What fits into a
// smaller slot moves there, and the big one is free again: it is recorded as a
// request first, so that a kill in between leaves it in both.
func (s *Session) admit(big *slot, in []byte) *request {
	r := s.take()
	sl, at := big, requestAt
	switch n := len(in); {
	case big.entry != nil && isListing(in):
		if l := s.listingSlot(in); l != nil {
			sl, at = l, entrySize
		}
	case n <= tinySize-entrySize:
		sl, at = s.slots.get(tinySize), entrySize
	case n <= smallSize-requestAt:
		sl = s.slots.get(smallSize)
	case n <= smallSize-entrySize:
		sl, at = s.slots.get(smallSize), entrySize
	}
	if sl != big {
		in = sl.mem[at:][:copy(sl.mem[at:], in)]
	}
	if sl.entry != nil {
		sl.entry.Admit(s.order.Add(1), at, len(in))
	}
	if sl != big {
		big.drop()
	}
	r.begin(sl, in)
	if r.unique&resent != 0 {
		s.again(r)
	}
	return r
}

// inline carries out, in the reader itself, what never blocks and is not
// answered. It reports whether that was it. An INTERRUPT is recorded with its target
// before its slot is cleared.
func (s *Session) inline(in []byte) bool {
	h := (*gofuse.InHeader)(unsafe.Pointer(unsafe.SliceData(in)))
	switch h.Opcode {
	case opForget:
		if len(in) >= int(unsafe.Sizeof(gofuse.ForgetIn{})) {
			f := (*gofuse.ForgetIn)(unsafe.Pointer(h))
			s.forget(f.NodeId, &f.Nlookup)
		}
	case opBatchForget:
		s.batchForget(in)
	case opInterrupt:
		if len(in) >= int(unsafe.Sizeof(gofuse.InterruptIn{})) {
			s.interrupt((*gofuse.InterruptIn)(unsafe.Pointer(h)).Unique)
		}
	case opNotifyReply: // we retrieve nothing
	default:
		return false
	}
	s.stats.count(h.Opcode)
	return true
}

// interrupt interrupts a request; one that is not known yet when it comes.
func (s *Session) interrupt(unique uint64) {
	if !s.running.interrupt(unique) && s.mem.Durable() {
		s.mem.SetEarly(int(s.early.Add(1)), unique&^resent)
	}
}

// batchForgetIn and forgetOne are the kernel's fuse_batch_forget_in and
// fuse_forget_one.
type batchForgetIn struct {
	gofuse.InHeader
	Count, _ uint32
}

type forgetOne struct{ NodeID, Lookups uint64 }

func (s *Session) batchForget(in []byte) {
	head, one := int(unsafe.Sizeof(batchForgetIn{})), int(unsafe.Sizeof(forgetOne{}))
	if len(in) < head {
		return
	}
	count := min(int((*batchForgetIn)(unsafe.Pointer(unsafe.SliceData(in))).Count), (len(in)-head)/one)
	if count == 0 {
		return
	}
	all := unsafe.Slice((*forgetOne)(unsafe.Pointer(&in[head])), count)
	for i := range all {
		s.forget(all[i].NodeID, &all[i].Lookups)
	}
}

// forget takes back lookups that lie in the request's slot. They are cleared there
// before: after a kill in between a lookup too many is counted, which keeps a node;
// one too few would be an ESTALE.
func (s *Session) forget(nodeid uint64, lookups *uint64) {
	if n := atomic.SwapUint64(lookups, 0); n > 0 {
		s.bridge.forget(nodeid, n)
	}
}

// carryOut carries a request out and answers it.
func (s *Session) carryOut(r *request) {
	if !s.running.enter(r) {
		s.writing.end(r)
		return // the process is about to end: it stays in its slot
	}
	s.stats.count(r.op)
	if s.ended.Load() {
		r.call.Interrupt()
	}
	ok := s.dispatch(r)
	s.writing.end(r)
	s.running.leave(r)
	s.backSoon(r)
	if ok {
		r.end()
		s.giveBack(r)
	}
}

// dispatch reports whether the request object may be used again: after a panic
// nobody knows who else holds it.
func (s *Session) dispatch(r *request) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			r.replyStatus(s.panicked(p))
			ok = false
		}
	}()
	if len(r.in) > smallSize && r.op == opWrite {
		n := int64(len(r.in))
		if err := s.large.Acquire(context.Background(), n); err == nil {
			defer s.large.Release(n)
		}
	}
	r.decode()
	return true
}

// panicked notes a panic in a handler; the application gets EIO.
func (s *Session) panicked(p any) gofuse.Status {
	if s.stats.panics.Add(1) == 1 {
		s.log.Error("panic while carrying out a request (later ones are only counted)", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
	return gofuse.EIO
}

// send writes a reply.
func (s *Session) send(r *request, parts ...[]byte) {
	s.backSoon(r)
	if r.slot.entry != nil {
		r.record(parts)
	}
	if r.told != nil {
		// The recorded reply will tell of the error, whoever writes it. Once it
		// is written the application may close the file.
		r.told.CommitCursor()
	}
	if statusOf(parts[0]) == unix.ENOSYS {
		s.noteENOSYS(r.op)
	}
	var err error
	if len(parts) == 1 {
		_, err = unix.Write(s.fd, parts[0])
	} else {
		_, err = unix.Writev(s.fd, parts)
	}
	switch {
	case err == nil, errors.Is(err, unix.ENODEV):
		return
	case errors.Is(err, unix.ENOENT): // nobody waits for it any more
		s.stats.unwanted.Add(1)
		return
	}
	// The kernel did not like the reply. Somebody waits for one.
	s.stats.refused.Add(1)
	s.log.Error("the kernel refused a reply", "op", opName(r.op), "err", err)
	b := r.outBytes()[:outHeader]
	r.header(b, gofuse.EIO, outHeader)
	if _, err := unix.Write(s.fd, b); err != nil {
		s.log.Error("answer EIO instead", "op", opName(r.op), "err", err)
	}
}
