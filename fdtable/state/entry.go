package state

import (
	"sync/atomic"
	"unsafe"
)

// Entry is the head of a request slot: what is known of the request whose bytes
// lie in the slot. The slot with its Entry is the request's journal.
//
//	0    8  bits 0-7 kind, bits 8-31 mark (0x485446), 32-63 flags
//	8    8  order: requests are numbered as they are read
//	16   8  bits 0-31 where the request begins in the slot, 32-63 its length
//	24   8  bits 0-31 how many processes have found it after a crash or a death
//	        that nobody saw, 32-63 how many of those after a crash
//	32  16  gfid that was chosen for what it makes
//	48   8  which of the two intents counts: 0 none, 1, 2
//	56  48  first intent
//	104 48  second intent
//	152  8  fh whose error cursor the reply moves; 0: none
//	160  8  to where
//	168  8  bits 0-31 length of the reply; 0: none yet; 32-63 where it lies in the
//	        slot; 0: here
//	176 320 the reply
//	496 16  gfid of the file that a WRITE is to; of a request that is answered
//	        with a file's number: that, and its lookups with this one; with many
//	        files' numbers: how many are recorded, and where in the slot (Counts)
type Entry struct {
	word   uint64
	order  uint64
	place  uint64
	tries  uint64
	gfid   [16]byte
	which  uint64
	intent [2]Intent
	fh     uint64
	cursor uint64
	length uint64
	reply  [MaxReply]byte
	file   [16]byte
}

// MaxReply is the longest reply that an Entry keeps, in bytes.
const MaxReply = 320

// EntrySize is how much of a slot its Entry takes, in bytes.
const EntrySize = entrySize

const entrySize = int(unsafe.Sizeof(Entry{}))

// Intent is xlator.Intent as it is recorded.
type Intent struct {
	Kind, Flags uint32
	A, B        [16]byte
	Size        uint64
}

// Kind says what a slot is used for.
type Kind uint8

const (
	// Free slots hold nothing, or the data of a reply.
	Free Kind = iota
	// Reading slots have been given to read(2) on the device. There is a
	// request in it if its first word is not zero: the word is zeroed before
	// each read.
	Reading
	// Request slots hold a request that has not been answered, or whose answer
	// is recorded and perhaps written.
	Request
	// Owed slots hold a WRITE that has been answered, or is about to be, and
	// whose data has not reached the brick.
	Owed
)

const mark = uint64(0x485446) << 8

// Flags of an Entry.
const (
	// Interrupted: an INTERRUPT for the request was read.
	Interrupted uint32 = 1 << iota
)

// EntryOf is the Entry of a slot.
func EntryOf(slot []byte) *Entry { return view[Entry](slot) }

// Kind is what the slot is used for; ok is false if the Entry is damaged.
func (e *Entry) Kind() (k Kind, ok bool) {
	w := load(&e.word)
	return Kind(w), w == 0 || w&(0xffffff<<8) == mark && Kind(w) <= Owed && Kind(w) != Free
}

// Flags of the request.
func (e *Entry) Flags() uint32 { return uint32(load(&e.word) >> 32) }

// Clear makes the slot Free. That there is no request in it is said twice: a
// word that is damaged later does not bring the last one back.
func (e *Entry) Clear() {
	store(&e.word, 0)
	e.place = 0
}

// Place is where the slot says that its request lies, whatever its kind; length
// is 0 if there is none or that is impossible.
func (e *Entry) Place(slot []byte) (at, length int) {
	at, length = int(uint32(e.place)), int(e.place>>32)
	if at < entrySize || at%8 != 0 || length < 40 || length > len(slot)-at {
		return 0, 0
	}
	return at, length
}

// BeginRead makes the slot Reading: a request will be read to offset at.
func (e *Entry) BeginRead(slot []byte, at int) {
	store(view[uint64](slot[at:]), 0)
	e.place = uint64(at)
	store(&e.word, uint64(Reading)|mark)
}

// Admit makes the slot a Request, whose bytes are in it. What an earlier
// request left in the Entry is gone.
func (e *Entry) Admit(order uint64, at, length int) {
	e.order, e.place = order, uint64(at)|uint64(length)<<32
	e.tries, e.which, e.fh, e.length = 0, 0, 0, 0
	e.gfid, e.file = [16]byte{}, [16]byte{}
	store(&e.word, uint64(Request)|mark)
}

// Owe makes a Request Owed: its data is kept beyond the answer. Owe, Settle and
// SetInterrupted may be called at the same time.
func (e *Entry) Owe() { e.change(Request, Owed) }

// Settle makes an Owed slot a Request again: its data is where it belongs.
func (e *Entry) Settle() { e.change(Owed, Request) }

