// Package fuse is the kernel's side of a mount: it mounts, reads requests from
// /dev/fuse into slots of the state memory, decodes them, has them carried out
// by the graph through package fdtable, and writes the replies.
//
//	/dev/fuse ─> reader ─> slot ─> request ─> decoder ─> bridge ─> fdtable.Use ─> graph
//	         <── reply ──────────────┘
//
// A mount outlives the processes that serve it: Mount makes a Device, which
// whoever keeps the mount holds on to; NewSession serves it for as long as this
// process lives. Without a keeper one process does both.
//
// # Readers and slots
//
// A few goroutines wait in read(2), each with a slot that holds the largest
// request there is. Who reads a request first makes sure that somebody else is
// waiting, and then carries it out itself. A request that fits is copied to a
// small slot at once and the big one goes back, so what waits for long costs a
// few hundred bytes and a goroutine. The buffer of a READ's reply is taken when
// the leaf has the data (xlator.Destination). The payload of a WRITE stays
// where it was read: whoever answers early retains the slot
// (xlator.Payload), within a budget.
//
// Slots are mapped, populated and locked, because a buffer that is not
// resident when the process is killed costs the application an EIO. Memory that
// does not outlive the process comes from the Go heap with the race detector or
// the `invariants` tag.
//
// What comes most (data, attributes, names, open and close) is decoded here, in
// place and without an allocation; everything else is decoded by go-fuse's
// ProtocolServer, one per request in flight, primed with the INIT of the mount.
//
// # What may end early
//
// INTERRUPT cancels the xlator.Call of the request it names. Only waits look at
// that (a lock, a file that is held or moving); nothing else returns EINTR, and
// the requests of close(2) not even then.
//
// # The record of a request
//
// If the memory outlives the process (state.Memory.Durable), the slot of a
// request is its journal. It begins with a state.Entry, and the next process
// finds it as one of these:
//
//	slot      since                                until               is then
//	Reading   before read(2); first word zeroed    admit               empty, or read and not begun
//	Request   admit (in the slot of its size       after the reply     without a reply: carried out again
//	          before the big one is cleared)       was written         with one: the reply is written again
//	Owed      a payload is retained, so before     the last Release    written to the file, before
//	          the reply of an early answer                             anything new is served
//
// Who clears what, and when:
//
//   - admit clears the big slot when the small one holds the request;
//   - a FORGET is cleared before it is applied (a lookup too many keeps a node,
//     one too few is an ESTALE), an INTERRUPT after it was noted with its target
//     or, if that is not known yet, in the memory's ring;
//   - slot.drop clears a request when its reply has been written. What comes
//     later than the reply cannot be overtaken by it: a process that finds a reply
//     carries nothing out;
//   - Release turns Owed into Request when nothing is retained any more, whether
//     or not the request has ended, and before write-behind lets anybody pass: a
//     later write is never overwritten by an older one that is found owed.
//
// A reply is recorded unless the operation may simply be repeated (see
// repeatable); the cursor of the write errors that it tells of before that, and
// with the base fd between that and the write. Which lookups are counted for it is
// recorded as well (listing.go: for a READDIRPLUS, many): without a reply they are
// taken back. What a translator decides before acting (xlator.Journal) goes into the
// entry, too.
//
// Session.Recover brings to an end what it finds: INTERRUPTs, replies, owed
// writes in order, then the rest, all at once but for waits for locks, which
// take their places in order. New requests are read after that. A request that
// was there when process after process crashed is answered EIO; for a process that
// was killed from outside (state.Death) no request is blamed.
//
// Slots that fail their checks are not used. The kernel is asked once, before
// the first read, to send again what it has no answer to (FUSE_NOTIFY_RESEND);
// then what makes or removes something may be told that this has been done.
//
// # Lock order
//
//	slot.mu               retained, and the entry's change between Request and Owed
//	inflightShard.mu      a shard of the table of running requests
//
// All locks here are leaves: these, a pool of slots, the notifier's queue, told, the
// log's rate limits, the note of ENOSYS answers. None is held across a call into
// fdtable or the graph, except that an INTERRUPT cancels a Call under its
// shard's lock, which also keeps the request's slot its own meanwhile. Nothing
// synchronises through the state memory. An entry is its request's goroutine's;
// the marks Owed and Interrupted may be set by others, by atomic operations on
// its first word.
//
// # Who keeps whom alive
//
// The Session keeps the device. The state memory is the caller's, and outlives
// the Session. A slot lives until its request has been answered and everybody
// who retained its payload has released it; what the slots are cut from goes
// back to the state memory with the Session, after both. A request object and its
// Call are used again after the reply.
//
// Notifications (Invalidate, Changed) are sent by one goroutine from a queue: sent
// from a request's handler they may wait in the kernel for that very request. Another
// process writes them if there is one (Options.Notify): they cannot be killed there.
//
// A READ waits for WRITEs of its pages that came before it (writing.go): the kernel
// would keep what was there before them.
//
// # What other clients change
//
// Changed has the kernel forget attributes, pages and names. The brick says which
// directory has changed, not which names; so where the kernel keeps names for
// longer than a second, told has those that it was told. A name is noted before the
// brick is asked, and the kernel has the directory locked from its question to our
// answer: taking a name back cannot overtake the answer that gave it. Names are also
// in a file of the keeper's (names.go), from which the next process takes them back,
// each once: what became of a notice over which its predecessor died nobody knows.
// (To have the kernel look up every name again, FUSE_NOTIFY_INC_EPOCH, would
// unmount what is mounted in the directories.)
//
// # What a crash leaves behind
//
// With durable memory: the slots, as above, and a kernel that waits; the
// Device, if somebody else holds it; the names that the kernel was told. Lost are
// notifications that were queued: the next process has the kernel forget all that
// it keeps for long (ChangedAll). A FORGET may be cleared and not applied: such a
// node is kept until the unmount. Without: a mount that answers ENOTCONN until it is
// unmounted.
//
// A process must have nothing open in the mount if it is to start the next one
// that serves it: between fork(2) and execve(2) the close of that would wait
// for an answer.
package fuse
