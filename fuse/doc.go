// Package fuse is the kernel's side of a mount: it mounts, reads requests from
// /dev/fuse into memory of its own, decodes them, has them carried out by the
// graph through package fdtable, and writes the replies.
//
//	/dev/fuse ─> reader ─> slot ─> request ─> decoder ─> bridge ─> fdtable.Use ─> graph
//	         <── reply ──────────────┘
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
// resident when the process is killed costs the application an EIO. With the
// race detector or the `invariants` tag they come from the Go heap.
//
// READ, WRITE, LOOKUP and GETATTR are decoded here, since a slot has an owner
// and they are most of what comes; everything else is decoded by go-fuse's
// ProtocolServer, one per request in flight, primed with the INIT of the mount.
//
// # What may end early
//
// INTERRUPT cancels the xlator.Call of the request it names. Only waits look at
// that (a lock, a file that is held or moving); nothing else returns EINTR, and
// the requests of close(2) not even then.
//
// # Lock order
//
// All locks here are leaves: a shard of the table of running requests, a pool
// of slots, the notifier's queue, the log's rate limits. None is held across a
// call into fdtable or the graph, except that an INTERRUPT cancels a Call under
// its shard's lock.
//
// # Who keeps whom alive
//
// The Session keeps the device and all memory. A slot lives until its request
// has been answered and everybody who retained its payload has released it; the
// memory itself goes with the Session, after both. A request object and its
// Call are used again after the reply.
//
// Notifications (Invalidate) are sent by one goroutine from a queue: sent from
// a request's handler they may wait in the kernel for that very request.
//
// # What a crash leaves behind
//
// A mount that answers ENOTCONN until it is unmounted. Everything that a next
// process needs passes through the seams it will use: memory comes from one
// allocator, replies are written in one place, requests are admitted in one
// place, and the bytes of INIT and its reply are kept.
package fuse
