// Package writebehind is performance/write-behind: it answers a write before
// its child has the data, and sends what it has queued in the background, in
// order, small neighbours together.
//
// # What it owns
//
// A queue of writes for each file that was written, in the file's Inode, and the
// goroutines that send them. There is one for each file with acknowledged data
// that may be sent now, and at most a few more (extraWriters) for files with
// several such writes; none waits idle. A file beyond maxDirty files, maxAnswered
// writes or the option cache-size is written through.
//
// # Order
//
// Every write is put in its file's queue, also one that is not answered early
// (O_SYNC, a graph that settles or drains, a full window, pass-through): written
// through means that the reply waits, not that the queue is bypassed. A write is
// sent when no earlier one that it overlaps is left; so of two that overlap the
// later one wins. What is answered early is decided under the lock under which
// the write is queued, and the phase of the graph is read there.
//
// Every other fop on the file waits for the acknowledged writes that were there
// before it and that it could see: reads for those that they overlap, all others
// for all. Attributes in replies are at least as new as every write that was
// acknowledged before the request came, or they are left out. For files that a
// request does not name (LOOKUP, CREATE, UNLINK, RENAME by name, READDIRP) that
// is found out afterwards: a clock ticks whenever acknowledged data has reached
// the child, and a reply that was asked for at an earlier tick than its file's
// last is too old (LOOKUP asks again, READDIRP leaves the attributes out).
//
// An early write that fails is recorded with Env.Errors, once, before anybody who
// waits for it goes on; its data is dropped, later writes are still tried.
//
// # Locks
//
//	file.mu
//	├─ the lock of a payload's owner (Retain)
//	└─ translator.mu
//
// Neither is held across a call to the child.
//
// # Who keeps whom alive
//
//	translator.dirty ──> file ──> write ──> FD ──> Inode ──> file
//
// A file without acknowledged data is kept by its Inode only. A payload is
// retained until the child has answered for it.
//
// # What a crash leaves behind
//
// Nothing: acknowledged data that the child has not got is in the payloads, and
// their owner says what becomes of them.
package writebehind