func (e *Entry) change(from, to Kind) {
	for {
		w := load(&e.word)
		if Kind(w) != from || atomic.CompareAndSwapUint64(&e.word, w, w&^0xff|uint64(to)) {
			return
		}
	}
}

// SetInterrupted records that the request was interrupted.
func (e *Entry) SetInterrupted() { atomic.OrUint64(&e.word, uint64(Interrupted)<<32) }

// Order is the request's number.
func (e *Entry) Order() uint64 { return e.order }

// Request returns the bytes of the request in the slot, or nil if there is none
// or the place is damaged.
func (e *Entry) Request(slot []byte) []byte {
	k, ok := e.Kind()
	if !ok || k == Free {
		return nil
	}
	at, n := int(uint32(e.place)), int(e.place>>32)
	if at < entrySize || at%8 != 0 || at > len(slot)-8 {
		return nil
	}
	if k == Reading {
		n = int(uint32(load(view[uint64](slot[at:])))) // fuse_in_header.len
	}
	if n < 40 || n > len(slot)-at {
		return nil
	}
	return slot[at:][:n:n]
}

// Unread reports whether a Reading slot is one into which the kernel has put
// nothing.
func (e *Entry) Unread(slot []byte) bool {
	at := int(uint32(e.place))
	return at >= entrySize && at%8 == 0 && at <= len(slot)-8 && load(view[uint64](slot[at:])) == 0
}

// Try is for a process that has found the request and is about to carry it out
// again. It counts the death of its predecessor, if a request may have caused
// that, and returns how often that was. What an earlier process was about to tell
// of write errors is forgotten: it did not.
func (e *Entry) Try(d Death) (deaths, crashes int) {
	n := load(&e.tries)
	switch d {
	case Blameless:
	case Crash:
		n += 1<<32 + 1
	default:
		n++
	}
	store(&e.fh, 0)
	store(&e.tries, n)
	return int(uint32(n)), int(n >> 32)
}

// Forgive forgets the deaths: the process has lived on with the request.
func (e *Entry) Forgive() { store(&e.tries, 0) }

// File is the file that a WRITE is to, zero before SetFile.
func (e *Entry) File() [16]byte { return e.file }

// SetFile records it.
func (e *Entry) SetFile(g [16]byte) { e.file = g }

// SetCounted records, of a request other than a WRITE, that a node's lookups are
// about to become n because of it; node 0 takes that back. Called with the lock
// held that guards the count.
func (e *Entry) SetCounted(node, n uint64) {
	w := view[[2]uint64](e.file[:])
	store(&w[0], 0) // else a kill leaves a node with another's count
	store(&w[1], n)
	store(&w[0], node)
}

// Counted is what SetCounted recorded.
func (e *Entry) Counted() Counted { return Counted{e.counts()} }

// GFID is the identity chosen for what the request makes.
func (e *Entry) GFID() [16]byte { return e.gfid }

// SetGFID records it. A kill in between leaves half of it: nothing was made
// under it then.
func (e *Entry) SetGFID(g [16]byte) { e.gfid = g }

// Intent is what SetIntent recorded last.
func (e *Entry) Intent() Intent {
	w := load(&e.which)
	if w < 1 || w > 2 {
		return Intent{}
	}
	return e.intent[w-1]
}

// SetIntent records an intent.
func (e *Entry) SetIntent(i Intent) {
	next := 2 - e.which&1
	if e.which == 0 {
		next = 1
	}
	e.intent[next-1] = i
	store(&e.which, next)
}

// SetCursor records, before the reply, that the reply reports the write errors
// of the base fd fh up to number cursor.
func (e *Entry) SetCursor(fh, cursor uint64) {
	e.cursor = cursor
	store(&e.fh, fh)
}

// Cursor returns what SetCursor recorded; fh 0: nothing.
func (e *Entry) Cursor() (fh, cursor uint64) { return load(&e.fh), e.cursor }

// SetReply records the reply, which is about to be written. It reports false if
// it is too long to be kept.
func (e *Entry) SetReply(b []byte) bool {
	if len(b) > MaxReply {
		return false
	}
	copy(e.reply[:], b)
	store(&e.length, uint64(len(b)))
	return true
}

// SetReplyAt records that the reply is n bytes at an offset in the slot, where they
// stay until Clear.
func (e *Entry) SetReplyAt(at, n int) { store(&e.length, uint64(at)<<32|uint64(n)) }

// Reply is the recorded reply, nil if there is none.
func (e *Entry) Reply(slot []byte) []byte {
	w := load(&e.length)
	switch at, n := int(w>>32), int(uint32(w)); {
	case n < 16:
		return nil
	case at == 0 && n <= MaxReply:
		return e.reply[:n:n]
	case at >= entrySize && at <= len(slot) && n <= len(slot)-at:
		return slot[at:][:n:n]
	}
	return nil
}
