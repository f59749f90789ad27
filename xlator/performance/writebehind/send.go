package writebehind

import (
	"context"
	"io"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/xlator"
)

// largest is where early answers end: near the largest size that a brick's file
// system may have, an error belongs to the write that caused it.
const largest = 1 << 43

// Writev implements xlator.Fops.
func (t *translator) Writev(ctx context.Context, r *xlator.WritevReq) (*xlator.WritevRep, error) {
	s := t.settings.Load()
	f := t.fileOf(r.FD.Inode())
	w := &write{
		fd: r.FD, off: r.Offset, size: len(r.Payload.Bytes),
		flags: r.Flags, killPriv: r.KillPriv, paged: r.Paged,
		whole: s.strictOrder || (r.FD.Flags()|r.Flags)&unix.O_APPEND != 0,
	}
	if t.queue(ctx, f, w, r, s) {
		return &xlator.WritevRep{Size: len(r.Payload.Bytes)}, nil
	}
	return t.through(ctx, f, w, r)
}

// mayAnswer reports whether a request is of a kind that is answered early.
func (t *translator) mayAnswer(ctx context.Context, r *xlator.WritevReq, s *settings) bool {
	flags := r.FD.Flags() | r.Flags
	n := int64(len(r.Payload.Bytes))
	return !s.through && n > 0 && r.Offset >= 0 && r.Offset <= largest-n &&
		r.FD.Flags()&unix.O_ACCMODE != unix.O_RDONLY &&
		flags&(unix.O_SYNC|unix.O_DSYNC) == 0 &&
		!(s.strictDirect && r.Flags&unix.O_DIRECT != 0) &&
		// The next process would write again what it is not sure of.
		!(flags&unix.O_APPEND != 0 && t.Appends() && xlator.CallFrom(ctx).Journal != nil)
}

// queue puts w in the queue and says whether it may be answered early.
func (t *translator) queue(ctx context.Context, f *file, w *write, r *xlator.WritevReq, s *settings) bool {
	may := t.mayAnswer(ctx, r, s)
	f.mu.Lock()
	defer f.mu.Unlock()
	if may && f.bytes+int64(w.size) <= s.window && f.answered < maxAnswered && t.accept(f, r.Payload) {
		t.counts.early.Add(1)
		w.early = true
		w.data = []xlator.Payload{r.Payload}
		copyCall(&w.call, xlator.CallFrom(ctx))
		f.bytes += int64(w.size)
		f.answered++
		if f.merge(w, s.aggregate) {
			t.counts.merged.Add(1)
		} else {
			f.append(w)
			f.pending.Add(1)
		}
		t.kick(f)
		return true
	}
	t.counts.through.Add(1)
	f.append(w)
	return false
}

// accept retains the payload and makes sure that the file is listed as dirty, or
// says that there must be no early answer; f.mu is held.
func (t *translator) accept(f *file, p xlator.Payload) bool {
	if t.phase.Load().Transparent() || t.stopped.Load() || !p.Retain() {
		return false
	}
	if f.pending.Load() > 0 || t.list(f) {
		return true
	}
	p.Release()
	return false
}

func copyCall(to, from *xlator.Call) {
	to.Unique, to.UID, to.GID, to.PID, to.LockOwner = from.Unique, from.UID, from.GID, from.PID, from.LockOwner
	to.Groups = slices.Clone(from.Groups)
}

// through sends w, which is queued, when it is its turn, and answers with what
// the child says.
func (t *translator) through(ctx context.Context, f *file, w *write, r *xlator.WritevReq) (*xlator.WritevRep, error) {
	f.mu.Lock()
	for x := f.inTheWay(w); x != nil; x = f.inTheWay(w) {
		t.forceUpTo(f, w.seq)
		gone := x.gone()
		f.mu.Unlock()
		<-gone
		f.mu.Lock()
	}
	w.sent = true
	f.mu.Unlock()
	begun := t.ticks.now()
	rep, err := t.sendAll(ctx, r)
	// Attributes that came back before earlier data did are too old.
	if err == nil && t.outdated(f, begun) {
		rep.Attr, rep.Pre = xlator.Iatt{}, xlator.Iatt{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.remove(w)
	t.kick(f)
	return rep, err
}

// sendAll writes all of r, also when the child takes it in parts. An error counts
// only if nothing was written.
func (t *translator) sendAll(ctx context.Context, r *xlator.WritevReq) (*xlator.WritevRep, error) {
	total, written := len(r.Payload.Bytes), 0
	for {
		rep, err := t.Next.Writev(ctx, r)
		if written > 0 && (err != nil || rep.Size <= 0) {
			return &xlator.WritevRep{Size: written}, nil
		}
		if err != nil || rep.Size <= 0 || rep.Size >= total {
			return rep, err
		}
		if written += rep.Size; written >= total {
			return &xlator.WritevRep{Size: written, Attr: rep.Attr}, nil
		}
		rest := *r
		rest.Payload.Bytes = r.Payload.Bytes[rep.Size:]
		rest.Offset += int64(rep.Size)
		r = &rest
	}
}

// kick starts writers for what may be sent; f.mu is held.
func (t *translator) kick(f *file) {
	for w := t.take(f); w != nil; w = t.take(f) {
		t.writers.Go(func() { t.work(f, w) })
	}
}

// take marks an early write as being sent, and returns it, if there is one that
// may be, and somebody to send it; f.mu is held. The first writer of a file needs
// no leave, others share extraWriters.
func (t *translator) take(f *file) *write {
	if f.pending.Load() == 0 || f.inFlight >= maxInFlight || f.inFlight > 0 && t.extra.Load() >= extraWriters {
		return nil
	}
	w := f.next(t.settings.Load())
	if w == nil {
		return nil
	}
	if f.inFlight > 0 && t.extra.Add(1) > extraWriters {
		t.extra.Add(-1)
		return nil
	}
	w.sent = true
	f.inFlight++
	return w
}

// work sends w and then whatever may be sent next.
func (t *translator) work(f *file, w *write) {
	for w != nil {
		// The error is recorded before anybody who waits for the write goes on to
		// ask for it, and before the data may be forgotten: a kill in between
		// leaves one of the two.
		if err := t.send(w); err != nil {
			t.counts.failed.Add(1)
			t.errors.Record(f.gfid, failure(f, w, err))
		}
		for _, p := range w.data {
			p.Release()
		}
		w = t.finish(f, w)
	}
}

// send gives the child an early write.
func (t *translator) send(w *write) error {
	t.counts.sent.Add(1)
	r := &xlator.WritevReq{FD: w.fd, Payload: w.data[0], Offset: w.off, Flags: w.flags, KillPriv: w.killPriv, Paged: w.paged}
	if len(w.data) > 1 {
		buf := t.together(w)
		defer t.buffers.Put(buf)
		r.Payload = xlator.Payload{Bytes: *buf}
	}
	for {
		rep, err := t.Next.Writev(&w.call, r)
		switch {
		case err != nil:
			return err
		case rep.Size >= len(r.Payload.Bytes):
			return nil
		case rep.Size <= 0:
			return io.ErrShortWrite
		}
		r.Payload.Bytes = r.Payload.Bytes[rep.Size:]
		r.Offset += int64(rep.Size)
	}
}

// together copies the parts of a write into one buffer.
func (t *translator) together(w *write) *[]byte {
	buf, _ := t.buffers.Get().(*[]byte)
	if buf == nil || cap(*buf) < w.size {
		b := make([]byte, 0, max(w.size, int(t.settings.Load().aggregate)))
		buf = &b
	}
	*buf = (*buf)[:0]
	for _, p := range w.data {
		*buf = append(*buf, p.Bytes...)
	}
	return buf
}

// finish takes w, which the child has answered, out of the queue and returns the
// next write for the same writer.
func (t *translator) finish(f *file, w *write) *write {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.inFlight > 1 {
		t.extra.Add(-1)
	}
	f.inFlight--
	f.bytes -= int64(w.size)
	f.answered -= len(w.data)
	t.ticks.tick(f.gfid) // before pending says that it is gone: see outdated
	if f.pending.Add(-1) == 0 {
		t.unlist(f)
	}
	f.remove(w)
	next := t.take(f)
	if next != nil {
		t.kick(f)
	}
	return next
}
